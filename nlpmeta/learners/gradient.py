"""Learners that adapt by gradient descent from a start that is meta-learned.

All of them are :class:`MAML` with one thing changed: which parameters move (:class:`ANIL`), how far
each one moves (:class:`MetaSGD`), where the head starts (:class:`ProtoMAML`), what the start learns
from (:class:`Reptile`). The descent is :func:`nlpmeta.adaptation.adapt` in every case.
:class:`Classifier` puts a head that starts at zero on an encoder.

The gradient of second order runs through the descent. Networks that recur (LSTM, GRU) do not run
under ``torch.func.vmap``, and fused attention has no second derivative: use convolutions, or
attention that is written out.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from nlpmeta.adaptation import Params, adapt, first_bad_step
from nlpmeta.episodes import Predictor, Task, n_ways
from nlpmeta.meta import prototypes


class Classifier(nn.Module):
    """An encoder and a linear head that starts at zero: ``logits = W f(x) + b``.

    A head with a row for each label knows its labels by number, and tasks number their classes
    anew. From zero, no label is preferred and the logits do not depend on the numbering.

    Parameters
    ----------
    encoder : nn.Module
        Maps examples (b, ...) to vectors (b, d).
    d : int
        Width of those vectors.
    n_way : int
        Largest number of classes that a task may have.

    Examples
    --------
    >>> Classifier(nn.Identity(), d=3, n_way=2)(torch.ones(1, 3))
    tensor([[0., 0.]], grad_fn=<AddmmBackward0>)
    """

    def __init__(self, encoder: nn.Module, d: int, n_way: int) -> None:
        super().__init__()
        if d < 1 or n_way < 1:
            raise ValueError(f"d is {d} and n_way is {n_way}; give at least 1 for each")
        self.encoder = encoder
        self.head = nn.Linear(d, n_way)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (b, n_way) of examples ``x`` (b, ...)."""
        return self.head(self.encoder(x))


class MAML(nn.Module):
    """Model-agnostic meta-learning (Finn, Abbeel and Levine, 2017): learn where descent starts.

    A task is learned by a few steps ``phi <- phi - inner_lr * grad loss(phi, support)`` from
    ``phi = theta``, and ``theta`` follows the gradient of the query loss at the last ``phi``.

    Parameters
    ----------
    model : nn.Module
        Maps examples (b, ...) to logits (b, n), with n at least the number of classes of a task,
        the first of which are used; for instance a :class:`Classifier`. Every parameter moves.
    inner_lr : float
        Step size of the adaptation.
    inner_steps : int
        Its number of steps.
    first_order : bool
        Leave out the second derivatives: the gradient by ``phi`` serves as that by ``theta``.

    Raises
    ------
    ValueError
        If ``inner_lr`` is not positive or ``inner_steps`` is below 1.

    Examples
    --------
    >>> learner = MAML(Classifier(nn.Identity(), 1, n_way=2), inner_lr=0.5, inner_steps=10)
    >>> predict = learner.adapt(torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1]))
    >>> predict(torch.tensor([[2.0]])).argmax(-1)
    tensor([1])
    """

    def __init__(
        self, model: nn.Module, inner_lr: float, inner_steps: int, first_order: bool = False
    ) -> None:
        super().__init__()
        if not inner_lr > 0 or inner_steps < 1:
            raise ValueError(
                f"inner_lr is {inner_lr} and inner_steps is {inner_steps}; "
                "give inner_lr > 0 and inner_steps >= 1"
            )
        self.model = model
        self.inner_lr, self.inner_steps, self.first_order = inner_lr, inner_steps, first_order

    def start(self, support_x: Tensor, support_y: Tensor, n_way: int) -> Params:
        """The parameters from which the descent on a task begins."""
        return dict(self.model.named_parameters())

    def inner(self) -> dict[str, Any]:
        """How the descent goes: arguments of :func:`nlpmeta.adaptation.adapt`."""
        return {"lr": self.inner_lr, "steps": self.inner_steps, "first_order": self.first_order}

    def logits(self, params: Params, x: Tensor) -> Tensor:
        """The scores of examples ``x`` (b, ...) under the given parameters."""
        return functional_call(self.model, params, (x,))

    def scores(self, params: Params, x: Tensor, n_way: int) -> Tensor:
        """The logits (b, n_way) of the labels that a task has."""
        logits = self.logits(params, x)
        if logits.shape[-1] < n_way:
            raise ValueError(
                f"the task has {n_way} classes, but the model gives {logits.shape[-1]} logits; "
                "give it as many"
            )
        return logits[..., :n_way]

    def loss(self, params: Params, x: Tensor, y: Tensor, n_way: int) -> Tensor:
        """Mean cross-entropy of labels ``y`` (b,), in nats."""
        return nn.functional.cross_entropy(self.scores(params, x, n_way), y)

    def adapted(self, support_x: Tensor, support_y: Tensor, n_way: int) -> Params:
        """The parameters after the descent on a support set."""
        weight = next(self.model.parameters(), support_x)
        if support_x.is_floating_point() and support_x.dtype != weight.dtype:
            raise ValueError(
                f"support_x is {support_x.dtype}, but the model's parameters are {weight.dtype}; "
                "convert one of them with .to(dtype)"
            )
        start = self.start(support_x, support_y, n_way)
        loss = partial(self.loss, n_way=n_way)
        return adapt(loss, start, (support_x, support_y), **self.inner())

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Predictor:
        """The classifier of one task, differentiable by the parameters of the learner.

        Raises
        ------
        ValueError
            If a label has no example, or the model does not fit the task.
        FloatingPointError
            If the descent leaves the finite numbers; it names the step.
        """
        n_way = n_ways(support_y)
        params = self.adapted(support_x, support_y, n_way)
        if not all(value.isfinite().all() for value in params.values()):
            start = self.start(support_x, support_y, n_way)
            loss = partial(self.loss, n_way=n_way)
            step = first_bad_step(loss, start, (support_x, support_y), **self.inner())
            raise FloatingPointError(
                f"inner step {step} leaves the finite numbers; lower inner_lr ({self.inner_lr})"
            )
        return lambda query_x: self.scores(params, query_x, n_way)

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor, n_way: int) -> Tensor:
        """Adapt to the support set and return the query logits (q, n_way)."""
        return self.scores(self.adapted(support_x, support_y, n_way), query_x, n_way)


