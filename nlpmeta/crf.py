"""Conditional random fields: the probability of a whole sequence of labels, given its features.

A linear-chain CRF (Lafferty, McCallum and Pereira 2001) scores a labeling by the weights of the
features of each token under its label and of each pair of neighboring labels, and normalizes over
all labelings at once. A maximum-entropy Markov model (McCallum, Freitag and Pereira 2000) has the
same weights and normalizes one label at a time: hence label bias. Exports ``LinearChainCRF`` and
``MEMM``. Their objectives and the sums over labelings are those of ``nlpmeta.labelings``, matrices
of features those of ``nlpmeta.tagging``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from numbers import Integral, Real
from typing import Self

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from nlpmeta import lattice
from nlpmeta.labelings import (
    Chains,
    chains,
    crf_objective,
    memm_objective,
    sum_over_labelings,
)
from nlpmeta.lbfgs import minimize
from nlpmeta.tagging import Encoder, Token

__all__ = ["MEMM", "LinearChainCRF"]

BLOCK = 2**19  # numbers in one step of decoding
PATIENCE, PATIENCE_L1 = 10, 50  # evaluations over which progress is measured


class _Settled(Exception):
    """The objective has stopped falling."""


class LinearChainCRF(BaseEstimator):
    r"""A linear-chain conditional random field (Lafferty, McCallum and Pereira 2001).

    p(y | x) = exp(sum_t x_t . w[y_t] + sum_t T[y_{t-1}, y_t]) / Z(x). Fitting minimizes the
    negative log-likelihood, summed over the sequences, plus l1 sum \|w\| + (l2 / 2) sum w^2 over
    all weights; in CRFsuite that is ``c1 = l1`` and ``c2 = l2 / 2``. There is no bias: give every
    token a feature ``"bias"``. The interface is that of sklearn-crfsuite.

    Parameters
    ----------
    l1, l2 : float
        Strengths of the penalties.
    unseen : bool
        Whether pairs of a feature and a label, or of two labels, that training has never seen
        together get a weight too. Otherwise their weight is 0, as in CRFsuite.
    tol : float
        Converged when ten evaluations of the objective (fifty with ``l1``) lower it by less than
        this, in nats a token.
    max_iter : int
        Steps after which L-BFGS gives up with a ``ConvergenceWarning``.

    Attributes
    ----------
    classes_ : list
        The labels, sorted.
    state_ : numpy.ndarray of float, shape (a, k)
        The weight of each feature under each label.
    transition_ : numpy.ndarray of float, shape (k, k)
        The weight of each label (column) after each other (row). May be assigned: -1000 forbids a
        pair.
    features_ : list of str
        The names of the features, in the order of ``state_``.
    objectives_ : numpy.ndarray of float
        The lowest value so far of what is minimized, in nats, after every evaluation.

    Examples
    --------
    >>> x, y = [[["dog"], ["barks"]], [["a"], ["dog"]]], [["N", "V"], ["D", "N"]]
    >>> model = LinearChainCRF(l2=0.1).fit(x, y)
    >>> model.predict([[["a"], ["dog"], ["barks"]]])
    [['D', 'N', 'V']]
    """

    _objective = staticmethod(crf_objective)

    def __init__(
        self,
        l1: float = 0.0,
        l2: float = 0.0,
        *,
        unseen: bool = False,
        tol: float = 1e-6,
        max_iter: int = 1000,
    ) -> None:
        self.l1 = l1
        self.l2 = l2
        self.unseen = unseen
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X: Sequence[Sequence[Token]], y: Sequence[Sequence[Hashable]]) -> Self:
        """Find the weights that maximize the penalized likelihood of the labels.

        Parameters
        ----------
        X : sequence of sequences of tokens
            A token is a list of names of features or a mapping from names to values.
        y : sequence of sequences of labels
            As long as those of ``X``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X and y or two of their sequences differ in length, if there is no token at all, if a
            value is not finite or a label is NaN, or if a setting is out of its range.
        TypeError
            If a token is neither a list of strings nor a mapping, or the labels cannot be sorted.
        """
        self._check_settings()
        lengths, flat = _flat_labels(X, y)
        if not flat:
            raise ValueError("X holds no token; give at least one sequence with a token")
        try:
            self.classes_ = sorted(set(flat))
        except TypeError as error:
            raise TypeError(
                f"y holds labels that cannot be sorted ({error}); use strings"
            ) from None
        numbers = {label: number for number, label in enumerate(self.classes_)}
        labels = np.array([numbers[label] for label in flat])
        self._encoder = Encoder()
        features = self._encoder.fit(X)
        data = chains(features, labels, lattice.pack(lengths[lengths > 0]), len(numbers))
        one_hot = sparse.csr_array((np.ones(len(flat)), labels, np.arange(len(flat) + 1)))
        seen = np.concatenate([(abs(features).T @ one_hot).toarray(), data.pairs])
        self._minimize(data, np.flatnonzero(seen.ravel() + self.unseen))
        return self

    def _minimize(self, data: Chains, free: np.ndarray) -> None:
        """Run L-BFGS over the weights in the places ``free`` of states and transitions."""
        (n, a), k = data.features.shape, len(data.pairs)
        weights = np.zeros((a + k, k))
        state, transition = weights[:a], weights[a:]
        edge = np.searchsorted(free, a * k)  # where the transitions begin
        of_state, of_transition = free[:edge], free[edge:] - a * k

        # Each weight is measured by the eighth root of the curvature along it at zero. The square
        # root suits that point alone: soon most labels are near certain.
        squares = np.append(data.features.power(2).sum(axis=0), np.full(k, n / k))
        curvature = squares[free // k] * (1 / k - 1 / k**2) + self.l2
        scale = np.where(curvature > 0, curvature, 1) ** -0.125
        lowest: list[float] = []
        # Steps that are cut at zero creep: over ten evaluations they can stall far from the end.
        patience = PATIENCE_L1 if self.l1 else PATIENCE

        def function(u: np.ndarray) -> tuple[float, np.ndarray]:
            theta = scale * u
            weights.ravel()[free] = theta
            value, slope, slope_of_pairs = self._objective(state, transition, data)
            gradient = np.concatenate(
                [slope.ravel()[of_state], slope_of_pairs.ravel()[of_transition]]
            )
            value += self.l2 / 2 * theta @ theta
            penalized = value + self.l1 * np.abs(theta).sum()
            lowest.append(min(penalized, lowest[-1] if lowest else np.inf))
            earlier = lowest[-1 - patience] if len(lowest) > patience else np.inf
            if penalized == lowest[-1] and earlier - penalized <= n * self.tol:
                raise _Settled
            return value, scale * (gradient + self.l2 * theta)

        try:
            found = minimize(
                function,
                np.zeros(len(free)),
                self.l1 * scale,
                tol=np.full(len(free), 1e-15 * n),
                max_iter=self.max_iter,
            )
            weights.ravel()[free] = scale * found.x
            if len(found.values) == self.max_iter:
                warnings.warn(
                    f"after {self.max_iter} steps the objective still falls by more than "
                    f"tol={self.tol} a token in {patience} tries; raise max_iter or the penalty",
                    ConvergenceWarning,
                    stacklevel=3,
                )
        except _Settled:
            pass  # the last weights tried are the best
        self.objectives_ = np.array(lowest)
        self.state_, self.transition_ = state, transition
        self.features_ = list(self._encoder.columns)

    def predict(self, X: Sequence[Sequence[Token]]) -> list[list[Hashable]]:
        """The most probable labeling of each sequence as a whole (Viterbi 1967).

        Parameters
        ----------
        X : sequence of sequences of tokens
            Features that training has not seen are passed over.

        Returns
        -------
        list of list of labels

        Raises
        ------
        TypeError, ValueError
            If a token is no list of strings or mapping, or a value is not finite.
        """

        def best(scores: np.ndarray, offsets: np.ndarray) -> np.ndarray:
            none = np.zeros(len(self.classes_))
            return lattice.best_paths(none, self.transition_, scores.T, offsets)[0]

        numbers = iter(self._each(X, best).tolist())
        return [[self.classes_[next(numbers)] for _ in sequence] for sequence in X]

    def predict_marginals(self, X: Sequence[Sequence[Token]]) -> list[list[dict[Hashable, float]]]:
        """The probability of each label at each token (forward-backward).

        Parameters
        ----------
        X : sequence of sequences of tokens

        Returns
        -------
        list of list of dict from label to float

        Raises
        ------
        TypeError, ValueError
            As for :meth:`predict`.
        """

        def marginals(scores: np.ndarray, offsets: np.ndarray) -> np.ndarray:
            return sum_over_labelings(scores, self.transition_, offsets)[1]

        rows = iter(self._each(X, marginals).tolist())
        return [[dict(zip(self.classes_, next(rows))) for _ in sequence] for sequence in X]

    def log_likelihood(
        self, X: Sequence[Sequence[Token]], y: Sequence[Sequence[Hashable]]
    ) -> np.ndarray:
        """Natural logarithm of p(y | x) for each sequence.

        Parameters
        ----------
        X : sequence of sequences of tokens
        y : sequence of sequences of labels

        Returns
        -------
        numpy.ndarray of float, shape (b,)
            Minus infinity where a label is none of ``classes_``; 0 for an empty sequence.

        Raises
        ------
        TypeError, ValueError
            As for :meth:`predict`, and if lengths differ.
        """
        lengths, flat = _flat_labels(X, y)
        if not flat:
            return np.zeros(len(lengths))

        def with_log_z(scores: np.ndarray, offsets: np.ndarray) -> np.ndarray:
            log_z = sum_over_labelings(scores, self.transition_, offsets)[0]
            return np.column_stack([scores, log_z])

        found = self._each(X, with_log_z)
        numbers = {label: number for number, label in enumerate(self.classes_)}
        z = np.array([numbers.get(label, -1) for label in flat])
        sequence = np.repeat(np.arange(len(lengths)), lengths)
        weight = found[np.arange(len(z)), z] - found[:, -1]
        weight[1:] += np.where(np.diff(sequence) == 0, self.transition_[z[:-1], z[1:]], 0)
        weight[z < 0] = -np.inf
        return np.bincount(sequence, weight, minlength=len(lengths))

    def score(self, X: Sequence[Sequence[Token]], y: Sequence[Sequence[Hashable]]) -> float:
        """The share of tokens whose label is predicted right.

        Parameters
        ----------
        X : sequence of sequences of tokens
        y : sequence of sequences of labels
            A label that training has not seen counts as an error.

        Returns
        -------
        float

        Raises
        ------
        TypeError, ValueError
            As for :meth:`predict`, and if lengths differ or there is no token.
        """
        _, flat = _flat_labels(X, y)
        if not flat:
            raise ValueError("X holds no token; there is nothing to score")
        found = [label for labels in self.predict(X) for label in labels]
        return sum(a == b for a, b in zip(found, flat)) / len(flat)

    def _each(
        self,
        X: Sequence[Sequence[Token]],
        run: Callable[[np.ndarray, np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """What ``run`` gives for packed scores (n, k) and offsets, token after token."""
        check_is_fitted(self, "state_")
        kept = [sequence for sequence in X if len(sequence)]
        size = max(1, BLOCK // len(self.classes_) ** 2)
        parts = []
        for block in (kept[begin : begin + size] for begin in range(0, len(kept), size)):
            layout = lattice.pack([len(sequence) for sequence in block])
            scores = self._encoder.transform(block) @ self.state_
            packed = np.empty_like(scores)
            packed[layout.place] = scores
            packed = self._path_scores(packed, layout.offsets)
            parts.append(run(packed, layout.offsets)[layout.place])
        return np.concatenate(parts) if parts else np.empty(0)

    def _path_scores(self, scores: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """The scores whose exponentials, with those of the transitions, make a path's weight."""
        return scores

    def _check_settings(self) -> None:
        for name in ("l1", "l2", "tol"):
            value = getattr(self, name)
            if not isinstance(value, Real) or not 0 <= value < np.inf:
                raise ValueError(f"{name} is {value!r}; give a number that is at least 0")
        if not isinstance(self.max_iter, Integral) or self.max_iter < 1:
            raise ValueError(f"max_iter is {self.max_iter!r}; give a whole number of at least 1")


