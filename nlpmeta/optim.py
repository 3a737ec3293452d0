"""Two losses, four optimizers, a check on gradients, and an optimizer that is itself learned.

The losses are negative log-likelihoods written from logits. Every optimizer is one pure function,
``(theta, grad, state, lr) -> (theta, state)``, made of arithmetic operators alone, so the same
lines take NumPy arrays and PyTorch tensors (Polyak 1964; Nesterov 1983; Kingma and Ba 2015;
Loshchilov and Hutter 2019). :class:`LearnedOptimizer` has that shape too, but its update rule is a
small network, trained through :func:`unroll` on many problems (Andrychowicz et al. 2016).

Exports: cross_entropy, binary_cross_entropy; sgd, momentum, adam, adamw; gradient_check;
LearnedOptimizer, unroll.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

Array = np.ndarray | Tensor

__all__ = [
    "LearnedOptimizer",
    "adam",
    "adamw",
    "binary_cross_entropy",
    "cross_entropy",
    "gradient_check",
    "momentum",
    "sgd",
    "unroll",
]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean negative log-likelihood of class labels under a softmax, in nats.

    For logits ``s`` and label ``y`` the loss is ``log sum_j exp(s_j) - s_y``: no probability is
    ever formed, so no logarithm of a rounded zero is taken. The labels are looked at, which
    ``torch.func.vmap`` does not allow; give it a leading axis instead.

    Parameters
    ----------
    logits : Tensor (..., n, c)
        Unnormalized log-probabilities. Axes before the last two are kept.
    labels : Tensor (..., n)
        Integer classes in 0 to c - 1.

    Returns
    -------
    Tensor (...)
        The mean over the n examples; a scalar for a plain (n, c) input.

    Raises
    ------
    ValueError
        If the shapes disagree, n is zero or a label is out of range.

    Examples
    --------
    >>> round(cross_entropy(torch.tensor([[2.0, 2.0]]), torch.tensor([1])).item(), 4)
    0.6931
    """
    _check_labels(logits, labels)
    chosen = logits.gather(-1, labels[..., None])[..., 0]  # (..., n)
    return (logits.logsumexp(-1) - chosen).mean(-1)


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean negative log-likelihood of yes/no targets under a sigmoid, in nats.

    With ``p = 1 / (1 + exp(-s))`` the loss ``-y log p - (1 - y) log(1 - p)`` equals
    ``log(1 + exp(s)) - y s``, which is what is computed, in a form that cannot overflow.

    Parameters
    ----------
    logits : Tensor (..., n)
        Log-odds of "yes". Axes before the last are kept.
    targets : Tensor (..., n)
        Numbers from 0 to 1, of the same shape.

    Returns
    -------
    Tensor (...)
        The mean over the n examples; a scalar for a plain (n,) input.

    Raises
    ------
    ValueError
        If the shapes disagree, n is zero or a target lies outside 0 to 1.

    Examples
    --------
    >>> logits, targets = torch.tensor([0.0, 800.0]), torch.tensor([1.0, 1.0])
    >>> round(binary_cross_entropy(logits, targets).item(), 4)
    0.3466
    """
    _check_targets(logits, targets)
    log_partition = torch.logaddexp(torch.zeros_like(logits), logits)  # log(1 + exp(s))
    return (log_partition - targets * logits).mean(-1)


def sgd(
    theta: Array, grad: Array, state: None, lr: float, *, l2: float = 0.0
) -> tuple[Array, None]:
    """One step of gradient descent, stochastic if the gradient is (Robbins and Monro 1951).

    ``theta <- theta - lr * (grad + l2 * theta)``.

    Parameters
    ----------
    theta, grad : arrays or tensors of one shape
        Parameters and the gradient of the loss there.
    state : None
        Gradient descent remembers nothing.
    lr : float
        Learning rate.
    l2 : float
        Strength of the penalty ``l2 / 2 * ||theta||^2``, through the gradient.

    Returns
    -------
    tuple
        New parameters and state.

    Examples
    --------
    >>> sgd(np.array([1.0]), np.array([0.5]), None, lr=0.1)
    (array([0.95]), None)
    """
    return theta - lr * (grad + l2 * theta), None


def momentum(
    theta: Array,
    grad: Array,
    state: Array | None,
    lr: float,
    *,
    beta: float = 0.9,
    nesterov: bool = False,
    l2: float = 0.0,
) -> tuple[Array, Array]:
    """One step of the heavy ball (Polyak 1964) or, looking ahead, of Nesterov (1983).

    ``velocity <- beta * velocity + grad``, then ``theta <- theta - lr * velocity``; Nesterov's form
    steps along ``grad + beta * velocity``.

    Parameters
    ----------
    theta, grad : arrays or tensors of one shape
        Parameters and the gradient of the loss there.
    state : array, tensor or None
        The velocity; None before the first step.
    lr : float
        Learning rate.
    beta : float
        Share of the velocity that survives a step.
    nesterov : bool
        Whether to look ahead.
    l2 : float
        Strength of the penalty ``l2 / 2 * ||theta||^2``, through the gradient.

    Returns
    -------
    tuple
        New parameters and velocity.

    Examples
    --------
    >>> theta, velocity = momentum(np.array([1.0]), np.array([0.5]), None, lr=0.1)
    >>> theta, velocity = momentum(theta, np.array([0.5]), velocity, lr=0.1)
    >>> theta.round(3), velocity
    (array([0.855]), array([0.95]))
    """
    grad = grad + l2 * theta
    velocity = grad if state is None else beta * state + grad
    step = grad + beta * velocity if nesterov else velocity
    return theta - lr * step, velocity


class AdamState(NamedTuple):
    """Running means of the gradient and of its square, and the number of steps taken."""

    m: Array
    v: Array
    t: int


def adam(
    theta: Array,
    grad: Array,
    state: AdamState | None,
    lr: float,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    l2: float = 0.0,
) -> tuple[Array, AdamState]:
    """One step of Adam (Kingma and Ba 2015, algorithm 1).

    ``m`` and ``v`` average the gradient and its square; divided by ``1 - beta^t`` they start
    unbiased; ``theta <- theta - lr * m_hat / (sqrt(v_hat) + eps)``.

    Parameters
    ----------
    theta, grad : arrays or tensors of one shape
        Parameters and the gradient of the loss there.
    state : AdamState or None
        None before the first step.
    lr : float
        Learning rate.
    betas : tuple of float
        Decay of the two averages.
    eps : float
        Keeps the division finite.
    l2 : float
        Strength of the penalty ``l2 / 2 * ||theta||^2``, through the gradient: the division then
        rescales the penalty too, which is why :func:`adamw` exists.

    Returns
    -------
    tuple
        New parameters and state.

    Examples
    --------
    >>> adam(np.array([1.0]), np.array([123.0]), None, lr=0.1)[0]
    array([0.9])
    """
    grad = grad + l2 * theta
    m, v, t = (0 * grad, 0 * grad, 0) if state is None else state
    m = betas[0] * m + (1 - betas[0]) * grad
    v = betas[1] * v + (1 - betas[1]) * grad**2
    t = t + 1
    m_hat = m / (1 - betas[0] ** t)
    v_hat = v / (1 - betas[1] ** t)
    return theta - lr * m_hat / (v_hat**0.5 + eps), AdamState(m, v, t)


def adamw(
    theta: Array,
    grad: Array,
    state: AdamState | None,
    lr: float,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    decay: float = 0.01,
) -> tuple[Array, AdamState]:
    """One step of Adam with decoupled weight decay (Loshchilov and Hutter 2019).

    The weights shrink by ``1 - lr * decay``; Adam never sees the penalty.

    Parameters
    ----------
    theta, grad : arrays or tensors of one shape
        Parameters and the gradient of the loss there.
    state : AdamState or None
        None before the first step.
    lr : float
        Learning rate.
    betas, eps
        As in :func:`adam`.
    decay : float
        Weight decay.

    Returns
    -------
    tuple
        New parameters and state.

    Examples
    --------
    >>> adamw(np.array([1.0]), np.array([0.0]), None, lr=0.1, decay=0.5)[0]
    array([0.95])
    """
    return adam(theta * (1 - lr * decay), grad, state, lr, betas=betas, eps=eps)


def gradient_check(
    f: Callable[[Tensor], Tensor],
    theta: Tensor,
    gradient: Callable[[Tensor], Tensor] | None = None,
    delta: float = 1e-5,
) -> float:
    """How far a gradient is from central differences, relative to its size.

    The difference quotient ``(f(theta + delta e_i) - f(theta - delta e_i)) / (2 delta)`` errs by
    ``O(delta^2)`` plus rounding of about ``1e-16 / delta``. The result is
    ``||g - d|| / (||g|| + ||d||)``: near 1e-9 for a right gradient, 1 for one of opposite sign.

    Parameters
    ----------
    f : callable
        Maps a float64 tensor of the shape of theta to a scalar tensor.
    theta : Tensor, float64
        Where to check. Every coordinate costs two calls of ``f``.
    gradient : callable, optional
        Maps theta to the gradient in question; PyTorch's own for ``f`` if left out.
    delta : float
        Half the width of the difference.

    Returns
    -------
    float
        Relative error, from 0 to 1.

    Raises
    ------
    TypeError
        If theta is not float64: at single precision rounding would hide the answer.
    ValueError
        If the gradient has another shape than theta.

    Examples
    --------
    >>> theta = torch.tensor([0.3, -1.2], dtype=torch.float64)
    >>> gradient_check(lambda x: (x**3).sum(), theta) < 1e-8
    True
    >>> gradient_check(lambda x: (x**3).sum(), theta, lambda x: 2 * x**2) > 0.1
    True
    """
    if theta.dtype != torch.float64:
        raise TypeError(f"theta: dtype {theta.dtype}; convert it with theta.double()")
    analytic = (gradient or torch.func.grad(f))(theta).detach()
    if analytic.shape != theta.shape:
        raise ValueError(
            f"gradient: shape {tuple(analytic.shape)} for theta of shape {tuple(theta.shape)}; "
            "return one number per parameter"
        )
    differences = torch.zeros_like(theta)
    with torch.no_grad():
        for i in range(theta.numel()):
            step = torch.zeros_like(theta)
            step.view(-1)[i] = delta
            differences.view(-1)[i] = (f(theta + step) - f(theta - step)) / (2 * delta)
    size = (analytic.norm() + differences.norm()).item()
    return (analytic - differences).norm().item() / size if size > 0 else 0.0


class LearnedState(NamedTuple):
    """Running means of the gradient, one per memory, and of its square; steps taken."""

    m: Tensor
    v: Tensor
    t: int


class LearnedOptimizer(nn.Module):
    """An update rule that is a network of two layers, shared by all coordinates.

    Each coordinate is described by its gradient and three running means of it, all divided by the
    root mean square of the gradient, and by the logarithm of that root mean square. The network
    turns these five numbers into a direction ``a`` and a log-size ``b``:
    ``theta <- theta - lr * a * exp(b)``. After Andrychowicz et al. (2016), with running means in
    place of a recurrent network.

    Parameters
    ----------
    generator : torch.Generator
        Draws the initial weights.
    hidden : int
        Width of the hidden layer.

    Examples
    --------
    >>> rule = LearnedOptimizer(torch.Generator().manual_seed(0))
    >>> theta, state = rule(torch.zeros(4, 3), torch.ones(4, 3), None)
    >>> theta.shape, state.t
    (torch.Size([4, 3]), 1)
    """

    decays = (0.5, 0.9, 0.99)

    def __init__(self, generator: torch.Generator, hidden: int = 32):
        super().__init__()
        self.inner = nn.Linear(len(self.decays) + 2, hidden)
        self.outer = nn.Linear(hidden, 2)
        for layer in (self.inner, self.outer):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(
        self, theta: Tensor, grad: Tensor, state: LearnedState | None, lr: float = 0.1
    ) -> tuple[Tensor, LearnedState]:
        """Apply one update; the same shape of call as :func:`sgd` and :func:`adam`.

        Parameters
        ----------
        theta, grad : Tensor of one shape
            Parameters and the gradient of the loss there.
        state : LearnedState or None
            None before the first step.
        lr : float
            Unit of the step; the network learns its factor.

        Returns
        -------
        tuple
            New parameters and state.
        """
        decays = torch.tensor(self.decays, dtype=grad.dtype, device=grad.device)
        m, v, t = (0 * grad[..., None], 0 * grad, 0) if state is None else state
        m = decays * m + (1 - decays) * grad[..., None]  # (..., memories)
        v = 0.99 * v + 0.01 * grad**2
        t = t + 1
        size = (v / (1 - 0.99**t))[..., None] ** 0.5 + 1e-8  # (..., 1)
        means = m / (1 - decays**t)
        features = torch.cat([grad[..., None] / size, means / size, size.log() / 5], -1)
        a, b = self.outer(torch.tanh(self.inner(features))).unbind(-1)
        return theta - lr * a * torch.exp(b), LearnedState(m, v, t)


def unroll(
    update: Callable[[Tensor, Tensor, object], tuple[Tensor, object]],
    loss: Callable[[Tensor, int], Tensor],
    theta: Tensor,
    steps: int,
) -> Tensor:
    """The losses along a run of an update rule, differentiable in the rule's own parameters.

    The gradient handed to the rule counts as a constant, as in Andrychowicz et al. (2016): the
    term with second derivatives of the loss is dropped. Under ``torch.no_grad()`` nothing is
    recorded and long runs need little memory.

    Parameters
    ----------
    update : callable
        ``(theta, grad, state) -> (theta, state)``; state is None at first.
    loss : callable
        ``loss(theta, step)`` gives a tensor of one loss per problem, shape (b,), or a scalar.
    theta : Tensor (b, ...)
        Where each problem starts.
    steps : int
        Number of updates.

    Returns
    -------
    Tensor (steps + 1, b)
        ``losses[t]`` is the loss after t updates.

    Examples
    --------
    >>> def halve(theta, grad, state):
    ...     return sgd(theta, grad, state, lr=0.25)
    >>> unroll(halve, lambda theta, step: theta**2, torch.tensor([1.0]), 2).flatten()
    tensor([1.0000, 0.2500, 0.0625])
    """
    state, losses = None, []
    for step in range(steps + 1):
        with torch.enable_grad():
            recorded = theta.requires_grad
            point = theta if recorded else theta.detach().requires_grad_()
            value = loss(point, step)
            losses.append(value if recorded else value.detach())
            if step == steps:
                return torch.stack(losses)
            (grad,) = torch.autograd.grad(value.sum(), point, retain_graph=recorded)
        theta, state = update(theta, grad, state)
    raise ValueError(f"steps: {steps}; give a number of updates of at least 0")


def _check_labels(logits: Tensor, labels: Tensor) -> None:
    if logits.ndim < 2 or logits.shape[:-1] != labels.shape or labels.numel() == 0:
        raise ValueError(
            f"labels: shape {tuple(labels.shape)} does not fit logits {tuple(logits.shape)}; "
            "give logits (n, c) and labels (n,) with n at least 1"
        )
    if labels.min() < 0 or labels.max() >= logits.shape[-1]:
        raise ValueError(
            f"labels: values {labels.min().item()} to {labels.max().item()} do not fit "
            f"{logits.shape[-1]} classes; number the classes from 0"
        )


def _check_targets(logits: Tensor, targets: Tensor) -> None:
    if logits.ndim < 1 or logits.shape != targets.shape or targets.numel() == 0:
        raise ValueError(
            f"targets: shape {tuple(targets.shape)} does not fit logits {tuple(logits.shape)}; "
            "give both the same shape (n,) with n at least 1"
        )
    if targets.min() < 0 or targets.max() > 1:
        raise ValueError(
            f"targets: values {targets.min().item()} to {targets.max().item()}; "
            "give probabilities, or 0 for no and 1 for yes"
        )
