"""Translate a string piece by piece: pairs of short chunks, learned from whole strings by EM.

A joint multigram model (Bisani and Ney, 2008) cuts source and target into equally many chunks that
belong together in order, and gives every pair of chunks a probability. Which cut is right is not
told, so expectation and maximization take turns over all of them. For words whose letters change
but hardly move, names in another script for one, it is the baseline to beat. Exports
``Multigrams``.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

__all__ = ["Multigrams"]

Pair = tuple[str, str]


class Multigrams(NamedTuple):
    r"""Probabilities of pairs of chunks, ``p(a, b)``, which sum to 1.

    A source x and a target y have the probability

    .. math:: p(x, y) = \sum_{\text{cuts}} \prod_i p(a_i, b_i)

    over all ways to cut x into chunks :math:`a_1 a_2 \dots` and y into as many :math:`b_i`.

    Parameters
    ----------
    p : mapping of (str, str) to float
    longest : tuple of int
        Most characters of a chunk of the source and of the target. A source chunk has at least one,
        a target chunk may be empty.
    """

    p: Mapping[Pair, float]
    longest: tuple[int, int]

    @classmethod
    def fit(
        cls, pairs: Sequence[Pair], longest: tuple[int, int] = (2, 2), rounds: int = 10
    ) -> Multigrams:
        """Learn the probabilities by expectation and maximization from equal ones.

        Parameters
        ----------
        pairs : sequence of (str, str)
            Sources and targets, none of them empty. Those that no cut can align (a target more
            than ``longest[1]`` times as long) teach nothing.
        longest : tuple of int
            At least (1, 1).
        rounds : int
            At least 1.

        Returns
        -------
        Multigrams

        Raises
        ------
        ValueError
            If no pair can be aligned, a string is empty, or a number is too small.

        Examples
        --------
        >>> model = Multigrams.fit([("ab", "αβ"), ("ba", "βα"), ("a", "α")], longest=(1, 1))
        >>> model.translate("abba")
        'αββα'
        """
        if min(longest) < 1 or rounds < 1:
            raise ValueError(f"longest is {longest} and rounds {rounds}; give at least 1")
        if not all(x and y for x, y in pairs):
            raise ValueError("pairs holds an empty string; leave such pairs out")
        p: Mapping[Pair, float] = defaultdict(lambda: 1.0)
        for _ in range(rounds):
            counts: dict[Pair, float] = defaultdict(float)
            for x, y in pairs:
                for pair, count in cls(p, longest).expected(x, y).items():
                    counts[pair] += count
            total = sum(counts.values())
            if not total:
                raise ValueError(f"pairs: none of {len(pairs)} can be cut; raise longest")
            p = {pair: count / total for pair, count in counts.items()}
        return cls(p, longest)

    def expected(self, x: str, y: str) -> dict[Pair, float]:
        """How often each pair of chunks is expected in the cut of two strings.

        Parameters
        ----------
        x, y : str

        Returns
        -------
        dict of (str, str) to float
            Empty if no cut is possible.
        """
        ahead = {(0, 0): 1.0}  # probability of all that lies before a place
        edges = []
        for i in range(len(x)):
            for j in range(len(y) + 1):
                here = ahead.get((i, j), 0.0)
                if not here:
                    continue
                for a, b in self._chunks(x, y, i, j):
                    q = self.p[a, b] if isinstance(self.p, defaultdict) else self.p.get((a, b), 0)
                    if q:
                        end = (i + len(a), j + len(b))
                        ahead[end] = ahead.get(end, 0.0) + here * q
                        edges.append(((i, j), end, (a, b), q))
        goal = (len(x), len(y))
        total = ahead.get(goal, 0.0)
        counts: dict[Pair, float] = defaultdict(float)
        behind = {goal: 1.0}
        for start, end, pair, q in reversed(edges):
            after = behind.get(end, 0.0)
            if after:
                behind[start] = behind.get(start, 0.0) + q * after
                counts[pair] += ahead[start] * q * after / total
        return dict(counts)

    def _chunks(self, x: str, y: str, i: int, j: int) -> Iterator[Pair]:
        for m in range(1, min(self.longest[0], len(x) - i) + 1):
            for n in range(min(self.longest[1], len(y) - j) + 1):
                yield x[i : i + m], y[j : j + n]

    def best(self) -> dict[str, tuple[str, float]]:
        """For each source chunk its most probable target chunk, with the logarithm of p(a, b)."""
        found: dict[str, tuple[str, float]] = {}
        for (a, b), q in sorted(self.p.items()):
            if q > 0 and (a not in found or math.log(q) > found[a][1]):
                found[a] = (b, math.log(q))
        return found

    def translate(self, x: str) -> str:
        """The target of the most probable cut of a source; an unknown character stays as it is.

        Parameters
        ----------
        x : str

        Returns
        -------
        str
        """
        return "".join(b for _, b in self.align(x))

    def align(self, x: str, best: Mapping[str, tuple[str, float]] | None = None) -> list[Pair]:
        """The pairs of chunks of that cut.

        Parameters
        ----------
        x : str
        best : mapping, optional
            What :meth:`best` gives, if it is at hand.
        """
        best = self.best() if best is None else best
        unknown = min((q for _, q in best.values()), default=0.0) - 10
        paths: list[tuple[float, list[Pair]]] = [(0.0, [])]
        for end in range(1, len(x) + 1):
            options = []
            for m in range(1, min(self.longest[0], end) + 1):
                a, (score, path) = x[end - m : end], paths[end - m]
                if a in best:
                    options.append((score + best[a][1], [*path, (a, best[a][0])]))
                elif m == 1:
                    options.append((score + unknown, [*path, (a, a)]))
            paths.append(max(options, key=lambda option: option[0]))
        return paths[-1][1]
