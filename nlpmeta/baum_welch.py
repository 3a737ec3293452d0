"""Learning the parameters of a hidden Markov model: count, or where states are hidden, expect.

With known states maximum likelihood is counting and dividing. Without, expectation-maximization
replaces each count by its expectation given the sequences (Baum, Petrie, Soules and Weiss 1970;
Dempster, Laird and Rubin 1977). Exports ``Parameters``, ``counts``, ``expected_counts``,
``reestimate``, ``climb``, ``likelihood_of`` and ``refuse_impossible``; ``nlpmeta.hmm`` stands on
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nlpmeta import long_chain
from nlpmeta.lattice import log
from nlpmeta.sequences import Block

__all__ = [
    "Parameters",
    "climb",
    "counts",
    "expected_counts",
    "likelihood_of",
    "reestimate",
    "refuse_impossible",
]


class Parameters(NamedTuple):
    """Of a hidden Markov model; or counts, expected or not, in the same places."""

    start: np.ndarray  # (k,)
    transition: np.ndarray  # (k, k) from row to column
    emission: np.ndarray  # (k, v)


def counts(x: np.ndarray, z: np.ndarray, lengths: np.ndarray, k: int, v: int) -> Parameters:
    """How often sequences begin in each state, step from state to state, and show each symbol.

    Parameters
    ----------
    x, z : numpy.ndarray of int, shape (n,)
        Symbols and their states, sequence after sequence.
    lengths : numpy.ndarray of int, shape (b,)
    k, v : int
        How many states and symbols there are.

    Returns
    -------
    Parameters

    Examples
    --------
    >>> counts(np.array([0, 1, 1]), np.array([0, 1, 1]), np.array([3]), 2, 2).transition.tolist()
    [[0.0, 1.0], [0.0, 1.0]]
    """
    first = np.cumsum(lengths) - lengths
    goes_on = np.ones(len(x), dtype=bool)
    goes_on[first - 1] = False  # the last symbol of each sequence, in a circle
    start = np.bincount(z[first], minlength=k).astype(float)
    pairs = _table(z[:-1][goes_on[:-1]], z[1:][goes_on[:-1]], (k, k))
    return Parameters(start, pairs, _table(z, x, (k, v)))


def expected_counts(parameters: Parameters, blocks: Sequence[Block]) -> tuple[float, Parameters]:
    """The E step: log-likelihood, and expected counts given the sequences.

    gamma_1(i) for the start, sum_t xi_t(i, j) for the pairs, and sum_t gamma_t(i) [x_t = v] for the
    emissions, from forward-backward (Rabiner 1989).

    Parameters
    ----------
    parameters : Parameters
    blocks : sequence of Block

    Returns
    -------
    loglik : float
        In nats, under ``parameters``.
    expected : Parameters

    Raises
    ------
    ValueError
        If a sequence is impossible under the parameters.

    Examples
    --------
    >>> from nlpmeta.sequences import blocks
    >>> half = Parameters(np.full(2, 0.5), np.full((2, 2), 0.5), np.full((2, 2), 0.5))
    >>> loglik, expected = expected_counts(half, list(blocks(np.array([0, 1]), np.array([2]),
    ...                                                      half.transition)))
    >>> round(loglik / np.log(2)), expected.emission.tolist()
    (-2, [[0.5, 0.5], [0.5, 0.5]])
    """
    expected = Parameters(*map(np.zeros_like, parameters))
    loglik = 0.0
    for symbols, layout, _ in blocks:
        likelihood, factor = likelihood_of(parameters.emission, symbols)
        found = long_chain.posteriors(*parameters[:2], likelihood, layout.offsets)
        logprobs = found.logprobs + log(factor)
        refuse_impossible(logprobs)
        loglik += logprobs.sum()
        expected.start[:] += found.states[:, : layout.offsets[1]].sum(axis=1)
        expected.transition[:] += found.pairs
        for row, gamma in zip(expected.emission, found.states):
            row += np.bincount(symbols, gamma, minlength=len(row))
    return float(loglik), expected


def reestimate(counted: Parameters, otherwise: Parameters, smoothing: float) -> Parameters:
    """The M step: counts divided by the sum of their row.

    a_ij = (n_ij + s) / sum_j' (n_ij' + s), and likewise for the start and the emissions.

    Parameters
    ----------
    counted : Parameters
        Counts or expected counts.
    otherwise : Parameters
        Gives the rows whose counts sum to zero.
    smoothing : float
        Added to every count, s.

    Returns
    -------
    Parameters

    Examples
    --------
    >>> half = Parameters(np.full(2, 0.5), np.full((2, 2), 0.5), np.full((2, 2), 0.5))
    >>> seen = Parameters(np.array([1.0, 0]), np.array([[1.0, 3], [0, 0]]), np.ones((2, 2)))
    >>> reestimate(seen, half, 0.0).transition.tolist()
    [[0.25, 0.75], [0.5, 0.5]]
    """
    return Parameters(*(_shares(n + smoothing, rows) for n, rows in zip(counted, otherwise)))


def climb(
    parameters: Parameters,
    blocks: Sequence[Block],
    *,
    iterations: int,
    enough: float,
    smoothing: float,
) -> tuple[Parameters, list[float]]:
    """One run of Baum-Welch.

    Parameters
    ----------
    parameters : Parameters
        Where it begins.
    blocks : sequence of Block
    iterations : int
        Most steps.
    enough : float
        It ends when a step raises the log-likelihood by less.
    smoothing : float
        As in :func:`reestimate`.

    Returns
    -------
    parameters : Parameters
        After the last step.
    history : list of float
        The log-likelihood before each step.

    Raises
    ------
    ValueError
        As for :func:`expected_counts`.

    Examples
    --------
    >>> from nlpmeta.sequences import blocks
    >>> one = Parameters(np.ones(1), np.ones((1, 1)), np.full((1, 2), 0.5))
    >>> dealt = list(blocks(np.array([0, 0, 1]), np.array([3]), one.transition))
    >>> found, history = climb(one, dealt, iterations=9, enough=1e-9, smoothing=0.0)
    >>> found.emission.round(3).tolist(), len(history)
    ([[0.667, 0.333]], 3)
    """
    history: list[float] = []
    for _ in range(iterations):
        loglik, expected = expected_counts(parameters, blocks)
        history.append(loglik)
        parameters = reestimate(expected, parameters, smoothing)
        if len(history) > 1 and history[-1] - history[-2] < enough:
            break
    return parameters, history


def likelihood_of(emission: np.ndarray, symbols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """b_j(x_t) divided by its largest value over j, and that value.

    Parameters
    ----------
    emission : numpy.ndarray of float, shape (k, v)
    symbols : numpy.ndarray of int, shape (n,)

    Returns
    -------
    likelihood : numpy.ndarray of float, shape (k, n)
    factor : numpy.ndarray of float, shape (n,)

    Examples
    --------
    >>> likelihood, factor = likelihood_of(np.array([[0.8, 0.2], [0.4, 0.6]]), np.array([0]))
    >>> likelihood.tolist(), factor.tolist()
    ([[1.0], [0.5]], [0.8])
    """
    largest = emission.max(axis=0)
    relative = emission / np.where(largest > 0, largest, 1)
    return relative.take(symbols, axis=1), largest[symbols]


def refuse_impossible(logprobs: np.ndarray) -> None:
    """Stop where a symbol has probability zero given those before it.

    Parameters
    ----------
    logprobs : numpy.ndarray of float, shape (n,)

    Raises
    ------
    ValueError
        If one of them is minus infinity.

    Examples
    --------
    >>> refuse_impossible(np.array([-1.0, -2.0]))
    """
    if np.isneginf(logprobs).any():
        raise ValueError(
            "a sequence has probability zero under the model; see which with score(), "
            "and smooth the parameters"
        )


def _table(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """How often each row occurs with each column."""
    cells = np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1])
    return cells.reshape(shape).astype(float)


def _shares(counted: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Counts divided by the sum of their row; where that is zero, the row of ``otherwise``."""
    total = counted.sum(axis=-1, keepdims=True)
    return np.where(total > 0, counted / np.where(total > 0, total, 1), otherwise)
