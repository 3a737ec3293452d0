"""Remove weights one at a time, by a score: matrices keep their shape and fill with zeros.

The smallest weights go first (Han et al., 2015), in each layer or in all layers together; or those
that training moves toward 0 (Sanh, Wolf and Rush, 2020). :func:`keep_zeros` holds removed weights
at 0 while :func:`nlpmeta.training.fit` trains the rest, and :func:`rewind` takes what is left back
to its initial values (Frankle and Carbin, 2019). A dense product takes as long over zeros as over
other numbers; :class:`SparseLinear` leaves them out. Exports ``prune_by_score``,
``prune_magnitude``, ``movement_scores``, ``keep_zeros``, ``rewind`` and ``SparseLinear``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from nlpmeta.layers import check_finite, check_share, named_layers

Masks = dict[str, Tensor]

__all__ = [
    "SparseLinear",
    "keep_zeros",
    "movement_scores",
    "prune_by_score",
    "prune_magnitude",
    "rewind",
]

_PRUNABLE = (nn.Linear, nn.Embedding, nn.Conv1d)


def prune_by_score(
    model: nn.Module, scores: Mapping[str, Tensor], sparsity: float, scope: str = "layer"
) -> Masks:
    """Set to 0 the weights with the lowest scores.

    Of n weights, ``round(sparsity * n)`` go; n counts one layer, or all layers together.

    Parameters
    ----------
    model : nn.Module
        Changed in place; biases stay.
    scores : mapping of Tensor
        By name of a layer, a score for each entry of its weight.
    sparsity : float
        The share to remove, from 0 to 1.
    scope : {"layer", "global"}
        Whether scores are compared inside each layer or across layers.

    Returns
    -------
    dict of Tensor of bool
        By name of a layer: True where the weight stays.

    Raises
    ------
    ValueError
        For a sparsity or scope that is none, scores of another shape or not finite, a layer that
        does not exist, or one that would lose all its weights. Nothing is changed then.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(4, 1))
    >>> prune_by_score(model, {"0": torch.tensor([[4.0, 1.0, 3.0, 2.0]])}, 0.5)
    {'0': tensor([[ True, False,  True, False]])}
    """
    check_share("sparsity", sparsity)
    if scope not in ("layer", "global"):
        raise ValueError(f"scope: {scope!r}; give 'layer' or 'global'")
    layers = named_layers(model, scores, _PRUNABLE)
    for name, layer in layers.items():
        check_finite(f"weight of layer {name!r}", layer.weight.detach())
        check_finite(f"scores of layer {name!r}", scores[name])
        if scores[name].shape != layer.weight.shape:
            raise ValueError(
                f"scores: {tuple(scores[name].shape)} for layer {name!r}, whose weight is "
                f"{tuple(layer.weight.shape)}; give one score for each entry"
            )
    groups = [[name] for name in layers] if scope == "layer" else [list(layers)]
    masks: Masks = {}
    for group in groups:
        flat = torch.cat([scores[name].detach().flatten() for name in group])  # (n,)
        mask = _above_lowest(flat, round(sparsity * len(flat)))
        parts = mask.split([scores[name].numel() for name in group])
        masks |= {name: part.view_as(scores[name]) for name, part in zip(group, parts)}
    for name, mask in masks.items():
        if not mask.any():
            raise ValueError(
                f"sparsity: {sparsity} removes all {mask.numel()} weights of layer {name!r}, and "
                "nothing passes through it any more; lower it, leave the layer out of names"
                + (", or use scope='layer'" if scope == "global" else "")
            )
    with torch.no_grad():
        for name, mask in masks.items():
            layers[name].weight.masked_fill_(~mask, 0.0)
    return masks


def _above_lowest(scores: Tensor, k: int) -> Tensor:
    """False for the k lowest scores (n,), True for the others.

    To find the k-th lowest takes a fraction of the time that naming the k lowest takes. Where it
    is tied with scores that stay, they must be named after all.
    """
    if k == 0:
        return torch.ones_like(scores, dtype=torch.bool)
    mask = scores > scores.kthvalue(k).values
    if int(mask.sum()) != len(scores) - k:
        mask = torch.ones_like(mask)
        mask[scores.topk(k, largest=False).indices] = False
    return mask


def prune_magnitude(
    model: nn.Module,
    sparsity: float,
    names: Iterable[str] | None = None,
    scope: str = "layer",
) -> Masks:
    """Set to 0 the weights nearest 0: the score is ``|w|`` (Han et al., 2015).

    Parameters
    ----------
    model : nn.Module
        Changed in place; biases stay.
    sparsity : float
        The share to remove, from 0 to 1.
    names : iterable of str, optional
        Linear layers, embeddings or convolutions; all Linear layers if left out.
    scope : {"layer", "global"}
        Whether weights are compared inside each layer or across layers.

    Returns
    -------
    dict of Tensor of bool
        By name of a layer: True where the weight stays.

    Raises
    ------
    ValueError
        As :func:`prune_by_score`.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(4, 1, bias=False))
    >>> model[0].weight.data = torch.tensor([[0.5, -0.1, -0.7, 0.2]])
    >>> masks = prune_magnitude(model, sparsity=0.5)
    >>> model[0].weight.data
    tensor([[ 0.5000,  0.0000, -0.7000,  0.0000]])
    """
    layers = named_layers(model, names, (nn.Linear,) if names is None else _PRUNABLE)
    scores = {name: layer.weight.detach().abs() for name, layer in layers.items()}
    return prune_by_score(model, scores, sparsity, scope)


@contextmanager
def movement_scores(
    model: nn.Module, names: Iterable[str] | None = None
) -> Iterator[dict[str, Tensor]]:
    """Sum ``S = -sum_t w_t * dL/dw_t`` over the backward passes made inside the ``with`` block.

    A weight that gradient descent moves away from 0 scores above 0, one that shrinks below (Sanh,
    Wolf and Rush, 2020). They prune during training, with the scores as parameters; here the scores
    are collected first and :func:`prune_by_score` prunes once afterwards.

    Parameters
    ----------
    model : nn.Module
    names : iterable of str, optional
        Layers with a weight; all Linear layers if left out.

    Yields
    ------
    dict of Tensor
        By name of a layer, the scores so far, of the weight's shape.

    Raises
    ------
    ValueError
        If a layer does not exist or its weight is frozen.

    Examples
    --------
    >>> model = nn.Linear(2, 1, bias=False)
    >>> model.weight.data = torch.tensor([[1.0, 1.0]])
    >>> with movement_scores(model) as scores:  # to follow the gradient grows w_0, shrinks w_1
    ...     (model.weight * torch.tensor([-3.0, 2.0])).sum().backward()
    >>> scores[""]
    tensor([[ 3., -2.]])
    """
    layers = named_layers(model, names, (nn.Linear,) if names is None else _PRUNABLE)
    scores = {name: torch.zeros_like(layer.weight.detach()) for name, layer in layers.items()}

    def watch(name: str, weight: Tensor) -> RemovableHandle:
        def add(slope: Tensor) -> None:
            scores[name] -= weight.detach() * slope

        return weight.register_hook(add)

    for name, layer in layers.items():
        if not layer.weight.requires_grad:
            raise ValueError(f"names: weight of layer {name!r} is frozen; unfreeze or omit it")
    hooks = [watch(name, layer.weight) for name, layer in layers.items()]
    try:
        yield scores
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def keep_zeros(model: nn.Module, masks: Mapping[str, Tensor]) -> Iterator[None]:
    """Hold removed weights at 0 while the ``with`` block trains: their gradient is 0.

    An optimizer that starts inside the block, as :func:`nlpmeta.training.fit` does, has no momentum
    that could move them.

    Parameters
    ----------
    model : nn.Module
    masks : mapping of Tensor of bool
        What a function of this module returned.

    Raises
    ------
    ValueError
        If a layer does not exist.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(4, 1))
    >>> masks = prune_magnitude(model, sparsity=0.5)
    >>> with keep_zeros(model, masks):
    ...     model(torch.ones(1, 4)).sum().backward()
    >>> int(model[0].weight.grad.sum())
    2
    """
    hooks = [
        layer.weight.register_hook(lambda slope, mask=masks[name]: slope * mask)
        for name, layer in named_layers(model, masks, _PRUNABLE).items()
        if layer.weight.requires_grad
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def rewind(model: nn.Module, initial: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> None:
    """Give the weights that stay their initial values, and the others 0.

    That is the "winning ticket" of Frankle and Carbin (2019), ready to be trained again under
    :func:`keep_zeros`.

    Parameters
    ----------
    model : nn.Module
        Changed in place.
    initial : mapping of Tensor
        A copy of ``model.state_dict()`` before training.
    masks : mapping of Tensor of bool
        What pruning the trained model returned.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 1, bias=False))
    >>> initial = {"0.weight": torch.tensor([[7.0, 8.0]])}
    >>> rewind(model, initial, {"0": torch.tensor([[True, False]])})
    >>> model[0].weight.data
    tensor([[7., 0.]])
    """
    model.load_state_dict(initial)
    with torch.no_grad():
        for name, layer in named_layers(model, masks, _PRUNABLE).items():
            layer.weight.masked_fill_(~masks[name], 0.0)


class SparseLinear(nn.Module):
    """A Linear layer that stores and multiplies only the weights that are not 0.

    They are kept row by row with the numbers of their columns (compressed sparse rows), which
    takes a number and an index for each, and an indirect access where a dense product runs through
    memory in order. It does not learn.

    Parameters
    ----------
    layer : nn.Linear

    Examples
    --------
    >>> layer = nn.Linear(4, 2)
    >>> _ = prune_magnitude(layer, sparsity=0.75)
    >>> x = torch.ones(3, 4)
    >>> SparseLinear(layer)(x).allclose(layer(x))
    True
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the format may change
            self.register_buffer("weight", layer.weight.detach().to_sparse_csr())  # (o, i)
        bias = None if layer.bias is None else layer.bias.detach().clone()
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (..., o) of the inputs ``x`` (..., i)."""
        y = (self.weight @ x.reshape(-1, x.shape[-1]).T).T.reshape(*x.shape[:-1], -1)  # (..., o)
        return y if self.bias is None else y + self.bias
