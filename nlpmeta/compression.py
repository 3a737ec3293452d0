"""Four ways to make a network smaller: prune it, round it, teach a smaller one, factor it.

Pruning is in :mod:`nlpmeta.pruning` and :mod:`nlpmeta.structured_pruning`, numbers of 8 bits in
:mod:`nlpmeta.quantization`; their main functions are exported here too. A student learns from a
teacher's probabilities by :func:`distill` (Hinton, Vinyals and Dean, 2015). :func:`low_rank` writes
a matrix as the product of two thin ones, the nearest there are (Eckart and Young, 1936). Exports
``prune_magnitude``, ``prune_structured``, ``quantize_int8``, ``distillation_loss``, ``distill`` and
``low_rank``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nlpmeta.layers import check_finite, check_share, named_layers, replace_layer
from nlpmeta.pruning import prune_magnitude
from nlpmeta.quantization import quantize_int8
from nlpmeta.structured_pruning import prune_structured
from nlpmeta.training import History, Schedule, constant, fit

__all__ = [
    "distill",
    "distillation_loss",
    "low_rank",
    "prune_magnitude",
    "prune_structured",
    "quantize_int8",
]


def distillation_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    temperature: float = 2.0,
    weight: float = 0.5,
) -> Tensor:
    """``a T^2 KL(p_T || q_T) + (1 - a) CE(y, q_1)``, where ``p_T = softmax(v / T)``.

    v are the teacher's logits, q comes in the same way from the student's, a is the weight
    (Hinton, Vinyals and Dean, 2015, whose cross-entropy differs from the divergence by a
    constant). Gradients of the first term shrink as 1 / T^2, which the factor T^2 undoes. As T
    grows, the first term nears half the mean square difference of the centered logits.

    Parameters
    ----------
    student_logits, teacher_logits : Tensor of float, shape (b, n)
        The teacher's get no gradient.
    labels : Tensor of int64, shape (b,)
        Classes from 0 to n - 1.
    temperature : float
        T, above 0.
    weight : float
        a, from 0 (labels alone) to 1 (teacher alone).

    Returns
    -------
    Tensor
        A scalar, in nats.

    Raises
    ------
    ValueError
        If student and teacher disagree about the shape, or T or a is out of range.

    Examples
    --------
    >>> logits, labels = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
    >>> round(distillation_loss(logits, logits, labels, weight=1.0).item(), 4)
    0.0
    >>> round(distillation_loss(logits, logits, labels, weight=0.0).item(), 4)  # log(1 + e^-2)
    0.1269
    """
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            f"teacher_logits: {tuple(teacher_logits.shape)}, but student_logits: "
            f"{tuple(student_logits.shape)}; teacher and student need the same classes"
        )
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature: {temperature}; give a number above 0")
    check_share("weight", weight)
    log_p = F.log_softmax(teacher_logits.detach() / temperature, dim=-1)  # (b, n)
    log_q = F.log_softmax(student_logits / temperature, dim=-1)
    soft = (log_p.exp() * (log_p - log_q)).sum(-1).mean()
    hard = F.cross_entropy(student_logits, labels)
    return weight * temperature**2 * soft + (1 - weight) * hard


def distill(
    student: nn.Module,
    teacher: nn.Module,
    batch: Callable[[int], tuple[Tensor, Tensor]],
    *,
    steps: int,
    temperature: float = 2.0,
    weight: float = 0.5,
    lr: float = 1e-3,
    schedule: Schedule = constant,
    evaluate: Callable[[nn.Module], float] | None = None,
    every: int = 100,
    seed: int = 0,
) -> History:
    """Train a student on what its teacher says, by :func:`distillation_loss`.

    The teacher runs in evaluation mode without gradients and is left as it was.

    Parameters
    ----------
    student : nn.Module
        ``student(x)`` gives logits (b, n); trained in place.
    teacher : nn.Module
        ``teacher(x)`` gives logits for the same classes, on the student's device.
    batch : callable
        ``batch(step)`` gives ``(x, labels)``; see :func:`nlpmeta.training.minibatches`.
    steps : int
        Number of updates.
    temperature, weight : float
        Of the loss.
    lr, schedule, evaluate, every, seed
        As in :func:`nlpmeta.training.fit`.

    Returns
    -------
    History
        Losses (nats), rates and scores.

    Raises
    ------
    ValueError
        If student and teacher are one network or have different classes.

    Examples
    --------
    >>> x, labels = torch.linspace(-1, 1, 8)[:, None], torch.zeros(8, dtype=torch.int64)
    >>> teacher, student = nn.Linear(1, 2), nn.Linear(1, 2)
    >>> history = distill(student, teacher, lambda step: (x, labels), steps=200, weight=1.0, lr=0.1)
    >>> bool(history.losses[-1] < 0.01)
    True
    """
    if student is teacher:
        raise ValueError("student: it is the teacher itself; give a copy or another network")

    def loss(model: nn.Module, data: tuple[Tensor, Tensor]) -> Tensor:
        x, labels = data
        with torch.no_grad():
            teacher_logits = teacher(x)
        return distillation_loss(model(x), teacher_logits, labels, temperature, weight)

    modes = {module: module.training for module in teacher.modules()}
    teacher.eval()
    try:
        return fit(
            student,
            loss,
            batch,
            steps=steps,
            lr=lr,
            schedule=schedule,
            evaluate=evaluate,
            every=every,
            seed=seed,
        )
    finally:
        for module, mode in modes.items():
            module.training = mode


def low_rank(
    model: Tensor | nn.Module, rank: int, names: Iterable[str] | None = None
) -> tuple[Tensor, Tensor] | nn.Module:
    """The nearest matrix of a rank, ``W_r = U_r S_r V_r^T``, as two thin factors.

    No matrix of rank r is nearer: ``|W - W_r|_F^2`` is the sum of the squares of the singular
    values after the r-th (Eckart and Young, 1936). A matrix (o, i) shrinks only if
    ``r < o i / (o + i)``.

    Parameters
    ----------
    model : Tensor (o, i), nn.Linear, or any other nn.Module
        A network's Linear layers are replaced in place.
    rank : int
        r, from 1 to the smaller side of the matrix.
    names : iterable of str, optional
        Which layers of a network; all Linear layers if left out.

    Returns
    -------
    (Tensor (o, r), Tensor (r, i)), nn.Sequential, or nn.Module
        For a matrix ``U_r S_r^(1/2)`` and ``S_r^(1/2) V_r^T``; for a Linear layer two of them, the
        bias on the second; for a network itself.

    Raises
    ------
    ValueError
        If the rank does not fit a matrix, a matrix is not finite, or a layer does not exist.

    Examples
    --------
    >>> left, right = low_rank(torch.diag(torch.tensor([4.0, 2.0, 1.0])), rank=2)
    >>> (left @ right).abs().round().int().tolist()
    [[4, 0, 0], [0, 2, 0], [0, 0, 0]]
    >>> low_rank(nn.Linear(50, 20), rank=3)
    Sequential(
      (0): Linear(in_features=50, out_features=3, bias=False)
      (1): Linear(in_features=3, out_features=20, bias=True)
    )
    """
    if isinstance(model, Tensor):
        return _factors(model, rank, "weight")
    if isinstance(model, nn.Linear):
        return _factored(model, rank, "weight")
    layers = named_layers(model, names)
    replacements = {
        name: _factored(layer, rank, f"weight of layer {name!r}") for name, layer in layers.items()
    }
    for name, layer in replacements.items():
        replace_layer(model, name, layer)
    return model


def _factors(weight: Tensor, rank: int, name: str) -> tuple[Tensor, Tensor]:
    if weight.ndim != 2:
        raise ValueError(f"{name}: shape {tuple(weight.shape)}; give a matrix")
    if not isinstance(rank, int) or not 1 <= rank <= min(weight.shape):
        raise ValueError(
            f"rank: {rank} for {name}, a matrix {tuple(weight.shape)}; give an integer from 1 to "
            f"{min(weight.shape)}, or name the layers to factor"
        )
    check_finite(name, weight)
    u, s, vh = torch.linalg.svd(weight, full_matrices=False)
    root = s[:rank].sqrt()
    left, right = u[:, :rank] * root, root[:, None] * vh[:rank]  # (o, r), (r, i)
    return left.contiguous(), right.contiguous()  # as files want them


def _factored(layer: nn.Linear, rank: int, name: str) -> nn.Sequential:
    left, right = _factors(layer.weight.detach(), rank, name)
    # on the device "meta" nothing is drawn: the factors take the place of initial weights
    narrow = nn.Linear(layer.in_features, rank, bias=False, device="meta")
    wide = nn.Linear(rank, layer.out_features, bias=layer.bias is not None, device="meta")
    narrow.weight, wide.weight = nn.Parameter(right), nn.Parameter(left)
    if layer.bias is not None:
        wide.bias = nn.Parameter(layer.bias.detach().clone())
    return nn.Sequential(narrow, wide)
