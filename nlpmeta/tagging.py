"""What a tagger looks at: feature templates, and sequences of features laid out as one matrix.

A feature of a token is a name such as ``"suffix=ing"``, alone or with a number. Templates write
those of a whole sequence: ``window`` for any tokens (n-grams at fixed offsets, as in CRF++),
``word_features`` for words in a sentence, ``line_features`` for lines in a text. ``Encoder`` maps
names to the columns of a sparse matrix. ``nlpmeta.crf`` trains on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from numbers import Real

import numpy as np
from scipy import sparse

__all__ = ["Encoder", "Token", "line_features", "window", "word_features"]

Token = Sequence[str] | Mapping[str, float | bool | str]

OUTSIDE = "\N{WHITE SQUARE}"  # what stands before the first and after the last token


def window(tokens: Sequence[str], offsets: Iterable[Sequence[int]]) -> list[list[str]]:
    """Features of each token from the tokens around it.

    Parameters
    ----------
    tokens : sequence of str, length t
    offsets : iterable of sequences of int
        One template each: ``(0,)`` is the token itself, ``(-1, 0)`` the pair of the one before and
        itself.

    Returns
    -------
    list of list of str, length t
        Beside the templates each token has the feature ``"bias"``.

    Examples
    --------
    >>> window("ab", [(0,), (0, 1)])
    [['bias', '0=a', '0,1=a|b'], ['bias', '0=b', '0,1=b|□']]
    """
    templates = [tuple(template) for template in offsets]
    reach = max((abs(offset) for template in templates for offset in template), default=0)
    padded = [OUTSIDE] * reach + list(tokens) + [OUTSIDE] * reach
    columns = [["bias"] * len(tokens)]
    for template in templates:
        name = ",".join(map(str, template)) + "="
        shifted = [padded[reach + offset : reach + offset + len(tokens)] for offset in template]
        columns.append([name + "|".join(parts) for parts in zip(*shifted)])
    return [list(features) for features in zip(*columns)]


def word_features(words: Sequence[str]) -> list[list[str]]:
    """Features for tagging the words of a sentence: form, affixes, shape and neighbors.

    The templates follow Ratnaparkhi (1996), without his distinction of rare words.

    Parameters
    ----------
    words : sequence of str, length t

    Returns
    -------
    list of list of str, length t

    Examples
    --------
    >>> word_features(["Dogs", "bark"])[1]
    ['bias', 'w=bark', 'w-1=dogs', 'w+1=□', 'w-1,w=dogs|bark', 's1=k', 's2=rk', 's3=ark', 'p2=ba']
    """
    lower = [OUTSIDE, *(word.lower() for word in words), OUTSIDE]
    found = []
    for i, word in enumerate(words):
        before, own, after = lower[i : i + 3]
        features = ["bias", f"w={own}", f"w-1={before}", f"w+1={after}", f"w-1,w={before}|{own}"]
        features += [f"s{n}={own[-n:]}" for n in (1, 2, 3)] + [f"p2={own[:2]}"]
        if word[:1].isupper():
            features.append("capital first" if i == 0 else "capital")
        if word.isupper():
            features.append("capitals")
        if any(character.isdigit() for character in word):
            features.append("digit")
        if "-" in word:
            features.append("hyphen")
        found.append(features)
    return found


_WORD = re.compile(r"\w+|[^\w\s]")


def line_features(lines: Sequence[str]) -> list[list[str]]:
    """Features for labeling the lines of a text: indentation, opening and closing, and words.

    Parameters
    ----------
    lines : sequence of str, length t

    Returns
    -------
    list of list of str, length t
        Place in the text, indentation and its change, first two and last pieces (a piece is a word
        or one sign), whether a sentence ended on the line before, and every lower-case word.

    Examples
    --------
    >>> line_features(["Add.", "    Sum"])[1]
    ['bias', 'indent=4', 'turn=>', 'after=.', '1=sum', '1,2=sum', 'end=sum', 'has=sum']
    """
    found, indent, ended = [], 0, "□"
    for i, line in enumerate(lines):
        own = len(line) - len(line.lstrip(" "))
        pieces = _WORD.findall(line.lower()) or [OUTSIDE]
        turn = "first" if i == 0 else "<" if own < indent else ">" if own > indent else "="
        features = ["bias", f"indent={own}", f"turn={turn}", f"after={ended}", f"1={pieces[0]}"]
        features += [f"1,2={'|'.join(pieces[:2])}", f"end={pieces[-1]}"]
        found.append(features + [f"has={piece}" for piece in dict.fromkeys(pieces)])
        indent, ended = own, pieces[-1] if not pieces[-1][0].isalnum() else "word"
    return found


class Encoder:
    """Maps the names of features to the columns of a matrix, the most frequent first.

    A token is a list of names, or a mapping from names to values as sklearn-crfsuite has it: a
    number is the value of the feature, ``True`` is 1, and a string makes the feature
    ``"name:string"`` of value 1.

    Attributes
    ----------
    columns : dict from str to int

    Examples
    --------
    >>> encoder = Encoder()
    >>> encoder.fit([[["a", "b"], ["b"]], [{"b": 0.5, "c": "x"}]]).toarray().tolist()
    [[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.5, 0.0, 1.0]]
    >>> list(encoder.columns)
    ['b', 'a', 'c:x']
    >>> encoder.transform([[["a", "never seen"]]]).toarray().tolist()
    [[0.0, 1.0, 0.0]]
    """

    def __init__(self) -> None:
        self.columns: dict[str, int] = {}

    def fit(self, X: Iterable[Sequence[Token]]) -> sparse.csr_array:
        """Give a column to each feature of ``X``, and the matrix of its tokens.

        Parameters
        ----------
        X : iterable of sequences of tokens

        Returns
        -------
        scipy.sparse.csr_array of float, shape (n, a)
            A row for each token, sequence after sequence.

        Raises
        ------
        TypeError
            If a token is neither a list of strings nor a mapping from strings to values.
        ValueError
            If a value is not finite.
        """
        names, values, counts = _flat(X)
        table: dict[str, int] = {}
        found = np.array([table.setdefault(name, len(table)) for name in names], dtype=np.int32)
        order = np.argsort(-np.bincount(found, minlength=len(table)), kind="stable")
        place = np.empty(len(table), dtype=np.int32)
        place[order] = np.arange(len(table), dtype=np.int32)
        listed = list(table)
        self.columns = {listed[old]: new for new, old in enumerate(order.tolist())}
        return _matrix(place[found], values, counts, len(table))

    def transform(self, X: Iterable[Sequence[Token]]) -> sparse.csr_array:
        """The matrix of the tokens of ``X``; features that ``fit`` has not seen are left out.

        Parameters
        ----------
        X : iterable of sequences of tokens

        Returns
        -------
        scipy.sparse.csr_array of float, shape (n, a)

        Raises
        ------
        TypeError, ValueError
            As for :meth:`fit`.
        """
        names, values, counts = _flat(X)
        get = self.columns.get
        found = np.array([get(name, -1) for name in names], dtype=np.int32)
        row = np.repeat(np.arange(len(counts)), counts)[found >= 0]
        values = None if values is None else values[found >= 0]
        counts = np.bincount(row, minlength=len(counts))
        return _matrix(found[found >= 0], values, counts, len(self.columns))


def _matrix(
    columns: np.ndarray, values: np.ndarray | None, counts: np.ndarray, width: int
) -> sparse.csr_array:
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    values = np.ones(len(columns)) if values is None else values
    matrix = sparse.csr_array((values, columns, starts), shape=(len(counts), width))
    matrix.sum_duplicates()
    return matrix


def _flat(
    X: Iterable[Sequence[Token]],
) -> tuple[list[str], np.ndarray | None, np.ndarray]:
    """Names and values (None if all are 1) of all features, and how many each token has."""
    tokens = list(chain.from_iterable(X))
    if any(isinstance(token, Mapping) for token in tokens):
        pairs = [_pairs(token) for token in tokens]
        flat = list(chain.from_iterable(pairs))
        names = [name for name, _ in flat]
        values = np.array([value for _, value in flat], dtype=float)
        if not np.isfinite(values).all():
            worst = int(np.flatnonzero(~np.isfinite(values))[0])
            raise ValueError(
                f"X holds the value {values[worst]} for the feature {names[worst]!r}; values must "
                "be finite: leave the feature out where it is unknown"
            )
        counts = np.array([len(own) for own in pairs], dtype=np.int64)
        return names, values, counts
    for token in tokens:
        if isinstance(token, str) or not isinstance(token, Sequence):
            raise _no_token(token)
    names = list(chain.from_iterable(tokens))
    if not all(isinstance(name, str) for name in names):
        raise _no_token(next(t for t in tokens if not all(isinstance(name, str) for name in t)))
    return names, None, np.array([len(token) for token in tokens], dtype=np.int64)


def _pairs(token: Token) -> list[tuple[str, float]]:
    if not isinstance(token, Mapping):
        if isinstance(token, str) or not all(isinstance(name, str) for name in token):
            raise _no_token(token)
        return [(name, 1.0) for name in token]
    found = []
    for name, value in token.items():
        if isinstance(value, str):
            found.append((f"{name}:{value}", 1.0))
        elif isinstance(value, Real | np.bool_) and isinstance(name, str):
            found.append((name, float(value)))
        else:
            raise _no_token(token)
    return found


def _no_token(token: object) -> TypeError:
    return TypeError(
        f"X holds the token {token!r}; a token is a list of names of features, or a mapping from "
        "names to numbers, booleans or strings"
    )
