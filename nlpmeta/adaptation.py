"""Adaptation by gradient descent, and the gradient of how well it went.

:func:`adapt` is gradient descent on a support set, written so that it can itself be differentiated;
:func:`meta_loss` is the query loss after it, for a batch of tasks at once (Finn, Abbeel and Levine,
2017). The variants of the method are arguments: ``first_order`` drops the second derivatives, a
dictionary of rates is Meta-SGD, ``only`` is ANIL. :func:`implicit_gradient` needs the end of the
descent only, not its way (Rajeswaran et al., 2019). :func:`first_bad_step` finds out where a
descent left the finite numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from torch import Tensor
from torch.func import grad, vjp, vmap

Params = dict[str, Tensor]
Loss = Callable[[Params, Tensor, Tensor], Tensor]

__all__ = ["Loss", "Params", "adapt", "first_bad_step", "implicit_gradient", "meta_loss"]


def adapt(
    loss: Loss,
    params: Params,
    support: tuple[Tensor, Tensor],
    lr: float | Params,
    steps: int,
    first_order: bool = False,
    only: Collection[str] | None = None,
) -> Params:
    """Gradient descent on the support loss, ``phi <- phi - lr * grad loss(phi, support)``.

    The result can be differentiated with respect to ``params`` and mapped over tasks with
    ``torch.func.vmap``. Its derivative holds second derivatives of the loss (Finn, Abbeel and
    Levine, 2017), which PyTorch's fused attention does not have: write attention out.

    Parameters
    ----------
    loss : callable
        ``loss(params, x, y)`` gives a scalar, in nats.
    params : dict of Tensor
        Where the descent starts.
    support : tuple of Tensor
        ``(support_x, support_y)``.
    lr : float or dict of Tensor
        Step size, or one for every entry of every parameter, which may be learned (Meta-SGD: Li et
        al., 2017).
    steps : int
        Number of steps, 0 or more.
    first_order : bool
        Take each step's gradient for a constant when the result is differentiated.
    only : collection of str, optional
        Names of the parameters that move; the others stay (ANIL: Raghu et al., 2020).

    Returns
    -------
    dict of Tensor
        The adapted parameters.

    Raises
    ------
    ValueError
        If ``steps`` is negative, or ``only`` or the keys of ``lr`` do not fit ``params``.

    Examples
    --------
    >>> import torch
    >>> start = {"a": torch.tensor(0.0)}
    >>> squared = lambda params, x, y: ((params["a"] * x - y) ** 2).mean()
    >>> adapt(squared, start, (torch.ones(1), torch.ones(1)), lr=0.25, steps=2)
    {'a': tensor(0.7500)}
    """
    moving = list(params if only is None else only)
    rates = lr if isinstance(lr, dict) else dict.fromkeys(moving, lr)
    _check_inner(params, moving, rates, steps)

    def moved_loss(moved: Params, x: Tensor, y: Tensor) -> Tensor:
        return loss(params | moved, x, y)

    phi = {name: params[name] for name in moving}
    for _ in range(steps):
        slope = grad(moved_loss)(phi, *support)
        if first_order:
            slope = {name: value.detach() for name, value in slope.items()}
        phi = {name: value - rates[name] * slope[name] for name, value in phi.items()}
    return params | phi


def _check_inner(params: Params, moving: list[str], rates: Params, steps: int) -> None:
    if steps < 0:
        raise ValueError(f"steps is {steps}; give 0 or more")
    for argument, names, known in (("only", moving, params), ("lr", rates, params)):
        if unknown := sorted(set(names) - set(known)):
            raise ValueError(
                f"{argument} names {unknown}, which are not among the parameters {sorted(known)}"
            )
    if missing := sorted(set(moving) - set(rates)):
        raise ValueError(f"lr has no step size for {missing}; give one for each that moves")


def first_bad_step(
    loss: Loss, params: Params, support: tuple[Tensor, Tensor], *, steps: int, **inner: Any
) -> int | None:
    """The first step of :func:`adapt`, from 1, that makes a parameter infinite or NaN; else None.

    Parameters
    ----------
    loss, params, support, steps
        As for :func:`adapt`.
    **inner
        Its other arguments.

    Returns
    -------
    int or None

    Examples
    --------
    >>> import torch
    >>> root = lambda params, x, y: (params["a"] - x).sqrt() * y
    >>> task = torch.tensor(0.0), torch.tensor(1.0)
    >>> first_bad_step(root, {"a": torch.tensor(1.0)}, task, lr=1.0, steps=5)
    3
    """
    params = {name: value.detach() for name, value in params.items()}
    for step in range(1, steps + 1):
        params = adapt(loss, params, support, steps=1, **inner)
        if not all(value.isfinite().all() for value in params.values()):
            return step
    return None


def meta_loss(
    loss: Loss,
    params: Params,
    support: tuple[Tensor, Tensor],
    query: tuple[Tensor, Tensor],
    **inner: Any,
) -> Tensor:
    """Mean query loss after adaptation, over a batch of tasks at once.

    ``(1 / b) * sum_i loss(adapt(params, support_i), query_i)``, the objective of Finn, Abbeel and
    Levine (2017).

    Parameters
    ----------
    loss : callable
        ``loss(params, x, y)`` gives a scalar, in nats.
    params : dict of Tensor
        Where the adaptation to every task starts.
    support, query : tuple of Tensor
        ``(x, y)``, each with a leading task axis b.
    **inner
        Arguments of :func:`adapt`: ``lr`` and ``steps``, perhaps ``first_order`` and ``only``.

    Returns
    -------
    Tensor
        A scalar. Dropout draws other units for every task.

    Raises
    ------
    FloatingPointError
        If the loss of a task is not finite; it names the task and the step.

    Examples
    --------
    >>> import torch
    >>> start = {"a": torch.tensor(0.0, requires_grad=True)}
    >>> squared = lambda params, x, y: ((params["a"] * x - y) ** 2).mean()
    >>> tasks = torch.ones(2, 1), torch.tensor([[1.0], [3.0]])
    >>> value = meta_loss(squared, start, tasks, tasks, lr=0.25, steps=1)
    >>> value.item(), torch.autograd.grad(value, start["a"])[0].item()
    (1.25, -1.0)
    """

    def query_loss(support: tuple[Tensor, Tensor], query: tuple[Tensor, Tensor]) -> Tensor:
        return loss(adapt(loss, params, support, **inner), *query)

    losses = vmap(query_loss, randomness="different")(support, query)  # (b,)
    bad = (~losses.isfinite()).nonzero()
    if len(bad):
        task = int(bad[0])
        step = first_bad_step(loss, params, tuple(part[task] for part in support), **inner)
        where = "after adaptation" if step is None else f"because of inner step {step}"
        raise FloatingPointError(
            f"the query loss of task {task} is {losses[task].item()} {where}; lower lr or steps"
        )
    return losses.mean()


def implicit_gradient(
    loss: Loss,
    params: Params,
    support: tuple[Tensor, Tensor],
    query: tuple[Tensor, Tensor],
    strength: float,
    steps: int,
) -> Params:
    """The meta-gradient of one task where its adaptation has converged (Rajeswaran et al., 2019).

    If ``phi`` minimizes ``loss(phi, support) + strength / 2 * |phi - theta|^2``, the query loss at
    ``phi`` has by ``theta`` the gradient ``(I + H / strength)^-1 g``, where ``H`` is the Hessian of
    the support loss and ``g`` the gradient of the query loss, both at ``phi``. The system is solved
    by conjugate gradients (Hestenes and Stiefel, 1952), which need products with ``H`` only.

    Parameters
    ----------
    loss : callable
        ``loss(params, x, y)`` gives a scalar, in nats.
    params : dict of Tensor
        ``phi``, the adapted parameters, however they were found.
    support, query : tuple of Tensor
        ``(x, y)`` of the task.
    strength : float
        How strongly adaptation is held at its start; above 0.
    steps : int
        Steps of conjugate gradients at most; as many as there are parameters solve exactly. At
        least 1.

    Returns
    -------
    dict of Tensor
        The gradient by ``theta``, in the shapes of ``params``.

    Raises
    ------
    ValueError
        If ``strength`` or ``steps`` is too small, or if ``strength`` does not outweigh a negative
        curvature of the support loss.

    Examples
    --------
    >>> import torch
    >>> squared = lambda params, x, y: x * (params["a"] - y) ** 2 / 2
    >>> support, query = torch.tensor([3.0, 0.0]), torch.tensor([1.0, 2.0])
    >>> implicit_gradient(squared, {"a": torch.tensor(0.0)}, support, query, strength=1.0, steps=1)
    {'a': tensor(-0.5000)}
    """
    if not strength > 0 or steps < 1:
        raise ValueError(
            f"strength is {strength} and steps is {steps}; give strength > 0, steps >= 1"
        )
    _, hessian = vjp(lambda phi: grad(loss)(phi, *support), params)  # symmetric: H v = v H
    residual = grad(loss)(params, *query)
    solution = {name: 0 * value for name, value in residual.items()}
    direction = residual
    enough = 1e-20 * _dot(residual, residual)
    for _ in range(steps):
        squared = _dot(residual, residual)
        if squared <= enough:
            break
        product = _plus(direction, 1 / strength, hessian(direction)[0])
        curvature = _dot(direction, product)
        if curvature <= 0:
            raise ValueError(
                f"strength is {strength}, but the support loss curves down by more than that; "
                "give a larger one"
            )
        step = squared / curvature
        solution = _plus(solution, step, direction)
        residual = _plus(residual, -step, product)
        direction = _plus(residual, _dot(residual, residual) / squared, direction)
    return solution


def _dot(a: Params, b: Params) -> Tensor:
    return sum((a[name] * b[name]).sum() for name in a)


def _plus(a: Params, factor: float | Tensor, b: Params) -> Params:
    return {name: value + factor * b[name] for name, value in a.items()}
