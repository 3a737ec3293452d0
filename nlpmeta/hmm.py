"""Hidden Markov models: a chain of states that nobody sees, each of which emits a symbol.

p(x, z) = start(z_1) emission(z_1, x_1) prod_t transition(z_{t-1}, z_t) emission(z_t, x_t) (Baum and
Petrie 1966; Rabiner 1989). ``HMM`` scores sequences, finds the best path (Viterbi) and the
distribution of each state (forward-backward), and is fitted by counting where the states are known
and by expectation-maximization (Baum-Welch) where they are not. All algorithms run over many
sequences at once (``nlpmeta.lattice``), and sums over a single long one in pieces
(``nlpmeta.long_chain``). The language model is in ``nlpmeta.hmm_lm``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Self

import numpy as np

from nlpmeta import lattice, long_chain
from nlpmeta.lattice import Packed, log

__all__ = ["HMM"]

BLOCK = 2**16  # numbers in one step of Viterbi's algorithm: what fits into a processor's cache
FEW = 30  # so many long sequences or more are faster side by side than one by one in pieces


class HMM:
    """A hidden Markov model over the symbols 0 ... ``n_symbols`` - 1.

    Parameters
    ----------
    n_states, n_symbols : int
        At least one each.

    Attributes
    ----------
    start : numpy.ndarray of float, shape (n_states,)
        Distribution of the first state. Like the others it begins uniform and may be assigned.
    transition : numpy.ndarray of float, shape (n_states, n_states)
        ``transition[i, j]`` is the probability of state j after state i.
    emission : numpy.ndarray of float, shape (n_states, n_symbols)
        ``emission[i, v]`` is the probability that state i emits symbol v.
    history : list of float
        Log-likelihood of the training sequences before each step of the last :meth:`fit`.

    Every method takes one sequence of integers or a sequence of such sequences.

    Examples
    --------
    >>> model = HMM(2, 2)
    >>> model.transition = np.array([[0.9, 0.1], [0.1, 0.9]])
    >>> model.emission = np.array([[0.8, 0.2], [0.2, 0.8]])
    >>> model.viterbi([0, 0, 1, 0, 0, 1, 1, 1]).tolist()
    [0, 0, 0, 0, 0, 1, 1, 1]
    """

    def __init__(self, n_states: int, n_symbols: int) -> None:
        for name, value in (("n_states", n_states), ("n_symbols", n_symbols)):
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"{name} is {value!r}; give an integer of at least 1")
        self.n_states, self.n_symbols = int(n_states), int(n_symbols)
        self.start = np.full(n_states, 1 / n_states)
        self.transition = np.full((n_states, n_states), 1 / n_states)
        self.emission = np.full((n_states, n_symbols), 1 / n_symbols)
        self.history: list[float] = []

    def score(self, sequences: Sequence) -> float | np.ndarray:
        """Natural log-probability of each sequence, summed over all paths.

        Parameters
        ----------
        sequences : sequence of int, or sequence of such sequences

        Returns
        -------
        float, or numpy.ndarray of shape (b,)
            Minus infinity for a sequence that the model holds impossible.

        Raises
        ------
        ValueError
            If a sequence is empty or holds anything but symbols, or the parameters are no
            distributions.

        Examples
        --------
        >>> round(HMM(3, 2).score([0, 1, 1]), 6)  # 3 log(1/2)
        -2.079442
        """
        found = self.logprobs(sequences)
        if isinstance(found, np.ndarray):
            return float(found.sum())
        return np.array([logprobs.sum() for logprobs in found])

    def logprobs(self, sequences: Sequence) -> np.ndarray | list[np.ndarray]:
        """Natural log-probability of each symbol given those before it in its sequence.

        Parameters
        ----------
        sequences : sequence of int, or sequence of such sequences

        Returns
        -------
        numpy.ndarray of float, shape (t,), or a list of them

        Raises
        ------
        ValueError
            As for :meth:`score`.

        Examples
        --------
        >>> np.exp(HMM(3, 2).logprobs([0, 1, 1])).tolist()
        [0.5, 0.5, 0.5]
        """

        def one_block(symbols: np.ndarray, layout: Packed) -> np.ndarray:
            likelihood, factor = self._likelihood(symbols)
            found = long_chain.filtered(self.start, self.transition, likelihood, layout.offsets)
            return found[1] + log(factor)

        return self._each(sequences, one_block)

    def filter(self, sequences: Sequence) -> np.ndarray | list[np.ndarray]:
        """Probability of each state at each time given the symbols so far.

        Parameters
        ----------
        sequences : sequence of int, or sequence of such sequences

        Returns
        -------
        numpy.ndarray of float, shape (t, n_states), or a list of them
            Zeros from the first impossible symbol on.

        Raises
        ------
        ValueError
            As for :meth:`score`.

        Examples
        --------
        >>> HMM(2, 2).filter([0, 1]).tolist()
        [[0.5, 0.5], [0.5, 0.5]]
        """

        def one_block(symbols: np.ndarray, layout: Packed) -> np.ndarray:
            likelihood, _ = self._likelihood(symbols)
            return long_chain.filtered(self.start, self.transition, likelihood, layout.offsets)[0]

        found = self._each(sequences, one_block)
        return found.T if isinstance(found, np.ndarray) else [states.T for states in found]

    def posterior(self, sequences: Sequence) -> np.ndarray | list[np.ndarray]:
        """Probability of each state at each time given the whole sequence (forward-backward).

        Parameters
        ----------
        sequences : sequence of int, or sequence of such sequences

        Returns
        -------
        numpy.ndarray of float, shape (t, n_states), or a list of them

        Raises
        ------
        ValueError
            As for :meth:`score`, and if a sequence is impossible under the model.

        Examples
        --------
        >>> model = HMM(2, 2)
        >>> model.emission = np.array([[0.8, 0.2], [0.2, 0.8]])
        >>> model.posterior([0, 1]).round(9).tolist()
        [[0.8, 0.2], [0.2, 0.8]]
        """

        def one_block(symbols: np.ndarray, layout: Packed) -> np.ndarray:
            likelihood, factor = self._likelihood(symbols)
            found = long_chain.posteriors(self.start, self.transition, likelihood, layout.offsets)
            _possible(found.logprobs + log(factor))
            return found.states / found.states.sum(axis=0)

        found = self._each(sequences, one_block)
        return found.T if isinstance(found, np.ndarray) else [states.T for states in found]

    def viterbi(self, sequences: Sequence) -> np.ndarray | list[np.ndarray]:
        """The most probable path of states, as a whole, for each sequence (Viterbi 1967).

        Ties go to the state with the larger number.

        Parameters
        ----------
        sequences : sequence of int, or sequence of such sequences

        Returns
        -------
        numpy.ndarray of int64, shape (t,), or a list of them

        Raises
        ------
        ValueError
            As for :meth:`posterior`.

        Examples
        --------
        >>> HMM(2, 2).viterbi([[0, 1, 1], [0]])
        [array([1, 1, 1]), array([1])]
        """
        start, transition, emission = log(self.start), log(self.transition), log(self.emission)

        def one_block(symbols: np.ndarray, layout: Packed) -> np.ndarray:
            states, best = lattice.best_paths(
                start, transition, emission.take(symbols, axis=1), layout.offsets
            )
            _possible(best)
            return states

        return self._each(sequences, one_block, pairs_at_once=True)

    def log_joint(self, sequence: Sequence[int], states: Sequence[int]) -> float:
        """Natural log-probability of a sequence together with one path of states.

        Parameters
        ----------
        sequence, states : sequence of int, shape (t,)

        Returns
        -------
        float

        Raises
        ------
        ValueError
            As for :meth:`score`, and if the two differ in length or ``states`` holds no states.

        Examples
        --------
        >>> round(HMM(2, 2).log_joint([0, 1], [1, 1]), 6)  # 4 log(1/2)
        -2.772589
        """
        self._check()
        x, z, _ = _labeled([sequence], [states], self.n_symbols, self.n_states)
        steps = self.transition[z[:-1], z[1:]]
        return float(log(self.start[z[0]]) + log(steps).sum() + log(self.emission[z, x]).sum())

    def sample(self, length: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw a sequence and the path that emitted it.

        Parameters
        ----------
        length : int
            At least one.
        rng : numpy.random.Generator

        Returns
        -------
        sequence, states : numpy.ndarray of int64, shape (length,)

        Raises
        ------
        ValueError
            If ``length`` is below one or the parameters are no distributions.

        Examples
        --------
        >>> x, z = HMM(2, 3).sample(5, np.random.default_rng(0))
        >>> x.shape, z.shape
        ((5,), (5,))
        """
        if length < 1:
            raise ValueError(f"length is {length}; it must be at least 1")
        self._check()
        rows = np.cumsum(self.transition, axis=1)
        draws = rng.random(length)
        states = np.empty(length, dtype=np.int64)
        row = np.cumsum(self.start)
        for t, u in enumerate(draws):
            states[t] = min(np.searchsorted(row, u * row[-1], side="right"), self.n_states - 1)
            row = rows[states[t]]
        sequence = np.empty(length, dtype=np.int64)
        for state in np.unique(states):
            here = states == state
            p = self.emission[state] / self.emission[state].sum()
            sequence[here] = rng.choice(self.n_symbols, size=here.sum(), p=p)
        return sequence, states

    def fit_supervised(self, sequences: Sequence, states: Sequence, smoothing: float = 0.0) -> Self:
        """Maximum likelihood where the states are known: count and divide.

        Parameters
        ----------
        sequences : sequence of sequences of int
        states : sequence of sequences of int
            One state for each symbol.
        smoothing : float
            Added to every count. Without it a state that never occurs gets uniform rows, and so
            does the transition from a state that occurs at ends only.

        Returns
        -------
        HMM
            Itself.

        Raises
        ------
        ValueError
            If a sequence is empty, holds anything but symbols or states, or has not as many
            states as symbols; or if ``smoothing`` is negative or not finite.

        Examples
        --------
        >>> HMM(2, 2).fit_supervised([[0, 0, 1]], [[0, 0, 1]]).transition.tolist()
        [[0.5, 0.5], [0.5, 0.5]]
        """
        _check_smoothing(smoothing)
        x, z, lengths = _labeled(sequences, states, self.n_symbols, self.n_states)
        first = np.cumsum(lengths) - lengths
        goes_on = np.ones(len(x), dtype=bool)
        goes_on[first - 1] = False  # the last symbol of each sequence, in a circle
        start = np.bincount(z[first], minlength=self.n_states)
        pairs = _table(z[:-1][goes_on[:-1]], z[1:][goes_on[:-1]], self.transition.shape)
        uniform = HMM(self.n_states, self.n_symbols)
        self.start = _shares(start + smoothing, uniform.start)
        self.transition = _shares(pairs + smoothing, uniform.transition)
        self.emission = _shares(_table(z, x, self.emission.shape) + smoothing, uniform.emission)
        return self

    def fit(
        self,
        sequences: Sequence,
        rng: np.random.Generator | None = None,
        *,
        restarts: int = 1,
        iterations: int = 100,
        tolerance: float = 1e-6,
        smoothing: float = 0.0,
    ) -> Self:
        """Baum-Welch: expectation-maximization from random parameters, the best of some restarts.

        Each step replaces the counts of :meth:`fit_supervised` by their expectations given the
        sequences; the likelihood never falls (Baum, Petrie, Soules and Weiss 1970; Dempster, Laird
        and Rubin 1977). A row whose expected count is zero stays as it is.

        Parameters
        ----------
        sequences : sequence of int, or sequence of such sequences
        rng : numpy.random.Generator, optional
            Draws the parameters that each restart begins with. Without it, the present parameters
            are where the one and only run begins.
        restarts : int
            How often to begin anew; the run with the highest likelihood is kept.
        iterations : int
            Most steps of a run.
        tolerance : float
            A run ends when a step raises the log-likelihood by less than this per symbol.
        smoothing : float
            Added to every expected count; then it is the likelihood times a Dirichlet prior that
            never falls.

        Returns
        -------
        HMM
            Itself, with ``history``.

        Raises
        ------
        ValueError
            As for :meth:`posterior`; also if ``restarts`` or ``iterations`` is below one, if
            there are restarts without ``rng``, or if the states do not differ to begin with,
            since then no step can tell them apart.

        Examples
        --------
        >>> model = HMM(2, 2).fit([0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1], np.random.default_rng(0))
        >>> bool(np.all(np.diff(model.history) >= 0))
        True
        """
        _check_smoothing(smoothing)
        if restarts < 1 or iterations < 1:
            raise ValueError(
                f"restarts is {restarts} and iterations {iterations}; both must be at least 1"
            )
        if rng is None and restarts > 1:
            raise ValueError(f"restarts is {restarts} without rng; give a numpy Generator")
        flat, lengths = _flat(_several(sequences)[0], self.n_symbols)
        blocks = list(self._blocks(flat, lengths))
        best: tuple[float, tuple] = (-np.inf, ())
        for _ in range(restarts):
            if rng is not None:
                self._draw(rng)
            self._check()
            if rng is None and self.n_states > 1 and self._states_alike():
                raise ValueError(
                    "the states do not differ, and no step could tell them apart; give rng, or "
                    "assign start, transition and emission first"
                )
            history = self._climb(blocks, iterations, tolerance * len(flat), smoothing)
            if history[-1] > best[0] or not best[1]:
                best = history[-1], (self.start, self.transition, self.emission, history)
        self.start, self.transition, self.emission, self.history = best[1]
        return self

    def _climb(self, blocks: list, iterations: int, enough: float, smoothing: float) -> list[float]:
        """One run of Baum-Welch; the log-likelihood before each step."""
        history: list[float] = []
        for _ in range(iterations):
            loglik, start, pairs, emitted = self._expect(blocks)
            history.append(loglik)
            self.start = _shares(start + smoothing, self.start)
            self.transition = _shares(pairs + smoothing, self.transition)
            self.emission = _shares(emitted + smoothing, self.emission)
            if len(history) > 1 and history[-1] - history[-2] < enough:
                break
        return history

    def _expect(self, blocks: list) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """The E step: log-likelihood and expected counts under the present parameters."""
        start, pairs, emitted = (
            np.zeros_like(a) for a in (self.start, self.transition, self.emission)
        )
        loglik = 0.0
        for symbols, layout, _ in blocks:
            likelihood, factor = self._likelihood(symbols)
            found = long_chain.posteriors(self.start, self.transition, likelihood, layout.offsets)
            logprobs = found.logprobs + log(factor)
            _possible(logprobs)
            loglik += logprobs.sum()
            start += found.states[:, : layout.offsets[1]].sum(axis=1)
            pairs += found.pairs
            for state, weights in enumerate(found.states):
                emitted[state] += np.bincount(symbols, weights, minlength=self.n_symbols)
        return float(loglik), start, pairs, emitted

    def _likelihood(self, symbols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """b_j(x_t) divided by its largest value over j, and that value: (k, n) and (n,)."""
        largest = self.emission.max(axis=0)
        relative = self.emission / np.where(largest > 0, largest, 1)
        return relative.take(symbols, axis=1), largest[symbols]

    def _draw(self, rng: np.random.Generator) -> None:
        """Parameters drawn uniformly from all distributions."""
        k = self.n_states
        self.start = rng.dirichlet(np.ones(k))
        self.transition = rng.dirichlet(np.ones(k), size=k)
        self.emission = rng.dirichlet(np.ones(self.n_symbols), size=k)

    def _states_alike(self) -> bool:
        """Whether all rows are equal, the start too: then every step leaves the states the same."""
        rows = np.concatenate([self.emission, self.transition], axis=1)
        return bool((rows == rows[0]).all() and (self.start == self.transition[0]).all())

    def _check(self) -> None:
        k, v = self.n_states, self.n_symbols
        shapes = {"start": (k,), "transition": (k, k), "emission": (k, v)}
        for name, shape in shapes.items():
            array = np.asarray(getattr(self, name), dtype=float)
            setattr(self, name, array)
            if array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}; it must have {shape}")
            if not (np.isfinite(array).all() and (array >= 0).all()):
                wrong = array[~(np.isfinite(array) & (array >= 0))].flat[0]
                raise ValueError(f"{name} holds {wrong}; probabilities are numbers from 0 to 1")
            total = np.atleast_1d(array.sum(axis=-1))
            if not np.allclose(total, 1, rtol=0, atol=1e-6):
                row = int(np.argmax(np.abs(total - 1)))
                where = name if array.ndim == 1 else f"{name}[{row}]"
                raise ValueError(f"{where} sums to {total[row]:.6g}, not 1; divide it by its sum")

    def _blocks(
        self, flat: np.ndarray, lengths: np.ndarray, pairs_at_once: bool = False
    ) -> Iterator[tuple[np.ndarray, Packed, np.ndarray]]:
        """Packed symbols of some sequences of similar length, their layout and their numbers.

        An algorithm that looks at all pairs of states at once, as Viterbi's, gets smaller blocks.
        """
        width = max(1, (BLOCK if pairs_at_once else 4 * BLOCK) // self.n_states**2)
        cut = not pairs_at_once and len(lengths) < FEW and long_chain.pays(self.transition)
        order = np.argsort(-lengths, kind="stable")
        starts = np.cumsum(lengths) - lengths
        first = 0
        while first < len(order):
            alone = cut and lengths[order[first]] > long_chain.SHORTEST
            chosen = order[first : first + (1 if alone else width)]
            first += len(chosen)
            own = lengths[chosen]
            symbols = flat[
                np.arange(own.sum()) + np.repeat(starts[chosen] - np.cumsum(own) + own, own)
            ]
            layout = lattice.pack(own)
            yield layout.pack(symbols), layout, chosen

    def _each(
        self, sequences: Sequence, one_block: Callable, pairs_at_once: bool = False
    ) -> np.ndarray | list[np.ndarray]:
        """Run an algorithm block by block; give the results in the order of the sequences."""
        self._check()
        several, single = _several(sequences)
        flat, lengths = _flat(several, self.n_symbols)
        out: list = [None] * len(lengths)
        for symbols, layout, chosen in self._blocks(flat, lengths, pairs_at_once):
            for i, result in zip(chosen.tolist(), layout.split(one_block(symbols, layout))):
                out[i] = result
        return out[0] if single else out


def _several(sequences: Sequence) -> tuple[Sequence, bool]:
    """The sequences, and whether only one was given."""
    if np.isscalar(sequences) or sequences is None:
        raise ValueError(f"sequences is {sequences!r}; give a sequence of integers")
    if len(sequences) == 0:
        raise ValueError("sequences is empty; give at least one symbol")
    single = np.isscalar(sequences[0]) or np.ndim(sequences[0]) == 0
    return ([sequences], True) if single else (sequences, False)


def _flat(
    sequences: Sequence, n_values: int, name: str = "sequences"
) -> tuple[np.ndarray, np.ndarray]:
    """The sequences end to end, and their lengths."""
    arrays = [np.asarray(sequence) for sequence in sequences]
    for i, array in enumerate(arrays):
        if array.ndim != 1 or array.size == 0:
            found = "empty" if array.size == 0 else f"of shape {array.shape}"
            raise ValueError(f"{name}[{i}] is {found}; give sequences of at least one integer")
    flat = np.concatenate(arrays) if arrays else np.empty(0, dtype=np.int64)
    if flat.dtype.kind not in "iu":
        wrong = next((x for x in flat.tolist() if x not in range(n_values)), flat.tolist()[0])
        raise ValueError(f"{name} holds {wrong!r}; give integers from 0 to {n_values - 1}")
    if flat.size and not (flat.min() >= 0 and flat.max() < n_values):
        wrong = flat[(flat < 0) | (flat >= n_values)][0]
        raise ValueError(f"{name} holds {wrong}; it must be from 0 to {n_values - 1}")
    return flat.astype(np.int64, copy=False), np.array([len(array) for array in arrays])


def _labeled(
    sequences: Sequence, states: Sequence, n_symbols: int, n_states: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Symbols and states end to end, and the lengths of the sequences."""
    if len(sequences) != len(states):
        raise ValueError(
            f"there are {len(sequences)} sequences and {len(states)} paths of states; "
            "give one path for each sequence"
        )
    if len(sequences) == 0:
        raise ValueError("sequences is empty; give at least one sequence")
    x, lengths = _flat(sequences, n_symbols)
    z, paths = _flat(states, n_states, "states")
    if (lengths != paths).any():
        i = int(np.argmax(lengths != paths))
        raise ValueError(
            f"states[{i}] has {paths[i]} states for {lengths[i]} symbols; give one for each"
        )
    return x, z, lengths


def _possible(logprobs: np.ndarray) -> None:
    if np.isneginf(logprobs).any():
        raise ValueError(
            "a sequence has probability zero under the model; see which with score(), "
            "and smooth the parameters"
        )


def _table(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """How often each row occurs with each column."""
    cells = np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1])
    return cells.reshape(shape).astype(float)


def _shares(counts: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Counts divided by the sum of their row; where that is zero, the row of ``otherwise``."""
    total = counts.sum(axis=-1, keepdims=True)
    return np.where(total > 0, counts / np.where(total > 0, total, 1), otherwise)


def _check_smoothing(smoothing: float) -> None:
    if not 0 <= smoothing < np.inf:
        raise ValueError(f"smoothing is {smoothing}; give a number of at least 0")
