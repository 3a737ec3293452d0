"""How much a text repeats itself, and how much texts repeat each other.

Repetition inside one text is the share of its n-grams that stood in it before (Welleck et al.,
2020, "seq-rep-n"); variety over many texts the share of different n-grams (known as
"distinct-n"). Exports ``repetition``, ``distinct`` and ``loop``.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

__all__ = ["distinct", "loop", "repetition"]


def repetition(tokens: Sequence[Hashable], n: int = 4) -> float:
    r"""Share of the n-grams of a text that are copies of an earlier one (Welleck et al., 2020).

    .. math:: \text{seq-rep-}n = 1 - \frac{\text{different } n\text{-grams}}{n\text{-grams}}

    Parameters
    ----------
    tokens : sequence
        At least n of them.
    n : int

    Returns
    -------
    float
        0 if all are different, near 1 in a loop.

    Raises
    ------
    ValueError
        If n is below 1 or there are fewer than n tokens.

    Examples
    --------
    >>> repetition("a b a b a b".split(), n=2)
    0.6
    """
    grams = _grams(tokens, n)
    return 1 - len(set(grams)) / len(grams)


def distinct(texts: Sequence[Sequence[Hashable]], n: int = 2) -> float:
    """Share of different n-grams among all n-grams of several texts, known as distinct-n.

    It falls with the amount of text, so compare only equal amounts.

    Parameters
    ----------
    texts : sequence of sequences of tokens
        Each of at least n tokens.
    n : int

    Returns
    -------
    float
        Above 0, at most 1.

    Raises
    ------
    ValueError
        If n is below 1, there is no text, or one has fewer than n tokens.

    Examples
    --------
    >>> distinct(["a b c".split(), "a b d".split()], n=2)
    0.75
    """
    if len(texts) == 0:
        raise ValueError("texts is empty; give at least one text")
    grams = [gram for tokens in texts for gram in _grams(tokens, n)]
    return len(set(grams)) / len(grams)


def loop(tokens: Sequence[Hashable], copies: int = 2) -> int:
    """Period of the loop at the end of a text: the smallest p whose last p tokens stand repeated.

    Parameters
    ----------
    tokens : sequence
    copies : int
        How often the last p tokens have to stand there in a row, at least 2.

    Returns
    -------
    int
        The period, or 0 if the text does not end in a loop.

    Raises
    ------
    ValueError
        If ``copies`` is below 2.

    Examples
    --------
    >>> loop("so on and on and on and"), loop("so on and out")
    (7, 0)
    """
    if not isinstance(copies, int) or copies < 2:
        raise ValueError(f"copies is {copies!r}; give an integer of at least 2")
    for p in range(1, len(tokens) // copies + 1):
        if all(tokens[-i] == tokens[-i - p] for i in range(1, p * (copies - 1) + 1)):
            return p
    return 0


def _grams(tokens: Sequence[Hashable], n: int) -> list[tuple[Hashable, ...]]:
    if not isinstance(n, int) or n < 1:
        raise ValueError(f"n is {n!r}; give an integer of at least 1")
    if len(tokens) < n:
        raise ValueError(
            f"tokens has {len(tokens)} entries, fewer than n = {n}; give a longer text"
        )
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