class MEMM(LinearChainCRF):
    """A maximum-entropy Markov model (McCallum, Freitag and Pereira 2000).

    p(y | x) = prod_t p(y_t | y_{t-1}, x_t), each factor a logistic regression on the features of
    the token and the label before it. Parameters, attributes and methods are those of
    :class:`LinearChainCRF`. Since each factor sums to one whatever the features say, a label with
    few successors passes its whole probability on: label bias.

    Parameters
    ----------
    l1, l2, unseen, tol, max_iter
        As for :class:`LinearChainCRF`.

    Examples
    --------
    >>> x, y = [[["dog"], ["barks"]], [["a"], ["dog"]]], [["N", "V"], ["D", "N"]]
    >>> MEMM(l2=0.1).fit(x, y).predict([[["a"], ["dog"], ["barks"]]])
    [['D', 'N', 'V']]
    """

    _objective = staticmethod(memm_objective)

    def _path_scores(self, scores: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Scores of a CRF with the same paths: what normalizes a step is taken off before it.

        log p(y | x) = sum_t s_t(y_t) + T[y_{t-1}, y_t] - N_t(y_{t-1}) with N_t(i) = log sum_j
        exp(s_t(j) + T_ij), and N_{t+1} depends on the same label as s_t.
        """
        ways = np.full_like(scores, -np.inf)  # N_t(i)
        for j, own in enumerate(scores.T):
            ways = np.logaddexp(ways, own[:, None] + self.transition_[:, j])
        alive = np.diff(offsets)
        later = np.arange(offsets[1], len(scores))
        before = later - np.repeat(alive[:-1], alive[1:])
        scores = scores.copy()
        scores[before] -= ways[later]
        return scores


def _flat_labels(
    X: Sequence[Sequence[Token]], y: Sequence[Sequence[Hashable]]
) -> tuple[np.ndarray, list[Hashable]]:
    """The lengths of the sequences, which X and y must share, and all labels."""
    if len(X) != len(y):
        raise ValueError(
            f"X has {len(X)} sequences and y has {len(y)}; give one of y for each of X"
        )
    for i, (tokens, labels) in enumerate(zip(X, y)):
        if len(tokens) != len(labels):
            raise ValueError(
                f"X[{i}] has {len(tokens)} tokens and y[{i}] has {len(labels)} labels; give one "
                "label for each token"
            )
    flat = [label for labels in y for label in labels]
    if any(label != label for label in flat):
        raise ValueError("y holds NaN; give every token a label")
    return np.array([len(tokens) for tokens in X], dtype=np.int64), flat
