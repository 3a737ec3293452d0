"""Variational Bayes for topics: Dirichlet posteriors that climb a bound on the evidence.

Blei, Ng and Jordan (2003), with the topics' posteriors of Hoffman, Blei and Bach (2010); updates
run over stacks of documents of like length. Exports ``dirichlet_log``, ``dirichlet_bound``,
``infer_documents`` and ``expected_counts``; ``nlpmeta.topics`` hands them on.
Letters: d documents, v words, k topics, alpha the prior of topics in documents.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from scipy.special import gammaln, psi

_CELLS = 1 << 17  # numbers that one batch of documents may fill: a megabyte stays in the cache
_FLOOR = -300.0  # smallest logarithm kept: the product of two such probabilities is still above 0


def dirichlet_log(parameters: np.ndarray) -> np.ndarray:
    """Expected logarithms under Dirichlet distributions, one in each row.

    E[log theta_k] = psi(gamma_k) - psi(sum_j gamma_j), psi being the digamma function (Blei, Ng and
    Jordan 2003, appendix A.1).

    Parameters
    ----------
    parameters : numpy.ndarray of float, shape (n, k)

    Returns
    -------
    numpy.ndarray, shape (n, k)

    Examples
    --------
    >>> dirichlet_log(np.array([[1.0, 1.0]]))
    array([[-1., -1.]])
    """
    return psi(parameters) - psi(parameters.sum(axis=1, keepdims=True))


def dirichlet_bound(parameters: np.ndarray, prior: float) -> np.ndarray:
    """What Dirichlet posteriors cost in the evidence bound: minus their divergence from the prior.

    E_q[log p(theta | prior) - log q(theta)] = - KL(q || p), at most zero, for each row.

    Parameters
    ----------
    parameters : numpy.ndarray of float, shape (n, k)
        A posterior in each row.
    prior : float
        The symmetric prior of all of them.

    Returns
    -------
    numpy.ndarray, shape (n,)
        In nats.

    Examples
    --------
    >>> dirichlet_bound(np.array([[0.5, 0.5, 0.5], [9.5, 0.5, 0.5]]), 0.5).round(2)
    array([ 0., -2.])
    """
    k = parameters.shape[1]
    before = gammaln(k * prior) - k * gammaln(prior)
    own = gammaln(parameters.sum(axis=1)) - gammaln(parameters).sum(axis=1)
    return before - own + ((prior - parameters) * dirichlet_log(parameters)).sum(axis=1)


def infer_documents(
    x: sp.csr_array,
    log_words: np.ndarray,
    alpha: float,
    gamma: np.ndarray,
    max_steps: int = 100,
    tolerance: float = 1e-3,
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinate ascent on the posteriors of all documents, the topics being fixed.

    Until the mean change of a document's gamma is below the tolerance,

        phi_dwk proportional to exp(E[log theta_dk] + E[log beta_kw]),

        gamma_dk = alpha + sum_w x_dw phi_dwk

    (Blei, Ng and Jordan 2003, equations 6 and 7). phi is never stored: with a_dk and b_wk the two
    exponentials, gamma_dk = alpha + a_dk sum_w (x_dw / c_dw) b_wk where c_dw = sum_k a_dk b_wk
    (Hoffman, Blei and Bach 2010). Documents of like length are stacked and updated in one product.

    Parameters
    ----------
    x : scipy.sparse.csr_array, shape (d, v)
        Counts of words.
    log_words : numpy.ndarray, shape (v, k)
        E[log beta_kw].
    alpha : float
        Prior of topics in documents.
    gamma : numpy.ndarray, shape (d, k)
        Where to start.
    max_steps : int
        Steps that a document takes at most; 0 leaves gamma as it is.
    tolerance : float
        Mean change of gamma at which a document stops.

    Returns
    -------
    gamma : numpy.ndarray, shape (d, k)
        Dirichlet posteriors of the documents.
    log_c : numpy.ndarray, shape (nonzeros of x,)
        log c_dw, in the order of ``x.data``.

    Examples
    --------
    Three words of one topic and one of the other, which share no words:

    >>> x = sp.csr_array([[2, 1, 1]])
    >>> log_words = np.log(np.array([[0.5, 1e-99], [0.5, 1e-99], [1e-99, 1.0]]))
    >>> infer_documents(x, log_words, 0.1, np.ones((1, 2)))[0].round(6)
    array([[3.1, 1.1]])
    """
    b, scale = _scaled_exp(log_words)
    gamma, log_c = gamma.copy(), scale[x.indices]
    for rows, cells, real in _batches(x, b.shape[1]):
        words = b[x.indices[cells]]  # (docs, length, k)
        gamma[rows] = _ascend(words, x.data[cells] * real, alpha, gamma[rows], max_steps, tolerance)
        a, own = _scaled_exp(dirichlet_log(gamma[rows]))
        c = np.log(np.matmul(words, a[:, :, None])[:, :, 0]) + own[:, None]  # (docs, length)
        log_c[cells[real]] += c[real]
    return gamma, log_c


