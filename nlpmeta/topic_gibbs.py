"""The collapsed Gibbs sampler of topics, which moves a block of tokens at a time and stays exact.

Griffiths and Steyvers (2004) sum the distributions out and sample the topic of one token after the
other. Here a block of tokens draws its topics together, and the Metropolis-Hastings ratio of the
collapsed posterior accepts or refuses the block. Exports ``Tokens``, ``Counts``, ``tokens_of``,
``count``, ``log_joint``, ``gibbs_pass`` and ``next_block``; ``nlpmeta.topics`` hands them on.
Letters: d documents, v words, k topics, n tokens, alpha and beta the two symmetric priors.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.special import gammaln


class Tokens(NamedTuple):
    """The tokens of a corpus in a row: which document and which word each is, both (n,)."""

    document: np.ndarray
    word: np.ndarray


class Counts(NamedTuple):
    """How many tokens each topic has: per document (d, k), per word (v, k), and in all (k,)."""

    document: np.ndarray
    word: np.ndarray
    total: np.ndarray


def tokens_of(x: sp.csr_array) -> Tokens:
    """Each count as so many tokens, document by document.

    Parameters
    ----------
    x : scipy.sparse.csr_array of counts, shape (d, v)

    Returns
    -------
    Tokens

    Examples
    --------
    >>> tokens_of(sp.csr_array([[2, 0, 1], [0, 1, 0]]))
    Tokens(document=array([0, 0, 0, 1]), word=array([0, 0, 2, 1]))
    """
    times = x.data.astype(int)
    document = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
    return Tokens(np.repeat(document, times), np.repeat(x.indices.astype(int), times))


def count(tokens: Tokens, topic: np.ndarray, shape: tuple[int, int, int]) -> Counts:
    """The counts that an assignment of topics to tokens leaves.

    n_dk and n_wk are the numbers of tokens of document d and of word w that topic k has.

    Parameters
    ----------
    tokens : Tokens
    topic : numpy.ndarray of int, shape (n,)
        Topic of each token.
    shape : tuple of int
        Numbers of documents, words and topics.

    Returns
    -------
    Counts

    Examples
    --------
    >>> tokens = Tokens(np.array([0, 0, 1]), np.array([0, 1, 1]))
    >>> count(tokens, np.array([0, 1, 1]), (2, 2, 2)).total
    array([1., 2.])
    """
    d, v, k = shape
    return Counts(
        np.bincount(tokens.document * k + topic, minlength=d * k).reshape(d, k).astype(float),
        np.bincount(tokens.word * k + topic, minlength=v * k).reshape(v, k).astype(float),
        np.bincount(topic, minlength=k).astype(float),
    )


def log_joint(counts: Counts, alpha: float, beta: float) -> float:
    """Log-probability of words and topics together, with both kinds of distributions summed out.

    log p(w, z) = sum_d log B(n_d + alpha) / B(alpha) + sum_k log B(n_k + beta) / B(beta), where B
    is the Dirichlet's normalizer (Griffiths and Steyvers 2004, equations 2 and 3).

    Parameters
    ----------
    counts : Counts
    alpha, beta : float
        Priors of topics in documents and of words in topics.

    Returns
    -------
    float
        In nats.

    Examples
    --------
    One token: each of 2 topics, then each of 4 words, is as likely as the others.

    >>> counts = count(Tokens(np.array([0]), np.array([3])), np.array([1]), (1, 4, 2))
    >>> round(math.exp(log_joint(counts, 0.5, 0.1)), 9)
    0.125
    """
    return _log_ratio(counts.document, alpha) + _log_ratio(counts.word.T, beta)


def gibbs_pass(
    tokens: Tokens,
    topic: np.ndarray,
    counts: Counts,
    alpha: float,
    beta: float,
    block: int,
    rng: np.random.Generator,
) -> float:
    """One pass of the collapsed sampler over all tokens, a block at a time; changes its arguments.

    A block is taken out of the counts, and each of its tokens proposes a topic from

        q(k) proportional to (n_dk + alpha) (n_wk + beta) / (n_k + V beta),

    the conditional of Griffiths and Steyvers (2004, equation 5) given the tokens outside the block.
    The whole block then moves with the Metropolis-Hastings probability min(1, p(new) q(old) /
    (p(old) q(new))), p being its exact collapsed conditional, so p(z | w) stays as it is whatever
    the size of the block. A block of one token always moves: that is Gibbs sampling token by token.

    Parameters
    ----------
    tokens : Tokens
    topic : numpy.ndarray of int, shape (n,)
        Topic of each token; overwritten.
    counts : Counts
        Their counts; kept in step.
    alpha, beta : float
        Priors of topics in documents and of words in topics.
    block : int
        Tokens in a block.
    rng : numpy.random.Generator

    Returns
    -------
    float
        Share of the tokens whose block moved.

    Examples
    --------
    >>> tokens = Tokens(np.array([0, 0, 1]), np.array([0, 1, 1]))
    >>> topic = np.array([0, 1, 1])
    >>> counts = count(tokens, topic, (2, 2, 2))
    >>> gibbs_pass(tokens, topic, counts, 0.5, 0.5, block=1, rng=np.random.default_rng(0))
    1.0
    """
    k, v = len(counts.total), len(counts.word)
    order = _spread(tokens.document, rng)
    steps = np.triu(np.ones((k, k)))  # faster than np.cumsum along short rows
    moved = 0
    for start in range(0, len(order), block):
        here = order[start : start + block]
        d, w, old = tokens.document[here], tokens.word[here], topic[here]
        _add(counts, d, w, old, -1.0)
        in_document, in_word = counts.document[d] + alpha, counts.word[w] + beta  # (block, k)
        in_topic = counts.total + v * beta  # (k,)
        ladder = (in_document * in_word / in_topic) @ steps  # (block, k), sums up to each topic
        new = np.argmax(ladder > rng.random((len(here), 1)) * ladder[:, -1:], axis=1)
        owed = [_excess(d, w, z, in_document, in_word, in_topic) for z in (new, old)]
        if rng.random() < math.exp(min(0.0, owed[0] - owed[1])):
            moved += len(here)
        else:
            new = old
        topic[here] = new
        _add(counts, d, w, new, 1.0)
    return moved / len(order)


def next_block(block: int, moved: float) -> int:
    """The size of the blocks after a pass of which this share moved: half, the same or double.

    What ties the tokens of a block together is the cells that they share. The larger the block,
    the fewer operations for a token and the more refusals; between four fifths and nineteen
    twentieths moved the most tokens a second on docstrings. Every size is exact, but a size that
    follows the samples is not, so it has to be settled before the samples that count.

    Parameters
    ----------
    block : int
        Tokens in a block.
    moved : float
        What :func:`gibbs_pass` returned.

    Returns
    -------
    int
        At least 1, at most 512.

    Examples
    --------
    >>> next_block(64, 0.99), next_block(64, 0.9), next_block(64, 0.3), next_block(1, 1.0)
    (128, 64, 32, 2)
    """
    if moved < 0.8:
        return max(1, block // 2)
    return min(512, 2 * block) if moved > 0.95 else block


def _excess(
    d: np.ndarray,
    w: np.ndarray,
    topic: np.ndarray,
    in_document: np.ndarray,
    in_word: np.ndarray,
    in_topic: np.ndarray,
) -> float:
    """log p(topic) - log q(topic) of a block, less a constant.

    By the chain rule p meets each token with the counts of the block's tokens before it, which q
    leaves out: a factor (n + r) / n wherever r of them share its cell.
    """
    k, row = len(in_topic), np.arange(len(topic))
    return float(
        np.log1p(_rank(d * k + topic) / in_document[row, topic]).sum()
        + np.log1p(_rank(w * k + topic) / in_word[row, topic]).sum()
        - np.log1p(_rank(topic) / in_topic[topic]).sum()
    )


def _spread(document: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An order of the tokens that keeps those of one document as far apart as can be.

    Token i of n goes to (i / n + u) mod 1 with a new u for each document, so a block, a short
    stretch of that circle, holds more than one token of the longest documents only.
    """
    n = np.bincount(document)
    place = _rank(document) / n[document] + rng.random(len(n))[document]
    return np.argsort(place % 1)


def _rank(cell: np.ndarray) -> np.ndarray:
    """How many entries of the same value stand before each entry."""
    order = np.argsort(cell, kind="stable")
    i = np.arange(len(cell))
    starts = np.diff(cell[order], prepend=-1) != 0
    rank = np.empty(len(cell))
    rank[order] = i - np.maximum.accumulate(np.where(starts, i, 0))
    return rank


def _add(counts: Counts, d: np.ndarray, w: np.ndarray, topic: np.ndarray, amount: float) -> None:
    """Add so much to the counts of tokens; a cell that stands twice is added to twice."""
    k = len(counts.total)
    np.add.at(counts.document.reshape(-1), d * k + topic, amount)
    np.add.at(counts.word.reshape(-1), w * k + topic, amount)
    counts.total[:] += amount * np.bincount(topic, minlength=k)


def _log_ratio(counts: np.ndarray, prior: float) -> float:
    """sum over rows of log B(counts + prior) / B(prior), B being the Dirichlet's normalizer."""
    n, k = counts.shape
    own = gammaln(counts + prior).sum() - gammaln(counts.sum(axis=1) + k * prior).sum()
    return float(own - n * (k * gammaln(prior) - gammaln(k * prior)))
