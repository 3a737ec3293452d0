"""A network as a file that runs without PyTorch: ONNX, with floats or with integers of 8 bits.

:func:`export_onnx` writes down the operations that a network performs on an example (the ONNX
format), :class:`OnnxModel` runs such a file with ONNX Runtime, and :func:`quantize_onnx` turns its
products of matrices into products of integers. Files appear whole or not at all. The libraries'
notes about how they work are kept off the screen; a file that computes anything else than the
network is an error here. Exports ``export_onnx``, ``OnnxModel`` and ``quantize_onnx``.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from torch import Tensor, nn

from nlpmeta.layers import check_finite

Inputs = Mapping[str, Tensor]

__all__ = ["OnnxModel", "export_onnx", "quantize_onnx"]

_OUTPUT = "output"
_OPERATIONS = ["MatMul", "Gemm", "Gather"]  # the products of layers, and embeddings
_DTYPES = {"tensor(int64)": torch.int64, "tensor(float)": torch.float32, "tensor(bool)": torch.bool}


class OnnxModel:
    """Run an ONNX file on the processor.

    Parameters
    ----------
    path : path
    threads : int
        Cores that one product may use.

    Attributes
    ----------
    inputs : tuple of str
        What to call it with.
    bytes : int
        Size of the file.

    Raises
    ------
    ValueError
        If the file is not there or is no network, or a call misses an input, adds one, or gives
        one of another type.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = Path(folder) / "a.onnx"
    ...     model = OnnxModel(export_onnx(nn.Linear(2, 1), target, {"input": torch.ones(1, 2)}))
    >>> model.inputs, model(input=torch.ones(3, 2)).shape
    (('input',), torch.Size([3, 1]))
    """

    def __init__(self, path: str | os.PathLike, threads: int = 1) -> None:
        if not Path(path).is_file():
            raise ValueError(f"path: {path} is no file; write it with export_onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        options.log_severity_level = 3  # errors
        try:
            self.session = onnxruntime.InferenceSession(
                os.fspath(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's own errors have no common class
            raise ValueError(
                f"path: {path} is damaged or not ONNX; write it again with export_onnx"
            ) from error
        self.inputs = tuple(entry.name for entry in self.session.get_inputs())
        self.bytes = Path(path).stat().st_size

    def __call__(self, **inputs: Tensor) -> Tensor:
        """The network's output for inputs by name, whose first axis is the batch."""
        if set(inputs) != set(self.inputs):
            raise ValueError(
                f"inputs: {', '.join(inputs) or 'none'}; give {', '.join(self.inputs)}"
            )
        for entry in self.session.get_inputs():
            wanted = _DTYPES.get(entry.type)
            if wanted is not None and inputs[entry.name].dtype != wanted:
                raise ValueError(
                    f"{entry.name}: {inputs[entry.name].dtype}; convert it to {wanted}"
                )
        feed = {name: value.detach().cpu().numpy() for name, value in inputs.items()}
        return torch.from_numpy(self.session.run(None, feed)[0])


