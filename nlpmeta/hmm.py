"""Hidden Markov models: a chain of states that nobody sees, each of which emits a symbol.

p(x, z) = start(z_1) emission(z_1, x_1) prod_t transition(z_{t-1}, z_t) emission(z_t, x_t) (Baum and
Petrie 1966; Rabiner 1989). ``HMM`` scores sequences, finds the best path (Viterbi) and the
distribution of each state (forward-backward), and is fitted by counting where the states are known
and by expectation-maximization where they are not (``nlpmeta.baum_welch``). All algorithms run over
many sequences at once (``nlpmeta.lattice``), and sums over a single long one in pieces
(``nlpmeta.long_chain``). The language model is in ``nlpmeta.hmm_lm``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np

from nlpmeta import baum_welch, lattice, long_chain
from nlpmeta.baum_welch import Parameters, likelihood_of, refuse_impossible
from nlpmeta.lattice import Packed, log
from nlpmeta.sequences import blocks, flatten, labeled, several

__all__ = ["HMM"]


class HMM:
    """A hidden Markov model over the symbols 0 ... ``n_symbols`` - 1.

    Every method takes one sequence of integers or a sequence of such sequences.

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
            likelihood, factor = likelihood_of(self.emission, symbols)
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
            likelihood, _ = likelihood_of(self.emission, symbols)
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
            likelihood, factor = likelihood_of(self.emission, symbols)
            found = long_chain.posteriors(self.start, self.transition, likelihood, layout.offsets)
            refuse_impossible(found.logprobs + log(factor))
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
            refuse_impossible(best)
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
        x, z, _ = labeled([sequence], [states], self.n_symbols, self.n_states)
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
        x, z, lengths = labeled(sequences, states, self.n_symbols, self.n_states)
        counted = baum_welch.counts(x, z, lengths, self.n_states, self.n_symbols)
        uniform = HMM(self.n_states, self.n_symbols)._parameters
        self._parameters = baum_welch.reestimate(counted, uniform, smoothing)
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
        flat, lengths = flatten(several(sequences)[0], self.n_symbols)
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
            found, history = baum_welch.climb(
                self._parameters,
                list(blocks(flat, lengths, self.transition)),
                iterations=iterations,
                enough=tolerance * len(flat),
                smoothing=smoothing,
            )
            if history[-1] > best[0] or not best[1]:
                best = history[-1], (found, history)
        self._parameters, self.history = best[1]
        return self

    @property
    def _parameters(self) -> Parameters:
        return Parameters(self.start, self.transition, self.emission)

    @_parameters.setter
    def _parameters(self, parameters: Parameters) -> None:
        self.start, self.transition, self.emission = parameters

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

    def _each(
        self, sequences: Sequence, one_block: Callable, pairs_at_once: bool = False
    ) -> np.ndarray | list[np.ndarray]:
        """Run an algorithm block by block; give the results in the order of the sequences."""
        self._check()
        given, single = several(sequences)
        flat, lengths = flatten(given, self.n_symbols)
        out: list = [None] * len(lengths)
        dealt = blocks(flat, lengths, self.transition, pairs_at_once=pairs_at_once)
        for symbols, layout, chosen in dealt:
            for i, result in zip(chosen.tolist(), layout.split(one_block(symbols, layout))):
                out[i] = result
        return out[0] if single else out


def _check_smoothing(smoothing: float) -> None:
    if not 0 <= smoothing < np.inf:
        raise ValueError(f"smoothing is {smoothing}; give a number of at least 0")
