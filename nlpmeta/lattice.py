"""Sums and maxima over all paths through a chain of states, for many chains at once.

The sum over paths is the forward-backward algorithm (Baum, Petrie, Soules and Weiss 1970), the
maximum is Viterbi's (1967). Chains of different lengths lie *packed*: first all first positions,
the longest chain in front, then all second positions of the chains that have one, and so on. The
chains alive at time t are then a prefix of those alive at t - 1, so the loop runs over time only
and each step is one matrix product, without padding. Exports ``Packed``, ``Posteriors``, ``pack``,
``log``, ``forward``, ``log_forward``, ``filtered``, ``posteriors``, ``log_posteriors`` and
``best_paths``; ``nlpmeta.hmm`` and ``nlpmeta.crf`` stand on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

TINY = 1e-300
# A state whose share of the probability falls below LOST may be rounded to zero later on. That is
# harmless if every state refills every other by at least REFILL; otherwise we go to logarithms.
LOST, REFILL = 1e-200, 1e-100


class Packed(NamedTuple):
    """Where the symbols of several chains lie: ``packed[place]`` gives them chain after chain."""

    lengths: np.ndarray  # (b,) of each chain, in the order given
    offsets: np.ndarray  # (t + 1,) where each time begins in the packed order
    place: np.ndarray  # (n,) place in the packed order of each symbol

    def pack(self, flat: np.ndarray) -> np.ndarray:
        """From chain after chain to the packed order, along the last axis.

        Examples
        --------
        >>> pack([2, 3]).pack(np.array(list("abxyz"))).tolist()
        ['x', 'a', 'y', 'b', 'z']
        """
        packed = np.empty_like(flat)
        packed[..., self.place] = flat
        return packed

    def split(self, packed: np.ndarray) -> list[np.ndarray]:
        """From the packed order to one array for each chain, along the last axis.

        Examples
        --------
        >>> [part.tolist() for part in pack([2, 3]).split(np.array(list("xaybz")))]
        [['a', 'b'], ['x', 'y', 'z']]
        """
        flat, ends = packed[..., self.place], np.cumsum(self.lengths).tolist()
        return [flat[..., begin:end] for begin, end in zip([0, *ends], ends)]


class Posteriors(NamedTuple):
    """What the forward-backward algorithm finds out."""

    logprobs: np.ndarray  # (n,) log p(symbol | symbols before it)
    states: np.ndarray  # (k, n) p(state | whole chain)
    pairs: np.ndarray  # (k, k) expected number of transitions from row to column


def pack(lengths: ArrayLike) -> Packed:
    """Lay out chains of the given lengths so that those alive at any time stand together.

    Parameters
    ----------
    lengths : array-like of int, shape (b,)
        All at least one.

    Returns
    -------
    Packed

    Examples
    --------
    >>> layout = pack([2, 3])
    >>> layout.pack(np.array(list("abxyz"))).tolist()
    ['x', 'a', 'y', 'b', 'z']
    """
    lengths = np.asarray(lengths)
    rank = np.empty(len(lengths), dtype=np.int64)
    rank[np.argsort(-lengths, kind="stable")] = np.arange(len(lengths))
    alive = np.cumsum(np.bincount(lengths)[::-1])[::-1][1:]  # chains at least 1, 2, ... long
    offsets = np.concatenate([[0], np.cumsum(alive)])
    starts = np.cumsum(lengths) - lengths
    time = np.arange(lengths.sum()) - np.repeat(starts, lengths)
    return Packed(lengths, offsets, offsets[time] + np.repeat(rank, lengths))


def log(p: ArrayLike) -> np.ndarray:
    """Natural logarithm in which log 0 is minus infinity, without a warning.

    Parameters
    ----------
    p : array-like of float

    Returns
    -------
    numpy.ndarray

    Examples
    --------
    >>> log([1.0, 0.0]).tolist()
    [0.0, -inf]
    """
    with np.errstate(divide="ignore"):
        return np.log(p)


def forward(
    start: np.ndarray, transition: np.ndarray, likelihood: np.ndarray, offsets: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Filter: the state at each time given the symbols so far, rescaled at every step.

    alpha_t(j) = (1/c_t) b_j(x_t) sum_i alpha_{t-1}(i) a_ij with c_t such that alpha_t sums to one;
    then c_t = p(x_t | x_1 ... x_{t-1}) (Rabiner 1989).

    Parameters
    ----------
    start : numpy.ndarray of float, shape (k,) or (k, b)
        Distribution of the first state, one for all chains or one for each in packed order.
    transition : numpy.ndarray of float, shape (k, k)
    likelihood : numpy.ndarray of float, shape (k, n)
        b_j(x_t), packed.
    offsets : sequence of int
        As in :class:`Packed`.

    Returns
    -------
    alpha : numpy.ndarray of float, shape (k, n)
    scale : numpy.ndarray of float, shape (n,)
        The c_t; zero where a symbol is impossible, and from there to the end of its chain.

    Examples
    --------
    >>> alpha, scale = forward(np.array([0.5, 0.5]), np.eye(2), np.array([[0.9], [0.1]]), [0, 1])
    >>> alpha.T.tolist(), scale.tolist()
    ([[0.9, 0.1]], [0.5])
    """
    alpha, scale = np.empty_like(likelihood), np.empty(likelihood.shape[1])
    incoming = np.ascontiguousarray(transition.T)
    predicted = start if start.ndim == 2 else start[:, None]  # (k, b)
    for begin, end, following in _steps(offsets):
        now = predicted * likelihood[:, begin:end]  # (k, alive)
        total = now.sum(axis=0)
        now /= np.maximum(total, TINY)
        alpha[:, begin:end], scale[begin:end] = now, total
        predicted = incoming @ now[:, :following]
    return alpha, scale


