"""Recognizing words by a model of each: templates with dynamic time warping, and Markov chains.

:func:`warped_distance` compares two utterances of different speed along their best alignment (Sakoe
and Chiba, 1978). :class:`WordHMM` is a chain of states that moves from left to right and emits
vectors from normal distributions (Rabiner, 1989); :class:`WordLoop` joins the chains of all words
and of silence into one, whose best path is a string of words. The sums and maxima over paths are
those of ``nlpmeta.lattice``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nlpmeta import lattice

LEAST_VARIANCE = 1e-3
STAY = 0.8  # probability of another frame in the last state of a word of a loop


def warped_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance of two sequences of vectors along the alignment that makes it least.

    ``d_ij = |a_i - b_j| + min(d_{i-1,j}, d_{i,j-1}, d_{i-1,j-1})`` (Sakoe and Chiba, 1978, without
    their constraint on the slope), divided by the sum of the lengths.

    Parameters
    ----------
    a, b : numpy.ndarray of float, shapes (t, d) and (s, d)

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If one is empty or their vectors differ in width.

    Examples
    --------
    >>> once, slowly = np.array([[0.0], [1.0]]), np.array([[0.0], [0.0], [1.0], [1.0]])
    >>> warped_distance(once, slowly)
    0.0
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1:] != b.shape[1:] or not len(a) or not len(b):
        raise ValueError(f"a and b have shapes {a.shape} and {b.shape}; give (t, d) and (s, d)")
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    cost = np.sqrt(np.maximum(squares, 0))  # (t, s)
    row = np.cumsum(cost[0])
    for now in cost[1:]:
        above = np.minimum(row, np.concatenate([[np.inf], row[:-1]]))
        # row_j = now_j + min(above_j, row_{j-1}): with sums S_j of now, row_j - S_j is a minimum
        # over what came before, which runs along the row at once.
        sums = np.cumsum(now)
        row = sums + np.minimum.accumulate(above - np.concatenate([[0.0], sums[:-1]]))
    return float(row[-1] / (len(a) + len(b)))


class WordHMM:
    """States in a row; each stays or goes on to the next, and emits from a normal distribution.

    Parameters
    ----------
    n_states : int

    Attributes
    ----------
    means, variances : numpy.ndarray of float, shape (n_states, d)
        Coordinates are independent in each state.
    transition : numpy.ndarray of float, shape (n_states, n_states)
    history : list of float
        Log-likelihood of the training utterances before each step.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> up = [np.repeat([[0.0], [5.0]], 4, axis=0) + rng.normal(size=(8, 1)) for _ in range(9)]
    >>> model = WordHMM(2).fit(up)
    >>> model.score(up[0]) > model.score(up[0][::-1])
    True
    """

    def __init__(self, n_states: int) -> None:
        if not isinstance(n_states, int | np.integer) or n_states < 1:
            raise ValueError(f"n_states is {n_states!r}; give an integer of at least 1")
        self.n_states = int(n_states)
        self.history: list[float] = []

    def fit(self, sequences: Sequence[np.ndarray], iterations: int = 6) -> WordHMM:
        """Baum-Welch: posterior of each state, then weighted means and variances.

        It begins with every utterance cut into equal parts, one for each state.

        Parameters
        ----------
        sequences : sequence of numpy.ndarray of float, shape (t, d)
            At least one; each at least as long as there are states.
        iterations : int

        Returns
        -------
        WordHMM

        Raises
        ------
        ValueError
            If there is none, one is too short or one holds NaN.
        """
        x = _checked(sequences, self.n_states)
        k, lengths = self.n_states, [len(one) for one in x]
        flat = np.concatenate(x)
        part = np.concatenate([np.arange(n) * k // n for n in lengths])
        self._moments(flat, np.eye(k)[part])
        stay = 1 - k * len(lengths) / max(len(flat), k * len(lengths) + 1)
        self.transition = stay * np.eye(k) + (1 - stay) * np.eye(k, k=1)
        self.transition[-1, -1] = 1.0
        layout = lattice.pack(lengths)
        self.history = []
        for _ in range(iterations):
            found = lattice.log_posteriors(
                lattice.log(np.eye(k)[0]),
                lattice.log(self.transition),
                layout.pack(self.log_densities(flat)),
                layout.offsets,
            )
            self.history.append(float(found.logprobs.sum()))
            self._moments(flat, np.concatenate([s.T for s in layout.split(found.states)]))
            counts = found.pairs + 1e-6 * (self.transition > 0)
            self.transition = counts / counts.sum(axis=1, keepdims=True)
        return self

    def log_densities(self, x: np.ndarray) -> np.ndarray:
        """Logarithm of each state's density at each vector.

        Parameters
        ----------
        x : numpy.ndarray of float, shape (t, d)

        Returns
        -------
        numpy.ndarray of float, shape (n_states, t)
        """
        scaled = (x[None] - self.means[:, None]) ** 2 / self.variances[:, None]  # (k, t, d)
        constant = np.log(2 * np.pi * self.variances).sum(axis=1)
        return -0.5 * (scaled.sum(axis=2) + constant[:, None])

    def score(self, x: np.ndarray) -> float:
        """Log-likelihood of an utterance, summed over all paths from the first state.

        Parameters
        ----------
        x : numpy.ndarray of float, shape (t, d)

        Returns
        -------
        float
        """
        (x,) = _checked([x], 1)
        alpha = lattice.log_forward(
            lattice.log(np.eye(self.n_states)[0]),
            lattice.log(self.transition),
            self.log_densities(x),
            np.arange(len(x) + 1),
        )
        return float(np.logaddexp.reduce(alpha[:, -1]))

    def _moments(self, x: np.ndarray, weights: np.ndarray) -> None:
        """Means and variances of all vectors, weighted for each state (n, k)."""
        total = weights.sum(axis=0)[:, None] + 1e-10
        self.means = weights.T @ x / total
        self.variances = np.maximum(weights.T @ x**2 / total - self.means**2, LEAST_VARIANCE)


class WordLoop:
    """The chains of several words and of silence in a loop: any word may follow any other.

    From the last state of each it goes on to the first state of any, all equally probable.

    Parameters
    ----------
    models : mapping of str to WordHMM
    silence : WordHMM
        Of one state.
    penalty : float
        Subtracted from the log-probability of a path at the start of each word; the larger, the
        fewer words.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> def say(*levels):
    ...     return np.repeat(np.array(levels)[:, None], 6, axis=0) + 0.1 * rng.normal(
    ...         size=(6 * len(levels), 1)
    ...     )
    >>> low, high = (WordHMM(1).fit([say(level) for _ in range(5)]) for level in (1.0, 3.0))
    >>> loop = WordLoop({"low": low, "high": high}, WordHMM(1).fit([say(0.0) for _ in range(5)]), 5)
    >>> loop.decode(say(0.0, 1.0, 3.0, 0.0, 1.0))
    ['low', 'high', 'low']
    """

    def __init__(
        self, models: Mapping[str, WordHMM], silence: WordHMM, penalty: float = 0.0
    ) -> None:
        if not models or silence.n_states != 1:
            raise ValueError(
                f"models has {len(models)} words and silence {silence.n_states} states; give at "
                "least one word, and a silence of one state"
            )
        self.words = list(models)
        self.models = [*models.values(), silence]
        sizes = [model.n_states for model in self.models]
        self.first = np.cumsum([0, *sizes[:-1]])
        last, n = self.first + sizes - 1, sum(sizes)
        self.log_transition = np.full((n, n), -np.inf)
        for begin, end, model in zip(self.first, last, self.models):
            self.log_transition[begin : end + 1, begin : end + 1] = lattice.log(model.transition)
        for end in last:
            self.log_transition[end, end] = np.log(STAY)
            for word, begin in enumerate(self.first):
                if begin != end:  # a word of one state stays instead of beginning again
                    cost = penalty if word < len(self.words) else 0.0
                    self.log_transition[end, begin] = np.log((1 - STAY) / len(sizes)) - cost
        self.log_start = np.full(n, -np.inf)
        self.log_start[self.first] = np.log(1 / len(sizes))

    def decode(self, x: np.ndarray) -> list[str]:
        """The words along the most probable path (Viterbi).

        Parameters
        ----------
        x : numpy.ndarray of float, shape (t, d)

        Returns
        -------
        list of str
        """
        (x,) = _checked([x], 1)
        densities = np.concatenate([model.log_densities(x) for model in self.models])
        path, _ = lattice.best_paths(
            self.log_start, self.log_transition, densities, np.arange(len(x) + 1)
        )
        entered = np.flatnonzero(np.isin(path, self.first) & (np.diff(path, prepend=-1) != 0))
        which = np.searchsorted(self.first, path[entered])
        return [self.words[i] for i in which if i < len(self.words)]


def _checked(sequences: Sequence[np.ndarray], least: int) -> list[np.ndarray]:
    """The sequences as arrays of two dimensions."""
    x = [np.asarray(one, dtype=float) for one in sequences]
    if not x:
        raise ValueError("sequences is empty; give at least one utterance")
    for i, one in enumerate(x):
        if one.ndim != 2 or len(one) < least:
            raise ValueError(
                f"sequences[{i}] has shape {one.shape}; give (t, d) with t of at least {least}"
            )
        if not np.isfinite(one).all():
            raise ValueError(f"sequences[{i}] holds NaN or infinity; every feature must be finite")
    return x
