"""The mathematics of meta-learning as pure functions.

A learner adapts to a support set and is judged on a query set; meta-learning follows the gradient
of that judgment. :func:`prototypes` and :func:`prototype_logits` are adaptation by averaging
(Snell, Swersky and Zemel, 2017); ``adapt`` and ``meta_loss``, adaptation by descent, come from
:mod:`nlpmeta.adaptation`; :func:`meta_train` is the learning stage for any learner that is a
network.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.func import functional_call, vmap

from nlpmeta.adaptation import Params, adapt, meta_loss
from nlpmeta.episodes import EpisodeSampler, Task
from nlpmeta.training import History, Schedule, constant, fit

__all__ = [
    "Params",
    "adapt",
    "episode_loss",
    "meta_loss",
    "meta_train",
    "prototype_logits",
    "prototypes",
    "training_loss",
]


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


def training_loss(learner: nn.Module, tasks: Task, n_way: int) -> Tensor:
    """What :func:`meta_train` minimizes: :func:`episode_loss`, or the learner's own.

    Parameters
    ----------
    learner : nn.Module
        If it has a method ``episode_loss(tasks, n_way)``, that is taken.
    tasks : Task
        With a leading task axis.
    n_way : int
        Classes of every task.

    Returns
    -------
    Tensor
        A scalar.

    Raises
    ------
    FloatingPointError
        If the loss is not finite and the learner cannot adapt to one of the tasks; it names that
        task and repeats what the learner says.
    """
    own = getattr(learner, "episode_loss", None)
    loss = own(tasks, n_way) if own else episode_loss(learner, tasks, n_way)
    if not loss.isfinite():
        for index, (support_x, support_y) in enumerate(zip(*tasks[:2])):
            try:
                learner.adapt(support_x, support_y)
            except FloatingPointError as error:
                raise FloatingPointError(f"task {index} of the batch: {error}") from error
    return loss


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
        Changed in place; see :func:`episode_loss` and :func:`training_loss`.
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
        lambda model, tasks: training_loss(model, tasks, sampler.n_way),
        lambda step: sampler.batch(step * tasks_per_step, tasks_per_step),
        steps=steps,
        lr=lr,
        schedule=schedule,
    )
