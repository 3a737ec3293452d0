"""How probable labelings of sequences are, and in which direction they become more probable.

The negative log-likelihood of a conditional random field (Lafferty, McCallum and Pereira 2001) and
of a maximum-entropy Markov model (McCallum, Freitag and Pereira 2000), each with its gradient:
expected minus observed counts of features. Exports ``Chains``, the labeled sequences they take,
``chains``, which packs them, ``crf_objective``, ``memm_objective`` and ``sum_over_labelings``.
``nlpmeta.crf`` minimizes them; the sums are those of ``nlpmeta.lattice``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from nlpmeta import lattice
from nlpmeta.loglinear import softmax

__all__ = ["Chains", "chains", "crf_objective", "memm_objective", "sum_over_labelings"]

WIDEST = 300.0  # the widest range of scores whose exponentials are all far from zero


class Chains(NamedTuple):
    """Labeled sequences, packed as in ``lattice.Packed``: all first tokens, all second ones ..."""

    features: sparse.csr_array  # (n, a)
    previous: sparse.csr_array  # (n, k) one-hot label of the token before, zeros at a beginning
    offsets: np.ndarray  # (t + 1,) where each time begins
    observed: np.ndarray  # (a, k) sum of each feature over the tokens of each label
    pairs: np.ndarray  # (k, k) how often each label follows each other


def chains(
    features: sparse.csr_array, labels: np.ndarray, layout: lattice.Packed, k: int
) -> Chains:
    """Pack labeled sequences and count what they show.

    Parameters
    ----------
    features : scipy.sparse.csr_array of float, shape (n, a)
        A row for each token, sequence after sequence.
    labels : numpy.ndarray of int, shape (n,)
    layout : lattice.Packed
        Of the lengths of the sequences.
    k : int
        The number of classes.

    Returns
    -------
    Chains

    Examples
    --------
    >>> x = sparse.csr_array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> data = chains(x, np.array([0, 1, 1]), lattice.pack([2, 1]), 2)
    >>> data.observed.tolist(), data.pairs.tolist()
    ([[1.0, 0.0], [0.0, 2.0]], [[0.0, 1.0], [0.0, 0.0]])
    """
    n = len(labels)
    row = np.empty(n, dtype=np.int64)  # which token lies at each packed place
    row[layout.place] = np.arange(n)
    first = np.zeros(n, dtype=bool)
    first[np.cumsum(layout.lengths) - layout.lengths] = True
    one_hot = sparse.csr_array((np.ones(n), labels, np.arange(n + 1)), shape=(n, k))
    later = np.flatnonzero(~first)
    previous = sparse.csr_array(
        (np.ones(len(later)), (layout.place[later], labels[later - 1])), shape=(n, k)
    )
    features, one_hot = features[row], one_hot[row]
    return Chains(
        features,
        previous,
        layout.offsets,
        (features.T @ one_hot).toarray(),
        (previous.T @ one_hot).toarray(),
    )


def crf_objective(
    state: np.ndarray, transition: np.ndarray, data: Chains
) -> tuple[float, np.ndarray, np.ndarray]:
    """Negative conditional log-likelihood of a linear-chain CRF, with its gradient.

    log p(y | x) = sum_t (x_t . w[y_t] + T[y_{t-1}, y_t]) - log Z(x), where Z(x) sums over all
    labelings (forward-backward). The gradient is what the model expects of every feature minus what
    was observed (Lafferty, McCallum and Pereira 2001).

    Parameters
    ----------
    state : numpy.ndarray of float, shape (a, k)
        The weight w of each feature under each label.
    transition : numpy.ndarray of float, shape (k, k)
        The weight T of each label (column) after each other (row).
    data : Chains

    Returns
    -------
    value : float
        In nats, summed over the sequences.
    gradient_state : numpy.ndarray of float, shape (a, k)
    gradient_transition : numpy.ndarray of float, shape (k, k)

    Examples
    --------
    >>> data = chains(sparse.csr_array(np.ones((3, 1))), np.array([0, 1, 1]), lattice.pack([3]), 2)
    >>> value, _, pairs = crf_objective(np.zeros((1, 2)), np.zeros((2, 2)), data)
    >>> round(float(value / np.log(2)), 9), pairs.tolist()
    (3.0, [[0.5, -0.5], [0.5, -0.5]])
    """
    log_z, marginals, pairs = sum_over_labelings(data.features @ state, transition, data.offsets)
    value = log_z.sum() - np.vdot(state, data.observed) - np.vdot(transition, data.pairs)
    return float(value), data.features.T @ marginals - data.observed, pairs - data.pairs


def memm_objective(
    state: np.ndarray, transition: np.ndarray, data: Chains
) -> tuple[float, np.ndarray, np.ndarray]:
    """Negative conditional log-likelihood of a maximum-entropy Markov model, with its gradient.

    log p(y | x) = sum_t log p(y_t | y_{t-1}, x_t), where p(j | i, x_t) is proportional to
    exp(x_t . w[j] + T[i, j]): logistic regression with the label before as a feature (McCallum,
    Freitag and Pereira 2000).

    Parameters
    ----------
    state, transition, data
        As for :func:`crf_objective`.

    Returns
    -------
    value, gradient_state, gradient_transition
        As for :func:`crf_objective`.

    Examples
    --------
    >>> data = chains(sparse.csr_array(np.ones((3, 1))), np.array([0, 1, 1]), lattice.pack([3]), 2)
    >>> value, _, pairs = memm_objective(np.zeros((1, 2)), np.zeros((2, 2)), data)
    >>> round(float(value / np.log(2)), 9), pairs.tolist()
    (3.0, [[0.5, -0.5], [0.5, -0.5]])
    """
    p, log_z = softmax(data.features @ state + data.previous @ transition)
    value = log_z.sum() - np.vdot(state, data.observed) - np.vdot(transition, data.pairs)
    return float(value), data.features.T @ p - data.observed, data.previous.T @ p - data.pairs


def sum_over_labelings(
    scores: np.ndarray, transition: np.ndarray, offsets: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums over all labelings of chains whose steps have any scores (forward-backward).

    alpha_t(j) = exp(s_t(j)) sum_i alpha_{t-1}(i) exp(T_ij), and Z = sum_j alpha_T(j) (Lafferty,
    McCallum and Pereira 2001). The largest score of each token is taken off before, so nothing
    overflows; where the scores of a token range too widely for their exponentials, the sums run in
    logarithms.

    Parameters
    ----------
    scores : numpy.ndarray of float, shape (n, k)
        s_t(j), packed.
    transition : numpy.ndarray of float, shape (k, k)
    offsets : numpy.ndarray of int
        As in :class:`nlpmeta.lattice.Packed`.

    Returns
    -------
    log_z : numpy.ndarray of float, shape (n,)
        What each token adds to log Z of its chain.
    marginals : numpy.ndarray of float, shape (n, k)
    pairs : numpy.ndarray of float, shape (k, k)
        Expected number of steps from row to column.

    Examples
    --------
    >>> log_z, marginals, pairs = sum_over_labelings(np.zeros((3, 2)), np.zeros((2, 2)), range(4))
    >>> round(float(log_z.sum() / np.log(2)), 9), pairs.tolist()
    (3.0, [[0.5, 0.5], [0.5, 0.5]])
    """
    k = len(transition)
    top, ridge = scores.max(axis=1), transition.max()
    low, narrow = scores - top[:, None], transition - ridge
    if min(low.min(), narrow.min()) < -WIDEST:
        found = lattice.log_posteriors(np.zeros(k), narrow, low.T, offsets)
    else:
        found = lattice.posteriors(np.ones(k), np.exp(narrow), np.exp(low, out=low).T, offsets)
    log_z = found.logprobs + top
    log_z[offsets[1] :] += ridge
    return log_z, found.states.T, found.pairs
