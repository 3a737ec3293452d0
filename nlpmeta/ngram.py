"""n-gram language models: the next token depends on the last few, and counts say how.

A model of order n is a Bayesian network in which each token has the n - 1 tokens before it as
parents. Counts of what followed a context are sharp but full of holes, so every smoothing takes
some of their mass away and hands it to the shorter context; what differs is how much (Jeffreys
1939, Witten and Bell 1991, Kneser and Ney 1995, Chen and Goodman 1999). Exports ``NGramLM``.

All tables are sorted arrays of integers. A context of k tokens has the key ``parent * r + token``,
where ``parent`` is the place of the context of the latest k - 1 tokens in its own table, ``token``
the oldest, and r exceeds every token; an n-gram has the key ``context * r + next token``. Counting
is sorting, looking up is bisection, and both are done for all positions of a text at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from nlpmeta.text import UNK

__all__ = ["SMOOTHINGS", "NGramLM"]

SMOOTHINGS = ("kneser-ney", "modified-kneser-ney", "witten-bell", "add-k", "mle")
FALLBACK = (0.5, 1.0, 1.5)  # discounts where the counts of counts give none


class _Level(NamedTuple):
    """All contexts of one length: p(token | context) = share + backoff * p(token | shorter)."""

    contexts: np.ndarray  # keys, sorted
    backoff: np.ndarray  # one per context, and 1 at the end for contexts not in the table
    ngrams: np.ndarray  # keys, sorted
    share: np.ndarray  # one per n-gram, and 0 at the end for n-grams not in the table


class NGramLM:
    r"""Language model that predicts a token from the ``order - 1`` tokens before it.

    With c(hw) the count of token w after context h, h' the context without its oldest token, V the
    size of the vocabulary, and \| for "given":

    - ``"mle"``: p(w|h) = c(hw) / c(h), the maximum of the likelihood.
    - ``"add-k"``: p(w|h) = (c(hw) + k) / (c(h) + k V) (Jeffreys 1939).
    - ``"witten-bell"``: p(w|h) = (c(hw) + t(h) p(w|h')) / (c(h) + t(h)), where t(h) counts the
      distinct tokens seen after h (Witten and Bell 1991).
    - ``"kneser-ney"``: p(w|h) = (max(c(hw) - d, 0) + d t(h) p(w|h')) / c(h), where below the
      highest order c(hw) is the number of distinct tokens seen before hw, c(h) its sum over w, and
      t(h) the number of w for which it is not zero (Kneser and Ney 1995).
    - ``"modified-kneser-ney"``: the same with three discounts, for counts of 1, 2 and 3 or more
      (Chen and Goodman 1999).

    The recursion of the last three ends in 1/V. A context never seen, or of which nothing is known
    below the highest order, takes the distribution of the longest shorter one that is known; with
    add-k it takes 1/V. At the beginning of a text the context is as long as the text so far; no
    symbol stands for the beginning or the end.

    Parameters
    ----------
    order : int
        Length n of the n-grams: 1 for unigrams.
    smoothing : {"kneser-ney", "modified-kneser-ney", "witten-bell", "add-k", "mle"}
    discount : float or sequence of float, optional
        For ``"kneser-ney"``: d, from 0 to 1, for all orders or one for each, the lowest first. By
        default n1 / (n1 + 2 n2) at each order, where n1 and n2 count the n-grams of count 1 and 2
        (Ney, Essen and Kneser 1994), or 0.5 where n1 or n2 is zero.
    k : float
        For ``"add-k"``: what is added to every count.

    Attributes
    ----------
    vocabulary : tuple of str
        The distinct tokens of the training text in sorted order, then ``"<unk>"``, which stands
        for every other token.
    discounts : numpy.ndarray of float, shape (order, 3)
        The discounts of counts 1, 2 and 3 or more at each order, the lowest first; for Kneser-Ney
        only.

    Raises
    ------
    ValueError
        If ``order`` is below one, ``smoothing`` unknown, ``k`` not a positive number, or
        ``discount`` outside 0 to 1, not one per order, or given for another smoothing.
    TypeError
        If ``order`` is no integer.

    Examples
    --------
    >>> model = NGramLM(2, smoothing="mle").fit("abracadabra")
    >>> np.exp(model.next_logprobs("a")).round(2).tolist()  # a, b, c, d, r, <unk>
    [0.0, 0.5, 0.25, 0.25, 0.0, 0.0]
    >>> np.exp(NGramLM(2).fit("abracadabra").logprobs("abba")).round(3).tolist()
    [0.417, 0.439, 0.026, 0.083]
    """

    def __init__(
        self,
        order: int,
        smoothing: str = "kneser-ney",
        *,
        discount: float | Sequence[float] | None = None,
        k: float = 1.0,
    ) -> None:
        if isinstance(order, bool) or not isinstance(order, int | np.integer):
            raise TypeError(f"order is {order!r}; give a whole number, such as 3 for trigrams")
        if order < 1:
            raise ValueError(f"order is {order}; it must be at least 1")
        if smoothing not in SMOOTHINGS:
            raise ValueError(f"smoothing is {smoothing!r}; choose from {', '.join(SMOOTHINGS)}")
        if not (math.isfinite(k) and k > 0):
            raise ValueError(f"k is {k}; give a positive number, such as 1")
        self.order, self.smoothing, self.k = int(order), smoothing, float(k)
        self.discount = None if discount is None else self._checked(discount)
        self.vocabulary: tuple[str, ...] = ()
        self._levels: list[_Level] = []

    def fit(self, tokens: Sequence[str]) -> Self:
        """Count the n-grams of a text and turn the counts into probabilities.

        Parameters
        ----------
        tokens : sequence of str

        Returns
        -------
        NGramLM
            The model itself.

        Raises
        ------
        ValueError
            If there is no token.
        TypeError
            If a token is not a string.
        """
        try:
            distinct = set(tokens)
        except TypeError:
            raise TypeError("tokens holds lists; give one sequence of str, not sentences") from None
        if not distinct:
            raise ValueError("tokens is empty; give at least one token to learn from")
        for token in distinct:
            if not isinstance(token, str):
                raise TypeError(f"tokens holds {token!r} of type {type(token).__name__}; give str")
        self.vocabulary = (*sorted(distinct - {UNK}), UNK)
        self._index = _Index({token: i for i, token in enumerate(self.vocabulary)})
        self._radix = len(self.vocabulary) + 1  # one number more stands before the text
        self._count(self._encode(tokens))
        return self

    def logprobs(self, tokens: Sequence[str]) -> np.ndarray:
        """Natural log-probability of each token given those before it.

        Parameters
        ----------
        tokens : sequence of str

        Returns
        -------
        numpy.ndarray of float, shape (t,)
            Minus infinity where the model holds a token impossible.

        Raises
        ------
        ValueError
            If the model is not fitted.
        """
        ids = self._encode(tokens)
        uniform = 1 / len(self.vocabulary)
        p = np.full(len(ids), uniform)
        context = np.zeros(len(ids), dtype=np.int64)
        for k, level in enumerate(self._levels[: len(ids)]):
            if k > 0:  # a longer context: the same, and the token k places back
                context = _find(level.contexts, context[1:] * self._radix + ids[:-k])
            share = level.share[_find(level.ngrams, context * self._radix + ids[k:])]
            lower = uniform if self.smoothing == "add-k" else p[k:]
            p[k:] = share + level.backoff[context] * lower
        return _log(p)

    def next_logprobs(self, context: Sequence[str]) -> np.ndarray:
        """Natural log-probability of every token of the vocabulary as the next.

        Parameters
        ----------
        context : sequence of str
            The tokens before, oldest first; only the last ``order - 1`` matter.

        Returns
        -------
        numpy.ndarray of float, shape (v,)

        Raises
        ------
        ValueError
            If the model is not fitted.
        """
        recent = self._encode(context[max(0, len(context) - self.order + 1) :])[::-1]
        uniform = np.full(len(self.vocabulary), 1 / len(self.vocabulary))
        p, place = uniform, np.array(0)
        for k, level in enumerate(self._levels[: len(recent) + 1]):
            if k > 0:
                place = _find(level.contexts, place * self._radix + recent[k - 1])
            start, stop = np.searchsorted(level.ngrams, (place + np.arange(2)) * self._radix)
            p = level.backoff[place] * (uniform if self.smoothing == "add-k" else p)
            p[level.ngrams[start:stop] % self._radix] += level.share[start:stop]
        return _log(p)

    @property
    def n_parameters(self) -> int:
        """Stored numbers, one for each n-gram of each order and one for each context."""
        return sum(len(level.ngrams) + len(level.contexts) for level in self._levels)

    @property
    def nbytes(self) -> int:
        """Memory of all tables, keys included."""
        return sum(array.nbytes for level in self._levels for array in level)

    def _checked(self, discount: float | Sequence[float]) -> np.ndarray:
        if self.smoothing != "kneser-ney":
            raise ValueError(f"discount is for smoothing='kneser-ney', not {self.smoothing!r}")
        values = np.asarray(discount, dtype=float)
        if values.shape not in {(), (self.order,)}:
            raise ValueError(f"discount has shape {values.shape}; give one or {self.order} numbers")
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"discount is {discount}; it must lie from 0 to 1")
        return np.broadcast_to(values, (self.order,))

    def _encode(self, tokens: Sequence[str]) -> np.ndarray:
        if not self.vocabulary:
            raise ValueError("the model is not fitted; call fit(tokens) first")
        return np.fromiter(map(self._index.__getitem__, tokens), np.int64, len(tokens))

    def _count(self, ids: np.ndarray) -> None:
        """Build the tables, from the longest context to the empty one."""
        columns, counts = _distinct_ngrams(ids, self.order, self._radix)
        contexts = [np.zeros(1, dtype=np.int64)]  # the empty context
        place = np.zeros(len(counts), dtype=np.int64)
        for column in columns[:-1]:
            keys = place * self._radix + column  # rising, because the rows are sorted
            new = np.diff(keys, prepend=-1) != 0
            contexts.append(keys[new])
            place = np.cumsum(new) - 1
        ngrams = place * self._radix + columns[-1]
        self._levels = []
        self.discounts = np.zeros((self.order, 3))
        for k in reversed(range(self.order)):
            place, token = np.divmod(ngrams, self._radix)
            parent, oldest = np.divmod(contexts[k][place], self._radix)
            inside = oldest < self._radix - 1  # the whole n-gram lies in the text
            kept = inside & (counts > 0)
            share, backoff = self._smooth(k, place[kept], counts[kept], len(contexts[k]))
            self._levels.insert(0, _Level(contexts[k], backoff, ngrams[kept], share))
            ngrams, shorter = np.unique(parent * self._radix + token, return_inverse=True)
            counts = np.bincount(shorter, inside if "kneser-ney" in self.smoothing else counts)

    def _smooth(
        self, k: int, context: np.ndarray, count: np.ndarray, n_contexts: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Share of each n-gram and backoff of each context of k tokens.

        Every smoothing takes something off each count or adds something to the total of each
        context; that much then belongs to the shorter context.
        """
        off, added = np.zeros(len(count)), np.zeros(n_contexts)
        if "kneser-ney" in self.smoothing:
            self.discounts[k] = self._discounts(k, count)
            off = self.discounts[k][np.minimum(count, 3).astype(int) - 1]
        if self.smoothing == "witten-bell":
            added = np.bincount(context, minlength=n_contexts)
        if self.smoothing == "add-k":
            added = np.full(n_contexts, self.k * len(self.vocabulary))
        total = np.bincount(context, count, n_contexts) + added
        handed_on = np.bincount(context, off, n_contexts) + added
        handed_on[total == 0] = total[total == 0] = 1  # a context of which nothing is known
        return np.append((count - off) / total[context], 0), np.append(handed_on / total, 1)

    def _discounts(self, k: int, count: np.ndarray) -> np.ndarray:
        """What to take off counts of 1, 2 and 3 or more at one order."""
        if self.discount is not None:
            return np.repeat(self.discount[k], 3)
        n = np.bincount(np.minimum(count, 5).astype(int), minlength=6)
        if self.smoothing == "kneser-ney":
            return np.repeat(n[1] / (n[1] + 2 * n[2]) if n[1] and n[2] else FALLBACK[0], 3)
        with np.errstate(divide="ignore", invalid="ignore"):
            i = np.arange(1, 4)
            d = i - (i + 1) * n[1] / (n[1] + 2 * n[2]) * n[2:5] / n[1:4]
        return d if n[1:5].all() and (d >= 0).all() else np.array(FALLBACK)


class _Index(dict):
    """Number of each known token; every other token has the number of the last one."""

    def __missing__(self, token: str) -> int:
        return len(self) - 1


def _distinct_ngrams(
    ids: np.ndarray, order: int, radix: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """The distinct n-grams as columns (latest context token, ..., oldest, next) and their counts.

    Rows are sorted. Before the text stands ``radix - 1``, so that every token ends one n-gram.
    """
    t = len(ids)
    padded = np.concatenate([np.full(order - 1, radix - 1), ids])
    columns = [padded[back : back + t] for back in (*reversed(range(order - 1)), order - 1)]
    code, size, ranks = np.zeros(t, dtype=np.int64), 1, []
    for column in columns:
        ranks.append(None)
        if size > np.iinfo(np.int64).max // radix:  # too long for one integer: rank what there is
            ranks[-1], code = np.unique(code, return_inverse=True)
            size = len(ranks[-1])
        code, size = code * radix + column, size * radix
    code, counts = np.unique(code, return_counts=True)
    distinct = []
    for ranked in reversed(ranks):
        code, column = np.divmod(code, radix)
        code = code if ranked is None else ranked[code]
        distinct.append(column)
    return distinct[::-1], counts


def _find(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Place of each wanted key in a sorted array, or -1 where it is not."""
    if len(keys) == 0:
        return np.full(np.shape(wanted), -1)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, place, -1)


def _log(p: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(p)
