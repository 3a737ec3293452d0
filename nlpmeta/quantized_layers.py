"""Layers that multiply integers of 8 bits, and layers that learn to be replaced by them.

Weights are known in advance; the range of a layer's inputs is either measured beforehand
(:func:`calibrate`, static) or taken from each batch (dynamic). :func:`quantize_model` puts such
layers into a network, :func:`fake_quantize_model` prepares it by training with rounded numbers
(Jacob et al., 2018). Exports ``QuantizedLinear``, ``QuantizedEmbedding``, ``calibrate``,
``quantize_model``, ``FakeQuantizedLinear`` and ``fake_quantize_model``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nlpmeta.layers import check_finite, named_layers, replace_layer
from nlpmeta.quantization import fake_quantize, quantize, quantize_int8, scale_and_zero_point

Range = tuple[float, float]

__all__ = [
    "FakeQuantizedLinear",
    "QuantizedEmbedding",
    "QuantizedLinear",
    "calibrate",
    "fake_quantize_model",
    "quantize_model",
]


class QuantizedLinear(nn.Module):
    """A Linear layer that multiplies integers and adds them up in 32 bits.

    ``y = s_x s_w sum_i (q_xi - z_x) q_wi + b`` (Jacob et al., 2018), with symmetric weights and
    affine inputs. Written to be read: the sum is exact and the layer small, but PyTorch's product
    of integers is slower than its product of floats. :mod:`nlpmeta.deployment` is for speed. In
    dynamic mode the range is the whole batch's, so a result depends on what else is in the batch.

    Parameters
    ----------
    layer : nn.Linear
        With at most 60,000 inputs, more of which could overflow the sum.
    per_channel : bool
        One scale for each output.
    input_range : (float, float), optional
        Least and greatest input (static); each batch's own if left out (dynamic).
    bits : int
        Of the weights, from 2 to 8; inputs have 8.

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> layer.weight.data, layer.bias.data = torch.tensor([[1.0, -0.5]]), torch.tensor([3.0])
    >>> layer(torch.tensor([[1.0, 2.0]])).item()
    3.0
    >>> round(QuantizedLinear(layer)(torch.tensor([[1.0, 2.0]])).item(), 3)
    2.988
    """

    def __init__(
        self,
        layer: nn.Linear,
        per_channel: bool = True,
        input_range: Range | None = None,
        bits: int = 8,
    ) -> None:
        super().__init__()
        if layer.in_features > 60_000:
            raise ValueError(
                f"layer: {layer.in_features} inputs could overflow 32 bits; give at most 60,000"
            )
        q = quantize_int8(layer.weight, per_channel=per_channel, bits=bits)
        scale, zero_point = None, None
        if input_range is not None:
            lo, hi = torch.tensor(input_range, dtype=torch.float64)
            scale, zero_point = scale_and_zero_point(lo, hi, symmetric=False)
        bias = None if layer.bias is None else layer.bias.detach().clone()
        self.register_buffer("values", q.values)  # (o, i)
        self.register_buffer("scale", q.scale.flatten())  # (o,) or (1,)
        self.register_buffer("bias", bias)
        self.register_buffer("input_scale", scale)
        self.register_buffer("input_zero_point", zero_point)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (..., o) float32 of the inputs ``x`` (..., i)."""
        lo, hi = x.aminmax()
        scale, zero_point = scale_and_zero_point(lo, hi, symmetric=False)
        if self.input_scale is not None:
            scale, zero_point = self.input_scale, self.input_zero_point
        q = quantize(x, scale, zero_point).int() - zero_point  # (..., i)
        total = q @ self.values.int().T  # (..., o) int32
        y = total * (scale * self.scale)
        return y if self.bias is None else y + self.bias


class QuantizedEmbedding(nn.Module):
    """Vectors stored in 8 bits, each with a scale of its own, given out as floats.

    Parameters
    ----------
    layer : nn.Embedding

    Examples
    --------
    >>> layer = nn.Embedding.from_pretrained(torch.tensor([[1.27, -0.5], [0.0, 0.0]]))
    >>> QuantizedEmbedding(layer)(torch.tensor([1, 0]))
    tensor([[ 0.0000,  0.0000],
            [ 1.2700, -0.5000]])
    """

    def __init__(self, layer: nn.Embedding) -> None:
        super().__init__()
        q = quantize_int8(layer.weight, per_channel=True)
        self.register_buffer("values", q.values)  # (v, d)
        self.register_buffer("scale", q.scale)  # (v, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (..., d) float32 of the numbers ``x`` (...)."""
        return self.scale[x] * self.values[x]


