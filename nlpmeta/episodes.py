"""Tasks, and how to draw and score them: the protocol that every few-shot learner shares.

A task has a support set to adapt on and a query set to be scored on (Vinyals et al., 2016). An
:class:`EpisodeSampler` draws tasks from labeled examples, N classes with K support examples each,
and :func:`evaluate` scores a learner on a fixed list of them, so that every learner meets the same
tasks and two learners can be compared task by task (:func:`compare`). Exports :class:`Task`,
:class:`EpisodeSampler`, :class:`Score`, :func:`evaluate`, :func:`compare`,
:func:`across_domains`, :func:`n_ways`, and from :mod:`nlpmeta.tables` what makes the data:
``by_class``, ``from_table`` and ``Table``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import numpy as np
import torch
from scipy.stats import t as student_t
from torch import Tensor
from tqdm.auto import trange

from nlpmeta.metrics import normal_interval
from nlpmeta.streams import Generators, Streams
from nlpmeta.tables import Classes, Table, by_class, from_table

Predictor = Callable[[Tensor], Tensor]

SPARE = 100  # classes beyond those of a task: an order of more is drawn faster for one task alone


__all__ = [
    "EpisodeSampler",
    "Learner",
    "Score",
    "Table",
    "Task",
    "across_domains",
    "by_class",
    "compare",
    "evaluate",
    "from_table",
    "n_ways",
]


class Task(NamedTuple):
    """One episode, or a batch of them with a leading task axis.

    Parameters
    ----------
    support_x : Tensor, shape (n_way * k_shot, ...)
        Examples to adapt on.
    support_y : Tensor of int64, shape (n_way * k_shot,)
        Their labels, 0 to n_way - 1.
    query_x : Tensor, shape (n_way * n_query, ...)
        Examples to be scored on; none of them is in the support set.
    query_y : Tensor of int64, shape (n_way * n_query,)
        Their labels.
    """

    support_x: Tensor
    support_y: Tensor
    query_x: Tensor
    query_y: Tensor


class Learner(Protocol):
    """Whatever can adapt: a network, a classifier, a nearest-neighbor rule."""

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Predictor:
        """A function from queries (q, ...) to logits (q, n_way), fitted to the support set."""
        ...


class EpisodeSampler:
    """Draw N-way K-shot tasks from labeled examples, each one fixed by the seed and its number.

    A task takes a domain uniformly at random from those with enough classes, then ``n_way`` of its
    classes without replacement in random order, which become the labels 0 to n_way - 1, then
    ``k_shot + n_query`` examples of each without replacement, the first for the support set and
    the rest for the query set. Task ``index`` depends on the seed and the index only: not on how
    many were drawn before, nor on who draws it. It is what ``numpy.random.default_rng([seed,
    index])`` draws. Some hundred neighbors are drawn together (:class:`nlpmeta.streams.Streams`),
    so tasks in the order of their numbers cost least.

    Parameters
    ----------
    data : mapping of domain to mapping of class to Tensor (n_examples, ...)
        As :func:`nlpmeta.tables.by_class` gives it.
    n_way, k_shot, n_query : int
        Classes of a task, support examples of a class, query examples of a class; at least 1.
    seed : int
        From 0 to 2^32 - 1.

    Raises
    ------
    ValueError
        If a number is too small or the seed too large, no domain has ``n_way`` classes of
        ``k_shot + n_query`` examples, or the examples differ in shape.

    Examples
    --------
    >>> data = by_class(torch.arange(12), list("aaaabbbbcccc"))
    >>> task = EpisodeSampler(data, n_way=2, k_shot=1, n_query=2, seed=0).task(0)
    >>> task.support_x.shape, task.query_y
    (torch.Size([2]), tensor([0, 0, 1, 1]))
    """

    def __init__(
        self, data: Mapping[str, Classes], n_way: int, k_shot: int, n_query: int, seed: int
    ) -> None:
        for name, value in {"n_way": n_way, "k_shot": k_shot, "n_query": n_query}.items():
            if value < 1:
                raise ValueError(f"{name} is {value}; give at least 1")
        if not 0 <= seed < 2**32:
            raise ValueError(f"seed is {seed}; give 0 to 2**32 - 1")
        per_class = k_shot + n_query
        self.n_way, self.k_shot, self.n_query, self.seed = n_way, k_shot, n_query, seed
        self.domains = {
            domain: usable
            for domain, classes in data.items()
            if len(usable := {c: x for c, x in classes.items() if len(x) >= per_class}) >= n_way
        }
        if not self.domains:
            sizes = sorted((len(x) for c in data.values() for x in c.values()), reverse=True)
            raise ValueError(
                f"k_shot + n_query is {per_class}, but no domain has n_way = {n_way} classes with "
                f"that many examples (largest classes: {sizes[:n_way]}); lower n_way, k_shot or "
                "n_query, or give more examples"
            )
        self._names = list(self.domains)
        every = [x for classes in self.domains.values() for x in classes.values()]
        shapes = {tuple(x.shape[1:]) for x in every}
        if len(shapes) > 1:
            raise ValueError(f"data has examples of shapes {sorted(shapes)}; pad them to one shape")
        self._x = torch.cat(every)
        self._n_classes = np.array([len(classes) for classes in self.domains.values()])
        there = np.arange(self._n_classes.max()) < self._n_classes[:, None]  # (domains, classes)
        self._sizes, self._first = np.zeros((2, *there.shape), dtype=np.int64)
        self._sizes[there] = [len(x) for x in every]
        self._first[there] = np.cumsum(self._sizes[there]) - self._sizes[there]  # row in ``_x``
        few = self._n_classes.max() <= n_way + SPARE
        self._streams = Streams if few else Generators
        self._together = max(1, min(512, 2**15 // (n_way * per_class))) if few else 1
        self._drawn: tuple[int, np.ndarray, np.ndarray] | None = None
        labels = torch.arange(n_way)
        self._support_y = labels.repeat_interleave(k_shot)
        self._query_y = labels.repeat_interleave(n_query)

    def _classes(self, streams: Streams | Generators, domains: np.ndarray) -> np.ndarray:
        """Which classes of its domain each task has, (tasks, n_way), in order of their labels."""
        return streams.permutations(self._n_classes[domains])[:, : self.n_way]

    def _block(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Of the tasks of a block: domains (tasks,), rows (tasks, n_way, k_shot + n_query)."""
        drawn = self._drawn
        if drawn is None or drawn[0] != number:
            indices = number * self._together + np.arange(self._together)
            streams = self._streams(self.seed, indices)
            found = self._draw(streams)
            if not streams.exact:
                found = self._draw(Generators(self.seed, indices))
            drawn = self._drawn = number, *found
        return drawn[1:]

    def _draw(self, streams: Streams | Generators) -> tuple[np.ndarray, np.ndarray]:
        """A task from each stream: its domain, and the rows of its examples."""
        domains = streams.integers(len(self._names))
        classes = domains[:, None], self._classes(streams, domains)
        chosen = streams.choices(self._sizes[classes], self.k_shot + self.n_query)
        return domains, self._first[classes][..., None] + chosen

    def _rows(self, first: int, n_tasks: int) -> np.ndarray:
        """Rows of the examples of consecutive tasks, (n_tasks, n_way, k_shot + n_query)."""
        if first < 0:
            raise ValueError(f"index is {first}; tasks are numbered from 0")
        block, place = divmod(first, self._together)
        blocks = range(block, (first + n_tasks - 1) // self._together + 1)
        rows = np.concatenate([self._block(number)[1] for number in blocks])
        return rows[place : place + n_tasks]

    def _taken(self, rows: np.ndarray) -> Task:
        """The tasks of rows (..., n_way, k_shot + n_query): all examples are taken at once."""
        axes, parts = rows.shape[:-2], np.split(rows, [self.k_shot], axis=-1)
        chosen = torch.from_numpy(np.concatenate([part.ravel() for part in parts]))
        x = self._x.index_select(0, chosen.to(self._x.device))
        support_x, query_x = (
            own.view(*axes, -1, *x.shape[1:]) for own in x.split([part.size for part in parts])
        )
        support_y, query_y = (y.expand(*axes, -1).clone() for y in (self._support_y, self._query_y))
        return Task(support_x, support_y, query_x, query_y)

    def domain(self, index: int) -> str:
        """The domain that the task with this number comes from."""
        if index < 0:
            raise ValueError(f"index is {index}; tasks are numbered from 0")
        block, place = divmod(index, self._together)
        return self._names[self._block(block)[0][place]]

    def task(self, index: int) -> Task:
        """The task with this number, 0 or larger."""
        return self._taken(self._rows(index, 1)[0])

    def batch(self, first: int, n_tasks: int) -> Task:
        """Tasks ``first`` to ``first + n_tasks - 1``, stacked along a new leading axis."""
        if n_tasks < 1:
            raise ValueError(f"n_tasks is {n_tasks}; give at least 1")
        return self._taken(self._rows(first, n_tasks))


class Score(NamedTuple):
    """How well a learner does: the mean over tasks and its uncertainty.

    Parameters
    ----------
    mean : float
        Mean accuracy over the tasks, between 0 and 1.
    ci95 : float
        Half width of the normal 95 % interval of that mean. It covers the choice of tasks only,
        not the choice of training data or of the training seed.
    per_episode : ndarray of float64, shape (n_episodes,)
        The accuracy on each task.
    """

    mean: float
    ci95: float
    per_episode: np.ndarray

    def __str__(self) -> str:
        return f"{100 * self.mean:.1f} ± {100 * self.ci95:.1f} %"


def _score(values: np.ndarray) -> Score:
    interval = normal_interval(values)
    return Score(interval.estimate, (interval.high - interval.low) / 2, values)


def n_ways(labels: Tensor) -> int:
    """The number of classes of a task: one more than its largest label.

    Raises
    ------
    ValueError
        If there are no labels, a label below 0, or a number without an example.

    Examples
    --------
    >>> n_ways(torch.tensor([0, 2, 1, 0]))
    3
    """
    if labels.numel() == 0 or int(labels.min()) < 0:
        raise ValueError(
            f"labels are {labels.tolist()}; give at least one label, numbered from 0 upward"
        )
    counts = torch.bincount(labels)
    if not counts.all():
        raise ValueError(
            f"labels have no {int(counts.argmin())}, but {len(counts) - 1}; "
            "give every class an example and number the classes 0, 1, 2 ..."
        )
    return len(counts)


def evaluate(learner: Learner, sampler: EpisodeSampler, n_episodes: int = 600) -> Score:
    """Adapt to each of the sampler's first tasks and take the accuracy on its queries.

    Parameters
    ----------
    learner : Learner
    sampler : EpisodeSampler
        The same sampler (same data, same seed) gives every learner the same tasks.
    n_episodes : int
        How many tasks, at least 2.

    Returns
    -------
    Score
        Mean accuracy, half width of its 95 % interval, accuracy per task.

    Raises
    ------
    ValueError
        If ``n_episodes`` is below 2, or the learner returns logits of a wrong shape or NaN.
    """
    if n_episodes < 2:
        raise ValueError(f"n_episodes is {n_episodes}; an interval needs at least 2")
    accuracies = np.empty(n_episodes)
    for index in trange(n_episodes, desc="episodes", leave=False):
        task = sampler.task(index)
        logits = learner.adapt(task.support_x, task.support_y)(task.query_x)
        if logits.shape != (len(task.query_y), sampler.n_way) or torch.isnan(logits).any():
            raise ValueError(
                f"the predictor's logits have shape {tuple(logits.shape)} or hold NaN; it must "
                f"return ({len(task.query_y)}, {sampler.n_way}) finite numbers"
            )
        accuracies[index] = (logits.argmax(-1) == task.query_y).double().mean()
    return _score(accuracies)


def across_domains(score: Score, sampler: EpisodeSampler) -> Score:
    """The same mean with the interval that counts domains, not tasks.

    Tasks of one domain resemble each other, so the interval over tasks says nothing about a domain
    not drawn yet. With residuals ``r_i`` of n tasks in G domains, the variance of the mean is
    ``G / (G - 1) * sum over domains of (sum of r_i in the domain)^2 / n^2`` (Liang and Zeger,
    1986), and the interval takes Student's t with G - 1 degrees of freedom.

    Parameters
    ----------
    score : Score
        Of a learner, or of a difference, on the sampler's first tasks.
    sampler : EpisodeSampler
        The one that drew them.

    Returns
    -------
    Score

    Raises
    ------
    ValueError
        If the tasks come from fewer than two domains.

    Examples
    --------
    >>> data = by_class(torch.arange(8), list("abababab"), list("xxxxyyyy"))
    >>> sampler = EpisodeSampler(data, n_way=2, k_shot=1, n_query=1, seed=0)
    >>> easy = np.array([sampler.domain(i) == "x" for i in range(100)], dtype=float)
    >>> across_domains(_score(easy), sampler).ci95 > 10 * _score(easy).ci95
    True
    """
    values = score.per_episode
    sums: dict[str, float] = {}
    for index, residual in enumerate(values - values.mean()):
        domain = sampler.domain(index)
        sums[domain] = sums.get(domain, 0.0) + residual
    n_domains = len(sums)
    if n_domains < 2:
        raise ValueError(f"the tasks come from {n_domains} domain; an interval needs at least 2")
    total = n_domains / (n_domains - 1) * sum(value**2 for value in sums.values())
    half_width = student_t.ppf(0.975, n_domains - 1) * np.sqrt(total) / len(values)
    return Score(score.mean, float(half_width), values)


def compare(a: Score, b: Score) -> Score:
    """The mean difference ``a - b`` on the same tasks, with its paired interval.

    Tasks differ in difficulty far more than two learners do on one task, so the interval of the
    differences is narrower than the two intervals suggest.

    Raises
    ------
    ValueError
        If the two were not scored on equally many tasks.

    Examples
    --------
    >>> a, b = (Score(0.0, 0.0, np.array(x)) for x in ([0.5, 0.9], [0.4, 0.8]))
    >>> round(compare(a, b).mean, 3)
    0.1
    """
    if a.per_episode.shape != b.per_episode.shape:
        raise ValueError(
            f"a was scored on {len(a.per_episode)} tasks, b on {len(b.per_episode)}; "
            "score both with the same sampler and n_episodes"
        )
    return _score(a.per_episode - b.per_episode)
