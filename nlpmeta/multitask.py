"""Several tasks, one network: what they share, and how their losses are weighed.

:class:`SharedTrunk` shares an encoder and gives each task a head (Caruana, 1997), one head to all,
or both added up (Evgeniou and Pontil, 2004). The losses of a step (:func:`task_losses`) are added,
weighed by what is learned about their noise (:func:`uncertainty_weighting`; Kendall, Gal and
Cipolla, 2018), or freed of conflict: exports as well what :mod:`nlpmeta.conflict` has,
``task_gradients``, ``gradient_cosines``, ``pcgrad``, ``pcgrad_loss`` and ``task_affinity``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from nlpmeta.conflict import (
    gradient_cosines,
    pcgrad,
    pcgrad_loss,
    stacked,
    task_affinity,
    task_gradients,
)

__all__ = [
    "SharedTrunk",
    "gradient_cosines",
    "losses_at",
    "pcgrad",
    "pcgrad_loss",
    "task_affinity",
    "task_gradients",
    "task_losses",
    "uncertainty_weighting",
]

Params = dict[str, Tensor]


class SharedTrunk(nn.Module):
    """One encoder for all tasks and a head for each, ``logits = head_t(h) + head(h)``.

    Here ``h = trunk(x)``. Without ``shared`` the second term is missing: hard sharing (Caruana,
    1997). With it, a task adds what is its own to what all have in common (Evgeniou and Pontil,
    2004). If all names have the same head, the tasks are pooled; if the trunk is
    ``nn.Identity()`` and the heads are whole networks, nothing is shared.

    Parameters
    ----------
    trunk : nn.Module
        Maps inputs to vectors (b, d).
    heads : mapping of str to nn.Module
        For each task a map from vectors to logits (b, n).
    shared : nn.Module, optional
        The head that all tasks have in common.

    Raises
    ------
    ValueError
        If there is no task; when called, if the task is unknown.

    Examples
    --------
    >>> heads = {"topic": nn.Linear(4, 5), "language": nn.Linear(4, 12)}
    >>> model = SharedTrunk(nn.Linear(8, 4), heads)
    >>> model(torch.ones(3, 8), "language").shape
    torch.Size([3, 12])
    >>> pooled = SharedTrunk(nn.Linear(8, 4), dict.fromkeys(["a", "b"], nn.Linear(4, 2)))
    >>> torch.equal(pooled(torch.ones(1, 8), "a"), pooled(torch.ones(1, 8), "b"))
    True
    """

    def __init__(
        self, trunk: nn.Module, heads: Mapping[str, nn.Module], shared: nn.Module | None = None
    ) -> None:
        super().__init__()
        if not heads:
            raise ValueError("heads: no task; give a head for each")
        distinct = list(dict.fromkeys(heads.values()))  # a head under two names stands once
        self.place = {task: distinct.index(head) for task, head in heads.items()}
        self.trunk = trunk
        self.heads = nn.ModuleList(distinct)
        self.shared = shared

    def forward(self, x: Tensor, task: str) -> Tensor:
        """Logits (b, n) of one task for a batch of inputs."""
        if task not in self.place:
            raise ValueError(f"task: {task!r} is unknown; give one of {list(self.place)}")
        h = self.trunk(x)  # (b, d)
        logits = self.heads[self.place[task]](h)  # (b, n)
        return logits if self.shared is None else logits + self.shared(h)

    def shared_parameters(self) -> Params:
        """What every task uses, by name: the trunk, the shared head, a head under all names."""
        owners = [self.trunk, *([] if self.shared is None else [self.shared])]
        if len(self.heads) == 1:
            owners.append(self.heads[0])
        used = {id(p) for owner in owners for p in owner.parameters()}
        return {k: p for k, p in self.named_parameters() if id(p) in used and p.requires_grad}


def task_losses(
    model: Callable[[Tensor, str], Tensor], batch: Mapping[str, tuple[Tensor, Tensor]]
) -> list[Tensor]:
    """The mean cross-entropy of each task in a batch, in nats.

    Parameters
    ----------
    model : callable
        ``model(x, task)`` gives logits (b, n), such as :class:`SharedTrunk`.
    batch : mapping of str to tuple of Tensor
        For each of the n tasks inputs and int64 labels (b,).

    Returns
    -------
    list of n Tensors, scalars
        In the order of the batch; ``sum(...)`` of them is what plain multi-task training follows.

    Raises
    ------
    ValueError
        If there is no task or one that the model does not know.

    Examples
    --------
    >>> model = SharedTrunk(nn.Identity(), {"a": nn.Identity(), "b": nn.Identity()})
    >>> y = torch.tensor([0])
    >>> task_losses(model, {"a": (torch.zeros(1, 2), y), "b": (torch.zeros(1, 4), y)})
    [tensor(0.6931), tensor(1.3863)]
    """
    if not batch:
        raise ValueError("batch: no task; give inputs and labels of each")
    return [nn.functional.cross_entropy(model(x, task), y) for task, (x, y) in batch.items()]


def losses_at(
    model: SharedTrunk, batch: Mapping[str, tuple[Tensor, Tensor]]
) -> Callable[[Params], list[Tensor]]:
    """A function of parameters that gives the losses of a batch.

    It is what :func:`nlpmeta.conflict.task_affinity` asks for.

    Parameters
    ----------
    model : SharedTrunk
        Not changed. In evaluation mode, or dropout makes one loss differ from the next.
    batch : mapping of str to tuple of Tensor
        As in :func:`task_losses`.

    Returns
    -------
    callable
        Maps parameters by name, the others being the model's own, to n losses.

    Examples
    --------
    >>> model = SharedTrunk(nn.Linear(1, 2), {"a": nn.Identity()})
    >>> losses = losses_at(model, {"a": (torch.ones(1, 1), torch.tensor([0]))})
    >>> losses({"trunk.weight": torch.zeros(2, 1), "trunk.bias": torch.zeros(2)})
    [tensor(0.6931)]
    """
    return lambda params: task_losses(
        lambda x, task: torch.func.functional_call(model, params, (x, task)), batch
    )


def uncertainty_weighting(losses: Tensor | Sequence[Tensor], s: Tensor) -> Tensor:
    """The sum of losses with learned weights, ``sum_i exp(-s_i) L_i + s_i``.

    With s = log sigma^2 and squared errors L this is twice the negative log-likelihood
    ``L / (2 sigma^2) + log sigma`` of Kendall, Gal and Cipolla (2018). For classification they
    write ``L / sigma^2 + log sigma``, whose last term is s / 2; the book uses the one form for
    both. Its minimum over s is at s_i = log L_i, with the value ``sum_i 1 + log L_i``: at that
    point each loss counts by its relative and not its absolute change.

    Parameters
    ----------
    losses : Tensor of float, shape (n,), or n scalars
        At least 0.
    s : Tensor of float, shape (n,)
        Logarithms of variances, 0 at the start. Make it a parameter of the model
        (``model.s = nn.Parameter(torch.zeros(n))``), so that it is trained with it.

    Returns
    -------
    Tensor
        A scalar, which may be negative.

    Raises
    ------
    ValueError
        If the shapes differ or a loss is negative or not finite.

    Examples
    --------
    >>> losses = torch.tensor([4.0, 0.5])
    >>> uncertainty_weighting(losses, torch.zeros(2))
    tensor(4.5000)
    >>> uncertainty_weighting(losses, losses.log())  # 2 + log 4 + log 0.5
    tensor(2.6931)
    """
    losses = stacked(losses)  # (n,)
    if s.shape != losses.shape:
        raise ValueError(
            f"s: shape {tuple(s.shape)}; give one number for each of the {len(losses)} losses"
        )
    if (losses < 0).any():
        raise ValueError(
            f"losses: {losses.tolist()}; a negative one has no best weight, add a constant to it"
        )
    return (torch.exp(-s) * losses + s).sum()
