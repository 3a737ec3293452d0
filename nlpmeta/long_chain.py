"""Sums over all paths through one long chain, cut into pieces that are worked on side by side.

The loop over time of ``nlpmeta.lattice`` moves many chains at once, but one chain by itself costs
as much time a step as a thousand. So a long chain is cut into pieces. Each is first summarized, for
each state that it may be entered in, by the weight of each state that it may end in; a short loop
over these matrices finds how each piece is entered and left (a blocked form of the parallel scan of
Blelloch 1990); and then the pieces are chains like any others. The price is a factor of the number
of states on one pass. Exports ``pays``, and ``filtered`` and ``posteriors``, which take what those
of ``nlpmeta.lattice`` take and hand everything else on to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nlpmeta import lattice
from nlpmeta.lattice import REFILL, Packed, Posteriors, log

SHORTEST, MOST_STATES = 2000, 16  # where cutting begins to pay, and where it no longer does


class _Pieces(NamedTuple):
    """A chain in pieces; ``weights`` and ``logs`` together are sums over paths."""

    layout: Packed
    likelihood: np.ndarray  # (k, t) packed piece by piece
    entries: np.ndarray  # (k, p) distribution of the first state of a piece, given the past
    weights: np.ndarray  # (p, k, k) from first to last state, each row divided by its sum
    logs: np.ndarray  # (p, k) logarithms of these sums


def filtered(
    start: np.ndarray, transition: np.ndarray, likelihood: np.ndarray, offsets: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """State and symbol at each time given the past, as :func:`nlpmeta.lattice.filtered`.

    Parameters
    ----------
    start, transition, likelihood, offsets
        As in :func:`nlpmeta.lattice.forward`.

    Returns
    -------
    alpha, logprobs
        As from :func:`nlpmeta.lattice.filtered`.

    Examples
    --------
    >>> half = np.full((2, 2), 0.5)
    >>> alpha, logprobs = filtered(half[0], half, np.ones((2, 5000)), range(5001))
    >>> alpha.shape, float(np.abs(logprobs).max())
    ((2, 5000), 0.0)
    """
    if not _is_long(transition, offsets):
        return lattice.filtered(start, transition, likelihood, offsets)
    pieces = _cut(start, transition, likelihood)
    layout = pieces.layout
    alpha, scale = lattice.forward(pieces.entries, transition, pieces.likelihood, layout.offsets)
    return alpha[:, layout.place], log(scale[layout.place])


def posteriors(
    start: np.ndarray, transition: np.ndarray, likelihood: np.ndarray, offsets: Sequence[int]
) -> Posteriors:
    """States and transitions given the whole chain, as :func:`nlpmeta.lattice.posteriors`.

    Parameters
    ----------
    start, transition, likelihood, offsets
        As in :func:`nlpmeta.lattice.forward`.

    Returns
    -------
    Posteriors

    Examples
    --------
    >>> half = np.full((2, 2), 0.5)
    >>> posteriors(half[0], half, np.ones((2, 5001)), range(5002)).pairs.round(6).tolist()
    [[1250.0, 1250.0], [1250.0, 1250.0]]
    """
    if not _is_long(transition, offsets):
        return lattice.posteriors(start, transition, likelihood, offsets)
    pieces = _cut(start, transition, likelihood)
    layout, exits = pieces.layout, np.ones_like(pieces.entries)
    borders = np.zeros_like(transition)
    for p in range(len(pieces.logs) - 1, 0, -1):
        # Seen from the end of the piece before: the weight of all that follows, by first state.
        ahead = _relative(pieces.logs[p], pieces.entries[:, p]) * (pieces.weights[p] @ exits[:, p])
        end = _last_state(pieces, p - 1)
        pair = transition * np.outer(end, ahead)
        total = pair.sum()
        borders += pair / total if total > 0 else 0.0
        exits[:, p - 1] = transition @ ahead / (total if total > 0 else 1.0)
    found = lattice.posteriors(pieces.entries, transition, pieces.likelihood, layout.offsets, exits)
    place = layout.place
    return Posteriors(found.logprobs[place], found.states[:, place], found.pairs + borders)


def pays(transition: np.ndarray) -> bool:
    """Whether long chains with these transitions are cut: few states, each refilling every other.

    Parameters
    ----------
    transition : numpy.ndarray of float, shape (k, k)

    Returns
    -------
    bool

    Examples
    --------
    >>> pays(np.full((2, 2), 0.5)), pays(np.eye(2))
    (True, False)
    """
    return len(transition) <= MOST_STATES and bool(transition.min() >= REFILL)


def _is_long(transition: np.ndarray, offsets: Sequence[int]) -> bool:
    return offsets[1] == 1 and len(offsets) > SHORTEST and pays(transition)


def _cut(start: np.ndarray, transition: np.ndarray, likelihood: np.ndarray) -> _Pieces:
    """Cut a chain into about as many pieces as each is long, and find how each is entered."""
    k, length = likelihood.shape
    size = int(np.ceil(np.sqrt(length)))
    begins = np.arange(0, length, size)
    layout = lattice.pack(np.diff([*begins, length]))
    packed = layout.pack(likelihood)
    weights, logs = _summarize(transition, packed, layout.offsets)
    entries = np.empty((k, len(begins)))
    pieces = _Pieces(layout, packed, entries, weights, logs)
    entries[:, 0] = start
    for p in range(1, len(begins)):
        entries[:, p] = _last_state(pieces, p - 1) @ transition
    return pieces


def _summarize(
    transition: np.ndarray, likelihood: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each piece and first state: the last state's share of the weight, and log weight."""
    k, count = len(transition), int(offsets[1])
    logs = log(likelihood[:, :count].T)  # (p, k)
    weights = np.tile(np.eye(k), (count, 1, 1)) * (likelihood[:, :count].T > 0)[:, :, None]
    for begin, end in zip(offsets[1:-1].tolist(), offsets[2:].tolist()):
        n = end - begin
        now = (weights[:n].reshape(-1, k) @ transition).reshape(n, k, k)
        now *= likelihood[:, begin:end].T[:, None]
        total = now.sum(axis=2)
        logs[:n] += log(total)
        weights[:n] = now / np.where(total > 0, total, 1)[:, :, None]
    return weights, logs


def _last_state(pieces: _Pieces, p: int) -> np.ndarray:
    """Distribution of the last state of a piece given the past; zeros if it is impossible."""
    entry = pieces.entries[:, p]
    end = (entry * _relative(pieces.logs[p], entry)) @ pieces.weights[p]
    return end / (end.sum() or 1.0)


def _relative(logs: np.ndarray, entry: np.ndarray) -> np.ndarray:
    """Weights from their logarithms, the largest of those that can be entered set to one."""
    top = logs[entry > 0].max(initial=-np.inf)
    return np.exp(np.minimum(logs - top, 0.0)) if np.isfinite(top) else np.zeros_like(logs)
