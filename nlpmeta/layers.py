"""What every kind of compression asks of a network: its layers by name, its size, its speed.

A layer is found under the name that ``named_modules`` gives it and can be replaced by another.
:func:`size` counts what has to be stored, :func:`latency` how long a call takes. Exports
``named_layers``, ``replace_layer``, ``check_finite``, ``check_share``, ``Size``, ``size`` and
``latency``.
"""

from __future__ import annotations

import difflib
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from safetensors.torch import save
from torch import Tensor, nn

__all__ = [
    "Size",
    "check_finite",
    "check_share",
    "latency",
    "named_layers",
    "replace_layer",
    "size",
]


class Size(NamedTuple):
    """What a network takes to store.

    Attributes
    ----------
    numbers : int
        Entries of all its tensors, parameters and buffers.
    nonzero : int
        Those that are not 0.
    bytes : int
        Length of the safetensors file with these tensors.
    """

    numbers: int
    nonzero: int
    bytes: int


def check_finite(name: str, value: Tensor) -> None:
    """Raise ``ValueError`` if a tensor holds a NaN or an infinity.

    Parameters
    ----------
    name : str
        What the message calls the tensor.
    value : Tensor of float

    Raises
    ------
    ValueError
        With the name and how many entries are not finite.

    Examples
    --------
    >>> import torch
    >>> check_finite("weight", torch.tensor([1.0, float("nan")]))
    Traceback (most recent call last):
    ValueError: weight: 1 of 2 entries are not finite; mend the training run that left them
    """
    bad = int((~value.isfinite()).sum())
    if bad:
        raise ValueError(
            f"{name}: {bad} of {value.numel()} entries are not finite; "
            "mend the training run that left them"
        )


def check_share(name: str, value: float) -> None:
    """Raise ``ValueError`` unless a number lies between 0 and 1.

    Parameters
    ----------
    name : str
        The argument.
    value : float

    Raises
    ------
    ValueError
        With the argument and its value.

    Examples
    --------
    >>> check_share("sparsity", 80)
    Traceback (most recent call last):
    ValueError: sparsity: 80; give a share from 0 to 1, such as 0.8 for 80 percent
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: {value}; give a share from 0 to 1, such as 0.8 for 80 percent")


def named_layers(
    model: nn.Module,
    names: Iterable[str] | None = None,
    kinds: tuple[type[nn.Module], ...] = (nn.Linear,),
) -> dict[str, nn.Module]:
    """The layers of given kinds, all of them or those that are named.

    Parameters
    ----------
    model : nn.Module
    names : iterable of str, optional
        As ``model.named_modules()`` spells them; all if left out.
    kinds : tuple of type
        Which classes count.

    Returns
    -------
    dict of nn.Module
        By name, in the order of ``names``.

    Raises
    ------
    ValueError
        If there is no such layer; the message lists names that are near.

    Examples
    --------
    >>> list(named_layers(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))))
    ['0', '2']
    """
    found = {name: layer for name, layer in model.named_modules() if isinstance(layer, kinds)}
    sought = " or ".join(kind.__name__ for kind in kinds)
    if not found:
        raise ValueError(f"model: {type(model).__name__} has no layer of kind {sought}")
    if names is None:
        return found
    if isinstance(names, str):
        raise TypeError(f"names: {names!r} is one string; give a list of names")
    names = list(names)
    if not names:
        raise ValueError("names: an empty list; name a layer, or leave it out for all")
    for name in names:
        if name not in found:
            near = difflib.get_close_matches(str(name), found, cutoff=0.3) or list(found)[:3]
            raise ValueError(
                f"names: {name!r} is no layer of kind {sought}; near it are {', '.join(near)}"
            )
    return {name: found[name] for name in names}


def replace_layer(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Put another layer in a layer's place; it takes over whether the model is being trained.

    Parameters
    ----------
    model : nn.Module
        Changed in place.
    name : str
        As ``model.named_modules()`` spells it.
    layer : nn.Module
        The new one.

    Raises
    ------
    ValueError
        If ``name`` is the model itself, which has no place in anything.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> replace_layer(model, "1", nn.Tanh())
    >>> model[1]
    Tanh()
    """
    if not name:
        raise ValueError(
            f"model: {type(model).__name__} is itself the layer to replace; "
            "wrap it as nn.Sequential(model)"
        )
    layer.train(model.get_submodule(name).training)
    model.set_submodule(name, layer)


def size(model: nn.Module) -> Size:
    """Count the numbers of a network, those that are not 0, and the bytes of its file.

    A zero takes as many bytes as any other number: pruning without a change of shape leaves the
    file as long as it was. A tensor that two layers share counts once.

    Parameters
    ----------
    model : nn.Module

    Returns
    -------
    Size

    Examples
    --------
    >>> layer = nn.Linear(100, 10, bias=False)
    >>> _ = layer.weight.data[:5].zero_()
    >>> size(layer).numbers, size(layer).nonzero, size(layer).bytes // 1000
    (1000, 500, 4)
    """
    tensors = {}
    for name, value in model.state_dict(keep_vars=True).items():
        if all(value is not other for other in tensors.values()):
            tensors[name] = value
    return Size(
        sum(value.numel() for value in tensors.values()),
        sum(int(value.count_nonzero()) for value in tensors.values()),
        len(save({k: v.detach().clone().contiguous() for k, v in tensors.items()})),
    )


def latency(call: Callable[[], Any], repeats: int = 20) -> float:
    """The median time of a call, after one call that is not counted.

    The median ignores the few calls that another process interrupts, and the first call pays for
    what later ones find in place.

    Parameters
    ----------
    call : callable
        Called without arguments.
    repeats : int
        How many calls are timed.

    Returns
    -------
    float
        Seconds.

    Raises
    ------
    ValueError
        If ``repeats`` is below 1.

    Examples
    --------
    >>> 0.001 < latency(lambda: time.sleep(0.001), repeats=3) < 0.1
    True
    """
    if repeats < 1:
        raise ValueError(f"repeats: {repeats}; time at least 1 call")
    call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