def log_forward(
    log_start: np.ndarray,
    log_transition: np.ndarray,
    log_likelihood: np.ndarray,
    offsets: Sequence[int],
) -> np.ndarray:
    """Logarithm of p(x_1 ... x_t, state at t): slower than :func:`forward`, and nothing underflows.

    Parameters
    ----------
    log_start, log_transition, log_likelihood : numpy.ndarray of float
        Logarithms of what :func:`forward` takes, minus infinity for zero.
    offsets : sequence of int

    Returns
    -------
    numpy.ndarray of float, shape (k, n)

    Examples
    --------
    >>> log_forward(np.log([0.5, 0.5]), log(np.eye(2)), np.log([[0.5], [0.5]]), [0, 1]).shape
    (2, 1)
    """
    out = np.array(log_likelihood)
    previous = log_start if log_start.ndim == 2 else log_start[:, None]
    for begin, end, following in _steps(offsets):
        out[:, begin:end] += previous
        now = out[:, begin : begin + following]
        previous = np.logaddexp.reduce(now[:, None] + log_transition[:, :, None], axis=0)
    return out


def filtered(
    start: np.ndarray, transition: np.ndarray, likelihood: np.ndarray, offsets: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """State and symbol at each time given the past: scaled unless a probability gets lost so.

    Parameters
    ----------
    start, transition, likelihood, offsets
        As in :func:`forward`.

    Returns
    -------
    alpha : numpy.ndarray of float, shape (k, n)
        p(state at t | x_1 ... x_t).
    logprobs : numpy.ndarray of float, shape (n,)
        Logarithm of p(x_t | x_1 ... x_{t-1}).

    Examples
    --------
    >>> alpha, logprobs = filtered(np.ones(1), np.eye(1), np.array([[0.5, 0.5]]), [0, 1, 2])
    >>> np.exp(logprobs).tolist()
    [0.5, 0.5]
    """
    alpha, scale = forward(start, transition, likelihood, offsets)
    if _nothing_lost(start, transition, likelihood, alpha):
        return alpha, log(scale)
    logs = log_forward(log(start), log(transition), log(likelihood), offsets)
    so_far = np.logaddexp.reduce(logs, axis=0)
    alpha = np.exp(logs - np.where(np.isfinite(so_far), so_far, 0.0))
    return alpha, _differences(logs, offsets)


def posteriors(
    start: np.ndarray,
    transition: np.ndarray,
    likelihood: np.ndarray,
    offsets: Sequence[int],
    last: np.ndarray | None = None,
) -> Posteriors:
    """Forward-backward: states and transitions given whole chains.

    beta_t(i) = sum_j a_ij b_j(x_{t+1}) beta_{t+1}(j) / c_{t+1} runs backward from one, and
    p(state i at t | x) = alpha_t(i) beta_t(i). Scaled unless a probability gets lost that way.

    Parameters
    ----------
    start, transition, likelihood, offsets
        As in :func:`forward`.
    last : numpy.ndarray of float, shape (k, b), optional
        What beta begins with at the end of each chain, in packed order, instead of ones; only for
        transitions that refill every state.

    Returns
    -------
    Posteriors
        ``states`` and ``pairs`` mean nothing if a chain is impossible.

    Examples
    --------
    >>> found = posteriors(np.array([0.5, 0.5]), np.eye(2), np.array([[0.9], [0.1]]), [0, 1])
    >>> found.states.T.round(9).tolist()
    [[0.9, 0.1]]
    """
    alpha, scale = forward(start, transition, likelihood, offsets)
    if not _nothing_lost(start, transition, likelihood, alpha):
        return log_posteriors(log(start), log(transition), log(likelihood), offsets)
    states, pairs = np.empty_like(alpha), np.zeros_like(transition)
    reachable, scale = alpha > 0, np.where(scale > 0, scale, np.nan)
    flow = np.empty((len(transition), 0))  # b_j(x_{t+1}) beta_{t+1}(j) / c_{t+1}
    for begin, end, following in reversed(_steps(offsets)):
        beta = np.ones((len(transition), end - begin))
        if last is not None:
            beta[:, following:] = last[:, following : end - begin]
        beta[:, :following] = transition @ flow
        beta *= reachable[:, begin:end]
        pairs += alpha[:, begin : begin + following] @ flow.T
        np.multiply(alpha[:, begin:end], beta, out=states[:, begin:end])
        flow = likelihood[:, begin:end] * beta
        flow /= scale[begin:end]
    return Posteriors(log(np.nan_to_num(scale)), states, pairs * transition)


def log_posteriors(
    log_start: np.ndarray,
    log_transition: np.ndarray,
    log_likelihood: np.ndarray,
    offsets: Sequence[int],
) -> Posteriors:
    """Forward-backward in logarithms: slower than :func:`posteriors`, and nothing gets lost.

    log beta_t(i) = log sum_j exp(log a_ij + log b_j(x_{t+1}) + log beta_{t+1}(j)), from zero.

    Parameters
    ----------
    log_start, log_transition, log_likelihood : numpy.ndarray of float
        As in :func:`log_forward`.
    offsets : sequence of int

    Returns
    -------
    Posteriors
        As from :func:`posteriors`.

    Examples
    --------
    >>> found = log_posteriors(np.log([0.5, 0.5]), log(np.eye(2)), np.log([[0.9], [0.1]]), [0, 1])
    >>> found.states.T.round(9).tolist()
    [[0.9, 0.1]]
    """
    alpha = log_forward(log_start, log_transition, log_likelihood, offsets)
    states, pairs = np.empty_like(alpha), np.zeros_like(log_transition)
    so_far, total = np.logaddexp.reduce(alpha, axis=0), np.empty(0)
    flow = np.empty((len(log_transition), 0))  # log b_j(x_{t+1}) + beta_{t+1}(j)
    for begin, end, following in reversed(_steps(offsets)):
        done = begin + following
        total = np.concatenate([total, so_far[done:end]])  # (alive,) log p(whole chain)
        total = np.where(np.isfinite(total), total, np.nan)
        ways = log_transition[:, :, None] + flow  # (k, k, following)
        pairs += np.exp(alpha[:, None, begin:done] + ways - total[:following]).sum(axis=2)
        beta = np.zeros((len(log_transition), end - begin))
        beta[:, :following] = np.logaddexp.reduce(ways, axis=1)
        states[:, begin:end] = np.exp(alpha[:, begin:end] + beta - total)
        flow = log_likelihood[:, begin:end] + beta
    return Posteriors(_differences(alpha, offsets), states, pairs)


def best_paths(
    log_start: np.ndarray,
    log_transition: np.ndarray,
    log_likelihood: np.ndarray,
    offsets: Sequence[int],
) -> tuple[np.ndarray, np.ndarray]:
    """Viterbi: the one path of highest probability through each chain.

    delta_t(j) = log b_j(x_t) + max_i (delta_{t-1}(i) + log a_ij), followed back from the best last
    state. Nothing is remembered on the way but delta: on the way back the best predecessor of one
    state takes k additions, where remembering all would take k squared. Ties go to the state with
    the larger number. Any weights do; they need not be normalized.

    Parameters
    ----------
    log_start, log_transition, log_likelihood : numpy.ndarray of float
        As in :func:`log_forward`.
    offsets : sequence of int

    Returns
    -------
    states : numpy.ndarray of int64, shape (n,)
        Packed.
    best : numpy.ndarray of float, shape (b,)
        Log-weight of the path of each chain, in packed order.

    Examples
    --------
    >>> best_paths(np.log([0.5, 0.5]), log(np.eye(2)), np.log([[0.9], [0.1]]), [0, 1])[0].tolist()
    [0]
    """
    k = len(log_transition)
    delta = np.empty_like(log_likelihood)
    ways = np.empty((k, k, offsets[1]))  # reused: claiming memory anew would take longer than max
    previous = log_start if log_start.ndim == 2 else log_start[:, None]
    for begin, end, following in _steps(offsets):
        np.add(log_likelihood[:, begin:end], previous, out=delta[:, begin:end])
        now, room = delta[:, begin : begin + following], ways[:, :, :following]
        previous = np.add(now[:, None], log_transition[:, :, None], out=room).max(axis=0)
    # States in reverse order from here on: argmax gives the first of equals, we want the last.
    delta, into = delta[::-1].T.copy(), log_transition[::-1, ::-1].T.copy()  # (n, k), (k, k)
    states = np.empty(len(delta), dtype=np.int64)
    best = np.empty(offsets[1])
    room = np.empty((offsets[1], k))
    chosen = np.empty(0, dtype=np.int64)  # the states one step later
    for begin, end, following in reversed(_steps(offsets)):
        done = begin + following  # from here on chains end
        if following:
            here = into.take(chosen, axis=0, out=room[:following], mode="clip")
            here += delta[begin:done]
            here.argmax(axis=1, out=states[begin:done])
        if done < end:
            delta[done:end].argmax(axis=1, out=states[done:end])
            best[following : end - begin] = delta[done:end].max(axis=1)
        chosen = states[begin:end]
    return k - 1 - states, best


def _steps(offsets: Sequence[int]) -> list[tuple[int, int, int]]:
    """For each time where its symbols begin and end, and how many of the chains go on."""
    offsets = [int(offset) for offset in offsets]
    alive = np.diff(offsets).tolist()
    return list(zip(offsets, offsets[1:], [*alive[1:], 0]))


def _nothing_lost(
    start: np.ndarray, transition: np.ndarray, likelihood: np.ndarray, alpha: np.ndarray
) -> bool:
    """Whether no state that could matter was rounded to zero on the way.

    Either every state refills every other, or no share fell below LOST although no single step
    can take it from above LOST to below the smallest float.
    """
    if transition.min() >= REFILL:
        return True
    smallest = [array[array > 0].min(initial=1.0) for array in (start, transition, likelihood)]
    return np.prod(smallest) >= REFILL and alpha[alpha > 0].min(initial=1.0) >= LOST


def _differences(alpha: np.ndarray, offsets: Sequence[int]) -> np.ndarray:
    """From log p(x_1 ... x_t, state) to log p(x_t | x_1 ... x_{t-1})."""
    so_far = np.logaddexp.reduce(alpha, axis=0)
    out = so_far.copy()
    with np.errstate(invalid="ignore"):  # after something impossible nothing is defined
        for begin, end, following in _steps(offsets):
            out[end : end + following] -= so_far[begin : begin + following]
    out[np.isnan(out)] = -np.inf
    return out
