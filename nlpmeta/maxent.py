"""Maximum entropy: of all distributions with the right expectations, the least committed one.

Jaynes (1957) made it a principle; Berger, Della Pietra and Della Pietra (1996) brought it to
language. The distribution is log-linear, its weights maximize the likelihood, and at the maximum
the model expects of every feature what the data show. Exports the classifier
``MaxEntClassifier``, also known as multinomial logistic regression, and the language model
``MaxEntLM``; the formulas are in ``nlpmeta.loglinear``.
"""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from nlpmeta.lbfgs import minimize
from nlpmeta.loglinear import Matrix, gis_step, iis_step, objective, softmax
from nlpmeta.maxent_lm import MaxEntLM

__all__ = ["MaxEntClassifier", "MaxEntLM"]


class MaxEntClassifier(ClassifierMixin, BaseEstimator):
    r"""Conditional maximum entropy, also called multinomial logistic regression.

    p(k | x) = exp(b_k + sum_j theta_jk x_j) / Z(x). Fitting minimizes the negative log-likelihood
    plus penalties, both summed and not averaged over the examples:

    sum_i -log p(y_i | x_i) + l1 sum_jk \|theta_jk\| + (l2 / 2) sum_jk theta_jk^2.

    Every class has its own row of weights, also when there are two classes. The bias b_k is the
    weight of a feature that is 1 for every example, and no penalty applies to it. In
    scikit-learn's ``LogisticRegression`` this is, with three classes or more, ``C = 1 / l2`` or
    ``C = 1 / l1``; with two classes, where scikit-learn has one row of weights, ``C = 2 / l2`` or
    ``C = 1 / l1``.

    Parameters
    ----------
    solver : {"lbfgs", "gis", "iis"}
        L-BFGS (with ``l1`` in its orthant-wise form), generalized or improved iterative scaling.
        The last two want no ``l1``. They need features that are not negative, so they raise those
        that are until their lowest value is 0: the biases make up for it, the model is the same.
    l1, l2 : float
        Strengths of the penalties. ``l2`` is the precision of a normal prior on every weight,
        ``l1`` the rate of a Laplace prior.
    tol : float
        Converged when for every feature and class the mean over the examples that the model expects
        differs from the one observed (after the penalties' share) by at most this.
    max_iter : int
        Rounds after which the solver gives up with a ``ConvergenceWarning``. Without penalties the
        weights of classes that a plane can part grow without end, but the probabilities converge.

    Attributes
    ----------
    classes_ : numpy.ndarray, shape (k,)
    coef_ : numpy.ndarray of float, shape (k, d)
        The weight of every feature in every class; 0 for a feature that was 0 in all examples.
        Without an L1 penalty the weights of a feature sum to zero over the classes, which singles
        out one of many equivalent choices.
    intercept_ : numpy.ndarray of float, shape (k,)
    objectives_ : numpy.ndarray of float, one per iteration
        What is minimized, in nats, after every round.
    n_iter_ : int
    n_features_in_ : int

    Examples
    --------
    >>> x = [[1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [1, 1]]
    >>> model = MaxEntClassifier(l2=1.0).fit(x, ["oak", "oak", "elm", "elm", "elm", "oak"])
    >>> model.predict([[1, 0], [0, 1]]).tolist()
    ['oak', 'elm']
    >>> model.predict_proba([[1, 0]]).round(2).tolist()
    [[0.38, 0.62]]
    """

    def __init__(
        self,
        solver: str = "lbfgs",
        l1: float = 0.0,
        l2: float = 0.0,
        tol: float = 1e-7,
        max_iter: int = 1000,
    ) -> None:
        self.solver = solver
        self.l1 = l1
        self.l2 = l2
        self.tol = tol
        self.max_iter = max_iter

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: ArrayLike | Matrix, y: ArrayLike) -> Self:
        """Find the weights.

        Parameters
        ----------
        X : array-like or sparse matrix of float, shape (n, d)
            Finite.
        y : array-like, shape (n,)
            Labels, at least two different ones.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X holds NaN or infinity, if X and y differ in length or y holds one class only, or if
            a setting is out of its range.
        """
        self._check_settings()
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=np.float64)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y holds one class, {y[0]}; give examples of two classes or more")
        y = np.zeros((len(codes), len(self.classes_)))
        y[np.arange(len(codes)), codes] = 1  # one-hot, (n, k)
        fit = self._quasi_newton if self.solver == "lbfgs" else self._iterative_scaling
        theta, values, gap = fit(X, y)  # theta: (d + 1, k), the bias comes last
        if not gap <= self.tol:
            warnings.warn(
                f"after {len(values)} rounds of {self.solver} an expectation is still {gap:.2g} "
                f"off, tol is {self.tol}; raise max_iter, scale the features or add a penalty",
                ConvergenceWarning,
                stacklevel=2,
            )
        self.coef_, self.intercept_ = theta[:-1].T.copy(), theta[-1].copy()
        self.objectives_, self.n_iter_ = values, max(1, len(values))
        return self

    def _quasi_newton(self, X: Matrix, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """L-BFGS over u = theta / scale, where the scale makes every curvature 1 at the start."""
        n, k = y.shape
        X, member, copies = _merge_equal(X)
        features, copies = _with_column(X, np.ones(n)), np.append(copies, 1)[:, None]
        charged = copies.copy()  # what a penalty counts: every copy, but not the bias
        charged[-1] = 0
        square = features.power(2) if sparse.issparse(features) else features**2
        curvature = copies**2 * square.sum(axis=0).reshape(-1, 1) * (1 / k - 1 / k**2)
        curvature += self.l2 * charged
        scale = 1 / np.sqrt(np.where(curvature > 0, curvature, 1))  # (d + 1, 1)
        features = features @ sparse.diags_array((copies * scale).ravel())
        observed, l2 = features.T @ y, self.l2 * charged * scale**2

        def function(u: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = objective(u.reshape(-1, k), features, observed, l2)
            return value, gradient.ravel()

        found = minimize(
            function,
            np.zeros(observed.size),
            np.repeat(self.l1 * charged * scale, k),
            tol=np.repeat(n * copies * scale, k) * self.tol,
            max_iter=self.max_iter,
        )
        theta = scale * found.x.reshape(-1, k)
        return theta[np.append(member, -1)], found.values, found.slope * self.tol

    def _iterative_scaling(self, X: Matrix, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Rounds of generalized or improved iterative scaling, on features raised to 0 or more."""
        X = sparse.csr_array(X)
        lowest = np.minimum(X.min(axis=0).toarray(), 0).reshape(1, -1)  # (1, d)
        ones = np.ones((len(y), 1))
        raised = X - sparse.csr_array(ones) @ sparse.csr_array(lowest)
        features = _with_column(raised, ones.ravel())
        observed = features.T @ y
        l2 = np.full((features.shape[1], 1), float(self.l2))
        l2[-1] = 0  # no penalty on the bias
        totals = np.asarray(features.sum(axis=1)).ravel()  # f#
        free, slack = 1.0, totals.max() - totals
        if gis := self.solver == "gis":  # one feature more, so that all examples sum to C
            features = sparse.hstack([features, sparse.csr_array(slack[:, None])], format="csr")
            observed = np.vstack([observed, slack @ y])
            l2 = np.vstack([l2, [[0.0]]])
            free = np.ones((len(l2), 1))
            free[-1] = not self.l2  # or the slack would carry weight that the others pay for
        theta, values = np.zeros_like(observed), []
        value, gradient = objective(theta, features, observed, l2)
        while (gap := np.abs(free * gradient).max() / len(slack)) > self.tol:
            if len(values) == self.max_iter:
                break
            if gis:
                expected = gradient + observed - l2 * theta
                step = gis_step(observed, expected, totals.max(), theta, l2)
            else:
                step = iis_step(features, softmax(features @ theta)[0], observed, theta, l2)
            theta += free * step
            theta -= theta.mean(axis=1, keepdims=True)  # the same model, the smallest weights
            value, gradient = objective(theta, features, observed, l2)
            values.append(value)
        if gis:  # theta_slack (C - sum_j f_j) is a bias and a weight taken off every feature
            theta, of_slack = theta[:-1], theta[-1]
            theta[observed[:-1].any(axis=1)] -= of_slack
            theta[-1] += totals.max() * of_slack
        theta[-1] -= (lowest @ theta[:-1]).ravel()  # theta (x - lowest) + b, written for x
        return theta, np.array(values), gap

    def decision_function(self, X: ArrayLike | Matrix) -> np.ndarray:
        """Scores whose softmax are the probabilities; with two classes their difference.

        Parameters
        ----------
        X : array-like or sparse matrix of float, shape (n, d)

        Returns
        -------
        numpy.ndarray of float, shape (n, k), or (n,) with two classes
        """
        scores = self._scores(X)
        return scores if len(self.classes_) > 2 else scores[:, 1] - scores[:, 0]

    def predict(self, X: ArrayLike | Matrix) -> np.ndarray:
        """The most probable class of every example.

        Parameters
        ----------
        X : array-like or sparse matrix of float, shape (n, d)

        Returns
        -------
        numpy.ndarray, shape (n,)
        """
        scores = self._scores(X)
        return self.classes_[scores.argmax(axis=1)]

    def predict_proba(self, X: ArrayLike | Matrix) -> np.ndarray:
        """The probability of every class, in the order of ``classes_``.

        Parameters
        ----------
        X : array-like or sparse matrix of float, shape (n, d)

        Returns
        -------
        numpy.ndarray of float, shape (n, k)
        """
        return softmax(self._scores(X))[0]

    def predict_log_proba(self, X: ArrayLike | Matrix) -> np.ndarray:
        """Natural logarithms of the probabilities, exact where these are too small for a float.

        Parameters
        ----------
        X : array-like or sparse matrix of float, shape (n, d)

        Returns
        -------
        numpy.ndarray of float, shape (n, k)
        """
        scores = self._scores(X)
        return scores - softmax(scores)[1][:, None]

    def _scores(self, X: ArrayLike | Matrix) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False)
        return X @ self.coef_.T + self.intercept_

    def _check_settings(self) -> None:
        if self.solver not in ("lbfgs", "gis", "iis"):
            raise ValueError(f'solver is {self.solver!r}; choose "lbfgs", "gis" or "iis"')
        for name in ("l1", "l2"):
            value = getattr(self, name)
            if not isinstance(value, Real) or not 0 <= value < np.inf:
                raise ValueError(f"{name} is {value!r}; give a number that is at least 0")
        if not isinstance(self.tol, Real) or not 0 < self.tol < np.inf:
            raise ValueError(f"tol is {self.tol!r}; give a number above 0")
        if not isinstance(self.max_iter, Integral) or self.max_iter < 1:
            raise ValueError(f"max_iter is {self.max_iter!r}; give a whole number of at least 1")
        if self.l1 and self.solver != "lbfgs":
            raise ValueError(f'l1 is {self.l1} with solver {self.solver!r}; use solver="lbfgs"')


def _merge_equal(X: Matrix) -> tuple[Matrix, np.ndarray, np.ndarray]:
    """Keep one of each set of equal columns of a sparse matrix.

    Equal features have equal weights in the end, so one stands for all; in text half of the rare
    features occur only beside each other. Equal columns have equal products with a random vector,
    and two different columns almost surely do not.
    """
    if not sparse.issparse(X):
        return X, np.arange(X.shape[1]), np.ones(X.shape[1])
    rng = np.random.default_rng(0)
    product = X.T @ (rng.random(X.shape[0]) + 1j * rng.random(X.shape[0]))
    _, first, member, copies = np.unique(
        product, return_index=True, return_inverse=True, return_counts=True
    )
    return X[:, first], member, copies.astype(float)


def _with_column(X: Matrix, column: np.ndarray) -> Matrix:
    """The features with one more on the right."""
    if sparse.issparse(X):
        return sparse.hstack([X, sparse.csr_array(column[:, None])], format="csr")
    return np.column_stack([X, column])
