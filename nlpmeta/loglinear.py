"""Log-linear models in formulas: probabilities from scores, likelihood, iterative scaling.

p(k | x) = exp(sum_j theta_jk f_j(x)) / Z(x). Exports ``softmax``, the ``objective`` with its
gradient, which is expected minus observed features (Berger, Della Pietra and Della Pietra 1996),
and one round of generalized and of improved iterative scaling, ``gis_step`` (Darroch and Ratcliff
1972) and ``iis_step`` (Della Pietra, Della Pietra and Lafferty 1997).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

__all__ = ["gis_step", "iis_step", "objective", "softmax"]

Matrix = np.ndarray | sparse.sparray | sparse.spmatrix

LONGEST = 10.0  # how far the exponent of one feature may move in one round of scaling


def softmax(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn scores into probabilities, and give the logarithm of what they were divided by.

    p_k = exp(s_k) / Z with Z = sum_k exp(s_k), row by row; the largest score of a row is taken off
    first, so that nothing overflows.

    Parameters
    ----------
    scores : numpy.ndarray of float, shape (n, k)

    Returns
    -------
    p : numpy.ndarray of float, shape (n, k)
    log_z : numpy.ndarray of float, shape (n,)
        In nats.

    Examples
    --------
    >>> p, log_z = softmax(np.log([[1.0, 2.0, 5.0]]))
    >>> p.round(3).tolist(), round(float(np.exp(log_z[0])), 6)
    ([[0.125, 0.25, 0.625]], 8.0)
    """
    highest = scores.max(axis=1)
    p = np.exp(scores - highest[:, None])
    total = p.sum(axis=1)
    p /= total[:, None]
    return p, highest + np.log(total)


def objective(
    theta: np.ndarray, features: Matrix, observed: np.ndarray, l2: np.ndarray | float = 0.0
) -> tuple[float, np.ndarray]:
    """Negative log-likelihood of a log-linear classifier plus its L2 penalty, with the gradient.

    sum_i log Z(x_i) - sum_jk theta_jk observed_jk + sum_jk l2_j theta_jk^2 / 2, where observed_jk =
    sum_i f_j(x_i) [y_i = k]. Its gradient is what the model expects minus what was observed, plus
    l2_j theta_jk (Berger, Della Pietra and Della Pietra 1996).

    Parameters
    ----------
    theta : numpy.ndarray of float, shape (d, k)
        A weight for every pair of a feature and a class.
    features : array or sparse matrix of float, shape (n, d)
    observed : numpy.ndarray of float, shape (d, k)
        ``features.T @ y`` with ``y`` one-hot.
    l2 : numpy.ndarray of float, shape (d, 1), or float

    Returns
    -------
    value : float
        In nats, summed over the examples.
    gradient : numpy.ndarray of float, shape (d, k)

    Examples
    --------
    >>> x, y = np.array([[1.0], [1.0], [1.0]]), np.array([[1, 0], [0, 1], [0, 1]])
    >>> value, gradient = objective(np.zeros((1, 2)), x, x.T @ y)
    >>> float(round(value / np.log(2), 6)), gradient.tolist()
    (3.0, [[0.5, -0.5]])
    """
    p, log_z = softmax(features @ theta)
    pull = l2 * theta
    value = log_z.sum() - np.vdot(theta, observed) + np.vdot(theta, pull) / 2
    return float(value), features.T @ p - observed + pull


def gis_step(
    observed: np.ndarray,
    expected: np.ndarray,
    total: float,
    theta: np.ndarray | float = 0.0,
    l2: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Generalized iterative scaling: the change of every weight in one round.

    delta = log(observed / expected) / C, where the features of every example sum to C (Darroch and
    Ratcliff 1972). With an L2 penalty delta solves expected exp(C delta) + l2 (theta + delta) =
    observed (Chen and Rosenfeld 2000). A weight that would run away is held to 10 / C a round.

    Parameters
    ----------
    observed, expected : numpy.ndarray of float, shape (d, k)
        Sums over the examples, in the data and under the model.
    total : float
        C, the sum of an example's features.
    theta : numpy.ndarray of float, shape (d, k)
        The weights before the step; only a penalty needs them.
    l2 : numpy.ndarray of float, shape (d, 1), or float

    Returns
    -------
    numpy.ndarray of float, shape (d, k)

    Examples
    --------
    >>> gis_step(np.array([[8.0, 2.0]]), np.array([[4.0, 2.0]]), 3.0).round(4).tolist()
    [[0.231, 0.0]]
    """
    if not np.any(l2):
        with np.errstate(divide="ignore"):  # log 0 is held back
            growth = np.log(observed / np.where(expected > 0, expected, 1))
        return np.where(expected > 0, growth.clip(-LONGEST, LONGEST) / total, 0)

    def grown(delta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mass = expected * np.exp(total * delta)
        return mass, total * mass

    return _balance(grown, observed, theta, l2, LONGEST / total)


def iis_step(
    features: sparse.sparray | sparse.spmatrix,
    p: np.ndarray,
    observed: np.ndarray,
    theta: np.ndarray | float = 0.0,
    l2: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Improved iterative scaling: the change of every weight in one round, by Newton's method.

    delta_jk solves sum_i p(k | x_i) f_j(x_i) exp(delta_jk f#(x_i)) + l2_j (theta_jk + delta_jk) =
    observed_jk, where f#(x) is the sum of the features of x (Della Pietra, Della Pietra and
    Lafferty 1997).

    Parameters
    ----------
    features : sparse matrix of float, shape (n, d)
        Not negative.
    p : numpy.ndarray of float, shape (n, k)
        The model's probabilities before the step.
    observed : numpy.ndarray of float, shape (d, k)
    theta : numpy.ndarray of float, shape (d, k)
    l2 : numpy.ndarray of float, shape (d, 1), or float

    Returns
    -------
    numpy.ndarray of float, shape (d, k)

    Examples
    --------
    >>> f = sparse.csr_array([[1.0, 0.0], [1.0, 1.0]])
    >>> p = np.full((2, 2), 0.5)
    >>> iis_step(f, p, np.array([[1.0, 1.0], [0.8, 0.2]])).round(4).tolist()
    [[0.0, 0.0], [0.235, -0.4581]]
    """
    entries = sparse.coo_array(features)
    row, column = entries.coords
    mass = entries.data[:, None] * p[row]  # (nonzeros, k)
    total = np.asarray(features.sum(axis=1)).ravel()  # f#, (n,)
    gather = sparse.csr_array(
        (np.ones(len(row)), (column, np.arange(len(row)))), (features.shape[1], len(row))
    )

    def grown(delta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        terms = mass * np.exp(delta[column] * total[row, None])
        return gather @ terms, gather @ (total[row, None] * terms)

    return _balance(grown, observed, theta, l2, LONGEST / total.max())


def _balance(
    grown: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    observed: np.ndarray,
    theta: np.ndarray | float,
    l2: np.ndarray | float,
    limit: float,
) -> np.ndarray:
    """Solve ``grown(delta) + l2 (theta + delta) = observed`` for each weight on its own.

    The left side is convex and rises, so Newton's method converges from anywhere, within the limit;
    every delta between zero and the solution raises the likelihood too.
    """
    delta = np.zeros_like(observed)
    for _ in range(100):
        mass, rise = grown(delta)
        gap = mass + l2 * (theta + delta) - observed
        rise = rise + l2
        newton = np.divide(gap, rise, out=np.zeros_like(gap), where=rise > 0)
        previous, delta = delta, np.clip(delta - newton, -limit, limit)
        if np.abs(delta - previous).max() <= 1e-9 * limit:
            break
    return delta
