"""Eight bits a number, or fewer: the formulas, and a gradient that passes through rounding.

A real number r is stored as an integer q with ``r = scale * (q - zero_point)`` (Jacob et al.,
2018). Rounding has the derivative 0, so training for integers follows the gradient as if it were
not there: the straight-through estimator (Bengio, Léonard and Courville, 2013). The layers that
compute with such integers are in :mod:`nlpmeta.quantized_layers`. With ``bits`` below 8 the same
formulas use fewer of the 256 integers. Exports ``Quantized``, ``scale_and_zero_point``,
``quantize_int8``, ``quantize``, ``dequantize`` and ``fake_quantize``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nlpmeta.layers import check_finite

__all__ = [
    "Quantized",
    "dequantize",
    "fake_quantize",
    "quantize",
    "quantize_int8",
    "scale_and_zero_point",
]


class Quantized(NamedTuple):
    """A tensor in eight bits: ``scale * (values - zero_point)``.

    Attributes
    ----------
    values : Tensor of int8
        Of the tensor's shape.
    scale : Tensor of float32
        A scalar, or (n, 1, ...) with one scale for each first index.
    zero_point : Tensor of int32
        The integer that stands for 0; shaped as the scale.
    """

    values: Tensor
    scale: Tensor
    zero_point: Tensor


def _levels(bits: int) -> tuple[int, int]:
    """The least and the greatest integer of so many bits."""
    if not isinstance(bits, int) or not 2 <= bits <= 8:
        raise ValueError(f"bits: {bits}; give an integer from 2 to 8")
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def scale_and_zero_point(
    lo: Tensor, hi: Tensor, symmetric: bool, bits: int = 8
) -> tuple[Tensor, Tensor]:
    """How far apart the numbers are, and which integer stands for 0 (Jacob et al., 2018).

    Affine: ``scale = (hi - lo) / 255`` and ``zero_point = round(-128 - lo / scale)``, where lo and
    hi are first widened to include 0, which must be exact (padding, ReLU). Symmetric:
    ``scale = max(|lo|, |hi|) / 127`` and ``zero_point = 0``. With b bits, 255, 128 and 127 are
    ``2^b - 1``, ``2^(b-1)`` and ``2^(b-1) - 1``. Where only 0 (or less than the smallest normal
    float32) was seen, scale is 1: any scale would do but 0.

    Parameters
    ----------
    lo, hi : Tensor of float
        Least and greatest value, of one shape.
    symmetric : bool
        Whether the numbers lie evenly around 0.
    bits : int
        b, from 2 to 8.

    Returns
    -------
    scale : Tensor of float32
    zero_point : Tensor of int32

    Raises
    ------
    ValueError
        If a bound is not finite, or ``bits`` is out of range.

    Examples
    --------
    >>> scale_and_zero_point(torch.tensor(-51.0), torch.tensor(204.0), symmetric=False)
    (tensor(1.), tensor(-77, dtype=torch.int32))
    """
    qmin, qmax = _levels(bits)
    if not (lo.isfinite().all() and hi.isfinite().all()):
        raise ValueError("x: an entry is not finite; mend the run that left it")
    lo, hi = lo.double().clamp(max=0), hi.double().clamp(min=0)
    scale = torch.maximum(-lo, hi) / qmax if symmetric else (hi - lo) / (qmax - qmin)
    nothing = scale < torch.finfo(torch.float32).tiny
    scale = torch.where(nothing, 1.0, scale)
    zero_point = torch.zeros_like(scale) if symmetric else torch.round(qmin - lo / scale)
    zero_point = torch.where(nothing, 0.0, zero_point)
    return scale.float(), zero_point.int()


def quantize_int8(
    w: Tensor, *, per_channel: bool = False, symmetric: bool = True, bits: int = 8
) -> Quantized:
    """Round a tensor to 8-bit integers, ``q = round(w / scale) + zero_point``.

    Each number comes back with an error of at most half its scale (Jacob et al., 2018). Symmetric
    integers lie between -127 and 127, affine ones between -128 and 127. Integers of fewer bits
    lie in a smaller range and are kept in eight.

    Parameters
    ----------
    w : Tensor of float
        Not empty.
    per_channel : bool
        One scale for each first index (the output of a Linear layer), instead of one for all.
    symmetric : bool
        See :func:`scale_and_zero_point`.
    bits : int
        From 2 to 8.

    Returns
    -------
    Quantized

    Raises
    ------
    ValueError
        If ``w`` is empty, or holds a NaN or an infinity, or ``bits`` is out of range.

    Examples
    --------
    >>> quantize_int8(torch.tensor([1.27, -0.5, 0.004])).values
    tensor([127, -50,   0], dtype=torch.int8)
    >>> quantize_int8(torch.tensor([[10.0, 5.0], [0.1, 0.05]]), per_channel=True).values
    tensor([[127,  64],
            [127,  64]], dtype=torch.int8)
    """
    if w.numel() == 0:
        raise ValueError(f"w: shape {tuple(w.shape)} holds no number; give at least one")
    w = w.detach().float()
    check_finite("w", w)
    if per_channel:
        rows = w.flatten(1) if w.ndim > 1 else w[:, None]  # (n, -1)
        shape = (-1,) + (1,) * (w.ndim - 1)
        lo, hi = rows.amin(1).view(shape), rows.amax(1).view(shape)
    else:
        lo, hi = w.aminmax()
    scale, zero_point = scale_and_zero_point(lo, hi, symmetric, bits)
    return Quantized(quantize(w, scale, zero_point, bits), scale, zero_point)


def quantize(x: Tensor, scale: Tensor, zero_point: Tensor, bits: int = 8) -> Tensor:
    """The integers ``clamp(round(x / scale) + zero_point, -128, 127)`` (Jacob et al., 2018).

    Halves are rounded to even. What lies outside the range is clipped.

    Parameters
    ----------
    x : Tensor of float
    scale : Tensor of float32
    zero_point : Tensor of int32
    bits : int
        From 2 to 8; with b bits the ends are ``-2^(b-1)`` and ``2^(b-1) - 1``.

    Returns
    -------
    Tensor of int8
        Of the shape of ``x``.

    Examples
    --------
    >>> quantize(torch.tensor([0.5, 1.5, 900.0]), torch.tensor(1.0), torch.tensor(0))
    tensor([  0,   2, 127], dtype=torch.int8)
    """
    return (torch.round(x / scale) + zero_point).clamp(*_levels(bits)).to(torch.int8)


def dequantize(q: Quantized) -> Tensor:
    """The real numbers that stand for the tensor, ``scale * (values - zero_point)``.

    Parameters
    ----------
    q : Quantized

    Returns
    -------
    Tensor of float32

    Examples
    --------
    >>> dequantize(quantize_int8(torch.tensor([1.27, -0.5, 0.004])))
    tensor([ 1.2700, -0.5000,  0.0000])
    """
    return q.scale * (q.values.int() - q.zero_point)


def fake_quantize(
    x: Tensor, *, per_channel: bool = False, symmetric: bool = True, bits: int = 8
) -> Tensor:
    """Round as :func:`quantize_int8` would and come back, with the gradient of ``y = x``.

    Rounding has the derivative 0 almost everywhere; the straight-through estimator takes 1 instead
    (Bengio, Léonard and Courville, 2013). The range is that of ``x``, so nothing is clipped.

    Parameters
    ----------
    x : Tensor of float
    per_channel, symmetric : bool
    bits : int
        As in :func:`quantize_int8`.

    Returns
    -------
    Tensor
        Of the shape of ``x``.

    Examples
    --------
    >>> x = torch.tensor([1.27, 0.504], requires_grad=True)
    >>> y = fake_quantize(x)
    >>> y.sum().backward()
    >>> y.detach(), x.grad
    (tensor([1.2700, 0.5000]), tensor([1., 1.]))
    """
    q = quantize_int8(x, per_channel=per_channel, symmetric=symmetric, bits=bits)
    return dequantize(q) + (x - x.detach())
