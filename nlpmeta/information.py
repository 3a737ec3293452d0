"""How much information a text carries, and how much a model misses: entropy and its relatives.

Shannon (1948) measured a message by the length of its best code; Kullback and Leibler (1951) the
cost of using the wrong one. Exports ``entropy``, ``cross_entropy``, ``kl_divergence``,
``perplexity``, ``bits_per_character`` and the protocol ``LanguageModel``; ``nlpmeta.metrics`` hands
them on. Logarithms are natural, so results are in nats, unless ``base=2`` asks for bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import rel_entr, xlogy


class LanguageModel(Protocol):
    """What every language model of the book can do."""

    def fit(self, tokens: Sequence[str]) -> Self:
        """Learn from a text that has been cut into tokens."""

    def logprobs(self, tokens: Sequence[str]) -> np.ndarray:
        """Natural log-probability of each token given those before it, shape (t,)."""

    def next_logprobs(self, context: Sequence[str]) -> np.ndarray:
        """Natural log-probability of every token of the vocabulary as the next, shape (v,)."""


def entropy(p: ArrayLike, base: float = math.e) -> np.ndarray | float:
    """Entropy of a distribution: the mean surprise of one who knows it.

    H(p) = - sum_v p_v log p_v, where 0 log 0 = 0 (Shannon 1948).

    Parameters
    ----------
    p : array-like of float, shape (..., v)
        Distributions along the last axis.
    base : float
        Base of the logarithm: e for nats, 2 for bits.

    Returns
    -------
    float, or numpy.ndarray of shape (...)

    Raises
    ------
    ValueError
        If a number is negative or not finite, or a distribution does not sum to one.

    Examples
    --------
    >>> entropy([0.5, 0.25, 0.125, 0.125], base=2)
    1.75
    """
    p = _distribution(p, "p")
    return _scalar(-xlogy(p, p).sum(axis=-1) / _log(base))


def cross_entropy(p: ArrayLike, q: ArrayLike, base: float = math.e) -> np.ndarray | float:
    """Cross-entropy: the mean surprise of one who believes ``q`` where ``p`` holds.

    H(p, q) = - sum_v p_v log q_v = H(p) + KL(p || q); infinite where p_v > 0 and q_v = 0.

    Parameters
    ----------
    p, q : array-like of float, shape (..., v)
        The truth and the model, along the last axis.
    base : float
        Base of the logarithm: e for nats, 2 for bits.

    Returns
    -------
    float, or numpy.ndarray of shape (...)

    Raises
    ------
    ValueError
        If a number is negative or not finite, a distribution does not sum to one, or the two do
        not range over equally many outcomes.

    Examples
    --------
    >>> cross_entropy([0.5, 0.25, 0.125, 0.125], [0.25, 0.25, 0.25, 0.25], base=2)
    2.0
    """
    p, q = _distributions(p, q)
    return _scalar(-xlogy(p, q).sum(axis=-1) / _log(base))


def kl_divergence(p: ArrayLike, q: ArrayLike, base: float = math.e) -> np.ndarray | float:
    """Kullback-Leibler divergence: the surprise that believing ``q`` adds where ``p`` holds.

    KL(p || q) = sum_v p_v log (p_v / q_v), never negative and zero only if p = q (Kullback and
    Leibler 1951).

    Parameters
    ----------
    p, q : array-like of float, shape (..., v)
        The truth and the model, along the last axis.
    base : float
        Base of the logarithm: e for nats, 2 for bits.

    Returns
    -------
    float, or numpy.ndarray of shape (...)

    Raises
    ------
    ValueError
        As for :func:`cross_entropy`.

    Examples
    --------
    >>> round(kl_divergence([0.5, 0.25, 0.125, 0.125], [0.25, 0.25, 0.25, 0.25], base=2), 9)
    0.25
    """
    p, q = _distributions(p, q)
    return _scalar(rel_entr(p, q).sum(axis=-1) / _log(base))


def perplexity(logprobs: ArrayLike) -> float:
    """Perplexity: how many equally likely tokens would be as hard to guess.

    exp(-(1/T) sum_t log p(x_t | x_1 ... x_{t-1})) (Jelinek, Mercer, Bahl and Baker 1977).

    Parameters
    ----------
    logprobs : array-like of float, shape (t,)
        Natural log-probabilities of the tokens.

    Returns
    -------
    float
        At least 1; infinite if a token was held impossible. Per token: comparable only between
        models that cut the text in the same way.

    Raises
    ------
    ValueError
        If there is no token, or a value is NaN or above zero.

    Examples
    --------
    >>> perplexity(np.log([0.25, 0.25, 0.25]))
    4.0
    """
    return float(np.exp(-_logprobs(logprobs).mean()))


def bits_per_character(
    model: LanguageModel, text: str, tokenize: Callable[[str], Sequence[str]] = list
) -> float:
    """Bits a model needs per character of a text, however it cuts the text into tokens.

    - (1/C) sum_t log_2 p(x_t | x_1 ... x_{t-1}), where C counts the characters of the text and the
      sum runs over its tokens.

    Parameters
    ----------
    model : LanguageModel
        A fitted model.
    text : str
    tokenize : callable
        Cuts the text into the tokens of the model. Tokens must spell the whole text, or the bits
        for what they leave out are not counted.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the text is empty, or the model returns another number of log-probabilities than there
        are tokens, or one that is NaN or above zero.

    Examples
    --------
    >>> class FairCoin:
    ...     def logprobs(self, tokens):
    ...         return np.full(len(tokens), np.log(0.5))
    >>> bits_per_character(FairCoin(), "hthht")
    1.0
    """
    if not text:
        raise ValueError("text is empty; give at least one character")
    tokens = tokenize(text)
    logprobs = _logprobs(model.logprobs(tokens))
    if len(logprobs) != len(tokens):
        raise ValueError(
            f"model returned {len(logprobs)} log-probabilities for {len(tokens)} tokens; "
            "model.logprobs must return one for each token"
        )
    return float(-logprobs.sum() / (len(text) * math.log(2)))


def _distribution(values: ArrayLike, name: str) -> np.ndarray:
    p = np.asarray(values, dtype=float)
    if p.ndim == 0 or p.shape[-1] == 0:
        raise ValueError(f"{name} has shape {p.shape}; give at least one probability")
    if not (np.isfinite(p).all() and (p >= 0).all()):
        wrong = p[~(np.isfinite(p) & (p >= 0))].flat[0]
        raise ValueError(f"{name} holds {wrong}; probabilities are numbers from 0 to 1")
    total = p.sum(axis=-1)
    if not np.allclose(total, 1, rtol=0, atol=1e-6):
        wrong = total.flat[np.argmax(np.abs(total - 1))]
        raise ValueError(f"{name} sums to {wrong:.6g}, not 1; divide it by its sum")
    return p


def _distributions(p: ArrayLike, q: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    p, q = _distribution(p, "p"), _distribution(q, "q")
    if p.shape[-1] != q.shape[-1]:
        raise ValueError(
            f"p has {p.shape[-1]} outcomes and q {q.shape[-1]}; give both over the same outcomes"
        )
    return p, q


def _logprobs(values: ArrayLike) -> np.ndarray:
    logprobs = np.asarray(values, dtype=float)
    if logprobs.ndim != 1 or logprobs.size == 0:
        raise ValueError(f"logprobs has shape {logprobs.shape}; give one value per token")
    if not (logprobs <= 1e-9).all():
        wrong = logprobs[~(logprobs <= 1e-9)][0]
        raise ValueError(f"logprobs holds {wrong}; a log-probability is at most 0")
    return logprobs


def _log(base: float) -> float:
    if not base > 1:
        raise ValueError(f"base is {base}; give a base above 1, such as 2 for bits")
    return math.log(base)


def _scalar(value: np.ndarray) -> np.ndarray | float:
    """A float where the result is one number; adding 0 turns -0 into 0."""
    return float(value) + 0.0 if np.ndim(value) == 0 else value + 0.0