def export_onnx(model: nn.Module, path: str | os.PathLike, example: Inputs) -> Path:
    """Write a network as an ONNX file by following it through an example.

    Batch size and, for inputs of integers (b, t), length may differ later. What the network decides
    by looking at values is written down as decided for the example, so the file is compared with
    the network on another size before it is kept.

    Parameters
    ----------
    model : nn.Module
        ``model(**example)`` gives a tensor, or an output of transformers, whose
        ``last_hidden_state`` or first entry is taken. Evaluated without dropout, left as it was.
    path : path
        Where the file goes; its folder is made.
    example : mapping of Tensor
        Inputs by the names of ``model.forward``'s arguments, (b, ...).

    Returns
    -------
    pathlib.Path
        Of the file.

    Raises
    ------
    ValueError
        If the example is empty or a weight is not finite.
    RuntimeError
        If the file does not compute what the network computes.

    Examples
    --------
    >>> layer = nn.Linear(3, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = export_onnx(layer, Path(folder) / "a.onnx", {"input": torch.ones(1, 3)})
    ...     same = OnnxModel(path)(input=torch.ones(5, 3)).allclose(layer(torch.ones(5, 3)))
    >>> same
    True
    """
    if not example or not all(isinstance(x, Tensor) and x.ndim for x in example.values()):
        raise ValueError("example: give at least one tensor with a batch axis, by argument name")
    for name, value in model.named_parameters():
        check_finite(f"parameter {name!r}", value.detach())
    follow = _Follow(model, list(example))
    axes = {name: {0: "batch"} for name in [*example, _OUTPUT]}
    sequences = [name for name, x in example.items() if x.ndim == 2 and not x.is_floating_point()]
    for name in sequences:
        axes[name][1] = "length"
    modes = {module: module.training for module in model.modules()}
    follow.eval()
    try:
        with torch.no_grad(), _draft(path) as draft, _quietly():
            output = follow(*example.values())
            if sequences and output.ndim == 3:
                axes[_OUTPUT][1] = "length"
            torch.onnx.export(
                follow,
                tuple(example.values()),
                draft,
                input_names=list(example),
                output_names=[_OUTPUT],
                dynamic_axes=axes,
                dynamo=False,  # the newer exporter needs another package
            )
            shorter = {
                name: x[:1, : -(-x.shape[1] // 2)] if name in sequences else x[:1]
                for name, x in example.items()
            }
            for inputs in (example, shorter):
                _compare(OnnxModel(draft)(**inputs), follow(*inputs.values()))
    finally:
        for module, mode in modes.items():  # the exporter sets one mode everywhere
            module.training = mode
    return Path(path)


def quantize_onnx(
    source: str | os.PathLike,
    target: str | os.PathLike,
    calibration: Iterable[Inputs] | None = None,
    *,
    per_channel: bool = True,
) -> Path:
    """Write an ONNX file anew with weights and products in 8 bits.

    Without calibration, weights are rounded now and inputs by their range in each batch (dynamic,
    the formulas of :mod:`nlpmeta.quantization`); with it, by the range measured now (static). Only
    the products of inputs and weights, and embeddings (one scale for the whole table), are rounded:
    a mask that adds -infinity would stretch a scale over everything. Processors without
    instructions for 8-bit sums (VNNI on x86) may cut off sums of two large products.

    Parameters
    ----------
    source : path
        A file of :func:`export_onnx`.
    target : path
        Where the new one goes.
    calibration : iterable of mapping of Tensor, optional
        Inputs like those the network will see, by name.
    per_channel : bool
        One scale for each output of a layer.

    Returns
    -------
    pathlib.Path
        Of the new file.

    Raises
    ------
    ValueError
        If the source is no network, or calibration is empty or has other inputs.

    Examples
    --------
    >>> layer = nn.Linear(400, 200)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = export_onnx(layer, Path(folder) / "a.onnx", {"input": torch.ones(1, 400)})
    ...     small = quantize_onnx(path, Path(folder) / "b.onnx")
    ...     round(path.stat().st_size / small.stat().st_size, 1)
    3.9
    """
    names = OnnxModel(source).inputs
    options = {
        "op_types_to_quantize": _OPERATIONS,
        "per_channel": per_channel,
        "weight_type": QuantType.QInt8,
        "extra_options": {"MatMulConstBOnly": True},
    }
    with _draft(target) as draft, _quietly():
        if calibration is None:
            quantize_dynamic(os.fspath(source), os.fspath(draft), **options)
        else:
            quantize_static(
                os.fspath(source),
                os.fspath(draft),
                _Reader(calibration, names),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                **options,
            )
    return Path(target)


class _Follow(nn.Module):
    """A network with its inputs in a fixed order and one tensor as output."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *values: Tensor) -> Tensor:
        output = self.model(**dict(zip(self.names, values)))
        if isinstance(output, Tensor):
            return output
        return output.last_hidden_state if hasattr(output, "last_hidden_state") else output[0]


class _Reader(CalibrationDataReader):
    """Gives ONNX Runtime one batch after another."""

    def __init__(self, batches: Iterable[Inputs], names: tuple[str, ...]) -> None:
        self.batches = list(batches)
        if not self.batches:
            raise ValueError("calibration: no batch; give inputs like those the network will see")
        for batch in self.batches:
            if set(batch) != set(names):
                raise ValueError(f"calibration: {', '.join(batch)}; give {', '.join(names)}")
        self.rest = iter(self.batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.rest, None)
        return None if batch is None else {k: v.detach().cpu().numpy() for k, v in batch.items()}


def _compare(found: Tensor, wanted: Tensor) -> None:
    scale = max(1.0, float(wanted.abs().max()))
    if found.shape != wanted.shape or not found.allclose(wanted.cpu(), rtol=0, atol=1e-3 * scale):
        raise RuntimeError(
            "model: the ONNX file computes something else on another batch or length; take "
            "decisions that depend on values out of its forward"
        )


@contextlib.contextmanager
def _draft(path: str | os.PathLike) -> Iterator[Path]:
    """A place to write to; what is there in the end moves to ``path`` in one piece."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        draft = Path(folder) / path.name
        yield draft
        os.replace(draft, path)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without warnings, log lines and prints; handlers of the log stay as they were."""
    level, handlers = logging.root.manager.disable, logging.root.handlers[:]
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        logging.root.handlers[:] = handlers
