"""Transfer: a network trained on one task begins another, and little of it has to move.

Some of the old weights can be frozen, as in :mod:`nlpmeta.freezing`. Or all of them stay, and small
new ones are trained beside them: :class:`Adapter` (Houlsby et al., 2019) and :class:`LoRA` (Hu et
al., 2022) with :func:`add_lora`, :func:`merge` and :func:`unmerge`. :func:`forgetting` measures
what the old task lost. Exports these, and ``freeze``, ``n_trainable``, ``gradual_unfreeze`` and
``discriminative_rates``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from nlpmeta.freezing import discriminative_rates, freeze, gradual_unfreeze, matching, n_trainable

__all__ = [
    "Adapter",
    "LoRA",
    "add_lora",
    "discriminative_rates",
    "forgetting",
    "freeze",
    "gradual_unfreeze",
    "merge",
    "n_trainable",
    "unmerge",
]


class Adapter(nn.Module):
    """A small network beside an identity: ``h + U gelu(D h + c) + b`` (Houlsby et al., 2019).

    D leads from width d down to m, U back up. Weights start normal with deviation 0.01, cut at
    two deviations, and biases at 0, so an adapter that is put into a trained network changes
    almost nothing at first. Houlsby et al. put one after the attention and one after the feed-
    forward layers of each transformer block, before the residual connection.

    Parameters
    ----------
    width, bottleneck : int
        d and m.
    generator : torch.Generator
        Draws the weights.

    Examples
    --------
    >>> layer = nn.Linear(16, 16)
    >>> adapted = nn.Sequential(layer, Adapter(16, 2, torch.Generator().manual_seed(0)))
    >>> h = torch.ones(3, 16)
    >>> torch.allclose(adapted(h), layer(h), atol=0.05)
    True
    """

    def __init__(self, width: int, bottleneck: int, generator: torch.Generator) -> None:
        super().__init__()
        for name, value in {"width": width, "bottleneck": bottleneck}.items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: {value!r}; give an integer of at least 1")
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        for layer in (self.down, self.up):
            nn.init.trunc_normal_(layer.weight, std=0.01, a=-0.02, b=0.02, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, h: Tensor) -> Tensor:
        """Vectors (..., d) for vectors (..., d)."""
        return h + self.up(nn.functional.gelu(self.down(h)))


class LoRA(nn.Module):
    """A linear layer whose change has low rank: ``W + (alpha / r) B A`` (Hu et al., 2022).

    W (o, i) is frozen; A (r, i) starts normal with variance 1 / i and B (o, r) at zero, so the
    layer starts as it was. Wherever the layer's ``weight`` is asked for, it is the sum.

    Parameters
    ----------
    layer : nn.Linear
        Kept as ``base`` and frozen.
    r : int
        The rank, from 1 to min(i, o).
    alpha : float
        Scale of the change; at ``alpha = r`` it is B A itself.
    generator : torch.Generator
        Draws A.

    Attributes
    ----------
    merged : bool
        Whether the change is in ``base.weight`` now, as after :meth:`merge`.

    Raises
    ------
    TypeError
        If the layer is not linear.
    ValueError
        If r or alpha is out of range.

    Examples
    --------
    >>> layer = nn.Linear(6, 4)
    >>> lora = LoRA(layer, r=2, alpha=4, generator=torch.Generator().manual_seed(0))
    >>> torch.equal(lora(torch.ones(1, 6)), layer(torch.ones(1, 6)))
    True
    >>> n_trainable(lora)  # 2 * (6 + 4) instead of 4 * (6 + 1)
    20
    """

    def __init__(self, layer: nn.Linear, r: int, alpha: float, generator: torch.Generator) -> None:
        super().__init__()
        _check_lora("layer", layer, r, alpha)
        self.base = layer.requires_grad_(False)
        self.r, self.alpha = r, alpha
        shape, w = (r, layer.in_features), layer.weight
        a = torch.randn(shape, generator=generator, device=generator.device)
        self.A = nn.Parameter(a.to(w) * layer.in_features**-0.5)  # (r, i)
        self.B = nn.Parameter(w.new_zeros(layer.out_features, r))  # (o, r)
        self.register_buffer("kept", None, persistent=False)

    @property
    def merged(self) -> bool:
        return self.kept is not None

    @property
    def weight(self) -> Tensor:
        """The weight (o, i) with its change."""
        if self.merged:
            return self.base.weight
        return self.base.weight + (self.alpha / self.r) * self.B @ self.A

    @property
    def bias(self) -> Tensor | None:
        """The bias (o,) of the layer, unchanged."""
        return self.base.bias

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (..., o) for vectors (..., i)."""
        if self.merged:
            return self.base(x)
        return self.base(x) + (self.alpha / self.r) * (x @ self.A.T) @ self.B.T

    @torch.no_grad()
    def merge(self) -> None:
        """Add the change to W, so that the layer costs no more than before; merged, do nothing."""
        if not self.merged:
            merged = self.weight
            self.kept = self.base.weight.clone()
            self.base.weight.copy_(merged)

    @torch.no_grad()
    def unmerge(self) -> None:
        """Put back W, to the bit, as it was before :meth:`merge`; unmerged, do nothing."""
        if self.merged:
            self.base.weight.copy_(self.kept)
            self.kept = None


