"""The mathematics of meta-learning as pure functions.

A learner adapts to a support set and is judged on a query set; meta-learning follows the gradient
of that judgment. :func:`adapt` is gradient descent on a support set that can itself be
differentiated (Finn, Abbeel and Levine, 2017); :func:`prototypes` and :func:`prototype_logits` are
adaptation by averaging (Snell, Swersky and Zemel, 2017); :func:`meta_train` is the learning stage
for any learner that is a network.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from nlpmeta.episodes import EpisodeSampler, Task
from nlpmeta.training import History, Schedule, constant, fit

Params = dict[str, Tensor]


def prototypes(z: Tensor, y: Tensor, n_way: int) -> Tensor:
    """The mean vector of each class, ``c_k = mean of z_i with y_i = k`` (Snell et al., 2017).

    Parameters
    ----------
    z : Tensor of float, shape (s, d)
        Encoded support examples.
    y : Tensor of int64, shape (s,)
        Labels from 0 to n_way - 1.
    n_way : int
        Number of classes.

    Returns
    -------
    Tensor, shape (n_way, d)

    Examples
    --------
    >>> import torch
    >>> prototypes(torch.tensor([[0.0], [2.0], [5.0]]), torch.tensor([0, 0, 1]), 2)
    tensor([[1.],
            [5.]])
    """
    member = nn.functional.one_hot(y, n_way).to(z.dtype)  # (s, n)
    return member.T @ z / member.sum(0).unsqueeze(-1)  # (n, d)


def prototype_logits(z: Tensor, c: Tensor) -> Tensor:
    """Negative squared distances ``-|z - c_k|^2`` to the prototypes, as logits.

    Parameters
    ----------
    z : Tensor of float, shape (q, d)
        Encoded queries.
    c : Tensor of float, shape (n, d)
        Prototypes.

    Returns
    -------
    Tensor, shape (q, n)

    Examples
    --------
    >>> import torch
    >>> prototype_logits(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0], [1.0, 2.0]]))
    tensor([[-1., -4.]])
    """
    return -(z.unsqueeze(-2) - c.unsqueeze(-3)).square().sum(-1)  # (q, n)


def adapt(
    loss: Callable[[Params, Tensor, Tensor], Tensor],
    params: Params,
    support: tuple[Tensor, Tensor],
    lr: float,
    steps: int,
) -> Params:
    """Gradient descent on the support loss, ``phi <- phi - lr * grad loss(phi, support)``.

    The result can be differentiated with respect to ``params`` and mapped over tasks with
    ``torch.func.vmap``.

    Parameters
    ----------
    loss : callable
        ``loss(params, x, y)`` gives a scalar, in nats.
    params : dict of Tensor
        Where the descent starts.
    support : tuple of Tensor
        ``(support_x, support_y)``.
    lr : float
        Step size.
    steps : int
        Number of steps, 0 or more.

    Returns
    -------
    dict of Tensor
        The adapted parameters.

    Examples
    --------
    >>> import torch
    >>> start = {"a": torch.tensor(0.0)}
    >>> squared = lambda params, x, y: ((params["a"] * x - y) ** 2).mean()
    >>> adapt(squared, start, (torch.ones(1), torch.ones(1)), lr=0.25, steps=2)
    {'a': tensor(0.7500)}
    """
    for _ in range(steps):
        slope = grad(loss)(params, *support)
        params = {name: value - lr * slope[name] for name, value in params.items()}
    return params


def episode_loss(learner: nn.Module, tasks: Task, n_way: int) -> Tensor:
    """Mean query cross-entropy, in nats, of a learner on a batch of tasks, all at once.

    Parameters
    ----------
    learner : nn.Module
        Its ``forward(support_x, support_y, query_x, n_way)`` gives the query logits (q, n_way).
    tasks : Task
        With a leading task axis.
    n_way : int
        Classes of every task.

    Returns
    -------
    Tensor
        A scalar: the estimate of the meta-learning objective on these tasks.
    """
    params = dict(learner.named_parameters())

    def query_loss(
        support_x: Tensor, support_y: Tensor, query_x: Tensor, query_y: Tensor
    ) -> Tensor:
        logits = functional_call(learner, params, (support_x, support_y, query_x, n_way))
        return nn.functional.cross_entropy(logits, query_y)

    return vmap(query_loss, randomness="different")(*tasks).mean()


def meta_train(
    learner: nn.Module,
    sampler: EpisodeSampler,
    *,
    steps: int,
    tasks_per_step: int = 8,
    lr: float = 1e-3,
    schedule: Schedule = constant,
) -> History:
    """The learning stage: adjust what the learner shares so that it adapts well to new tasks.

    Each step draws ``tasks_per_step`` fresh tasks, adapts to each support set, and follows the
    gradient of the mean query loss.

    Parameters
    ----------
    learner : nn.Module
        Changed in place; see :func:`episode_loss`.
    sampler : EpisodeSampler
        Draws the training tasks.
    steps, tasks_per_step : int
        Number of updates and tasks behind each.
    lr : float
        Learning rate of Adam.
    schedule : callable
        Multiplier of the rate at each step; see :mod:`nlpmeta.training`.

    Returns
    -------
    History
        The losses (nats) and rates of the run.
    """
    return fit(
        learner,
        lambda model, tasks: episode_loss(model, tasks, sampler.n_way),
        lambda step: sampler.batch(step * tasks_per_step, tasks_per_step),
        steps=steps,
        lr=lr,
        schedule=schedule,
    )
