"""Choose the sentence of a text that says most of the rest: TextRank, and what to compare it with.

Sentences are the places of a graph, shared words its edges, and a sentence is important if
important ones share words with it (Mihalcea and Tarau, 2004; the equation is that of PageRank).
Exports ``split``, ``similarity``, ``rank``, ``textrank``, ``lead`` and ``oracle``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from nlpmeta.corpora._prose import sentences as _sentences
from nlpmeta.text import words

__all__ = ["lead", "oracle", "rank", "similarity", "split", "textrank"]


def split(text: str) -> list[str]:
    """Cut a description of the corpus ``docs`` into its sentences, by the rules of the corpus.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        If the text has no word.

    Examples
    --------
    >>> split("Sorts a list, e.g. of names. The list is not copied.")
    ['Sorts a list, e.g. of names.', 'The list is not copied.']
    """
    found = _sentences(text)
    if not found:
        raise ValueError(f"text is {text!r}; give at least one word")
    return found


def similarity(sentences: Sequence[str]) -> np.ndarray:
    r"""Count the words that two sentences share, over the logarithms of their lengths.

    .. math:: S_{ij} = \frac{|W_i \cap W_j|}{\log |W_i| + \log |W_j|}, \quad S_{ii} = 0

    with :math:`W_i` the different words of sentence i, in lower case and without punctuation
    (Mihalcea and Tarau, 2004). Two sentences of one word each have similarity 0.

    Parameters
    ----------
    sentences : sequence of str
        n of them.

    Returns
    -------
    numpy.ndarray of float, shape (n, n)
        Symmetric.

    Raises
    ------
    ValueError
        If there is no sentence.

    Examples
    --------
    >>> similarity(["Sort the list", "The list is old", "Names"]).round(2).tolist()
    [[0.0, 0.8, 0.0], [0.8, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    _check(sentences)
    sets = [{w.lower() for w in words(s) if w[0].isalnum()} for s in sentences]
    s = np.zeros((len(sets), len(sets)))
    for i, a in enumerate(sets):
        for j, b in enumerate(sets[:i]):
            if a and b and len(a) * len(b) > 1:
                s[i, j] = s[j, i] = len(a & b) / (math.log(len(a)) + math.log(len(b)))
    return s


def rank(
    weights: ArrayLike, damping: float = 0.85, tol: float = 1e-10, max_iter: int = 1000
) -> np.ndarray:
    r"""The share of time that a random reader spends at each place of a weighted graph (PageRank).

    .. math:: r_j = \frac{1 - \delta}{n} + \delta \sum_i r_i \frac{w_{ij}}{\sum_k w_{ik}}

    found by applying the right side until nothing changes (power iteration). From a place without
    edges the reader goes anywhere with the same probability.

    Parameters
    ----------
    weights : array-like of float, shape (n, n)
        Weight of the edge from i to j, not negative.
    damping : float
        The probability :math:`\delta` of following an edge, from 0 to below 1.
    tol : float
        Stop when the sum of the changes is at most this.
    max_iter : int
        Rounds after which to give up.

    Returns
    -------
    numpy.ndarray of float, shape (n,)
        Positive, with sum 1.

    Raises
    ------
    ValueError
        If the weights are not a square of finite numbers of at least 0, the damping is out of
        range, or ``max_iter`` rounds do not suffice.

    Examples
    --------
    >>> rank([[0, 1, 0], [1, 0, 1], [0, 1, 0]]).round(3).tolist()
    [0.257, 0.486, 0.257]
    """
    w = np.asarray(weights, dtype=float)
    if w.ndim != 2 or w.shape[0] != w.shape[1] or len(w) == 0:
        raise ValueError(f"weights has shape {w.shape}; give a square with at least one row")
    if not (np.isfinite(w).all() and (w >= 0).all()):
        raise ValueError("weights holds a negative or infinite number; give weights of at least 0")
    if not 0 <= damping < 1:
        raise ValueError(
            f"damping is {damping}; give a probability from 0 to below 1, such as 0.85"
        )
    n, total = len(w), w.sum(1, keepdims=True)
    steps = np.where(total > 0, w / np.where(total > 0, total, 1), 1 / n)  # (n, n), rows sum to 1
    r = np.full(n, 1 / n)
    for _ in range(max_iter):
        new = (1 - damping) / n + damping * r @ steps  # (n,)
        if np.abs(new - r).sum() <= tol:
            return new / new.sum()
        r = new
    raise ValueError(f"max_iter is {max_iter}, too few for tol {tol}; raise one of them")


def textrank(sentences: Sequence[str], damping: float = 0.85) -> str:
    """The sentence of highest :func:`rank` in the graph of :func:`similarity`; the first of equals.

    Parameters
    ----------
    sentences : sequence of str
    damping : float
        See :func:`rank`.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If there is no sentence, or the damping is out of range.

    Examples
    --------
    >>> textrank(["Names help.", "Sort the list of names.", "The list is not copied."])
    'Sort the list of names.'
    """
    # rounded, so that ranks that are equal but for rounding errors count as equal
    return sentences[int(rank(similarity(sentences), damping).round(9).argmax())]


def lead(sentences: Sequence[str]) -> str:
    """The first sentence.

    Parameters
    ----------
    sentences : sequence of str

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If there is no sentence.

    Examples
    --------
    >>> lead(["Sorts a list.", "It is fast."])
    'Sorts a list.'
    """
    _check(sentences)
    return sentences[0]


def oracle(sentences: Sequence[str], score: Callable[[str], float]) -> str:
    """The sentence that scores best, found by trying all; the first of equal ones.

    With a score that knows the reference this is no method but a ceiling: no way of choosing one
    sentence does better.

    Parameters
    ----------
    sentences : sequence of str
    score : callable
        Gives the score of a sentence, the higher the better.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If there is no sentence.

    Examples
    --------
    >>> oracle(["Fast.", "Sorts a list.", "Use it."], len)
    'Sorts a list.'
    """
    _check(sentences)
    return max(sentences, key=score)


def _check(sentences: Sequence[str]) -> None:
    if isinstance(sentences, str):
        raise ValueError(f"sentences is the string {sentences[:30]!r}; give a list of sentences")
    if len(sentences) == 0:
        raise ValueError("sentences is empty; give at least one")
