"""Make one encoder smaller in every way of the chapter "Compression", and measure what it saves.

``python -m tools.pareto`` fine-tunes all-MiniLM-L6-v2 to tell from which library a sentence of a
docstring comes (modules of the test part are in no other part); compresses the result in each way
of :data:`RECIPES`; trains what was cut for the same few steps at one rate, which lies between the
two that were tried for the full network on validation sentences; and writes networks and ONNX
files to ``build/pareto``. Each file is then measured by :mod:`tools.measure` in a process of its
own. What is there already is not made again. Everything goes to ``notebooks/data/pareto.json``;
half an hour on one core.
"""

from __future__ import annotations

import copy
import importlib.metadata
import itertools
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from nlpmeta.compression import distill, low_rank, prune_magnitude, prune_structured
from nlpmeta.corpora import docs
from nlpmeta.deployment import export_onnx, quantize_onnx
from nlpmeta.head_pruning import head_scores, prune_heads
from nlpmeta.layers import named_layers, replace_layer
from nlpmeta.pretrained import Encoder, load_encoder, mean_pool
from nlpmeta.pruning import SparseLinear, keep_zeros, movement_scores, prune_by_score
from nlpmeta.quantized_layers import (
    QuantizedEmbedding,
    QuantizedLinear,
    calibrate,
    fake_quantize_model,
)
from nlpmeta.training import cosine, fit
from tools.labs import ENVIRONMENT

ROOT = Path(__file__).resolve().parent.parent
TARGET, WORK = ROOT / "notebooks/data/pareto.json", ROOT / "build/pareto"
LIBRARIES = tuple(docs.LIBRARIES)
PER_LIBRARY = {"train": 800, "validation": 60, "test": 150}
LONGEST, BATCH, SEED = 48, 16, 0
TEACHER_STEPS, STEPS = 250, 80
RATES, RATES_AFTER, ROUNDS = (5e-5, 2e-4), (1e-4,), 3
SCALE = 20.0  # vectors have length 1; what a head of weights near 1 can work with

Batch = Callable[[int], tuple[Tensor, Tensor]]


class Classifier(nn.Module):
    """Token ids (b, t), padded with 0, to logits (b, n): encoder, average, linear layer.

    ``rows`` maps the number of a token to its row in the table of vectors, where rows were removed.
    """

    def __init__(self, network: nn.Module, n_classes: int, rows: Tensor | None = None) -> None:
        super().__init__()
        self.network, self.head = network, nn.Linear(network.config.hidden_size, n_classes)
        self.register_buffer("rows", rows)

    def forward(self, ids: Tensor) -> Tensor:
        mask = (ids != 0).long()  # (b, t)
        ids = ids if self.rows is None else self.rows[ids]
        hidden = self.network(input_ids=ids, attention_mask=mask).last_hidden_state
        return self.head(SCALE * mean_pool(hidden, mask))


# --- data


@lru_cache(maxsize=1)
def encoder() -> Encoder:
    """The book's encoder."""
    return load_encoder()


@lru_cache(maxsize=3)
def part(name: str) -> tuple[list[str], list[int]]:
    """Sentences of a part, as many of each library, and the numbers of their libraries."""
    rng = np.random.default_rng(SEED)
    sentences = docs.load(name)
    texts, labels = [], []
    for k, library in enumerate(LIBRARIES):
        own = [s.text for s in sentences if s.library == library]
        texts += [own[i] for i in rng.permutation(len(own))[: PER_LIBRARY[name]]]
        labels += [k] * PER_LIBRARY[name]
    return texts, labels


@lru_cache(maxsize=3)
def tokens(name: str) -> tuple[Tensor, Tensor]:
    """Token ids (n, t) of a part, cut and padded with 0, and labels (n,)."""
    texts, labels = part(name)
    ids = encoder().tokenizer(texts, truncation=True, max_length=LONGEST, padding=True)["input_ids"]
    return torch.tensor(ids), torch.tensor(labels)


def trimmed(ids: Tensor) -> Tensor:
    """Without columns that hold nothing but padding."""
    return ids[:, : int((ids != 0).sum(1).max())]


