"""A language whose entropy is known exactly: the ruler for every language model of the book.

Nobody knows the entropy of English, so nobody can say how far a model is from the best one. A
stationary Markov chain over characters (Markov 1913; Shannon 1948, sections 2 to 7) is a language
that looks a little like text and whose entropy follows from its transition probabilities. Exports
``MarkovSource``, which is its own best language model.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from functools import cached_property
from typing import Self

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import xlogy


class MarkovSource:
    """A stationary Markov chain over characters, with its exact entropy.

    Each character depends on the ``order`` characters before it. The chain runs in its stationary
    distribution pi over contexts, which solves pi = pi M, where M moves from a context to the next;
    the entropy rate is sum_c pi_c H(p(. | c)) (Shannon 1948).

    Parameters
    ----------
    transition : array-like of float, shape (v,) * order + (v,)
        ``transition[a, ..., b, c]`` is the probability of character c after the context a ... b;
        sums to one over the last axis.
    alphabet : str
        The v characters, in the order of the axes.

    Raises
    ------
    ValueError
        If the shape does not fit the alphabet, a row is no distribution, there are more than 4,096
        contexts, or the chain falls apart so that its stationary distribution is not unique.

    Examples
    --------
    >>> import math
    >>> weather = MarkovSource([[0.9, 0.1], [0.5, 0.5]], "sr")
    >>> weather.stationary.round(4)
    array([0.8333, 0.1667])
    >>> round(weather.entropy_rate / math.log(2), 4)  # bits per day
    0.5575
    """

    def __init__(self, transition: np.ndarray, alphabet: str) -> None:
        transition = np.array(transition, dtype=float)
        v, order = len(alphabet), transition.ndim - 1
        if len(set(alphabet)) != v or v < 2:
            raise ValueError(f"alphabet is {alphabet!r}; give two or more distinct characters")
        if order < 1 or transition.shape != (v,) * (order + 1):
            raise ValueError(
                f"transition has shape {transition.shape}; for {v} characters it must be "
                f"({v}, {v}), or ({v}, {v}, {v}) for order 2, and so on"
            )
        if v**order > 4096:
            raise ValueError(
                f"alphabet and order make {v**order} contexts; use a smaller alphabet or order, "
                "up to 4096 contexts"
            )
        sums = transition.sum(axis=-1)
        if not ((transition >= 0).all() and np.allclose(sums, 1, rtol=0, atol=1e-9)):
            raise ValueError(
                "transition has a row that is no distribution (a negative number, nan, or a sum "
                "other than 1); divide each row by its sum"
            )
        self.alphabet, self.order = alphabet, order
        self.transition = transition / sums[..., None]
        self._index = {character: i for i, character in enumerate(alphabet)}
        self.stationary = self._stationary()

    @classmethod
    def from_text(cls, text: str, order: int, alphabet: str = " " + string.ascii_lowercase) -> Self:
        """A language that resembles a text: its transitions, counted, plus one each.

        Parameters
        ----------
        text : str
            Put in lower case; every run of characters outside ``alphabet`` counts as one space.
        order : int
            Length of the context.
        alphabet : str
            Must hold the space.

        Returns
        -------
        MarkovSource
            Adding one keeps every transition possible, so the chain is sure to be irreducible.

        Examples
        --------
        >>> MarkovSource.from_text("To learn to learn.", order=1).transition.shape
        (27, 27)
        """
        if " " not in alphabet or order < 1:
            raise ValueError(
                f"alphabet is {alphabet!r} and order {order}; the alphabet needs a space and the "
                "order must be at least 1"
            )
        known = set(alphabet)
        spaced = "".join(c if c in known else " " for c in text.lower())
        clean = " ".join(spaced.split())
        if len(clean) <= order:
            raise ValueError(f"text has {len(clean)} usable characters; give more than {order}")
        place = {character: i for i, character in enumerate(alphabet)}
        ids = np.array([place[c] for c in clean])
        counts = np.ones((len(alphabet),) * (order + 1))
        np.add.at(counts, tuple(ids[i : len(ids) - order + i] for i in range(order + 1)), 1)
        return cls(counts / counts.sum(axis=-1, keepdims=True), alphabet)

    def _stationary(self) -> np.ndarray:
        """Solve pi = pi M together with sum(pi) = 1."""
        v, n = len(self.alphabet), len(self.alphabet) ** self.order
        source = np.repeat(np.arange(n), v)
        target = (source * v + np.tile(np.arange(v), n)) % n  # drop the oldest character
        move = coo_array((self.transition.ravel(), (source, target)), shape=(n, n)).toarray()
        _, part = connected_components(move > 0, connection="strong")
        leaves = (move > 0) & (part[:, None] != part)
        if len(set(part.tolist())) - len(set(part[leaves.any(axis=1)].tolist())) != 1:
            raise ValueError(
                "transition has parts that cannot be left, so its stationary distribution is not "
                "unique; make every character reachable"
            )
        equations = move.T - np.eye(n)
        equations[-1] = 1  # one equation is redundant; the sum takes its place
        pi = np.linalg.solve(equations, np.eye(n)[-1])
        return np.maximum(pi, 0).reshape((v,) * self.order)

    @cached_property
    def entropy_rate(self) -> float:
        """Entropy per character in nats, exact; no model's mean surprise can stay below it."""
        surprise = -xlogy(self.transition, self.transition).sum(axis=-1)
        return float((self.stationary * surprise).sum())

    def conditional_entropy(self, context: int) -> float:
        """Entropy of a character given only the ``context`` characters before it, in nats.

        The best any model of that order can do; equal to :attr:`entropy_rate` from ``order`` on.

        Parameters
        ----------
        context : int

        Returns
        -------
        float
        """
        if context < 0:
            raise ValueError(f"context is {context}; give 0 or more")
        if context >= self.order:
            return self.entropy_rate
        joint, given = self._marginal(context + 1), self._marginal(context)
        return float(xlogy(given, given).sum() - xlogy(joint, joint).sum())

    def sample(self, n: int, rng: np.random.Generator) -> str:
        """Write ``n`` characters of the language.

        Parameters
        ----------
        n : int
        rng : numpy.random.Generator

        Returns
        -------
        str
        """
        if n < 0:
            raise ValueError(f"n is {n}; give 0 or more")
        v, contexts = len(self.alphabet), self.stationary.size
        cumulative = self.transition.reshape(contexts, v).cumsum(axis=1)
        cumulative[:, -1] = 1
        state = int(rng.choice(contexts, p=self.stationary.ravel() / self.stationary.sum()))
        start = [int(i) for i in np.unravel_index(state, self.stationary.shape)]
        out = start
        for u in rng.random(max(n - self.order, 0)):
            character = int(cumulative[state].searchsorted(u, side="right"))
            out.append(character)
            state = (state * v + character) % contexts
        return "".join(self.alphabet[i] for i in out[:n])

    def fit(self, tokens: Sequence[str]) -> Self:
        """Return the source unchanged: it knows its own probabilities and learns nothing."""
        return self

    def logprobs(self, tokens: Sequence[str]) -> np.ndarray:
        """Natural log-probability of each character given those before it.

        Parameters
        ----------
        tokens : str or sequence of str
            Characters of the alphabet.

        Returns
        -------
        numpy.ndarray of float, shape (t,)

        Raises
        ------
        ValueError
            If a character is not in the alphabet.
        """
        ids = self._ids(tokens)
        k, t = self.order, len(ids)
        p = np.empty(t)
        for i in range(min(k, t)):
            p[i] = self._next(ids[:i])[ids[i]]
        if t > k:
            p[k:] = self.transition[tuple(ids[i : t - k + i] for i in range(k + 1))]
        with np.errstate(divide="ignore"):
            return np.log(p)

    def next_logprobs(self, context: Sequence[str]) -> np.ndarray:
        """Natural log-probability of every character of the alphabet as the next.

        Parameters
        ----------
        context : str or sequence of str
            What has been written; only the last ``order`` characters matter.

        Returns
        -------
        numpy.ndarray of float, shape (v,)
        """
        with np.errstate(divide="ignore"):
            return np.log(self._next(self._ids(context)))

    def _next(self, ids: np.ndarray) -> np.ndarray:
        if len(ids) >= self.order:
            return self.transition[tuple(ids[len(ids) - self.order :])]
        joint = self._marginal(len(ids) + 1)[tuple(ids)]
        return joint / joint.sum()

    def _marginal(self, length: int) -> np.ndarray:
        """Stationary probability of every string of ``length`` characters, at most ``order``."""
        return self.stationary.sum(axis=tuple(range(length, self.order)))

    def _ids(self, tokens: Sequence[str]) -> np.ndarray:
        unknown = next((token for token in tokens if token not in self._index), None)
        if unknown is not None:
            raise ValueError(
                f"tokens holds {unknown!r}, which is not in the alphabet {self.alphabet!r}; "
                "remove it"
            )
        return np.array([self._index[token] for token in tokens], dtype=np.int64)
