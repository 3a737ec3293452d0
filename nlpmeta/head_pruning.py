"""Remove whole heads of attention, so that the four matrices around them really shrink.

A head is worth what the loss would change if it fell silent, to first order (Michel, Levy and
Neubig, 2019). :func:`head_scores` collects that while losses are differentiated,
:func:`prune_heads` cuts the rows of queries, keys and values and the columns of the output.
Exports ``head_scores`` and ``prune_heads``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nlpmeta.layers import check_finite, check_share
from nlpmeta.structured_pruning import cut

__all__ = ["head_scores", "prune_heads"]


def _attentions(model: nn.Module) -> dict[str, nn.Module]:
    """The attention blocks of a BERT by name: what has ``self.query`` and ``output.dense``."""
    names = dict(model.named_modules())
    found = {
        name.removesuffix(".self.query"): names[name.removesuffix(".self.query")]
        for name in names
        if name.endswith(".self.query")
    }
    if not found:
        raise ValueError(f"model: {type(model).__name__} has no attention named as in a BERT")
    return found


def _size(attention: nn.Module) -> int:
    return attention.self.attention_head_size


@contextmanager
def head_scores(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Sum ``I_h = |sum a_h * dL/da_h|`` over the backward passes made inside the ``with`` block.

    ``a_h`` are the numbers that head h hands to the output of its block; the inner sum runs over
    the places, texts and entries of one pass. It is the derivative of the loss with respect to a
    switch that multiplies the head (Michel, Levy and Neubig, 2019).

    Parameters
    ----------
    model : nn.Module
        A BERT of transformers, or a network that contains one.

    Yields
    ------
    dict of Tensor of shape (h,)
        By name of an attention block, the scores so far.

    Raises
    ------
    ValueError
        If there is no such block.

    Examples
    --------
    >>> with head_scores(nn.Linear(2, 2)):
    ...     pass
    Traceback (most recent call last):
    ValueError: model: Linear has no attention named as in a BERT
    """
    blocks = _attentions(model)
    scores = {
        name: torch.zeros(block.self.query.out_features // _size(block))
        for name, block in blocks.items()
    }
    hooks = []

    def watch(name: str, size: int):
        def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            a = inputs[0]

            def add(slope: Tensor) -> None:
                parts = (a.detach() * slope).unflatten(-1, (-1, size))  # (b, t, h, size)
                scores[name] += parts.flatten(0, 1).sum((0, 2)).abs().cpu()

            if a.requires_grad:
                a.register_hook(add)

        return note

    for name, block in blocks.items():
        hooks.append(block.output.dense.register_forward_pre_hook(watch(name, _size(block))))
    try:
        yield scores
    finally:
        for hook in hooks:
            hook.remove()


def prune_heads(
    model: nn.Module, scores: Mapping[str, Tensor], sparsity: float
) -> dict[str, Tensor]:
    """Remove the heads with the lowest scores, the same number in every block.

    Parameters
    ----------
    model : nn.Module
        A BERT of transformers, or a network that contains one; changed in place.
    scores : mapping of Tensor of shape (h,)
        By name of an attention block, what :func:`head_scores` gave.
    sparsity : float
        The share of heads to remove, from 0 to 1.

    Returns
    -------
    dict of Tensor of int64
        By name of a block, the numbers of the heads that stay.

    Raises
    ------
    ValueError
        If sparsity is out of range or leaves no head, a block does not exist, or scores do not
        fit. Nothing is changed then.

    Examples
    --------
    >>> from transformers import BertConfig, BertModel
    >>> config = BertConfig(
    ...     vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=4,
    ...     intermediate_size=8)
    >>> model = BertModel(config)
    >>> name = "encoder.layer.0.attention"
    >>> prune_heads(model, {name: torch.tensor([0.3, 0.1, 0.4, 0.2])}, sparsity=0.5)[name]
    tensor([0, 2])
    >>> model.get_submodule(name).self.query.weight.shape
    torch.Size([4, 8])
    """
    check_share("sparsity", sparsity)
    blocks = _attentions(model)
    plan = {}
    for name, score in scores.items():
        if name not in blocks:
            raise ValueError(f"scores: no attention block {name!r}; near: {', '.join(blocks)}")
        n_heads = blocks[name].self.query.out_features // _size(blocks[name])
        if score.shape != (n_heads,):
            raise ValueError(
                f"scores: {tuple(score.shape)} for {name!r}, which has {n_heads} heads; give one "
                "score for each"
            )
        check_finite(f"scores of {name!r}", score)
        n_removed = round(sparsity * n_heads)
        if n_removed == n_heads:
            raise ValueError(f"sparsity: {sparsity} removes all {n_heads} heads; lower it")
        plan[name] = score.argsort(stable=True)[n_removed:].sort().values
    for name, heads in plan.items():
        block, size = blocks[name], _size(blocks[name])
        rows = (heads[:, None] * size + torch.arange(size)).flatten()
        rows = rows.to(block.self.query.weight.device)
        for layer in (block.self.query, block.self.key, block.self.value):
            cut(layer, 0, rows)
        cut(block.output.dense, 1, rows)
        block.self.num_attention_heads, block.self.all_head_size = len(heads), len(rows)
    return plan
