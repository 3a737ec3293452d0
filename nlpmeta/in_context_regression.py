"""Linear regression as a task to learn in context, with the answers that are known to be best.

A task is a linear function, known at a few noisy points (Garg et al., 2022). Because the functions
come from a known prior, the best predictor of all has a formula, :func:`posterior`; with
:func:`least_squares` and :func:`averaging` it is what a transformer that reads the points is
compared with (Akyürek et al., 2023). :class:`LinearAttention` is one layer of such a transformer,
whose weights can be set by hand so that it takes a step of gradient descent (von Oswald et al.,
2023). Points are rows, all functions take leading task axes, and a weight vector ``w`` (..., d, 1)
predicts ``x @ w``.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from nlpmeta.episodes import Predictor, Task


class Posterior(NamedTuple):
    """What is known of the weights after seeing the support set: a normal distribution.

    Parameters
    ----------
    mean : Tensor, shape (..., d, 1)
    covariance : Tensor, shape (..., d, d)
    """

    mean: Tensor
    covariance: Tensor


def linear_tasks(
    n_tasks: int,
    n_support: int,
    n_query: int,
    d: int,
    generator: torch.Generator,
    noise: float = 0.0,
    prior: float = 1.0,
) -> tuple[Task, Tensor]:
    """Draw linear functions and points on them: ``y = x w + e`` (Garg et al., 2022).

    ``w`` is normal with variance ``prior ** 2``, ``x`` with variance 1, ``e`` with variance
    ``noise ** 2``, each number independently.

    Parameters
    ----------
    n_tasks, n_support, n_query, d : int
        Tasks, points of each to adapt on, points to be scored on, and numbers in an input.
    generator : torch.Generator
        The only source of randomness.
    noise, prior : float
        Standard deviations of the noise (at least 0) and of the weights (above 0).

    Returns
    -------
    tasks : Task
        Of float32: ``support_x`` (n_tasks, n_support, d), ``support_y`` (n_tasks, n_support, 1),
        and the same of the queries, whose ``y`` has noise too.
    w : Tensor of float32, shape (n_tasks, d, 1)

    Raises
    ------
    ValueError
        If a number is too small.

    Examples
    --------
    >>> tasks, w = linear_tasks(4, 3, 2, d=5, generator=torch.Generator().manual_seed(0))
    >>> tasks.support_x.shape, torch.equal(tasks.query_y, tasks.query_x @ w)
    (torch.Size([4, 3, 5]), True)
    """
    sizes = {"n_tasks": n_tasks, "n_support": n_support, "n_query": n_query, "d": d}
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; give at least 1")
    _check_deviations(noise, prior)
    n = n_support + n_query
    w = prior * torch.randn(n_tasks, d, 1, generator=generator)
    x = torch.randn(n_tasks, n, d, generator=generator)
    y = x @ w + noise * torch.randn(n_tasks, n, 1, generator=generator)
    k = n_support
    return Task(x[:, :k], y[:, :k], x[:, k:], y[:, k:]), w


def posterior(x: Tensor, y: Tensor, noise: float, prior: float = 1.0) -> Posterior:
    """The weights given the points, under the prior they were drawn from: exact Bayes.

    ``mean = (X'X + r I)^-1 X'y`` and ``covariance = noise^2 (X'X + r I)^-1`` with
    ``r = noise^2 / prior^2`` (Hoerl and Kennard's ridge, 1970, as Bayes' rule: Lindley and Smith,
    1972). Proof. By Bayes' rule ``-2 log p(w | X, y)`` is, but for a constant,
    ``|y - X w|^2 / noise^2 + |w|^2 / prior^2``. Collected by powers of ``w``, with
    ``A = (X'X + r I) / noise^2``, that is ``w'A w - 2 w'X'y / noise^2``, and with
    ``m = A^-1 X'y / noise^2`` it is ``(w - m)'A (w - m)`` and a constant: a normal distribution
    with mean ``m`` and covariance ``A^-1``. A prediction ``p`` of ``x w`` has the expected squared
    error ``(p - x m)^2 + x A^-1 x'``, smallest at ``p = x m``: no predictor, whatever it is made
    of, does better on average than ``x m``, and what is left is ``x A^-1 x'``, plus ``noise^2``
    if the query has noise.

    Without noise the limit is taken: the mean is :func:`least_squares`, the covariance
    ``prior^2`` times the projection on what no point has touched.

    Parameters
    ----------
    x : Tensor of float32 or float64, shape (..., s, d)
        Inputs of the support set.
    y : Tensor, shape (..., s, 1)
        Their targets.
    noise, prior : float
        Standard deviations of the noise (at least 0) and of the weights (above 0).

    Returns
    -------
    Posterior

    Raises
    ------
    ValueError
        If a deviation is out of range, or the shapes do not fit.

    Examples
    --------
    >>> posterior(torch.tensor([[1.0]]), torch.tensor([[4.0]]), noise=1.0)  # half way from 0 to 4
    Posterior(mean=tensor([[2.]]), covariance=tensor([[0.5000]]))
    """
    _check_deviations(noise, prior)
    _check_shapes(x, y)
    eye = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    if noise == 0:
        inverse = torch.linalg.pinv(x)  # (..., d, s)
        return Posterior(inverse @ y, prior**2 * (eye - inverse @ x))
    gram = x.mT @ x + (noise / prior) ** 2 * eye  # (..., d, d)
    return Posterior(torch.linalg.solve(gram, x.mT @ y), noise**2 * torch.linalg.inv(gram))


def least_squares(x: Tensor, y: Tensor) -> Tensor:
    """The weights with the smallest ``|y - X w|^2``; the shortest of them, if there are several.

    ``w = X^+ y`` with the pseudoinverse (Penrose, 1956). With fewer points than numbers in an
    input many weights go through all points.

    Parameters
    ----------
    x : Tensor of float32 or float64, shape (..., s, d)
    y : Tensor, shape (..., s, 1)

    Returns
    -------
    Tensor, shape (..., d, 1)

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> least_squares(torch.tensor([[3.0, 4.0]]), torch.tensor([[25.0]])).mT.round(decimals=4)
    tensor([[3., 4.]])
    """
    _check_shapes(x, y)
    return torch.linalg.pinv(x) @ y


def averaging(x: Tensor, y: Tensor) -> Tensor:
    """The mean of ``x_i y_i``, right on average for inputs of :func:`linear_tasks`.

    ``E[x'x] = I`` gives ``E[x'y] = w`` (a baseline of Garg et al., 2022). It is also one step of
    size 1 of gradient descent on ``mean (y - x w)^2 / 2`` from ``w = 0``.

    Parameters
    ----------
    x : Tensor of float, shape (..., s, d)
    y : Tensor, shape (..., s, 1)

    Returns
    -------
    Tensor, shape (..., d, 1)

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> averaging(torch.eye(2), torch.tensor([[2.0], [4.0]])).mT
    tensor([[1., 2.]])
    """
    _check_shapes(x, y)
    return x.mT @ y / x.shape[-2]


class LinearAttention(nn.Module):
    """Attention without the softmax, by which tokens look at the support set.

    A token is ``t = [x, r]``, for a support example ``r = y``, for a query ``r = 0``. The layer is
    ``t <- t + P mean_i (V t_i) (K t_i)'(Q t)``, the mean over the support examples, and a query's
    prediction is ``-r`` after the last layer (von Oswald et al., 2023).

    Parameters
    ----------
    d : int
        Numbers in an input; the four matrices are (d + 1, d + 1).
    generator : torch.Generator
        Draws the initial weights, normal with deviation 0.1. From some draws training stops at a
        worse place than :meth:`gradient_step`: try several.

    Raises
    ------
    ValueError
        If ``d`` is below 1.

    Examples
    --------
    >>> layer = LinearAttention.gradient_step(d=1, rate=0.5)
    >>> predict = layer.adapt(torch.tensor([[1.0], [1.0]]), torch.tensor([[2.0], [4.0]]))
    >>> predict(torch.tensor([[10.0]])).detach()  # w = 0.5 * mean(2, 4)
    tensor([[15.]])
    """

    def __init__(self, d: int, generator: torch.Generator) -> None:
        super().__init__()
        if d < 1:
            raise ValueError(f"d is {d}; give at least 1")
        for name in ("query", "key", "value", "out"):
            weight = torch.randn(d + 1, d + 1, generator=generator)
            setattr(self, name, nn.Parameter(0.1 * weight))

    @classmethod
    def gradient_step(cls, d: int, rate: float, dtype: torch.dtype = torch.float32) -> Self:
        """The layer that takes one step of gradient descent on least squares, from ``w = 0``.

        ``K = Q = diag(1, ..., 1, 0)`` compare inputs, ``V = diag(0, ..., 0, 1)`` passes the number
        ``r``, and ``P = -rate I``: inputs stay, and ``r <- r - rate mean_i r_i (x_i x')``. Proof
        that this is descent: let ``r_i = y_i - x_i w`` for the support set, and ``r = -x w`` for a
        query, as is true at first with ``w = 0``. The gradient of ``mean (y_i - x_i w)^2 / 2`` is
        ``-mean x_i' r_i``, so the step is ``w <- w + rate mean x_i' r_i``, which changes every
        ``-x w`` by ``-rate mean_i r_i (x_i x')``: what the layer does to all tokens. The same
        layer again is the next step (von Oswald et al., 2023).

        Parameters
        ----------
        d : int
        rate : float
            Step size; in units of the mean loss, so that it does not depend on the number of
            examples.
        dtype : torch.dtype
            Of the weights.
        """
        layer = cls(d, torch.Generator()).to(dtype)
        number = torch.zeros(d + 1, dtype=dtype)
        number[-1] = 1
        with torch.no_grad():
            layer.query.copy_((1 - number).diag())
            layer.key.copy_((1 - number).diag())
            layer.value.copy_(number.diag())
            layer.out.copy_(-rate * torch.eye(d + 1, dtype=dtype))
        return layer

    def forward(self, tokens: Tensor, n_support: int) -> Tensor:
        """Tokens (..., t, d + 1) after the layer; the first ``n_support`` are the support set."""
        support = tokens[..., :n_support, :]
        values, keys = support @ self.value.T, support @ self.key.T  # (..., s, d + 1)
        memory = values.mT @ keys / n_support  # (..., d + 1, d + 1)
        return tokens + tokens @ self.query.T @ memory.mT @ self.out.T

    def adapt(self, support_x: Tensor, support_y: Tensor, layers: int = 1) -> Predictor:
        """The predictor of one task or of a batch, from ``layers`` passes through this layer."""
        _check_shapes(support_x, support_y)
        support, n = torch.cat([support_x, support_y], -1), support_x.shape[-2]

        def predict(query_x: Tensor) -> Tensor:
            query = torch.cat([query_x, torch.zeros_like(query_x[..., :1])], -1)
            tokens = torch.cat([support, query], -2)  # (..., s + q, d + 1)
            for _ in range(layers):
                tokens = self(tokens, n)
            return -tokens[..., n:, -1:]  # (..., q, 1)

        return predict


def _check_shapes(x: Tensor, y: Tensor) -> None:
    if x.ndim < 2 or x.shape[-2] < 1 or y.shape != (*x.shape[:-1], 1):
        raise ValueError(
            f"x has shape {tuple(x.shape)} and y {tuple(y.shape)}; give (..., s, d) and "
            "(..., s, 1) with at least one point"
        )


def _check_deviations(noise: float, prior: float) -> None:
    if not 0 <= noise < float("inf"):
        raise ValueError(f"noise is {noise}; give 0 or a positive number")
    if not 0 < prior < float("inf"):
        raise ValueError(f"prior is {prior}; give a positive number")
