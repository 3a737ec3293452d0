"""Byte-pair encoding written out: a tokenizer that learns its tokens from a text.

Start from single symbols, merge the most frequent pair of neighbors into a new symbol, repeat; to
encode, replay the merges in the order learned. Gage (1994) compressed files this way; Sennrich,
Haddow and Birch (2016) cut words with it. Exports ``pieces`` (the lossless cut that merges never
cross), ``learn_merges`` and ``BytePairEncoding``; ``nlpmeta.text`` hands them on.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np

_PIECE = re.compile(r" ?\w+| ?[^\w\s]+|\s+(?!\S)|\s+")


def pieces(text: str) -> list[str]:
    r"""Cut a text into pieces that byte-pair encoding never merges across, losing nothing.

    A piece is a run of letters and digits, or a run of other visible characters, each with the one
    space before it, or a run of white space: GPT-2's rule (Radford et al. 2019), simplified.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of str
        Pieces whose concatenation is the text.

    Examples
    --------
    >>> pieces("to learn, to learn\n  more")
    ['to', ' learn', ',', ' to', ' learn', '\n ', ' more']
    """
    if not isinstance(text, str):
        raise TypeError(f"text is of type {type(text).__name__}; give a str")
    return _PIECE.findall(text)


def merge(ids: list[int], pair: tuple[int, int], new: int) -> list[int]:
    """Replace a pair of neighbors by one new id, from left to right.

    Parameters
    ----------
    ids : list of int
    pair : (int, int)
    new : int
        An id that ``ids`` does not hold.

    Returns
    -------
    list of int

    Examples
    --------
    >>> merge([1, 1, 1, 2, 1, 1], (1, 1), 3)
    [3, 1, 2, 3]
    """
    merged: list[int] = []
    for i in ids:
        if merged and (merged[-1], i) == pair:
            merged[-1] = new
        else:
            merged.append(i)
    return merged


def learn_merges(
    spelled: list[list[int]], times: list[int], first_new: int, n_merges: int, min_count: int
) -> list[tuple[int, int]]:
    """Find the pairs that byte-pair encoding merges, the most frequent first.

    Counts are kept per distinct piece and mended only where a merge changed something; a heap
    yields the most frequent pair, and of equally frequent pairs the one with the smaller ids.

    Parameters
    ----------
    spelled : list of lists of int
        Each distinct piece as ids of symbols. Not changed.
    times : list of int
        How often each piece occurs.
    first_new : int
        The id of the first merged symbol; merge number m makes the symbol ``first_new + m``.
    n_merges : int
    min_count : int
        Stop when no pair occurs this often.

    Returns
    -------
    list of (int, int)
        At most ``n_merges`` pairs of ids.

    Examples
    --------
    >>> learn_merges([[0, 1, 0, 1], [0, 1, 2]], times=[2, 1], first_new=3, n_merges=9, min_count=2)
    [(0, 1), (3, 3)]
    """
    spelled = list(spelled)
    counts: Counter[tuple[int, int]] = Counter()
    where: dict[tuple[int, int], set[int]] = defaultdict(set)  # in which pieces
    for i, ids in enumerate(spelled):
        for pair in pairwise(ids):
            counts[pair] += times[i]
            where[pair].add(i)
    heap = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(heap)
    merges: list[tuple[int, int]] = []
    while heap and len(merges) < n_merges:
        noted, pair = heapq.heappop(heap)
        if counts[pair] < min_count:
            continue
        if counts[pair] != -noted:  # it fell since it was noted: back in line
            heapq.heappush(heap, (-counts[pair], pair))
            continue
        new = first_new + len(merges)
        merges.append(pair)
        change: Counter[tuple[int, int]] = Counter()
        for i in where.pop(pair):
            for old in pairwise(spelled[i]):
                change[old] -= times[i]
            spelled[i] = merge(spelled[i], pair, new)
            for fresh in pairwise(spelled[i]):
                change[fresh] += times[i]
                where[fresh].add(i)
        for changed, difference in change.items():
            counts[changed] += difference
            if difference > 0:  # a pair that holds the new symbol
                heapq.heappush(heap, (-counts[changed], changed))
    return merges


@dataclass(frozen=True)
class BytePairEncoding:
    """A tokenizer whose tokens are frequent strings, found by merging neighbors.

    Make one with :meth:`train`; the algorithm is that of Sennrich, Haddow and Birch (2016).

    Parameters
    ----------
    tokens : tuple of str
        The alphabet, then one token per merge; a token's place is its id.
    merges : tuple of (int, int)
        The ids merged, in the order learned.
    level : {"byte", "character"}
        What the alphabet is. ``"byte"``: the 256 bytes of UTF-8, each written as the character with
        that number, so any text can be encoded, and ``我`` is three symbols. ``"character"``: the
        characters of the training text; a text with another character cannot be encoded.

    Examples
    --------
    >>> bpe = BytePairEncoding.train("to learn to learn to earn", n_merges=4, level="character")
    >>> bpe.tokens[-4:]
    ('ar', 'ear', 'to', 'earn')
    >>> bpe.tokenize("learn to earn")
    ['l', 'earn', ' ', 'to', ' ', 'earn']
    >>> bpe.decode(bpe.encode("learn to earn"))
    'learn to earn'
    """

    tokens: tuple[str, ...]
    merges: tuple[tuple[int, int], ...]
    level: Literal["byte", "character"]

    @classmethod
    def train(
        cls,
        text: str,
        n_merges: int,
        level: Literal["byte", "character"] = "byte",
        min_count: int = 2,
    ) -> BytePairEncoding:
        """Learn the merges of a text with :func:`learn_merges`.

        Parameters
        ----------
        text : str
        n_merges : int
            How many merges to learn; fewer if no pair occurs ``min_count`` times any more.
        level : {"byte", "character"}
        min_count : int

        Returns
        -------
        BytePairEncoding

        Raises
        ------
        ValueError
            If the text is empty, ``n_merges`` is negative, ``min_count`` is below one or ``level``
            is unknown.
        """
        if level not in ("byte", "character"):
            raise ValueError(f"level is {level!r}; choose 'byte' or 'character'")
        if n_merges < 0:
            raise ValueError(f"n_merges is {n_merges}; give 0 or more")
        if min_count < 1:
            raise ValueError(f"min_count is {min_count}; give 1 or more")
        counts = Counter(_symbols(piece, level) for piece in pieces(text))
        if not counts:
            raise ValueError("text is empty; give a text to learn merges from")
        tokens = [*map(chr, range(256))] if level == "byte" else sorted(set(text))
        index = {symbol: i for i, symbol in enumerate(tokens)}
        spelled = [[index[symbol] for symbol in piece] for piece in counts]
        merges = learn_merges(spelled, list(counts.values()), len(tokens), n_merges, min_count)
        for left, right in merges:
            tokens.append(tokens[left] + tokens[right])
        return cls(tuple(tokens), tuple(merges), level)

    @cached_property
    def _ranks(self) -> dict[tuple[int, int], int]:
        return {pair: rank for rank, pair in enumerate(self.merges)}

    @cached_property
    def _alphabet(self) -> dict[str, int]:
        return {symbol: i for i, symbol in enumerate(self.tokens) if len(symbol) == 1}

    def encode(self, text: str) -> np.ndarray:
        """Turn a text into token ids: in each piece, the pair learned first is merged first.

        Parameters
        ----------
        text : str

        Returns
        -------
        numpy.ndarray of int64, shape (t,)

        Raises
        ------
        ValueError
            At level ``"character"``, if the text has a character that the training text had not.
        """
        known: dict[str, list[int]] = {}
        ids: list[int] = []
        for piece in pieces(text):
            if piece not in known:
                known[piece] = self._encode_piece(piece)
            ids += known[piece]
        return np.array(ids, dtype=np.int64)

    def _encode_piece(self, piece: str) -> list[int]:
        try:
            ids = [self._alphabet[symbol] for symbol in _symbols(piece, self.level)]
        except KeyError as error:
            raise ValueError(
                f"text has the character {error.args[0]!r}, which the training text had not; "
                "train with level='byte' to encode every text"
            ) from None
        never = len(self.merges)
        while len(ids) > 1:
            rank, pair = min((self._ranks.get(pair, never), pair) for pair in pairwise(ids))
            if rank == never:
                break
            ids = merge(ids, pair, len(self._alphabet) + rank)
        return ids

    def tokenize(self, text: str) -> list[str]:
        """Turn a text into token strings; at level ``"byte"`` a character stands for each byte.

        Parameters
        ----------
        text : str

        Returns
        -------
        list of str, length t
        """
        return [self.tokens[i] for i in self.encode(text)]

    def decode(self, ids: Iterable[int]) -> str:
        """Turn token ids back into text; the inverse of :meth:`encode`.

        Parameters
        ----------
        ids : iterable of int

        Returns
        -------
        str
            Bytes that are not valid UTF-8 (a model may write such) come out as U+FFFD.

        Raises
        ------
        ValueError
            If an id is not in the vocabulary.
        """
        text = "".join(lookup(self.tokens, ids))
        return text.encode("latin-1").decode("utf-8", "replace") if self.level == "byte" else text


def lookup(tokens: tuple[str, ...], ids: Iterable[int]) -> list[str]:
    """The tokens with the given ids.

    Parameters
    ----------
    tokens : tuple of str
    ids : iterable of int

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        If an id is below zero or past the end.

    Examples
    --------
    >>> lookup(("to", "learn"), [1, 0])
    ['learn', 'to']
    """
    ids = [int(i) for i in ids]
    for i in ids:
        if not 0 <= i < len(tokens):
            raise ValueError(f"ids holds {i}; ids run from 0 to {len(tokens) - 1}")
    return [tokens[i] for i in ids]


def _symbols(piece: str, level: str) -> str:
    """The symbols of a piece, one character each: its bytes as Latin-1, or itself."""
    return piece.encode("utf-8").decode("latin-1") if level == "byte" else piece
