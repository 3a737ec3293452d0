"""A maximum entropy language model: one log-linear distribution over the whole vocabulary.

Rosenfeld (1996) let n-grams, distant tokens and classes of tokens speak together in one model;
a normal prior on the weights smooths it (Chen and Rosenfeld 2000). Histories that look alike are
counted together, so that one step of L-BFGS costs two products with a sparse matrix. Exports
``MaxEntLM``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Self

import numpy as np
from scipy import sparse

from nlpmeta.lbfgs import minimize
from nlpmeta.loglinear import softmax
from nlpmeta.text import UNK, Vocabulary

__all__ = ["MaxEntLM"]

BLOCK = 20_000  # histories scored at a time


class MaxEntLM:
    """A language model with one log-linear distribution over the whole vocabulary.

    p(w | h) = exp(sum_f theta_f f(h, w)) / Z(h), where a feature f says that the history h has a
    certain form and the next token is w (Rosenfeld 1996). Forms are the last 0 to ``order - 1``
    tokens; one token at a distance of 2 to ``skip``, whatever stands between; and the classes of
    the last 1 to ``classes`` tokens. A pair of a form and a token has a weight if it occurs in the
    training text. Fitting minimizes the negative log-likelihood, summed over the tokens, plus
    (l2 / 2) sum_f theta_f^2. An unseen token is treated as one that occurred once, after a history
    that only the empty form fits.

    Parameters
    ----------
    order : int
        Longest n-gram, the next token included.
    skip : int
        Farthest token seen alone; 1 for none.
    classes : int
        Longest run of classes; 0 for none. The class of a token is the Unicode category of its
        first character: capital or small letter, digit, space, opening bracket and so on.
    l2 : float
        Strength of the penalty, above 0.
    tol : float
        Stop when every feature's mean count in the model is this close to that in the text (after
        the penalty's share).
    max_iter : int
        Stop after this many steps of L-BFGS in any case, without a warning: the last decimals of
        the weights do not matter to a language model.

    Attributes
    ----------
    vocabulary : tuple of str
        The tokens of the training text in order, and ``"<unk>"``.
    n_parameters : int
        Number of weights.
    objectives : numpy.ndarray of float
        What is minimized, in nats, after every step.

    Examples
    --------
    >>> model = MaxEntLM(order=2, l2=0.1).fit("abababababac")
    >>> p = np.exp(model.next_logprobs("a"))
    >>> model.vocabulary[p.argmax()], round(float(p.sum()), 9)
    ('b', 1.0)
    """

    def __init__(
        self,
        order: int = 5,
        skip: int = 1,
        classes: int = 0,
        l2: float = 0.5,
        tol: float = 1e-6,
        max_iter: int = 100,
    ) -> None:
        least = {"order": 1, "skip": 1, "classes": 0, "max_iter": 1}
        given = {"order": order, "skip": skip, "classes": classes, "max_iter": max_iter}
        for name, value in given.items():
            if not isinstance(value, Integral) or value < least[name]:
                raise ValueError(
                    f"{name} is {value!r}; give a whole number of at least {least[name]}"
                )
        for name, value in {"l2": l2, "tol": tol}.items():
            if not isinstance(value, Real) or not 0 < value < np.inf:
                raise ValueError(f"{name} is {value!r}; give a number above 0")
        self.order, self.skip, self.classes = order, skip, classes
        self.l2, self.tol, self.max_iter = l2, tol, max_iter
        self.vocabulary: tuple[str, ...] = ()
        self._width = width = max(order - 1, skip, classes)
        grams = [tuple(range(n)) for n in range(order)]
        skips = [(distance - 1,) for distance in range(2, skip + 1)]
        runs = [tuple(range(width, width + n)) for n in range(1, classes + 1)]
        self._forms = [*grams, *skips, *runs]  # each form by the columns that it looks at

    def fit(self, tokens: Sequence[str]) -> Self:
        """Find the weights that fit a training text.

        Parameters
        ----------
        tokens : sequence of str

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no token.
        """
        if len(tokens) == 0:
            raise ValueError("tokens is empty; give at least one token to learn from")
        self.vocabulary = (*sorted(set(tokens) - {UNK}), UNK)
        self._index = Vocabulary(self.vocabulary)
        self._class = _classes(self.vocabulary)
        self._numbers: dict[tuple[int, ...], np.ndarray] = {}
        ids, v = self._index.encode(tokens), len(self.vocabulary)
        histories, place = _distinct(self._histories(ids))
        active = self._active(histories, learn=True)
        # One history more, which only the empty form fits and the unknown token follows.
        active = sparse.vstack([active, _one(active.shape[1])], format="csr")
        place, ids = np.append(place, active.shape[0] - 1), np.append(ids, v - 1)
        times = np.bincount(place).astype(float)  # (histories,)
        follows = sparse.csr_array((np.ones(len(ids)), (place, ids)), (active.shape[0], v))
        seen = sparse.coo_array(active.T @ follows)  # (forms, v): how often token follows form
        observed, at = seen.data, np.ravel_multi_index(seen.coords, seen.shape)
        scale = 1 / np.sqrt(observed + self.l2)  # about one over the root of the curvature
        weights = np.zeros(seen.shape)

        def function(u: np.ndarray) -> tuple[float, np.ndarray]:
            theta = scale * u
            weights.flat[at] = theta
            p, log_z = softmax(active @ weights)
            value = times @ log_z - theta @ observed + self.l2 / 2 * theta @ theta
            p *= times[:, None]
            gradient = (active.T @ p).ravel()[at] - observed + self.l2 * theta
            return float(value), scale * gradient

        start = np.zeros(len(at))
        tol = self.tol * len(tokens) * scale
        found = minimize(function, start, start, tol=tol, max_iter=self.max_iter)
        weights.flat[at] = scale * found.x
        self._weights, self.n_parameters, self.objectives = weights, len(at), found.values
        return self

    def logprobs(self, tokens: Sequence[str]) -> np.ndarray:
        """Natural log-probability of each token given those before it.

        Parameters
        ----------
        tokens : sequence of str
            An unseen token is scored as ``"<unk>"``.

        Returns
        -------
        numpy.ndarray of float, shape (t,)
        """
        self._check_fitted()
        ids = self._index.encode(tokens)
        histories, place = _distinct(self._histories(ids))
        result = np.empty(len(ids))
        for first in range(0, len(histories), BLOCK):
            scores = self._scores(histories[first : first + BLOCK])
            here = np.flatnonzero((first <= place) & (place < first + BLOCK))
            result[here] = scores[place[here] - first, ids[here]]
        return result

    def next_logprobs(self, context: Sequence[str]) -> np.ndarray:
        """Natural log-probability of every token of the vocabulary as the next.

        Parameters
        ----------
        context : sequence of str
            The tokens before; the last ``max(order - 1, skip, classes)`` matter.

        Returns
        -------
        numpy.ndarray of float, shape (v,)
        """
        self._check_fitted()
        last = list(context)[-self._width :] if self._width else []
        ids = self._index.encode([*last, UNK])
        return self._scores(self._histories(ids)[-1:])[0]

    def _check_fitted(self) -> None:
        if not self.vocabulary:
            raise ValueError("the model has not read a text yet; call fit(tokens) first")

    def _scores(self, histories: np.ndarray) -> np.ndarray:
        """Log-probabilities of all tokens after each history, (histories, v)."""
        scores = self._active(histories) @ self._weights
        return scores - softmax(scores)[1][:, None]

    def _histories(self, ids: np.ndarray) -> np.ndarray:
        """Tokens at distance 1, 2, ... before each position, then their classes."""
        start = len(self.vocabulary)  # stands before the text
        padded = np.concatenate([np.full(self._width, start), ids])
        tokens = [padded[self._width - d : len(padded) - d] for d in range(1, self._width + 1)]
        if not tokens:
            return np.empty((len(ids), 0), dtype=np.int64)
        tokens = np.stack(tokens, axis=1)  # (t, width)
        return np.hstack([tokens, self._class[tokens]]) if self.classes else tokens

    def _active(self, histories: np.ndarray, learn: bool = False) -> sparse.csr_array:
        """Which values of the forms each history has: a row of zeros and ones."""
        rows, columns, offset = [], [], 0
        for form in self._forms:
            number = self._number(histories, form, learn)
            known = np.flatnonzero(number >= 0)
            rows.append(known)
            columns.append(offset + number[known])
            offset += len(self._numbers[form]) if form else 1
        row, column = np.concatenate(rows), np.concatenate(columns)
        return sparse.csr_array((np.ones(len(row)), (row, column)), (len(histories), offset))

    def _number(self, histories: np.ndarray, form: tuple[int, ...], learn: bool) -> np.ndarray:
        """Number the values of a form: by that of the form without its last column, and that.

        A value that did not occur in training has the number -1.
        """
        if not form:
            return np.zeros(len(histories), dtype=np.int64)
        shorter = self._number(histories, form[:-1], learn)
        key = np.where(shorter < 0, -1, shorter * (len(self.vocabulary) + 1))
        key = np.where(shorter < 0, -1, key + histories[:, form[-1]])
        if learn and form not in self._numbers:
            self._numbers[form] = np.unique(key)
        keys = self._numbers[form]
        number = np.searchsorted(keys, key).clip(max=len(keys) - 1)
        return np.where(keys[number] == key, number, -1)


def _classes(vocabulary: Sequence[str]) -> np.ndarray:
    """The class of each token, and one more for what stands before the text."""
    categories = [unicodedata.category(token[0]) if token else "" for token in vocabulary]
    return np.unique([*categories, "start"], return_inverse=True)[1]


def _distinct(histories: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different rows, and the number of each row among them."""
    place = np.zeros(len(histories), dtype=np.int64)
    for column in histories.T:
        place = np.unique(place * (column.max(initial=0) + 1) + column, return_inverse=True)[1]
    first = np.unique(place, return_index=True)[1]
    return histories[first], place


def _one(columns: int) -> sparse.csr_array:
    """A row with a one in the first column."""
    return sparse.csr_array(([1.0], ([0], [0])), (1, columns))