class ANIL(MAML):
    """Almost no inner loop (Raghu et al., 2020): MAML whose head alone adapts.

    Parameters
    ----------
    model, inner_lr, inner_steps, first_order
        As for :class:`MAML`.
    head : str, optional
        Name of the submodule that moves; the last one that has parameters, if left out.

    Raises
    ------
    ValueError
        As :class:`MAML`, or if no parameter is in a submodule of that name.

    Examples
    --------
    >>> learner = ANIL(Classifier(nn.Linear(3, 4), 4, n_way=2), inner_lr=0.5, inner_steps=3)
    >>> learner.only
    ['head.weight', 'head.bias']
    """

    def __init__(
        self,
        model: nn.Module,
        inner_lr: float,
        inner_steps: int,
        first_order: bool = False,
        head: str | None = None,
    ) -> None:
        super().__init__(model, inner_lr, inner_steps, first_order)
        names = [name for name, _ in model.named_parameters()]
        if head is None:
            head = names[-1].rpartition(".")[0] if names else ""
        self.only = [name for name in names if name.startswith(f"{head}." if head else "")]
        if not self.only:
            raise ValueError(f"head is {head!r}, but the parameters are {names}; name a submodule")

    def inner(self) -> dict[str, Any]:
        """How the descent goes: only the head moves."""
        return super().inner() | {"only": self.only}


class MetaSGD(MAML):
    """Meta-SGD (Li et al., 2017): MAML that also learns the step size of every parameter.

    ``phi <- phi - rates * grad loss(phi, support)``, entry by entry; ``rates`` follow the gradient
    of the query loss as ``theta`` does, and may become negative.

    Parameters
    ----------
    model, inner_steps, first_order
        As for :class:`MAML`.
    inner_lr : float
        Where all the rates start.

    Examples
    --------
    >>> learner = MetaSGD(Classifier(nn.Identity(), 3, n_way=2), inner_lr=0.5, inner_steps=1)
    >>> [tuple(rate.shape) for rate in learner.rates]
    [(2, 3), (2,)]
    """

    def __init__(
        self, model: nn.Module, inner_lr: float, inner_steps: int, first_order: bool = False
    ) -> None:
        super().__init__(model, inner_lr, inner_steps, first_order)
        self.rates = nn.ParameterList(torch.full_like(p, inner_lr) for p in model.parameters())

    def inner(self) -> dict[str, Any]:
        """How the descent goes: each entry at its own rate."""
        names = [name for name, _ in self.model.named_parameters()]
        return super().inner() | {"lr": dict(zip(names, self.rates, strict=True))}