def add_lora(
    model: nn.Module,
    names: str | Sequence[str],
    r: int,
    alpha: float,
    generator: torch.Generator,
) -> list[str]:
    """Put :class:`LoRA` in the place of linear layers of a model, and freeze everything else.

    To train a new head as well: ``freeze(model, but=[*add_lora(...), "head"])``.

    Parameters
    ----------
    model : nn.Module
        Changed in place, or not at all if an argument is wrong.
    names : str or sequence of str
        Which layers: their names in ``model.named_modules()`` or patterns such as ``"*.query"``.
    r, alpha : int, float
        Rank and scale; see :class:`LoRA`.
    generator : torch.Generator
        Draws every A, in the order of the layers in the model.

    Returns
    -------
    list of str
        The names of the parameters that are now trainable: those of all LoRA layers.

    Raises
    ------
    TypeError
        If a layer is not linear.
    ValueError
        If a name fits no layer (the message lists near ones), r or alpha is out of range, or a
        layer shares its weight with another, which merging would change as well.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> add_lora(model, "0", r=2, alpha=2, generator=torch.Generator().manual_seed(0))
    ['0.A', '0.B']
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    del modules[""]
    wanted = {modules[name]: name for name in matching(modules, names, "names", "layer")}
    for layer, name in wanted.items():
        _check_lora(f"layer {name!r}", layer, r, alpha)
        owners = [
            m
            for m in model.modules()
            if any(p is layer.weight for p in m.parameters(recurse=False))
        ]
        if len(owners) > 1:
            raise ValueError(
                f"names: layer {name!r} shares its weight with another module; leave it out"
            )
    loras = {
        layer: LoRA(layer, r, alpha, generator) for layer in model.modules() if layer in wanted
    }
    for name, module in modules.items():
        if module in loras:
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, loras[module])
    found = [name for name, m in model.named_modules() if isinstance(m, LoRA)]
    return freeze(model, but=[f"{name}.{matrix}" for name in found for matrix in "AB"])


def merge(model: nn.Module) -> None:
    """Merge every :class:`LoRA` layer of a model; one that is merged stays as it is.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> model = nn.Sequential(LoRA(nn.Linear(6, 4), r=2, alpha=4, generator=generator))
    >>> merge(model)
    >>> model[0].merged
    True
    """
    for layer in _loras(model):
        layer.merge()


def unmerge(model: nn.Module) -> None:
    """Take the change out of every merged :class:`LoRA` layer; the old weights are back, exactly.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> model = nn.Sequential(LoRA(nn.Linear(6, 4), r=2, alpha=4, generator=generator))
    >>> merge(model)
    >>> unmerge(model)
    >>> model[0].merged
    False
    """
    for layer in _loras(model):
        layer.unmerge()


def forgetting(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What each task lost while another was learned: accuracy before minus accuracy after.

    Parameters
    ----------
    before, after : mapping of str to float
        Accuracy of each task, for the same tasks.

    Returns
    -------
    dict of str to float
        Positive where something was forgotten, negative where the new task helped.

    Raises
    ------
    ValueError
        If the tasks differ.

    Examples
    --------
    >>> forgetting({"old": 0.75, "older": 0.5}, {"old": 0.5, "older": 0.625})
    {'old': 0.25, 'older': -0.125}
    """
    if before.keys() != after.keys():
        raise ValueError(
            f"after: tasks {sorted(after)}, and before has {sorted(before)}; measure the same ones"
        )
    return {task: before[task] - after[task] for task in before}


def _loras(model: nn.Module) -> list[LoRA]:
    layers = [m for m in model.modules() if isinstance(m, LoRA)]
    if not layers:
        raise ValueError("model: it has no LoRA layer; call add_lora first")
    return layers


def _check_lora(name: str, layer: nn.Module, r: int, alpha: float) -> None:
    if not isinstance(layer, nn.Linear):
        raise TypeError(f"{name} is of type {type(layer).__name__}; give an nn.Linear")
    most = min(layer.in_features, layer.out_features)
    if not isinstance(r, int) or not 1 <= r <= most:
        raise ValueError(f"r: {r!r}; {name} takes an integer from 1 to {most}")
    if not (alpha > 0 and math.isfinite(alpha)):
        raise ValueError(f"alpha: {alpha}; give a positive number, such as r")