def calibrate(
    model: nn.Module,
    batches: Iterable[Any],
    names: Iterable[str] | None = None,
    percentile: float = 100.0,
) -> dict[str, Range]:
    """Measure the range of each Linear layer's inputs on examples of what it will see.

    At 100 the range is from the least to the greatest value. Below, the p-th percentile from
    either end: the few values outside are clipped and all others get finer steps. That keeps every
    value until the end, so a few hundred short texts are enough.

    Parameters
    ----------
    model : nn.Module
        Run in evaluation mode and left as it was.
    batches : iterable
        What the model is called with: a tensor, a tuple of arguments, or a dict of them by name.
    names : iterable of str, optional
        Linear layers; all if left out.
    percentile : float
        p, above 50 and at most 100.

    Returns
    -------
    dict of (float, float)
        By name of a layer; see :func:`quantize_model`.

    Raises
    ------
    ValueError
        If there is no batch, a layer was never used or saw a value that is not finite, or the
        percentile is out of range.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 2))
    >>> calibrate(model, [torch.tensor([[-1.0, 0.0]]), torch.tensor([[3.0, 2.0]])])
    {'0': (-1.0, 3.0)}
    """
    if not 50 < percentile <= 100:
        raise ValueError(f"percentile: {percentile}; give a number above 50, at most 100")
    layers = named_layers(model, names)
    seen: dict[str, list[Tensor]] = {name: [] for name in layers}

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].detach().float().cpu()
            check_finite(f"input of layer {name!r}", x)
            seen[name].append(x.flatten() if percentile < 100 else torch.stack(x.aminmax()))

        return note

    modes = {module: module.training for module in model.modules()}
    hooks = [layer.register_forward_pre_hook(watch(name)) for name, layer in layers.items()]
    model.eval()
    try:
        with torch.no_grad():
            for batch in batches:
                if isinstance(batch, Mapping):
                    model(**batch)
                else:
                    model(*(batch if isinstance(batch, tuple) else (batch,)))
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    if not any(seen.values()):
        raise ValueError(
            "batches: there is none that reaches a layer; give inputs like those the model will see"
        )
    for name, values in seen.items():
        if not values:
            raise ValueError(f"names: layer {name!r} was never used by the batches; leave it out")
    ends = (100 - percentile, percentile)
    found = {name: np.percentile(torch.cat(values).numpy(), ends) for name, values in seen.items()}
    return {name: (float(lo), float(hi)) for name, (lo, hi) in found.items()}


def quantize_model(
    model: nn.Module,
    names: Iterable[str] | None = None,
    *,
    per_channel: bool = True,
    ranges: Mapping[str, Range] | None = None,
    bits: int = 8,
) -> nn.Module:
    """Put :class:`QuantizedLinear` and :class:`QuantizedEmbedding` in the place of layers.

    Parameters
    ----------
    model : nn.Module
        Changed in place; ``copy.deepcopy`` it first to keep the original.
    names : iterable of str, optional
        Linear layers and embeddings; all if left out.
    per_channel : bool
        One scale for each output of a Linear layer.
    ranges : mapping of (float, float), optional
        What :func:`calibrate` returned (static); each batch's own if left out (dynamic).
    bits : int
        Of the weights of Linear layers, from 2 to 8; embeddings have 8.

    Returns
    -------
    nn.Module
        The model.

    Raises
    ------
    ValueError
        If a layer does not exist, holds a NaN, or has no range although others have.

    Examples
    --------
    >>> quantize_model(nn.Sequential(nn.Linear(4, 2), nn.ReLU()))
    Sequential(
      (0): QuantizedLinear()
      (1): ReLU()
    )
    """
    replacements: dict[str, nn.Module] = {}
    for name, layer in named_layers(model, names, (nn.Linear, nn.Embedding)).items():
        check_finite(f"weight of layer {name!r}", layer.weight.detach())
        if isinstance(layer, nn.Embedding):
            replacements[name] = QuantizedEmbedding(layer)
            continue
        if ranges is not None and name not in ranges:
            raise ValueError(f"ranges: none for layer {name!r}; calibrate it, or leave it out")
        input_range = None if ranges is None else ranges[name]
        replacements[name] = QuantizedLinear(layer, per_channel, input_range, bits)
    for name, layer in replacements.items():
        replace_layer(model, name, layer)
    return model


class FakeQuantizedLinear(nn.Linear):
    """A Linear layer that computes with rounded weights and inputs and learns through the rounding.

    Its outputs are those of a dynamic :class:`QuantizedLinear` with a scale for each output, which
    :func:`quantize_model` makes of it after training (Jacob et al., 2018).

    Attributes
    ----------
    bits : int
        Of the weights; inputs have 8.
    """

    bits = 8

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (..., o) of the inputs ``x`` (..., i)."""
        weight = fake_quantize(self.weight, per_channel=True, bits=self.bits)
        return F.linear(fake_quantize(x, symmetric=False), weight, self.bias)


def fake_quantize_model(
    model: nn.Module, names: Iterable[str] | None = None, bits: int = 8
) -> nn.Module:
    """Put :class:`FakeQuantizedLinear` in the place of Linear layers, to train for integers.

    Parameters
    ----------
    model : nn.Module
        Changed in place; its parameters stay the same objects.
    names : iterable of str, optional
        Linear layers; all if left out.
    bits : int
        Of the weights, from 2 to 8; inputs have 8.

    Returns
    -------
    nn.Module
        The model, ready for :func:`nlpmeta.training.fit`.

    Raises
    ------
    ValueError
        If a layer does not exist, or ``bits`` is out of range.

    Examples
    --------
    >>> fake_quantize_model(nn.Sequential(nn.Linear(4, 2)))[0]
    FakeQuantizedLinear(in_features=4, out_features=2, bias=True)
    """
    if not isinstance(bits, int) or not 2 <= bits <= 8:
        raise ValueError(f"bits: {bits}; give an integer from 2 to 8")
    for name, layer in named_layers(model, names).items():
        # on the device "meta" nothing is drawn: the layer's own weights move in
        new = FakeQuantizedLinear(layer.in_features, layer.out_features, device="meta")
        new.weight, new.bias, new.bits = layer.weight, layer.bias, bits
        replace_layer(model, name, new)
    return model