def batches(ids: Tensor, labels: Tensor, seed: int = SEED) -> Batch:
    """Batches of texts of like length, each epoch in another order; a pure function of the step."""
    lengths, per_epoch = (ids != 0).sum(1).numpy(), len(ids) // BATCH

    @lru_cache(maxsize=1)
    def order(epoch: int) -> list[np.ndarray]:
        rng = np.random.default_rng([seed, epoch])
        near = np.argsort(lengths + rng.uniform(0, 4, len(lengths)))
        groups = near[: per_epoch * BATCH].reshape(-1, BATCH)
        return list(groups[rng.permutation(len(groups))])

    def batch(step: int) -> tuple[Tensor, Tensor]:
        rows = torch.from_numpy(order(step // per_epoch)[step % per_epoch])
        return trimmed(ids[rows]), labels[rows]

    return batch


@torch.no_grad()
def right(model: Callable[[Tensor], Tensor], ids: Tensor, labels: Tensor) -> np.ndarray:
    """Which texts (n,) a model gets right; texts of like length share a batch."""
    found = np.zeros(len(ids), dtype=bool)
    for rows in torch.argsort((ids != 0).sum(1), stable=True).split(32):
        found[rows.numpy()] = (model(trimmed(ids[rows])).argmax(-1) == labels[rows]).numpy()
    return found


# --- networks as files


def write(model: Classifier, name: str, **notes: object) -> None:
    """Keep a network and what is to be said about it."""
    WORK.mkdir(parents=True, exist_ok=True)
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, WORK / f"{name}.safetensors")
    (WORK / f"{name}.json").write_text(json.dumps(notes))


def skeleton(keys: set[str]) -> Classifier:
    """A network without numbers whose layers are those of a file."""
    from transformers import AutoModel

    config = copy.deepcopy(encoder_config())
    config.num_hidden_layers = len({k.split(".")[3] for k in keys if ".encoder.layer." in k})
    with torch.device("meta"):
        network = AutoModel.from_config(config)
        network.pooler = None
        model = Classifier(network, len(LIBRARIES)).eval()
    table = network.embeddings
    table.register_buffer("position_ids", torch.arange(512)[None], persistent=False)
    zeros = torch.zeros(1, 512, dtype=torch.int64)
    table.register_buffer("token_type_ids", zeros, persistent=False)
    if "rows" in keys:
        model.rows = torch.zeros(0)
    for name in named_layers(model):
        if f"{name}.0.weight" in keys:
            thin = nn.Linear(1, 1, bias=False, device="meta"), nn.Linear(1, 1, device="meta")
            replace_layer(model, name, nn.Sequential(*thin))
    return model


@lru_cache(maxsize=1)
def encoder_config():
    """The settings of the encoder, without its weights."""
    from transformers import AutoConfig

    from nlpmeta.pretrained import _folder

    return AutoConfig.from_pretrained(_folder(), local_files_only=True)


def read(path: Path, change: Callable[[nn.Module], nn.Module] = lambda layer: layer) -> Classifier:
    """Open a file layer by layer; ``change`` may replace each Linear layer and embedding.

    So a layer that is stored in fewer bits takes the place of its floats before the next is read.
    """
    with safe_open(path, "pt") as file:
        keys = set(file.keys())
        model = skeleton(keys)
        for name, module in list(model.named_modules()):
            for key in [*module._parameters, *module._buffers]:
                full = f"{name}.{key}" if name else key
                if full in keys:
                    value = file.get_tensor(full)
                    if key in module._parameters:
                        module._parameters[key] = nn.Parameter(value)
                    else:
                        module._buffers[key] = value
            if isinstance(module, nn.Linear):
                module.out_features, module.in_features = module.weight.shape
            if isinstance(module, nn.Embedding):
                module.num_embeddings = len(module.weight)
            if isinstance(module, nn.Linear | nn.Embedding):
                replace_layer(model, name, change(module))
    return model.eval()


# --- training


def tune(
    model: Classifier,
    rate: float,
    steps: int = STEPS,
    teacher: Classifier | None = None,
    seed: int = SEED + 1,
) -> float:
    """Train everything but the vectors of tokens; the share right of the validation part.

    The full network sees its sentences in one order, what was cut from it in another.
    """
    for parameter in model.network.embeddings.parameters():
        parameter.requires_grad_(False)
    batch = batches(*tokens("train"), seed)
    plan = {"steps": steps, "lr": rate, "schedule": cosine(steps, warmup=steps // 10)}
    if teacher is None:
        fit(model, lambda m, data: F.cross_entropy(m(data[0]), data[1]), batch, clip=1.0, **plan)
    else:
        distill(model, teacher, batch, temperature=2.0, weight=0.9, **plan)
    return float(right(model, *tokens("validation")).mean())


def keep_tuned(
    make: Callable[[], Classifier],
    name: str,
    run: Callable[[Classifier, float], float] = tune,
    rates: tuple[float, ...] = RATES_AFTER,
) -> None:
    """Train at each rate and keep the network that is right most often on validation sentences."""
    best, tried = None, {}
    for rate in rates:
        model = make()
        tried[rate] = run(model, rate)
        print(name, rate, round(tried[rate], 4), flush=True)
        if tried[rate] == max(tried.values()):
            best = model
    write(best, name, tried=tried, rate=max(tried, key=tried.get))


def start() -> Classifier:
    """The pretrained encoder with a head fitted to its frozen vectors, strength by validation."""
    from sklearn.linear_model import LogisticRegression

    z = {name: encoder().embed(part(name)[0]).numpy() for name in ("train", "validation")}
    y = {name: part(name)[1] for name in z}
    heads = [
        LogisticRegression(C=c, max_iter=2000).fit(SCALE * z["train"], y["train"])
        for c in (0.003, 0.01, 0.03, 0.1)
    ]
    head = max(heads, key=lambda h: h.score(SCALE * z["validation"], y["validation"]))
    network = copy.deepcopy(encoder().network)
    network.pooler = None
    model = Classifier(network, len(LIBRARIES))
    model.head.weight.data = torch.tensor(head.coef_, dtype=torch.float32)
    model.head.bias.data = torch.tensor(head.intercept_, dtype=torch.float32)
    score = head.score(SCALE * z["validation"], y["validation"])
    write(model.eval(), "frozen", validation=score, C=head.C)
    return model


# --- recipes: what each network is made of


def full() -> Classifier:
    """The fine-tuned network that everything else is made of."""
    return read(WORK / "full.safetensors")


def inner(model: Classifier) -> list[str]:
    """The Linear layers of the blocks; not the head."""
    return [name for name in named_layers(model) if name.startswith("network.encoder")]


def held(model: Classifier, rate: float, masks: dict[str, Tensor], steps: int = STEPS) -> float:
    """Train what was not removed."""
    with keep_zeros(model, masks):
        return tune(model, rate, steps)


def magnitude(sparsity: float, name: str) -> None:
    model = full()
    masks = prune_magnitude(model, sparsity, inner(model))
    write(model, f"{name}-raw")
    keep_tuned(lambda: copy.deepcopy(model), name, lambda m, rate: held(m, rate, masks))


def fine_tuned(model: Classifier, rate: float) -> float:
    """From the pretrained encoder to the full network; keeps how the weights moved."""
    with movement_scores(model, inner(model)) as scores:
        share = tune(model, rate, TEACHER_STEPS, seed=SEED)
    save_file(scores, WORK / f"scores-{rate:g}.safetensors")
    return share


def movement(sparsity: float, name: str) -> None:
    """Remove what fine-tuning moved toward 0, train what is left."""
    model = full()
    rate = json.loads((WORK / "full.json").read_text())["rate"]
    masks = prune_by_score(model, load_file(WORK / f"scores-{rate:g}.safetensors"), sparsity)
    write(model, f"{name}-raw")
    keep_tuned(lambda: copy.deepcopy(model), name, lambda m, rate: held(m, rate, masks))


def without_neurons(model: Classifier, share: float) -> Classifier:
    prune_structured(model.network, share)
    return model


def without_heads(model: Classifier, share: float) -> Classifier:
    batch = batches(*tokens("train"))
    with head_scores(model) as scores:
        for step in range(25):
            ids, labels = batch(step)
            F.cross_entropy(model(ids), labels).backward()
    model.zero_grad()
    prune_heads(model, scores, share)
    return model


def tuned(change: Callable[[Classifier], Classifier], name: str) -> None:
    """Change the network, keep it as it is, then train it."""
    model = change(full())
    write(model, f"{name}-raw")
    keep_tuned(lambda: copy.deepcopy(model), name)


def factored(rank: int) -> Callable[[Classifier], Classifier]:
    return lambda model: low_rank(model, rank, inner(model))


def shallow(layers: tuple[int, ...]) -> Classifier:
    """Some blocks of the full network, in their order."""
    model = full()
    blocks = model.network.encoder.layer
    model.network.encoder.layer = nn.ModuleList(blocks[i] for i in layers)
    return model


def student(layers: tuple[int, ...], name: str, taught: bool) -> None:
    teacher = full() if taught else None

    def run(model: Classifier, rate: float) -> float:
        return tune(model, rate, teacher=teacher)

    keep_tuned(lambda: shallow(layers), name, run)


def rounded(bits: int, name: str) -> None:
    """Training with rounded weights and inputs."""

    def run(model: Classifier, rate: float) -> float:
        return tune(fake_quantize_model(model, bits=bits), rate)

    keep_tuned(full, name, run)


def known_tokens() -> Tensor:
    """Whether a token (v,) occurs in any sentence of the training part of the corpus."""
    known = torch.zeros(encoder().network.config.vocab_size, dtype=torch.bool)
    texts = [s.text for s in docs.load("train")]
    for ids in encoder().tokenizer(texts, truncation=True, max_length=LONGEST)["input_ids"]:
        known[ids] = True
    known[encoder().tokenizer.all_special_ids] = True
    return known


def with_fewer_tokens(model: Classifier) -> Classifier:
    """Only the vectors of tokens that training text has; others share that of the unknown one."""
    known, table = known_tokens(), model.network.embeddings.word_embeddings
    rows = torch.full((len(known),), int(encoder().tokenizer.unk_token_id))
    rows = torch.where(known, torch.arange(len(known)), rows)
    place = known.cumsum(0) - 1  # of a kept row among the kept ones
    model.rows = place[rows]
    table.weight = nn.Parameter(table.weight.detach()[known])
    table.num_embeddings = len(table.weight)
    return model


RECIPES: dict[str, Callable[[str], None]] = {
    "longer": lambda name: keep_tuned(full, name),
    **{f"magnitude-{s}": lambda name, s=s: magnitude(s / 100, name) for s in (50, 80, 90, 95)},
    **{f"movement-{s}": lambda name, s=s: movement(s / 100, name) for s in (80, 90)},
    "neurons-50": lambda name: tuned(lambda m: without_neurons(m, 0.5), name),
    "heads-50": lambda name: tuned(lambda m: without_heads(m, 0.5), name),
    "structured": lambda name: tuned(lambda m: without_neurons(without_heads(m, 0.5), 0.75), name),
    **{f"rank-{r}": lambda name, r=r: tuned(factored(r), name) for r in (128, 64)},
    "student-3": lambda name: student((0, 2, 4), name, taught=True),
    "student-3-alone": lambda name: student((0, 2, 4), name, taught=False),
    "student-1": lambda name: student((0,), name, taught=True),
    "qat-4": lambda name: rounded(4, name),
    "vocabulary": lambda name: write(with_fewer_tokens(full()), name),
    "tiny": lambda name: write(with_fewer_tokens(read(WORK / "student-3.safetensors")), name),
}


def train(names: list[str]) -> None:
    """Make what is not there yet."""
    if not (WORK / "full.json").exists():
        first = start()
        keep_tuned(lambda: copy.deepcopy(first), "full", fine_tuned, RATES)
    for name in names or RECIPES:
        if not (WORK / f"{name}.json").exists():
            RECIPES[name](name)


# --- how a network is kept, and files that are measured


def converted(how: str, path: Path, calibration: Tensor) -> Classifier:
    """A network from its file, its layers kept in the way that :mod:`tools.measure` explains."""
    per_channel, bits = how.startswith("channel") or how == "static", 4 if "-4" in how else 8
    ranges: dict[int, tuple[float, float]] = {}
    if how == "static":
        model = read(path)
        found = calibrate(model, [trimmed(ids) for ids in calibration.split(32)])
        ranges = dict(enumerate(found.values()))
        del model
    seen = itertools.count()

    def change(layer: nn.Module) -> nn.Module:
        if how == "csr":
            dense = isinstance(layer, nn.Embedding) or (layer.weight == 0).float().mean() < 0.3
            return layer if dense else SparseLinear(layer)
        if isinstance(layer, nn.Embedding):
            return QuantizedEmbedding(layer)
        return QuantizedLinear(layer, per_channel, ranges.get(next(seen)), bits)

    return read(path) if how == "float" else read(path, change)


def stored(how: str, model: nn.Module) -> dict[str, Tensor]:
    """The tensors of a file: sparse ones as three, integers of 4 bits two to a byte."""
    state = {}
    for name, value in model.state_dict().items():
        if value.layout == torch.sparse_csr:
            state[f"{name}.rows"] = value.crow_indices().int()
            state[f"{name}.columns"] = value.col_indices().short()  # fewer than 2^15 columns
            state[f"{name}.values"] = value.values()
        elif "-4" in how and value.dtype == torch.int8 and "embeddings" not in name:
            halves = (value.flatten() + 8).to(torch.uint8)
            state[name] = halves[::2] * 16 + halves[1::2]
        else:
            state[name] = value.contiguous()
    return state


class Row(NamedTuple):
    """A point of the plot: what the network is, how it is kept, and which program runs it."""

    name: str
    how: str  # float, csr, tensor, channel, static, tensor-4, channel-4; dynamic of ONNX
    engine: str  # pytorch or onnx


TUNED = [name for name in RECIPES if name not in ("vocabulary", "tiny", "qat-4")]
RAW = ("magnitude-50", "magnitude-80", "magnitude-90", "movement-80", "structured", "rank-128")
ROWS = (
    *(Row(name, "float", "onnx") for name in ("frozen", "full", *TUNED, "vocabulary", "tiny")),
    *(Row(f"{name}-raw", "float", "onnx") for name in RAW),
    *(
        Row(name, "float", "pytorch")
        for name in ("full", "magnitude-90", "structured", "student-3")
    ),
    *(Row(f"magnitude-{s}", "csr", "pytorch") for s in (80, 90, 95)),
    *(Row("full", how, "pytorch") for how in ("tensor", "channel", "static")),
    *(Row("full", how, "pytorch") for how in ("tensor-4", "channel-4")),
    Row("qat-4", "channel-4", "pytorch"),
    *(Row("full", how, "onnx") for how in ("tensor", "channel", "static")),
    *(Row(name, "channel", "onnx") for name in ("structured", "student-3", "vocabulary", "tiny")),
)
CALIBRATION = 96  # sentences of the training part


def file_of(row: Row) -> Path:
    """The file that is measured; for PyTorch, the one that is converted while it is opened."""
    if row.engine == "pytorch":
        return WORK / f"{row.name}.safetensors"
    return WORK / f"{row.name}.{row.how}.onnx"


def export(row: Row) -> None:
    """Write the ONNX file of a row, if it is not there."""
    target = file_of(row)
    if row.engine == "pytorch" or target.exists():
        return
    source = WORK / f"{row.name}.float.onnx"
    ids = tokens("train")[0]
    if row.how == "float":
        model = read(WORK / f"{row.name}.safetensors")
        export_onnx(model, target, {"ids": trimmed(ids[:: len(ids) // 4][:4])})
        return
    calibration = None
    if row.how == "static":
        calibration = [{"ids": trimmed(x)} for x in calibration_ids().split(32)]
    quantize_onnx(source, target, calibration, per_channel=row.how != "tensor")


def calibration_ids() -> Tensor:
    """Token ids of some training sentences of all libraries."""
    ids = tokens("train")[0]
    return ids[:: len(ids) // CALIBRATION][:CALIBRATION]


FLOAT, INTEGER = 3.7 + 0.9, 0.2 + 0.1  # pJ of a multiplication and an addition (Horowitz, 2014)
BYTE = 1300 / 8  # pJ to read a byte from memory: the lower end for 64 bits (Horowitz, 2014)


def costs(row: Row, length: int) -> dict[str, float]:
    """Multiply-adds of a text, and the energy they and the weights' way from memory stand for."""
    model = read(WORK / f"{row.name}.safetensors")
    linear = {name: layer.weight for name, layer in named_layers(model).items()}
    whole = sum(w.numel() * (1 if name == "head" else length) for name, w in linear.items())
    bits = {"float": 32, "csr": 32}.get(row.how, 4 if "-4" in row.how else 8)
    if row.how == "csr":
        numbers = sum(int(w.count_nonzero()) for w in linear.values())
        done = sum(
            int(w.count_nonzero()) * (1 if name == "head" else length) for name, w in linear.items()
        )
        read_bytes = 6 * numbers
    else:
        numbers, done = sum(w.numel() for w in linear.values()), whole
        read_bytes = numbers * bits / 8
    values = [block.attention.self.value for block in model.network.encoder.layer]
    width = sum((v[-1] if isinstance(v, nn.Sequential) else v).out_features for v in values)
    between = 2 * length**2 * width  # queries with keys, weights with values: not rounded
    arithmetic = done * (FLOAT if bits == 32 else INTEGER) + between * FLOAT
    return {
        "multiply-adds": done + between,
        "parameters": sum(p.numel() for p in model.parameters()),
        "nonzero": sum(int(p.count_nonzero()) for p in model.parameters()),
        "arithmetic": arithmetic * 1e-12,
        "energy": (arithmetic + read_bytes * BYTE) * 1e-12,
    }


def size_of(row: Row) -> tuple[int, int]:
    """Bytes of the file, and what zlib leaves of them."""
    from tools.measure import compressed

    path = file_of(row)
    if row.engine == "pytorch" and row.how != "float":
        model = converted(row.how, path, calibration_ids())
        path = WORK / "size.safetensors"
        save_file(stored(row.how, model), path)
    return path.stat().st_size, compressed(path)


def data_file() -> Path:
    """What is measured on: test sentences, their libraries, and the sentences of calibration."""
    path = WORK / "data.npz"
    if not path.exists():
        ids, labels = tokens("test")
        np.savez(path, ids=ids.numpy(), labels=labels.numpy(), calibration=calibration_ids())
    return path


def run(row: Row, *options: str) -> dict[str, object]:
    """Measure a row in a process of its own."""
    how = "onnx" if row.engine == "onnx" else row.how
    command = [sys.executable, "-m", "tools.measure", how, str(file_of(row)), str(data_file())]
    done = subprocess.run(
        [*command, *options], cwd=ROOT, env=os.environ | ENVIRONMENT, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{row}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure() -> None:
    """Measure every row that is not measured yet, then the times again, and write the file."""
    log = WORK / "measured.json"
    known = json.loads(log.read_text()) if log.exists() else {}
    for turn in range(ROUNDS):
        for row in ROWS:
            key = " ".join(row)
            own = known.setdefault(key, {"times": []})
            if len(own["times"]) > turn:
                continue
            export(row)
            found = run(row, *(["times"] if turn else []))
            own["times"].append([found.pop(f"batch {n}") for n in (1, 32)])
            if not turn:
                own |= found | costs(row, found["length"])
                own["bytes"], own["compressed"] = size_of(row)
            known[key] = own
            log.write_text(json.dumps(known, indent=1))
            print(turn, key, own["right"], own["times"][-1], flush=True)
    report(known)


def bits_of(which: str, n: int) -> np.ndarray:
    """Which texts were right, as they were written down."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(which), dtype=np.uint8))[:n].astype(bool)


def difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Share right of b less that of a on the same texts, and half of its 95 % interval."""
    d = b.astype(float) - a.astype(float)
    return float(d.mean()), float(1.96 * d.std(ddof=1) / np.sqrt(len(d)))


def front(points: list[tuple[float, float]]) -> list[bool]:
    """For (cost, share right): whether no other point is as good in both and better in one."""
    return [
        not any(c <= cost and r >= good and (c, r) != (cost, good) for c, r in points)
        for cost, good in points
    ]


def report(known: dict[str, dict]) -> None:
    """Everything that the lab shows."""
    n = len(LIBRARIES) * PER_LIBRARY["test"]
    alone, taught = (
        bits_of(known[f"{name} float onnx"]["which"], n)
        for name in ("student-3-alone", "student-3")
    )
    base = bits_of(known["full float onnx"]["which"], n)
    rows = []
    for row in ROWS:
        own = known[" ".join(row)]
        d, half = difference(base, bits_of(own["which"], n))
        one, many = np.median(own["times"], axis=0)
        keys = ("bytes", "compressed", "memory", "parameters", "nonzero", "multiply-adds")
        rows.append(
            row._asdict()
            | {key: int(own[key]) for key in keys}
            | {"right": own["right"], "difference": round(d, 4), "half": round(half, 4)}
            | {"seconds_1": float(f"{one:.4g}"), "seconds_32": float(f"{many:.4g}")}
            | {key: float(f"{own[key]:.4g}") for key in ("arithmetic", "energy")}
        )
    notes = {
        name: json.loads((WORK / f"{name}.json").read_text())
        for name in ("frozen", "full", *RECIPES)
    }
    target = {
        "recipe": {
            "command": "python -m tools.pareto",
            "corpus": docs.EXPECTED,
            "sentences": {name: len(LIBRARIES) * k for name, k in PER_LIBRARY.items()},
            "steps": {"full": TEACHER_STEPS, "after": STEPS},
            "batch": BATCH,
            "longest": LONGEST,
            "rates": {"full": RATES, "after": RATES_AFTER},
            "calibration": CALIBRATION,
            "rounds": ROUNDS,
            "length": known["full float onnx"]["length"],
        },
        "machine": machine(),
        "validation": notes,
        "test": n,
        "baseline": words(),
        "teacher": [round(x, 4) for x in difference(alone, taught)],
        "rows": rows,
    }
    TARGET.write_text(json.dumps(target, indent=1) + "\n", encoding="utf-8")


def words() -> dict[str, float]:
    """Maximum entropy on words and pairs of words, its strength by validation: no network."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    texts, labels = part("train")
    count = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2).fit(texts)
    x = {name: count.transform(part(name)[0]) for name in PER_LIBRARY}
    tried = [LogisticRegression(C=c, max_iter=1000).fit(x["train"], labels) for c in (1, 3, 10, 30)]
    best = max(tried, key=lambda model: model.score(x["validation"], part("validation")[1]))
    one = count.transform(part("test")[0][:1])
    start = time.perf_counter()
    for text in part("test")[0][:200]:
        best.decision_function(count.transform([text]))
    seconds = (time.perf_counter() - start) / 200
    hits = int((best.predict(x["test"]) == part("test")[1]).sum())
    return {
        "right": hits,
        "parameters": int(best.coef_.size),
        "bytes": int(best.coef_.size * 4),
        "C": best.C,
        "seconds_1_with_counting": float(f"{seconds:.3g}"),
        "features": one.shape[1],
    }


def machine() -> dict[str, object]:
    """Where it was measured."""
    cpu = next(
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    flags = Path("/proc/cpuinfo").read_text()
    names = ("torch", "onnxruntime", "transformers", "numpy")
    return {
        "processor": cpu,
        "cores": os.cpu_count(),
        "threads": 1,
        "avx512_vnni": "avx512_vnni" in flags,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in names},
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(sys.argv[1:])
    measure()
