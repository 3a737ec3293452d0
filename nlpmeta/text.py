"""From text to numbers: characters, words, byte-pair encoding, vocabularies and batches.

A model never sees text; it sees integers. Three ways of cutting a string into tokens
(``characters``, ``words`` and ``BytePairEncoding``, which has a module of its own), the
``Vocabulary`` that numbers tokens, and two helpers that make arrays of them: ``pad`` and
``batches``. ``pieces`` is the lossless cut that byte-pair encoding starts from.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nlpmeta.bpe import BytePairEncoding, lookup, pieces

__all__ = [
    "PAD",
    "UNK",
    "BytePairEncoding",
    "Vocabulary",
    "batches",
    "characters",
    "pad",
    "pieces",
    "words",
]

PAD, UNK = "<pad>", "<unk>"

# Python's \w leaves out combining marks, without which words of Hindi or Thai fall apart.
_MARKS = "".join(c for c in map(chr, range(0x300, 0x20000)) if unicodedata.category(c)[0] == "M")
_JOINERS = "\u200c\u200d"
_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_LETTERS = rf"(?:(?![{_HAN}\d_])[\w{_MARKS}{_JOINERS}])+"
_WORD = re.compile(rf"[{_HAN}]|{_LETTERS}(?:['’]{_LETTERS})*|\d+(?:[.,]\d+)*|[^\w\s]|_")


def characters(text: str) -> list[str]:
    """Cut a text into its Unicode characters (code points).

    Parameters
    ----------
    text : str

    Returns
    -------
    list of str
        One string of length one per code point; joined, they give the text back.

    Examples
    --------
    >>> characters("我爱你")
    ['我', '爱', '你']
    """
    return list(_string(text))


def words(text: str) -> list[str]:
    """Cut a text into words, numbers and punctuation marks, dropping white space.

    A token is one Chinese character, or a run of letters with their combining marks (an apostrophe
    may join two runs, as in ``don't``), or a number (a point or comma may stand between digits), or
    one other visible character. Chinese is written without spaces, so each of its characters is
    taken as a word; Thai, Lao and Khmer are too, but their letters are no words, and a run of them
    stays one token.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of str
        Tokens in order, case kept.

    Examples
    --------
    >>> words("Don't add 1,000.5 to x_1!")
    ["Don't", 'add', '1,000.5', 'to', 'x', '_', '1', '!']
    >>> words("我爱NLP。")
    ['我', '爱', 'NLP', '。']
    """
    return _WORD.findall(_string(text))


@dataclass(frozen=True)
class Vocabulary:
    """A frozen numbering of tokens: token to id and back.

    Parameters
    ----------
    tokens : tuple of str
        Distinct tokens; a token's place is its id. If ``UNK`` is among them, :meth:`encode` gives
        its id to every unknown token.

    Examples
    --------
    >>> vocabulary = Vocabulary.from_tokens("to learn to learn to earn".split(), min_count=2)
    >>> vocabulary.tokens
    ('<pad>', '<unk>', 'to', 'learn')
    >>> vocabulary.encode(["to", "earn"])
    array([2, 1])
    """

    tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self._index) != len(self.tokens):
            repeated = [token for token, count in Counter(self.tokens).items() if count > 1]
            raise ValueError(f"tokens repeat {repeated[0]!r}; give each token once")

    @classmethod
    def from_tokens(
        cls, tokens: Iterable[str], min_count: int = 1, specials: Sequence[str] = (PAD, UNK)
    ) -> Vocabulary:
        """Number the tokens of a text, the frequent first, equally frequent ones alphabetically.

        Parameters
        ----------
        tokens : iterable of str
        min_count : int
            Tokens that occur less often are left out.
        specials : sequence of str
            Tokens that get the first ids whether they occur or not. Without ``UNK`` among them the
            vocabulary is closed: an unknown token is an error.

        Returns
        -------
        Vocabulary
        """
        if min_count < 1:
            raise ValueError(f"min_count is {min_count}; it must be at least 1")
        counts = Counter(tokens)
        kept = [t for t, c in counts.items() if c >= min_count and t not in specials]
        return cls((*specials, *sorted(kept, key=lambda token: (-counts[token], token))))

    @cached_property
    def _index(self) -> dict[str, int]:
        return {token: i for i, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._index

    def encode(self, tokens: Iterable[str]) -> np.ndarray:
        """Turn tokens into ids.

        Parameters
        ----------
        tokens : iterable of str

        Returns
        -------
        numpy.ndarray of int64, shape (t,)

        Raises
        ------
        ValueError
            If a token is unknown and the vocabulary has no ``UNK``.
        """
        unknown = self._index.get(UNK, -1)
        tokens = list(tokens)
        ids = np.array([self._index.get(token, unknown) for token in tokens], dtype=np.int64)
        if (ids < 0).any():
            token = tokens[int(np.argmax(ids < 0))]
            raise ValueError(
                f"tokens holds {token!r}, which is not in the vocabulary; build the vocabulary "
                f"with specials=({UNK!r},) or from a text that has the token"
            )
        return ids

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Turn ids back into tokens.

        Parameters
        ----------
        ids : iterable of int

        Returns
        -------
        list of str, length t

        Raises
        ------
        ValueError
            If an id is not in the vocabulary.
        """
        return lookup(self.tokens, ids)


def pad(
    sequences: Sequence[Sequence[int]], value: int = 0, length: int | None = None
) -> np.ndarray:
    """Set sequences of different lengths side by side, filling the ends of the shorter ones.

    Parameters
    ----------
    sequences : sequence of sequences of int
        ``n`` sequences of ids.
    value : int
        What to fill with, usually the id of ``PAD``.
    length : int, optional
        Number of columns; longer sequences are cut. By default the length of the longest.

    Returns
    -------
    numpy.ndarray of int64, shape (n, length)

    Raises
    ------
    ValueError
        If there is no sequence, or ``length`` is below one.

    Examples
    --------
    >>> pad([[5, 6, 7], [8]])
    array([[5, 6, 7],
           [8, 0, 0]])
    """
    if len(sequences) == 0:
        raise ValueError("sequences is empty; give at least one sequence to pad")
    if length is not None and length < 1:
        raise ValueError(f"length is {length}; it must be at least 1")
    columns = max(map(len, sequences)) if length is None else length
    out = np.full((len(sequences), columns), value, dtype=np.int64)
    for row, sequence in zip(out, sequences):
        row[: len(sequence)] = sequence[:columns]
    return out


def batches(n: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Walk once through ``n`` examples in random order, ``size`` at a time.

    Parameters
    ----------
    n : int
        Number of examples.
    size : int
        Number of examples in a batch; the last batch has what is left.
    rng : numpy.random.Generator

    Yields
    ------
    numpy.ndarray of int64, shape (size,)
        Indices into the examples; each occurs once in the whole pass.

    Raises
    ------
    ValueError
        If ``n`` or ``size`` is below one.

    Examples
    --------
    >>> [len(batch) for batch in batches(10, 4, np.random.default_rng(0))]
    [4, 4, 2]
    """
    if n < 1 or size < 1:
        raise ValueError(f"n is {n} and size {size}; both must be at least 1")
    order = rng.permutation(n)
    return (order[start : start + size] for start in range(0, n, size))


def _string(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"text is of type {type(text).__name__}; give a str")
    return text
