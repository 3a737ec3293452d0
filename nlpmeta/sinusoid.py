"""Regression on sinusoids, the first test of gradient-based meta-learning.

Each task is a sine curve of its own amplitude and phase, known at a few points (Finn, Abbeel and
Levine, 2017). No single network fits all curves, and one gradient step from a good start fits any.
Exports :class:`SinusoidSampler`, which draws tasks as
:class:`~nlpmeta.episodes.EpisodeSampler` does, and :func:`sinusoid`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nlpmeta.episodes import Task


def sinusoid(x: Tensor, amplitude: float, phase: float) -> Tensor:
    """The curve ``y = amplitude * sin(x - phase)``.

    Parameters
    ----------
    x : Tensor of float
        In radians.
    amplitude, phase : float
        The phase in radians.

    Returns
    -------
    Tensor
        In the shape of ``x``.

    Examples
    --------
    >>> sinusoid(torch.tensor([1.0]), amplitude=3.0, phase=1.0)
    tensor([0.])
    """
    return amplitude * torch.sin(x - phase)


class SinusoidSampler:
    """Draw sine curves, each one fixed by the seed and its number.

    The amplitude is uniform on [0.1, 5], the phase on [0, pi], and every ``x`` on [-5, 5] (Finn,
    Abbeel and Levine, 2017).

    Parameters
    ----------
    k_shot, n_query : int
        Points of the support set and of the query set; at least 1.
    seed : int
        At least 0.

    Raises
    ------
    ValueError
        If a number is too small.

    Examples
    --------
    >>> task = SinusoidSampler(k_shot=5, n_query=10, seed=0).task(0)
    >>> task.support_x.shape, task.query_y.shape
    (torch.Size([5, 1]), torch.Size([10, 1]))
    """

    def __init__(self, k_shot: int, n_query: int, seed: int) -> None:
        least = {"k_shot": (k_shot, 1), "n_query": (n_query, 1), "seed": (seed, 0)}
        for name, (value, smallest) in least.items():
            if value < smallest:
                raise ValueError(f"{name} is {value}; give at least {smallest}")
        self.k_shot, self.n_query, self.seed = k_shot, n_query, seed

    def _draw(self, index: int) -> tuple[float, float, np.random.Generator]:
        if index < 0:
            raise ValueError(f"index is {index}; tasks are numbered from 0")
        rng = np.random.default_rng([self.seed, index])
        return rng.uniform(0.1, 5.0), rng.uniform(0.0, np.pi), rng

    def curve(self, index: int) -> tuple[float, float]:
        """Amplitude and phase (radians) of the task with this number."""
        return self._draw(index)[:2]

    def task(self, index: int) -> Task:
        """The task with this number, 0 or larger; ``x`` and ``y`` are float32 (k, 1)."""
        amplitude, phase, rng = self._draw(index)
        x = torch.from_numpy(rng.uniform(-5.0, 5.0, (self.k_shot + self.n_query, 1))).float()
        y = sinusoid(x, amplitude, phase)
        k = self.k_shot
        return Task(x[:k], y[:k], x[k:], y[k:])

    def batch(self, first: int, n_tasks: int) -> Task:
        """Tasks ``first`` to ``first + n_tasks - 1``, stacked along a new leading axis."""
        if n_tasks < 1:
            raise ValueError(f"n_tasks is {n_tasks}; give at least 1")
        return Task(*map(torch.stack, zip(*(self.task(first + i) for i in range(n_tasks)))))
