"""Remove whole neurons, so that the matrices before and after them really shrink.

The neurons with the smallest incoming weights go, as Li et al. (2017) remove filters of a
convolution. What is left is an ordinary smaller network that needs no special arithmetic to be
faster. Exports ``prune_structured`` and ``cut``.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn

from nlpmeta.layers import check_finite, check_share, named_layers

__all__ = ["cut", "prune_structured"]

_ELEMENTWISE = (
    *(nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.LeakyReLU, nn.ELU),
    *(nn.Dropout, nn.Identity),
)


def prune_structured(
    model: nn.Module, sparsity: float, pairs: Iterable[tuple[str, str]] | None = None
) -> dict[str, Tensor]:
    """Remove the neurons between two Linear layers whose incoming weights are smallest.

    Neuron j scores ``sum_i |w_ji|`` over its row in the first layer (Li et al., 2017, for filters).
    It loses that row, its bias and its column in the second layer, so both matrices shrink. All
    scores are taken before anything is removed.

    Parameters
    ----------
    model : nn.Module
        Changed in place, ``config.intermediate_size`` of a transformers model included.
    sparsity : float
        The share of neurons to remove in each pair, from 0 to 1.
    pairs : iterable of (str, str), optional
        Names of Linear layers with only elementwise functions between them. If left out, the
        feed-forward layers ``*.intermediate.dense`` and ``*.output.dense`` of a BERT, and Linear
        layers that follow each other in an ``nn.Sequential``.

    Returns
    -------
    dict of Tensor of int64
        By name of a first layer, the numbers of the neurons that stay.

    Raises
    ------
    ValueError
        If there is no pair, a pair does not fit together, sparsity is out of range or a layer would
        lose all its neurons. Nothing is changed then.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> kept = prune_structured(model, sparsity=0.75)
    >>> model[0].weight.shape, model[2].weight.shape
    (torch.Size([2, 5]), torch.Size([2, 2]))
    """
    check_share("sparsity", sparsity)
    found = _pairs(model) if pairs is None else list(pairs)
    if not found:
        raise ValueError(
            f"pairs: none found in {type(model).__name__}; name the two Linear layers of each"
        )
    plan = {}
    for first_name, second_name in found:
        first, second = named_layers(model, [first_name, second_name]).values()
        m = first.out_features
        if second.in_features != m:
            raise ValueError(
                f"pairs: {first_name!r} gives {m} numbers, {second_name!r} takes "
                f"{second.in_features}; name layers that follow each other"
            )
        check_finite(f"weight of layer {first_name!r}", first.weight.detach())
        n_removed = round(sparsity * m)
        if n_removed == m:
            raise ValueError(
                f"sparsity: {sparsity} removes all {m} neurons of layer {first_name!r}; lower it"
            )
        stays = torch.ones(m, dtype=torch.bool, device=first.weight.device)
        score = first.weight.detach().abs().sum(1)  # (m,)
        stays[score.topk(n_removed, largest=False).indices] = False
        plan[first_name] = (first, second, stays.nonzero().squeeze(1))
    for first, second, keep in plan.values():
        cut(first, 0, keep)
        cut(second, 1, keep)
    if pairs is None and hasattr(getattr(model, "config", None), "intermediate_size"):
        model.config.intermediate_size = len(keep)
    return {name: keep for name, (_, _, keep) in plan.items()}


def _pairs(model: nn.Module) -> list[tuple[str, str]]:
    """Linear layers with nothing but elementwise functions between them, as far as names tell."""
    modules = dict(model.named_modules())
    found = []
    for name, module in modules.items():
        stem, feed_forward, rest = name.rpartition("intermediate.dense")
        if feed_forward and not rest and f"{stem}output.dense" in modules:
            found.append((name, f"{stem}output.dense"))
        if isinstance(module, nn.Sequential):
            prefix = f"{name}." if name else ""
            steps = [
                (prefix + key, layer)
                for key, layer in module.named_children()
                if not isinstance(layer, _ELEMENTWISE)
            ]
            found += [
                (before, after)
                for (before, first), (after, second) in pairwise(steps)
                if isinstance(first, nn.Linear) and isinstance(second, nn.Linear)
            ]
    return found


def cut(layer: nn.Linear, axis: int, keep: Tensor) -> None:
    """Keep some rows (axis 0, with their biases) or columns (axis 1) of a layer.

    Parameters
    ----------
    layer : nn.Linear
        Changed in place.
    axis : {0, 1}
    keep : Tensor of int64
        The numbers of the rows or columns that stay.

    Examples
    --------
    >>> layer = nn.Linear(5, 8)
    >>> cut(layer, 0, torch.tensor([0, 3]))
    >>> layer
    Linear(in_features=5, out_features=2, bias=True)
    """
    weight = layer.weight
    shorter = weight.detach().index_select(axis, keep)
    layer.weight = nn.Parameter(shorter, requires_grad=weight.requires_grad)
    if axis == 0 and layer.bias is not None:
        bias = layer.bias
        layer.bias = nn.Parameter(bias.detach()[keep], requires_grad=bias.requires_grad)
    layer.out_features, layer.in_features = layer.weight.shape
