"""What moves in a network that begins another task, when, and how fast.

:func:`freeze` chooses what is trained. :func:`gradual_unfreeze` lets it grow from the top down,
and :func:`discriminative_rates` gives each layer a pace of its own; both are from Howard and Ruder
(2018). All three go with the loop in :mod:`nlpmeta.training`. :func:`n_trainable` counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from nlpmeta.training import Schedule, constant

__all__ = ["discriminative_rates", "freeze", "gradual_unfreeze", "matching", "n_trainable"]


def freeze(model: nn.Module, but: str | Sequence[str] = ()) -> list[str]:
    """Freeze every parameter of a model except those that are named.

    Only ``requires_grad`` changes, in both directions: a parameter that is named becomes
    trainable even if it was frozen, so ``but="*"`` unfreezes all, and a list that was returned
    restores that choice. Training and evaluation modes stay as they are.

    Parameters
    ----------
    model : nn.Module
        Changed in place.
    but : str or sequence of str
        What to train: names of parameters (``"out.bias"``), names of modules (``"out"``, with
        all parameters below), or patterns for either, in which ``*`` stands for any characters.

    Returns
    -------
    list of str
        The names of the parameters that are now trainable, in the model's order.

    Raises
    ------
    TypeError
        If a name is no string.
    ValueError
        If a name fits no parameter; the message lists near ones.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> freeze(model, but="2")
    ['2.weight', '2.bias']
    >>> freeze(model, but=["*.bias"])
    ['0.bias', '2.bias']
    """
    kept = {id(p) for p in _parameters(model, but, "but")}
    for p in model.parameters():
        p.requires_grad_(id(p) in kept)
    return [name for name, p in model.named_parameters() if p.requires_grad]


def n_trainable(model: nn.Module) -> int:
    """How many numbers of a model are trained: the sizes of its unfrozen parameters, added up.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2))
    >>> names = freeze(model, but="1")
    >>> n_trainable(model)
    10
    """
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def gradual_unfreeze(
    model: nn.Module,
    every: int,
    blocks: Sequence[str] | None = None,
    schedule: Schedule = constant,
) -> Schedule:
    """A schedule for :func:`nlpmeta.training.fit` that unfreezes a model from the top down.

    At step t the top ``1 + t // every`` blocks are trainable and the others frozen (Howard and
    Ruder, 2018, where ``every`` is an epoch). The making of the schedule unfreezes all blocks,
    because ``fit`` gives its optimizer what is trainable when it starts: make one for each run.
    Parameters outside the blocks stay as they are.

    Parameters
    ----------
    model : nn.Module
        Its blocks are frozen and unfrozen in place as the schedule is called.
    every : int
        Updates until the next block is unfrozen.
    blocks : sequence of str, optional
        Names or patterns as in :func:`freeze`, the bottom first; the model's children if left
        out. A parameter in two blocks belongs to the upper one.
    schedule : callable
        Multiplier of the learning rate, passed through.

    Returns
    -------
    callable
        Maps the number of updates made so far to the multiplier, and unfreezes.

    Raises
    ------
    ValueError
        If ``every`` is below 1 or a block has no parameter; from the schedule, if a run starts
        with a block frozen, which that run could never train.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2))
    >>> schedule = gradual_unfreeze(model, every=100)
    >>> trained = [(schedule(step), n_trainable(model))[1] for step in range(300)]
    >>> trained[0], trained[99], trained[100], trained[200]
    (10, 10, 30, 66)
    """
    if not isinstance(every, int) or every < 1:
        raise ValueError(f"every: {every!r}; give an integer of at least 1, such as an epoch's")
    layers = _top_down(model, blocks)
    parameters = [p for layer in layers for p in layer]
    for p in parameters:
        p.requires_grad_(True)
    last: int | None = None

    def unfreeze(step: int) -> float:
        nonlocal last
        goes_on = last is not None and step in (last, last + 1)
        if not goes_on and not all(p.requires_grad for p in parameters):
            raise ValueError(
                f"gradual_unfreeze: a run starts at step {step} with blocks already frozen, and "
                "they would never be trained; make a new schedule before each run"
            )
        last = step
        for depth, layer in enumerate(layers):
            for p in layer:
                p.requires_grad_(depth <= step // every)
        return schedule(step)

    return unfreeze


def discriminative_rates(
    model: nn.Module, lr: float, decay: float = 1 / 2.6, blocks: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer whose rate falls with depth, ``lr * decay**depth``.

    The top block has depth 0. Howard and Ruder (2018) divide by 2.6 from block to block. Give
    them to ``fit`` as ``optimizer=lambda _, lr: Adam(discriminative_rates(model, lr))``.

    Parameters
    ----------
    model : nn.Module
    lr : float
        Learning rate of the top block.
    decay : float
        What each block below multiplies it by, above 0 and at most 1.
    blocks : sequence of str, optional
        As in :func:`gradual_unfreeze`.

    Returns
    -------
    list of dict
        ``{"params": [...], "lr": ...}`` for each block, the top first, trainable parameters only.

    Raises
    ------
    ValueError
        If a rate or a name is wrong, or a trainable parameter is in no block.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> [group["lr"] for group in discriminative_rates(model, 0.1, decay=0.5)]
    [0.1, 0.05]
    """
    if not (lr > 0 and math.isfinite(lr)):
        raise ValueError(f"lr: {lr}; give a positive number")
    if not 0 < decay <= 1:
        raise ValueError(f"decay: {decay}; give a number above 0 and at most 1, such as 1 / 2.6")
    layers = _top_down(model, blocks)
    inside = {id(p) for layer in layers for p in layer}
    for name, p in model.named_parameters():
        if p.requires_grad and id(p) not in inside:
            raise ValueError(f"blocks: none holds {name!r}, which is trainable; add it, or freeze")
    groups = [
        {"params": [p for p in layer if p.requires_grad], "lr": lr * decay**depth}
        for depth, layer in enumerate(layers)
    ]
    return [group for group in groups if group["params"]]


