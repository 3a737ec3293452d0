"""Open one file in a process of its own and say what it takes: bytes, time, memory, what is right.

``python -m tools.measure HOW FILE DATA [times]`` prints a line of JSON. ``HOW`` is ``onnx``, which
needs no PyTorch, or the way in which the layers of a network are kept: ``float``, ``csr`` (only
what is not 0), ``tensor``, ``channel`` (8 bits), ``tensor-4``, ``channel-4`` (weights of 4 bits),
or ``static`` (8 bits, ranges of inputs measured on the calibration texts of the data). ``DATA`` is
an npz file of token ids and labels. One thread. Memory is the largest resident set of the process
less what it held when the file was not yet open; the kernel counts it from the start of the program
(``VmHWM``), while ``resource.getrusage`` would also count what the process that started it held.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

Call = Callable[[np.ndarray], np.ndarray]
REPEATS = {1: 40, 32: 8}


def resident(key: str) -> int:
    """Bytes of memory that this process holds (``VmRSS``) or held at most (``VmHWM``)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {key} in /proc/self/status; measure on Linux")


def imports(how: str) -> None:
    """Load the libraries, so that they do not count as memory of the network."""
    if how == "onnx":
        import onnxruntime  # noqa: F401
    else:
        import torch
        import transformers.models.bert.modeling_bert  # noqa: F401

        from tools import pareto

        torch.set_num_threads(1)
        pareto.encoder_config()


def opened(how: str, path: Path, calibration: np.ndarray) -> Call:
    """What maps token ids (b, t) to logits (b, n)."""
    if how == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda ids: session.run(None, {"ids": ids})[0]
    import torch

    from tools.pareto import converted

    model = converted(how, path, torch.from_numpy(calibration))

    def call(ids: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model(torch.from_numpy(ids)).numpy()

    return call


def trimmed(ids: np.ndarray) -> np.ndarray:
    """Without columns that hold nothing but padding."""
    return ids[:, : int((ids != 0).sum(1).max())]


def median_time(call: Call, ids: np.ndarray) -> float:
    """Seconds of a call, the median of some after one that does not count."""
    call(ids)
    seconds = []
    for _ in range(REPEATS[len(ids)]):
        start = time.perf_counter()
        call(ids)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def right(call: Call, ids: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Which texts (n,) come out right; texts of like length share a batch of 32."""
    found = np.zeros(len(ids), dtype=bool)
    order = np.argsort((ids != 0).sum(1), kind="stable")
    for rows in np.split(order, range(32, len(order), 32)):
        found[rows] = call(trimmed(ids[rows])).argmax(1) == labels[rows]
    return found


def main(how: str, path: str, data: str, only: str = "") -> dict[str, object]:
    """All that is measured of one file, or its times only."""
    imports(how)
    texts = np.load(data)
    before = resident("VmRSS")
    call = opened(how, Path(path), texts["calibration"])
    # texts in the middle of the order of length: little padding, and the same for everyone
    order = np.argsort((texts["ids"] != 0).sum(1), kind="stable")
    middle = trimmed(texts["ids"][order[len(order) // 2 :][:32]])
    found = {f"batch {n}": median_time(call, middle[:n]) for n in REPEATS}
    if only == "times":
        return found
    hits = right(call, texts["ids"], texts["labels"])
    return found | {
        "length": middle.shape[1],
        "right": int(hits.sum()),
        "which": np.packbits(hits).tobytes().hex(),
        "memory": resident("VmHWM") - before,
    }


def compressed(path: Path) -> int:
    """Bytes of a file after zlib."""
    packer, total = zlib.compressobj(1), 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            total += len(packer.compress(block))
    return total + len(packer.flush())


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
