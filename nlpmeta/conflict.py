"""Whether tasks that share parameters agree, and what to do where they do not.

Two tasks pull at a shared network with two gradients. :func:`gradient_cosines` says whether they
agree, :func:`pcgrad` takes the conflict out of their sum and :func:`pcgrad_loss` trains with it (Yu
et al., 2020), :func:`task_affinity` tries a step on one and looks at the other (Fifty et al.,
2021). :func:`task_gradients` makes the vectors that they work on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

__all__ = ["gradient_cosines", "pcgrad", "pcgrad_loss", "task_affinity", "task_gradients"]

Params = dict[str, Tensor]


def task_gradients(losses: Sequence[Tensor], params: Mapping[str, Tensor]) -> Tensor:
    """The gradient of each task's loss, each as one long vector.

    Parameters
    ----------
    losses : n scalar Tensors
        One for each task. The graph behind them is kept. Leave them apart: to one place of a
        stacked tensor all losses are connected, with gradients of zero.
    params : mapping of str to Tensor
        p numbers in all, such as those of :meth:`nlpmeta.multitask.SharedTrunk.shared_parameters`.

    Returns
    -------
    Tensor, shape (n, p)

    Raises
    ------
    ValueError
        If there is no parameter, or a loss is not finite or does not depend on one.

    Examples
    --------
    >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> task_gradients([w.sum(), w.prod()], {"w": w})
    tensor([[1., 1.],
            [2., 1.]])
    """
    stacked(losses)
    if not params:
        raise ValueError("params: none; the tasks share nothing that is trained")
    rows = []
    for task, loss in enumerate(losses):
        parts = torch.autograd.grad(loss, params.values(), retain_graph=True, allow_unused=True)
        for name, part in zip(params, parts):
            if part is None:
                raise ValueError(
                    f"params: the loss of task {task} does not depend on {name!r}; give only what "
                    "all tasks share"
                )
        rows.append(torch.cat([part.flatten() for part in parts]))
    return torch.stack(rows)  # (n, p)


def gradient_cosines(gradients: Tensor | Sequence[Tensor]) -> Tensor:
    """The cosines of the angles between gradients, ``cos_ij = g_i . g_j / (|g_i| |g_j|)``.

    Below 0 a small step that helps one task hurts the other.

    Parameters
    ----------
    gradients : Tensor of float, shape (n, p), or n tensors of shape (p,)

    Returns
    -------
    Tensor, shape (n, n)
        Symmetric, from -1 to 1.

    Raises
    ------
    ValueError
        If the lengths differ, or a gradient is zero or not finite.

    Examples
    --------
    >>> gradient_cosines(torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]]))
    tensor([[ 1.,  0., -1.],
            [ 0.,  1.,  0.],
            [-1.,  0.,  1.]])
    """
    gradients = _rows(gradients)
    if (zero := (gradients == 0).all(1)).any():
        raise ValueError(
            f"gradients: that of task {int(zero.nonzero()[0])} is zero and has no direction; "
            "leave the task out"
        )
    u = _units(gradients)  # (n, p)
    cosines = (u @ u.T).clamp(-1, 1)
    return (cosines + cosines.T) / 2  # (n, n)


def pcgrad(gradients: Tensor | Sequence[Tensor], generator: torch.Generator) -> Tensor:
    """The sum of gradients after each gave up what conflicts with the others (Yu et al., 2020).

    Gradient i begins as g_i. For every other task j, in random order, if ``g . g_j < 0`` then
    ``g <- g - (g . g_j) / |g_j|^2 g_j``: the projection onto the plane to which g_j is normal. A
    later projection may bring back a conflict with an earlier task, so only for two tasks is the
    sum sure to oppose neither.

    Parameters
    ----------
    gradients : Tensor of float, shape (n, p), or n tensors of shape (p,)
        Of the parameters that all tasks share; a zero one conflicts with none.
    generator : torch.Generator
        Draws the orders. For two tasks there is only one.

    Returns
    -------
    Tensor, shape (p,)
        The sum, not the mean.

    Raises
    ------
    ValueError
        If the lengths differ or a gradient is not finite.

    Examples
    --------
    >>> g = torch.tensor([[1.0, 0.0], [-1.0, 1.0]])
    >>> pcgrad(g, torch.Generator().manual_seed(0))  # (1/2, 1/2) + (0, 1)
    tensor([0.5000, 1.5000])
    """
    gradients = _rows(gradients)
    normals = _units(gradients)  # (n, p)
    total = torch.zeros_like(gradients[0])
    for i, g in enumerate(gradients):
        for j in torch.randperm(len(gradients), generator=generator).tolist():
            if j != i and (overlap := g @ normals[j]) < 0:
                g = g - overlap * normals[j]
        total = total + g
    return total


def pcgrad_loss(
    losses: Sequence[Tensor], shared: Mapping[str, Tensor], generator: torch.Generator
) -> Tensor:
    """The sum of losses, with the gradient of :func:`pcgrad` for the shared parameters.

    To the sum is added ``d . theta`` less its own value, where d is what the projections change
    in the gradient. The value is therefore that of the sum, the gradient of theta is that of
    pcgrad, the other parameters have theirs, and :func:`nlpmeta.training.fit` can follow it.

    Parameters
    ----------
    losses : n scalar Tensors
    shared : mapping of str to Tensor
        Such as :meth:`nlpmeta.multitask.SharedTrunk.shared_parameters`.
    generator : torch.Generator
        Draws the orders.

    Returns
    -------
    Tensor
        A scalar.

    Examples
    --------
    >>> w = torch.tensor([0.0, 0.0], requires_grad=True)
    >>> losses = [w[0], w[1] - w[0]]  # gradients as in the example of pcgrad
    >>> pcgrad_loss(losses, {"w": w}, torch.Generator().manual_seed(0)).backward()
    >>> w.grad
    tensor([0.5000, 1.5000])
    """
    gradients = task_gradients(losses, shared)
    change = pcgrad(gradients, generator) - gradients.sum(0)  # (p,)
    theta = torch.cat([p.flatten() for p in shared.values()])  # (p,)
    return sum(losses) + change @ (theta - theta.detach())


def task_affinity(
    losses: Callable[[Params], Sequence[Tensor]], shared: Mapping[str, Tensor], lr: float
) -> Tensor:
    """How a step on one task changes the loss of another, relative to it (Fifty et al., 2021).

    ``Z_ij = 1 - L_j(theta - lr grad L_i(theta)) / L_j(theta)``, where theta is what the tasks
    share. Above 0 task i helps task j.

    Parameters
    ----------
    losses : callable
        ``losses(params)`` gives n scalars with these shared parameters. For a network
        see :func:`nlpmeta.multitask.losses_at`.
    shared : mapping of str to Tensor
        theta, such as :meth:`nlpmeta.multitask.SharedTrunk.shared_parameters`; it is not changed.
    lr : float
        Size of the step.

    Returns
    -------
    Tensor, shape (n, n)
        Row i: the step was on task i.

    Raises
    ------
    ValueError
        If lr is not positive or a loss is not finite or not above 0.

    Examples
    --------
    >>> theta = {"a": torch.tensor(0.0)}
    >>> both = lambda p: [(p["a"] - 1) ** 2, (p["a"] + 1) ** 2]
    >>> task_affinity(both, theta, lr=0.25)  # a step to 1/2 or to -1/2
    tensor([[ 0.7500, -1.2500],
            [-1.2500,  0.7500]])
    """
    if not 0 < lr < float("inf"):
        raise ValueError(f"lr: {lr}; give a positive number")
    theta = {k: p.detach().clone().requires_grad_() for k, p in shared.items()}
    start = losses(theta)
    gradients = task_gradients(start, theta)  # (n, p)
    before = stacked(start).detach()  # (n,)
    if (before <= 0).any():
        raise ValueError(
            f"losses: {before.tolist()}; a change is relative to a loss above 0, leave out tasks "
            "that are solved"
        )
    sizes = [p.numel() for p in theta.values()]
    rows = []
    with torch.no_grad():
        for g in gradients:
            parts = zip(theta.items(), g.split(sizes))
            rows.append(stacked(losses({k: p - lr * d.view_as(p) for (k, p), d in parts})))
        return 1 - torch.stack(rows) / before  # (n, n)


def _units(gradients: Tensor) -> Tensor:
    """Rows of length 1, zero rows as they are; scaled first, for squares of tiny numbers vanish."""
    largest = gradients.abs().amax(1, keepdim=True)
    scaled = gradients / torch.where(largest > 0, largest, 1)
    return scaled / scaled.norm(dim=1, keepdim=True).clamp(min=1)


def _rows(gradients: Tensor | Sequence[Tensor]) -> Tensor:
    """The gradients as the rows of a matrix (n, p)."""
    shapes = [tuple(g.shape) for g in gradients]
    if not shapes or len(set(shapes)) > 1 or len(shapes[0]) != 1:
        raise ValueError(
            f"gradients: shapes {shapes}; give vectors of one length, over the same parameters"
        )
    matrix = gradients if isinstance(gradients, Tensor) else torch.stack(list(gradients))
    if (wrong := ~matrix.isfinite().all(1)).any():
        raise ValueError(
            f"gradients: that of task {int(wrong.nonzero()[0])} is not finite; lower the learning "
            "rate, or look at its loss"
        )
    return matrix


def stacked(losses: Sequence[Tensor]) -> Tensor:
    """The losses as one tensor (n,), each finite, or a ValueError."""
    shapes = [tuple(loss.shape) for loss in losses] if getattr(losses, "ndim", 1) else []
    if not shapes or any(shapes):
        raise ValueError(f"losses: shapes {shapes}; give scalars, one for each task")
    values = torch.stack(list(losses))
    if not values.isfinite().all():
        raise ValueError(f"losses: {values.tolist()}; each must be finite, lower the learning rate")
    return values