def expected_counts(
    x: sp.csr_array, log_words: np.ndarray, gamma: np.ndarray, log_c: np.ndarray
) -> np.ndarray:
    """Tokens of each word that each topic is expected to have: what the topics are updated from.

    sum_d x_dw phi_dwk = b_wk sum_d (x_dw / c_dw) a_dk, in the letters of :func:`infer_documents`.

    Parameters
    ----------
    x, log_words
        As given to :func:`infer_documents`.
    gamma, log_c
        As returned by it.

    Returns
    -------
    numpy.ndarray, shape (v, k)

    Examples
    --------
    >>> x = sp.csr_array([[2, 1, 1]])
    >>> log_words = np.log(np.array([[0.5, 1e-99], [0.5, 1e-99], [1e-99, 1.0]]))
    >>> gamma, log_c = infer_documents(x, log_words, 0.1, np.ones((1, 2)))
    >>> expected_counts(x, log_words, gamma, log_c).round(6)
    array([[2., 0.],
           [1., 0.],
           [0., 1.]])
    """
    a, of_document = _scaled_exp(dirichlet_log(gamma))
    b, of_word = _scaled_exp(log_words)
    log_c = log_c - np.repeat(of_document, np.diff(x.indptr)) - of_word[x.indices]
    ratio = sp.csr_array((x.data * np.exp(-log_c), x.indices, x.indptr), shape=x.shape)
    return b * (ratio.T @ a)


def _batches(x: sp.csr_array, k: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Documents of like length: their rows, places in x.data (docs, length), which are real."""
    length = np.diff(x.indptr)
    order = np.argsort(length, kind="stable")
    stop = len(order)
    while stop:
        longest = max(1, length[order[stop - 1]])
        start = max(0, stop - max(1, _CELLS // (longest * k)))
        rows = order[start:stop]
        real = np.arange(longest) < length[rows, None]
        cells = np.where(real, x.indptr[rows, None] + np.arange(longest), 0)
        yield rows, cells, real
        stop = start


def _ascend(
    words: np.ndarray,
    counts: np.ndarray,
    alpha: float,
    gamma: np.ndarray,
    max_steps: int,
    tolerance: float,
) -> np.ndarray:
    """The inner loop of ``infer_documents`` on one batch; settled documents leave it by and by."""
    gamma, left = gamma.copy(), np.arange(len(gamma))
    for _ in range(max_steps):
        a = _scaled_exp(dirichlet_log(gamma[left]))[0]  # (docs, k)
        c = np.matmul(words, a[:, :, None])[:, :, 0]  # (docs, length)
        new = alpha + a * np.matmul((counts / c)[:, None], words)[:, 0]
        moving = np.abs(new - gamma[left]).mean(axis=1) >= tolerance
        gamma[left] = new
        if moving.mean() < 0.7:
            left, words, counts = left[moving], words[moving], counts[moving]
        if not len(left):
            break
    return gamma


def _scaled_exp(logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """exp of each row less its maximum, and that maximum: nothing underflows to 0."""
    scale = logs.max(axis=1)
    return np.exp(np.maximum(logs - scale[:, None], _FLOOR)), scale