def matching(
    known: Iterable[str], names: str | Sequence[str], argument: str, kind: str
) -> list[str]:
    """The known names that fit one of the names or patterns, each of which must fit one.

    Parameters
    ----------
    known : iterable of str
        Dotted names, as of parameters or modules.
    names : str or sequence of str
        Names, or patterns in which ``*`` stands for any characters, dots included.
    argument, kind : str
        For the message: whose argument it is, and what a name should be the name of.

    Returns
    -------
    list of str
        In the order of ``known``.

    Raises
    ------
    TypeError
        If a name is no string.
    ValueError
        If a name fits nothing; the message lists near ones.

    Examples
    --------
    >>> matching(["0.query", "0.key", "1.query"], "*.query", "names", "layer")
    ['0.query', '1.query']
    """
    known = list(known)
    chosen = set()
    for pattern in [names] if isinstance(names, str) else names:
        if not isinstance(pattern, str):
            raise TypeError(f"{argument}: {pattern!r} is no string; give names such as {known[:2]}")
        fits = [name for name in known if fnmatchcase(name, pattern)]
        if not fits:
            raise ValueError(f"{argument}: {pattern!r} is no {kind}; near: {_near(pattern, known)}")
        chosen.update(fits)
    return [name for name in known if name in chosen]


def _parameters(model: nn.Module, names: str | Sequence[str], argument: str) -> list[nn.Parameter]:
    """The parameters that names or patterns of parameters or modules stand for."""
    named = dict(model.named_parameters(remove_duplicate=False))
    above = {"": list(named)}
    for name in named:
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            above.setdefault(".".join(parts[:end]), []).append(name)
    del above[""]
    fits = matching(above, names, argument, "parameter, nor a module with one")
    return [named[name] for fit in fits for name in above[fit]]


def _top_down(model: nn.Module, blocks: Sequence[str] | None) -> list[list[nn.Parameter]]:
    """The parameters of each block, the top first, each parameter once."""
    if blocks is None:
        blocks = [
            name for name, child in model.named_children() if any(True for _ in child.parameters())
        ]
    if isinstance(blocks, str) or not blocks:
        raise ValueError(f"blocks: {blocks!r}; give a list of names, the bottom first")
    seen: set[int] = set()
    layers = []
    for block in reversed(blocks):
        layer = {id(p): p for p in _parameters(model, block, "blocks") if id(p) not in seen}
        seen |= layer.keys()
        layers.append(list(layer.values()))
    return layers


def _near(name: str, known: list[str]) -> str:
    """Known names like this one, as a whole or in their last part."""
    last = {k.rpartition(".")[-1]: k for k in known}
    parts = get_close_matches(name.rpartition(".")[-1], last)
    near = [*get_close_matches(name, known), *(last[part] for part in parts)]
    return ", ".join(map(repr, dict.fromkeys(near or known[-3:])))