class ProtoMAML(MAML):
    """Prototypes as the head from which MAML starts (Triantafillou et al., 2020).

    ``w_k = 2 c_k`` and ``b_k = -|c_k|^2`` with the prototypes ``c_k`` of the support set: before
    the first step the logits are those of :class:`~nlpmeta.learners.metric.ProtoNet` plus
    ``|f(x)|^2``, which all classes share. Then encoder and head move. Any number of classes fits.

    Parameters
    ----------
    encoder : nn.Module
        Maps examples (b, ...) to vectors (b, d).
    inner_lr, inner_steps, first_order
        As for :class:`MAML`.

    Examples
    --------
    >>> learner = ProtoMAML(nn.Linear(1, 4), inner_lr=0.1, inner_steps=2)
    >>> predict = learner.adapt(torch.tensor([[0.0], [4.0]]), torch.tensor([0, 1]))
    >>> predict(torch.tensor([[3.0]])).argmax(-1)
    tensor([1])
    """

    def __init__(
        self, encoder: nn.Module, inner_lr: float, inner_steps: int, first_order: bool = False
    ) -> None:
        super().__init__(encoder, inner_lr, inner_steps, first_order)

    def start(self, support_x: Tensor, support_y: Tensor, n_way: int) -> Params:
        """The encoder's parameters, named ``encoder.*``, and the head of the prototypes."""
        c = prototypes(self.model(support_x), support_y, n_way)  # (n, d)
        encoder = {f"encoder.{name}": value for name, value in self.model.named_parameters()}
        return encoder | {"head.weight": 2 * c, "head.bias": -c.square().sum(-1)}

    def logits(self, params: Params, x: Tensor) -> Tensor:
        """The scores (b, n) of examples ``x`` under the given parameters."""
        encoder = {
            name.removeprefix("encoder."): value
            for name, value in params.items()
            if name.startswith("encoder.")
        }
        z = functional_call(self.model, encoder, (x,))  # (b, d)
        return z @ params["head.weight"].T + params["head.bias"]


class Reptile(MAML):
    """Reptile (Nichol, Achiam and Schulman, 2018): move the start toward where tasks end.

    ``theta <- theta + epsilon * mean over tasks of (phi - theta)``, where ``phi`` is reached by
    descent on all the labeled examples of a task, support and query. That is a step of size
    ``epsilon`` against the gradient of ``mean |theta - phi|^2 / 2`` with ``phi`` held constant,
    which is the loss of its meta-training: any optimizer can take it. A task is adapted to as in
    :class:`MAML`.

    Parameters
    ----------
    model, inner_lr, inner_steps
        As for :class:`MAML`. With one step it trains one classifier of all tasks; take several.

    Examples
    --------
    >>> learner = Reptile(Classifier(nn.Identity(), 1, n_way=2), inner_lr=0.5, inner_steps=10)
    >>> predict = learner.adapt(torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1]))
    >>> predict(torch.tensor([[2.0]])).argmax(-1)
    tensor([1])
    """

    def __init__(self, model: nn.Module, inner_lr: float, inner_steps: int) -> None:
        super().__init__(model, inner_lr, inner_steps, first_order=True)

    def episode_loss(self, tasks: Task, n_way: int) -> Tensor:
        """``mean |theta - phi|^2 / 2`` over the tasks, whose gradient is ``mean (theta - phi)``."""

        def end(support_x: Tensor, support_y: Tensor, query_x: Tensor, query_y: Tensor) -> Params:
            x, y = torch.cat([support_x, query_x]), torch.cat([support_y, query_y])
            return self.adapted(x, y, n_way)

        phi = vmap(end, randomness="different")(*tasks)  # each (b, ...)
        squares = [
            (theta - phi[name].detach()).square().sum()
            for name, theta in self.model.named_parameters()
        ]
        return torch.stack(squares).sum() / (2 * len(tasks.support_x))
