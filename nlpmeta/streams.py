"""The random generators of many tasks side by side.

A task that has a generator of its own can be drawn alone, in any order, by any worker; but to make
a generator takes longer than to draw a task with it. :class:`Streams` holds the generators
``numpy.random.default_rng([seed, index])`` of many indices, and one array operation does for all of
them what each would do alone. What it draws is, word for word, what NumPy's would, and where it
is not, which is rare, ``exact`` says so. :class:`Generators` are NumPy's themselves, which are
faster where the order of a hundred things or more is drawn.

The generator is PCG XSL-RR 128/64 (O'Neill, 2014): a state of 128 bits goes from ``s`` to
``a * s + c``, and 64 bits of it come out, scrambled. Its start is hashed from seed and index as in
``numpy.random.SeedSequence``. Unsigned integers wrap around in all of this, as they should.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np

__all__ = ["Generators", "Streams"]

_MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
_CHUNK = 32  # numbers of 64 bits that every stream gives at a time

Wide = tuple[np.ndarray, np.ndarray]  # numbers of 128 bits: high and low half, uint64


def _powers(start: int, factor: int, n: int) -> list[np.uint32]:
    return [np.uint32(start * pow(factor, i, 2**32) % 2**32) for i in range(n)]


_MIXED, _OUT = _powers(0x43B0D7E5, 0x931E8875, 17), _powers(0x8B51F9DD, 0x58F38DED, 9)


def _folded(value: np.ndarray) -> np.ndarray:
    return value ^ (value >> 16)


def _seeds(seed: int, indices: np.ndarray) -> list[np.ndarray]:
    """Four numbers of 64 bits for each index, those of ``SeedSequence([seed, index])``."""
    zero = np.zeros_like(indices)
    pool = [
        _folded((part ^ _MIXED[i]) * _MIXED[i + 1])
        for i, part in enumerate([zero + np.uint32(seed), indices, zero, zero])
    ]
    step = 4
    for source, target in permutations(range(4), 2):
        hashed = _folded((pool[source] ^ _MIXED[step]) * _MIXED[step + 1])
        pool[target] = _folded(
            pool[target] * np.uint32(0xCA01F9DD) - hashed * np.uint32(0x4973F715)
        )
        step += 1
    words = [_folded((pool[i % 4] ^ _OUT[i]) * _OUT[i + 1]).astype(np.uint64) for i in range(8)]
    return [low | high << 32 for low, high in zip(words[::2], words[1::2])]


def _plus(a: Wide, b: Wide) -> Wide:
    low = a[1] + b[1]
    return a[0] + b[0] + (low < b[1]), low


def _times(a: Wide, b: Wide) -> Wide:
    """Products modulo 2^128, from those of the four 32-bit parts of the low halves."""
    low_a, high_a, low_b, high_b = a[1] & 0xFFFFFFFF, a[1] >> 32, b[1] & 0xFFFFFFFF, b[1] >> 32
    crossed = low_a * high_b
    middle = (low_a * low_b >> 32) + (crossed & 0xFFFFFFFF) + high_a * low_b
    carried = high_a * high_b + (crossed >> 32) + (middle >> 32)
    return carried + a[0] * b[1] + a[1] * b[0], a[1] * b[1]


def _wide(values: list[int]) -> Wide:
    """As columns, so that they meet a row of streams."""
    high, low = zip(*(divmod(value, 2**64) for value in values))
    return np.array(high, np.uint64)[:, None], np.array(low, np.uint64)[:, None]


def _jumps() -> tuple[Wide, Wide]:
    """What 1, 2 ... steps do to a state: ``s -> a^n s + (a^(n-1) + ... + 1) c``."""
    factors, sums = [1], [0]
    for _ in range(_CHUNK):
        sums.append((sums[-1] * _MULTIPLIER + 1) % 2**128)
        factors.append(factors[-1] * _MULTIPLIER % 2**128)
    return _wide(factors[1:]), _wide(sums[1:])


_FACTORS, _SUMS = _jumps()


class Streams:
    """One generator for each index, all drawn from together.

    Parameters
    ----------
    seed : int
        From 0 to 2^32 - 1.
    indices : ndarray of int, shape (n,)
        Each from 0 to 2^32 - 1.

    Attributes
    ----------
    exact : bool
        Whether all that was drawn is what NumPy draws. It is not where NumPy would have rejected
        a word (at most ``high`` of 2^32 words), nor in one case of :meth:`choices`.

    Raises
    ------
    ValueError
        If seed or an index does not fit in 32 bits.

    Examples
    --------
    >>> streams = Streams(seed=3, indices=np.array([7, 8]))
    >>> rng = np.random.default_rng([3, 8])
    >>> streams.permutations(np.array([4, 5]))[1].tolist() == rng.permutation(5).tolist()
    True
    >>> chosen = streams.choices(np.array([[9, 9], [6, 9]]), 3)[1]
    >>> [list(map(int, rng.choice(n, 3, replace=False))) for n in (6, 9)] == chosen.tolist()
    True
    """

    def __init__(self, seed: int, indices: np.ndarray) -> None:
        for name, value in (("seed", seed), ("index", indices.min()), ("index", indices.max())):
            if not 0 <= value < 2**32:
                raise ValueError(f"{name} is {value}; give 0 to 2**32 - 1")
        self.exact = True
        high, low, step_high, step_low = _seeds(seed, indices.astype(np.uint32))
        step = step_high << 1 | step_low >> 63, step_low << 1 | 1  # c is odd
        self._shifts = _times(_SUMS, step)
        first = _plus((high, low), step)
        self._state = _plus(_times(_wide([_MULTIPLIER]), first), step)
        self._words = np.empty((0, len(indices)), np.uint64)  # of 32 bits, a column per stream
        self._at = np.zeros(len(indices), np.int64)  # where each stream stands in its column

    def _reach(self, n_words: int) -> None:
        """Let every stream have at least so many words."""
        columns = [self._words]
        while sum(map(len, columns)) < n_words:
            states = _plus(_times(_FACTORS, self._state), self._shifts)
            self._state = states[0][-1:], states[1][-1:]
            folded, turn = states[0] ^ states[1], states[0] >> 58
            numbers = folded >> turn | folded << (64 - turn & 63)
            words = np.stack([numbers & 0xFFFFFFFF, numbers >> 32], 1)
            columns.append(words.reshape(-1, numbers.shape[1]))
        self._words = np.concatenate(columns)

    def _below(self, words: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Numbers below ``high`` (uint64): of word times ``high`` the upper half (Lemire, 2019)."""
        products = words * high
        lower = products & 0xFFFFFFFF
        near = lower < high
        if near.any():
            limits = np.broadcast_to(high, lower.shape)[near]
            self.exact &= not (lower[near] < (2**32 - limits) % limits).any()
        return (products >> 32).astype(np.int64)

    def integers(self, high: int) -> np.ndarray:
        """One number below ``high`` from each stream, (n,), as ``Generator.integers`` draws it."""
        if high == 1:
            return np.zeros(len(self._at), np.int64)
        self._reach(self._at.max() + 1)
        words = self._words[self._at, np.arange(len(self._at))]
        self._at += 1
        return self._below(words, np.uint64(high))

    def permutations(self, sizes: np.ndarray) -> np.ndarray:
        """An order of 0 to ``sizes[i] - 1`` from stream i, as ``Generator.permutation`` draws it.

        From the last place on, each changes places with one at or before it (Durstenfeld, 1964),
        which is drawn by taking as many bits as its number may have until it is no larger.

        Parameters
        ----------
        sizes : ndarray of int, shape (n,)

        Returns
        -------
        ndarray of int64, shape (n, sizes.max())
            What stands behind the first ``sizes[i]`` of a row is in no order.
        """
        order = np.tile(np.arange(sizes.max())[:, None], len(sizes))
        for last in range(sizes.max() - 1, 0, -1):
            drawing = np.flatnonzero(sizes > last)
            while len(drawing):
                self._reach(self._at.max() + 1)
                drawn = self._words[self._at[drawing], drawing] & 2 ** last.bit_length() - 1
                self._at[drawing] += 1
                fits = drawn <= last
                streams, places = drawing[fits], drawn[fits].astype(np.int64)
                order[last, streams], order[places, streams] = (
                    order[places, streams], order[last, streams],
                )  # fmt: skip
                drawing = drawing[~fits]
        return order.T

    def choices(self, sizes: np.ndarray, n: int) -> np.ndarray:
        """``n`` different numbers below each size, as ``Generator.choice`` draws them.

        One below ``size - n + 1``, one below ``size - n + 2`` ..., where a number that is there
        already gives way to the largest (Bentley and Floyd, 1987); then they are shuffled.

        Parameters
        ----------
        sizes : ndarray of int, shape (streams, k)
            Each at least ``n``; stream i draws ``n`` below ``sizes[i, 0]``, then below
            ``sizes[i, 1]`` ...
        n : int
            At least 1. Where a size is above 10,000 and n above a fiftieth of it, NumPy has
            another way, and ``exact`` becomes False.

        Returns
        -------
        ndarray of int64, shape (streams, k, n)
        """
        one = (sizes == n).astype(np.int64)  # below 1 nothing is drawn and no word used
        used = 2 * n - 1 - one
        ends = self._at[:, None] + used.cumsum(1)
        self._at = ends[:, -1]
        self._reach(max(1, ends.max()))
        begin, sizes_flat = (ends - used - one).ravel(), sizes.ravel()
        places = np.maximum(begin + np.arange(2 * n - 1)[:, None], 0)  # (2 n - 1, streams * k)
        below = np.tile(
            np.concatenate([np.arange(1 - n, 1), np.arange(n, 1, -1)])[:, None], len(begin)
        )
        below[:n] += sizes_flat
        words = self._words[places, np.arange(len(sizes)).repeat(sizes.shape[1])]
        drawn = self._below(words, below.astype(np.uint64))
        self.exact &= not ((sizes > 10_000) & (n > sizes // 50)).any()
        chosen, swaps = drawn[:n], drawn[n:]
        for i in range(1, n):
            there = (chosen[:i] == chosen[i]).any(0)
            chosen[i, there] = sizes_flat[there] - n + i
        every = np.arange(len(begin))
        for last, place in zip(range(n - 1, 0, -1), swaps):
            chosen[last], chosen[place, every] = chosen[place, every], chosen[last].copy()
        return chosen.T.reshape(*sizes.shape, n)


class Generators:
    """NumPy's generators, one after the other: the numbers of :class:`Streams`, always exact.

    Parameters
    ----------
    seed, indices
        As for :class:`Streams`; its methods are here as well.

    Examples
    --------
    >>> alone, together = (kind(5, np.arange(3)) for kind in (Generators, Streams))
    >>> bool((alone.permutations(np.full(3, 9)) == together.permutations(np.full(3, 9))).all())
    True
    """

    exact = True

    def __init__(self, seed: int, indices: np.ndarray) -> None:
        self._each = [np.random.default_rng([seed, index]) for index in indices.tolist()]

    def integers(self, high: int) -> np.ndarray:
        """As :meth:`Streams.integers`."""
        return np.array([rng.integers(high) for rng in self._each])

    def permutations(self, sizes: np.ndarray) -> np.ndarray:
        """As :meth:`Streams.permutations`."""
        orders = np.zeros((len(sizes), sizes.max()), dtype=np.int64)
        for order, rng, size in zip(orders, self._each, sizes):
            order[:size] = rng.permutation(size)
        return orders

    def choices(self, sizes: np.ndarray, n: int) -> np.ndarray:
        """As :meth:`Streams.choices`."""
        return np.array(
            [
                [rng.choice(size, n, replace=False) for size in row]
                for rng, row in zip(self._each, sizes)
            ]
        )
