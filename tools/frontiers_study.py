"""Accuracy against labels, compute and parameters, for the chapter "Frontiers".

``python -m tools.frontiers_study`` divides the 77 intents of BANKING77 five times into classes to
learn from, to choose settings on and to be tested on, reads every query with every layer of the
pretrained encoder, and trains the book's methods on 1 to 64 labels of each of thirty test classes:
counting, maximum entropy, a network from scratch, the frozen encoder with two heads, the encoder
tuned, and a map that was learned on other classes. Then it varies the length of training and the
number of parameters. Each piece is kept in ``build/frontiers`` when it ends, so that a run that was
stopped goes on; pieces can be named, as in ``python -m tools.frontiers_study tuned-16-0``.
Everything goes to ``notebooks/data/frontiers.json``; half an hour on one core. The data are
downloaded on the first use, or read from the folder that ``NLPMETA_MIRROR`` names.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor, nn
from torch.nn import functional as F

from nlpmeta.class_splits import Split
from nlpmeta.corpora import benchmarks
from nlpmeta.episodes import by_class
from nlpmeta.learners import LogisticRegressionLearner, NearestCentroid
from nlpmeta.maxent import MaxEntClassifier
from nlpmeta.neural import CharacterCNN, NGramFeatures
from nlpmeta.pretrained import SHA256, load_encoder, mean_pool
from nlpmeta.task_sets import intents
from nlpmeta.text import Vocabulary, pad
from nlpmeta.training import cosine, fit, minibatches
from tools import meta_nlp_study, transfer_curves
from tools.keep import keep

ROOT = Path(__file__).resolve().parent.parent
TARGET, WORK = ROOT / "notebooks/data/frontiers.json", ROOT / "build/frontiers"
DATA, SEEDS, TUNED_SEEDS = "banking77", range(5), range(3)
TEST_CLASSES, VALIDATION_CLASSES, N_TEST = 30, 17, 40  # queries of a class in the test
LABELS = (1, 2, 4, 8, 16, 32, 64)
TUNED_STEPS = {1: 30, 4: 60, 16: 200, 64: 200}  # updates of 16 queries, by labels of a class
SHORTER = (12, 50)  # updates with 16 labels, beside the 200
CNN_STEPS, CNN_WIDTH, BATCH = 300, 64, 32
CNN_BUDGETS, CNN_SHOTS = (10, 30, 100, 300, 1000), 64
WIDTHS, WIDTH_SHOTS = (8, 16, 32, 64, 128), (4, 64)
MAP_BUDGETS = (0, 10, 30, 100, 300, 1000)
TUNING_SEED, TUNING_SHOTS = 0, 16
STRENGTHS, PENALTIES = (1.0, 10.0, 100.0, 1000.0), (0.01, 0.1, 1.0)
CNN_RATES, TUNED_RATES = (1e-3, 3e-3, 1e-2), (1e-4, 3e-4)
MAP_RATES = (1e-4, 1e-3)
MAP_STEPS = 150


def same(x: Tensor) -> Tensor:
    return x


# --- data ----------------------------------------------------------------------------------------


@cache
def texts() -> list[str]:
    return intents(DATA).texts


@cache
def labels() -> np.ndarray:
    return np.array(intents(DATA).labels)


def divide(counts: dict[str, int], seed: int) -> dict[str, list[str]]:
    """Classes to be tested on, of those with enough queries, to choose on and to learn from."""
    rng = np.random.default_rng(seed)
    names = sorted(counts)
    order = [names[i] for i in rng.permutation(len(names))]
    test = [c for c in order if counts[c] >= N_TEST + max(LABELS)][:TEST_CLASSES]
    rest = [c for c in order if c not in test]
    n = VALIDATION_CLASSES
    return {"train": rest[n:], "validation": rest[:n], "test": test}


@cache
def rows(seed: int, part: str = "test") -> tuple[np.ndarray, np.ndarray]:
    """Rows of the pool (c, most labels) and of the queries (c, n), drawn without replacement."""
    rng = np.random.default_rng(1000 + seed)
    own = divide(Counter(labels()), seed)[part]
    most, queries = (max(LABELS), N_TEST) if part == "test" else (TUNING_SHOTS, N_TEST)
    drawn = [rng.permutation(np.flatnonzero(labels() == c)) for c in own]
    return (
        np.stack([d[queries : queries + most] for d in drawn]),
        np.stack([d[:queries] for d in drawn]),
    )


def task(seed: int, k: int, part: str = "test") -> tuple[np.ndarray, Tensor, np.ndarray, Tensor]:
    """Rows and labels of k examples a class, and of the queries."""
    pool, queries = rows(seed, part)
    y = torch.arange(len(pool))
    own = pool[:, :k]
    return (
        own.ravel(),
        y.repeat_interleave(own.shape[1]),
        queries.ravel(),
        y.repeat_interleave(N_TEST),
    )


def others(seed: int) -> np.ndarray:
    """Rows of the classes to learn from."""
    return np.flatnonzero(np.isin(labels(), divide(Counter(labels()), seed)["train"]))


@cache
def layers() -> Tensor:
    """Vectors of all queries after 0, 1, ... 6 layers of the frozen encoder, (7, n, 384)."""
    path = WORK / "layers.safetensors"
    if not path.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        encoder = load_encoder()
        ids = encoder._ids(texts())
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        z = torch.empty(7, len(ids), encoder.width)
        for start in range(0, len(ids), 64):
            batch = order[start : start + 64]
            tokens = encoder._pad([ids[i] for i in batch])
            with torch.no_grad():
                hidden = encoder.network(**tokens, output_hidden_states=True).hidden_states
            for layer, h in enumerate(hidden):
                z[layer, batch] = mean_pool(h, tokens["attention_mask"])
        save_file({"z": z}, path)
    return load_file(path)["z"]


@cache
def characters() -> Tensor:
    vocabulary = Vocabulary.from_tokens((c for t in texts() for c in t), min_count=20)
    return torch.as_tensor(pad([vocabulary.encode(t)[:100] for t in texts()]))


# --- methods -------------------------------------------------------------------------------------


def share(logits: Tensor, y: Tensor) -> float:
    return round(float((logits.argmax(-1) == y).float().mean()), 5)


def scored(learner: Any, x: Tensor, seed: int, k: int, part: str = "test") -> dict[str, float]:
    """Accuracy of a learner on vectors, and the seconds of processor time to adapt it."""
    own, y, queries, wanted = task(seed, k, part)
    start = time.process_time()
    predict = learner.adapt(x[torch.from_numpy(own)], y)
    seconds = time.process_time() - start
    return {
        "accuracy": share(predict(x[torch.from_numpy(queries)]), wanted),
        "seconds": round(seconds, 4),
    }


def counted(seed: int, k: int) -> dict[str, float]:
    """Class means of character n-grams, weighed by how rare they are in the other classes."""
    x = characters()
    encode = NGramFeatures((2, 3, 4)).fit(x[torch.from_numpy(others(seed))])
    return scored(NearestCentroid(encode), x, seed, k)


def maxent(seed: int, k: int, l2: float, part: str = "test") -> dict[str, float]:
    """Maximum entropy on words and pairs of words of the labeled examples alone."""
    own, y, queries, wanted = task(seed, k, part)
    start = time.process_time()
    count = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    x = count.fit_transform([texts()[i] for i in own])
    model = MaxEntClassifier(l2=l2, tol=1e-4).fit(x, y.numpy())
    seconds = time.process_time() - start
    right = model.predict(count.transform([texts()[i] for i in queries])) == wanted.numpy()
    return {"accuracy": round(float(right.mean()), 5), "seconds": round(seconds, 4)}


def network(width: int, n_classes: int, seed: int) -> nn.Module:
    g = torch.Generator().manual_seed(seed)
    encoder = CharacterCNN(int(characters().max()) + 1, 16, width, width, g)
    head = nn.Linear(width, n_classes)
    nn.init.normal_(head.weight, std=0.02, generator=g)
    nn.init.zeros_(head.bias)
    return nn.Sequential(encoder, head)


def scratch(
    seed: int,
    k: int,
    lr: float,
    width: int = CNN_WIDTH,
    steps: int = CNN_STEPS,
    part: str = "test",
) -> dict[str, float]:
    """The convolutional network of the book, from random weights."""
    own, y, queries, wanted = task(seed, k, part)
    x = characters()
    model = network(width, int(y.max()) + 1, seed)
    batch = minibatches(x[torch.from_numpy(own)], y, size=min(BATCH, len(y)), seed=seed)
    start = time.process_time()
    fit(
        model,
        lambda m, b: F.cross_entropy(m(b[0]), b[1]),
        batch,
        steps=steps,
        lr=lr,
        schedule=cosine(steps, max(1, steps // 10)),
        clip=1.0,
    )
    seconds = time.process_time() - start
    with torch.no_grad():
        logits = torch.cat([model(c) for c in x[torch.from_numpy(queries)].split(400)])
    return {
        "accuracy": share(logits, wanted),
        "seconds": round(seconds, 2),
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def tuned(seed: int, k: int, rate: float, steps: int, part: str = "test") -> dict[str, float]:
    """The encoder with a linear layer, all blocks trained."""
    own, y, queries, wanted = task(seed, k, part)
    model = transfer_curves.build("full", int(y.max()) + 1, seed)
    data = transfer_curves.Texts([texts()[i] for i in own], y.tolist())
    start = time.process_time()
    transfer_curves.train(model, "full", data, steps, rate, seed)
    seconds = time.process_time() - start
    accuracy = model.accuracy([texts()[i] for i in queries], wanted.tolist())
    return {"accuracy": round(accuracy, 5), "seconds": round(seconds, 2)}


def learned_map(seed: int, lr: float, steps: int, episodes: bool) -> Callable[[Tensor], Tensor]:
    """A linear map of frozen vectors from the other classes: in episodes, or as one classifier."""
    known = others(seed)
    data = by_class(layers()[-1][torch.from_numpy(known)], labels()[known].tolist())
    part = Split(data, {}, {})
    if not steps:
        return same
    if not episodes:
        return meta_nlp_study.supervised(part, seed, lr, steps)
    model = meta_nlp_study.learned("prototypical map", part, seed, lr, steps)
    return model.encoder


def mapped(seed: int, lr: float, steps: int, episodes: bool) -> tuple[Tensor, float]:
    """All vectors after the map, at length 1, and the seconds that it took to learn."""
    start = time.process_time()
    encode = learned_map(seed, lr, steps, episodes)
    seconds = time.process_time() - start
    with torch.no_grad():
        return F.normalize(encode(layers()[-1]), dim=-1), seconds


# --- pieces --------------------------------------------------------------------------------------


def choose() -> dict[str, dict[str, float]]:
    """Validation accuracy by method and setting, draw 0, 16 labels of each class."""
    at = {"seed": TUNING_SEED, "k": TUNING_SHOTS, "part": "validation"}
    z = layers()
    tried: dict[str, dict[str, float]] = {
        "maximum entropy": {f"{p:g}": maxent(l2=p, **at)["accuracy"] for p in PENALTIES},
        "network from scratch": {f"{r:g}": scratch(lr=r, **at)["accuracy"] for r in CNN_RATES},
    }
    for layer in range(7):
        tried[f"layer {layer}"] = {
            f"{c:g}": scored(LogisticRegressionLearner(same, c), z[layer], **at)["accuracy"]
            for c in STRENGTHS
        }
    for name, episodes in (("episodes", True), ("classifier", False)):
        for r in MAP_RATES:
            x, _ = mapped(TUNING_SEED, r, MAP_STEPS, episodes)
            means = scored(NearestCentroid(same), x, **at)["accuracy"]
            tried.setdefault(f"map, {name}", {})[f"{r:g}"] = means
    tried["tuned encoder"] = {
        f"{r:g}": tuned(rate=r, steps=TUNED_STEPS[TUNING_SHOTS], **at)["accuracy"]
        for r in TUNED_RATES
    }
    return tried


def chosen(name: str) -> float:
    tried = kept("choose")[name]
    return float(max(tried, key=tried.get))


def cheap(seed: int) -> dict[str, list[dict[str, float]]]:
    """Every method that trains little, at all numbers of labels."""
    z, by_regression = layers()[-1], LogisticRegressionLearner(same, chosen("layer 6"))
    found: dict[str, list[dict[str, float]]] = {
        "counting": [counted(seed, k) for k in LABELS],
        "maximum entropy": [maxent(seed, k, chosen("maximum entropy")) for k in LABELS],
        "frozen, means": [scored(NearestCentroid(same), z, seed, k) for k in LABELS],
        "frozen, regression": [scored(by_regression, z, seed, k) for k in LABELS],
    }
    for name, episodes in (("episodes", True), ("classifier", False)):
        x, seconds = mapped(seed, chosen(f"map, {name}"), MAP_STEPS, episodes)
        for head, learner in (("means", NearestCentroid(same)), ("regression", by_regression)):
            found[f"map from {name}, {head}"] = [
                scored(learner, x, seed, k) | {"before": round(seconds, 2)} for k in LABELS
            ]
    return found


def networks(seed: int) -> list[dict[str, float]]:
    lr = chosen("network from scratch")
    return [scratch(seed, k, lr) for k in LABELS]


def wide(seed: int) -> dict[str, list[dict[str, float]]]:
    """Networks from scratch of several widths."""
    lr = chosen("network from scratch")
    return {str(k): [scratch(seed, k, lr, w) for w in WIDTHS] for k in WIDTH_SHOTS}


def longer(seed: int) -> list[dict[str, float]]:
    """The network from scratch, trained for shorter and for longer."""
    lr = chosen("network from scratch")
    return [scratch(seed, CNN_SHOTS, lr, steps=n) for n in CNN_BUDGETS]


def deep(seed: int) -> list[list[dict[str, float]]]:
    """Frozen vectors after each layer, with a regression, at all numbers of labels."""
    return [
        [
            scored(LogisticRegressionLearner(same, chosen(f"layer {n}")), layers()[n], seed, k)
            for k in LABELS
        ]
        for n in range(7)
    ]


def maps(seed: int) -> dict[str, list[dict[str, float]]]:
    """The map after so many steps on other classes, scored by class means."""
    found: dict[str, list[dict[str, float]]] = {}
    for name, episodes in (("episodes", True), ("classifier", False)):
        for steps in MAP_BUDGETS:
            x, seconds = mapped(seed, chosen(f"map, {name}"), steps, episodes)
            row = {"seconds": round(seconds, 2)}
            for k in (1, 4, 16):
                row[str(k)] = scored(NearestCentroid(same), x, seed, k)["accuracy"]
            found.setdefault(name, []).append(row)
    return found


def tune(seed: int, k: int, steps: int) -> dict[str, float]:
    return tuned(seed, k, chosen("tuned encoder"), steps)


PIECES: dict[str, Callable[[], object]] = {"choose": choose}
for _seed in SEEDS:
    for _name, _piece in (("cheap", cheap), ("networks", networks), ("deep", deep), ("maps", maps)):
        PIECES[f"{_name}-{_seed}"] = partial(_piece, _seed)
for _seed in TUNED_SEEDS:
    for _k, _steps in TUNED_STEPS.items():
        PIECES[f"tuned-{_k}-{_seed}"] = partial(tune, _seed, _k, _steps)
for _seed in SEEDS:
    PIECES[f"longer-{_seed}"] = partial(longer, _seed)
    PIECES[f"wide-{_seed}"] = partial(wide, _seed)
for _seed in TUNED_SEEDS:
    for _steps in SHORTER:
        PIECES[f"short-{_steps}-{_seed}"] = partial(tune, _seed, TUNING_SHOTS, _steps)


def kept(name: str) -> Any:
    """What a piece gave; if it was made before, as it was."""
    return keep(WORK, name, PIECES[name])


def column(values: list[list[dict[str, float]]], key: str) -> list[list[float]]:
    """One entry of each result, (draws, settings)."""
    return [[row[key] for row in run] for run in values]


def summary() -> dict[str, object]:
    """Everything that the lab shows, from the pieces."""
    easy = [kept(f"cheap-{s}") for s in SEEDS]
    curves: dict[str, dict[str, object]] = {}
    for name in easy[0]:
        runs = [e[name] for e in easy]
        curves[name] = {k: column(runs, k) for k in runs[0][0]} | {"labels": LABELS}
    small = [kept(f"networks-{s}") for s in SEEDS]
    curves["network from scratch"] = {
        "accuracy": column(small, "accuracy"),
        "seconds": column(small, "seconds"),
        "labels": LABELS,
    }
    big = [[kept(f"tuned-{k}-{s}") for k in TUNED_STEPS] for s in TUNED_SEEDS]
    curves["tuned encoder"] = {
        "accuracy": column(big, "accuracy"),
        "seconds": column(big, "seconds"),
        "labels": list(TUNED_STEPS),
    }
    long = [kept(f"longer-{s}") for s in SEEDS]
    short = [
        [kept(f"short-{n}-{s}") for n in SHORTER] + [kept(f"tuned-{TUNING_SHOTS}-{s}")]
        for s in TUNED_SEEDS
    ]
    over = [kept(f"maps-{s}") for s in SEEDS]
    widths = [kept(f"wide-{s}") for s in SEEDS]
    encoder = load_encoder().network
    block = sum(p.numel() for p in encoder.encoder.layer[0].parameters())
    table = sum(p.numel() for p in encoder.embeddings.parameters())
    return {
        "recipe": {
            "command": "python -m tools.frontiers_study",
            "corpus": benchmarks.SOURCES[DATA].files,
            "encoder": SHA256,
            "classes": {p: len(c) for p, c in divide(Counter(labels()), 0).items()},
            "queries": TEST_CLASSES * N_TEST,
            "draws": len(SEEDS),
            "draws of the tuned encoder": len(TUNED_SEEDS),
            "tuned steps": TUNED_STEPS,
            "scratch steps": CNN_STEPS,
            "map steps": MAP_STEPS,
            "chosen on": "validation classes of draw 0, 16 labels of each",
        },
        "tried": kept("choose"),
        "labels": curves,
        "compute": {
            "network from scratch": {
                "steps": CNN_BUDGETS,
                "k": CNN_SHOTS,
                "accuracy": column(long, "accuracy"),
                "seconds": column(long, "seconds"),
            },
            "tuned encoder": {
                "steps": [*SHORTER, TUNED_STEPS[TUNING_SHOTS]],
                "k": TUNING_SHOTS,
                "accuracy": column(short, "accuracy"),
                "seconds": column(short, "seconds"),
            },
            "map": {
                name: {"steps": MAP_BUDGETS}
                | {key: column([o[name] for o in over], key) for key in ("seconds", "1", "4", "16")}
                for name in over[0]
            },
        },
        "parameters": {
            "layers": {
                "table": table,
                "block": block,
                "labels": LABELS,
                "accuracy": [
                    [[cell["accuracy"] for cell in layer] for layer in kept(f"deep-{s}")]
                    for s in SEEDS
                ],
            },
            "widths": {
                "width": WIDTHS,
                "parameters": [row["parameters"] for row in widths[0][str(WIDTH_SHOTS[0])]],
                **{str(k): column([w[str(k)] for w in widths], "accuracy") for k in WIDTH_SHOTS},
                "seconds": column([w[str(WIDTH_SHOTS[-1])] for w in widths], "seconds"),
            },
        },
    }


def main() -> None:
    torch.set_num_threads(1)
    wanted = sys.argv[1:] or list(PIECES)
    for piece in PIECES:
        if any(piece.startswith(w) for w in wanted):
            kept(piece)
    if not sys.argv[1:] or wanted == ["summary"]:
        TARGET.write_text(json.dumps(summary(), indent=1) + "\n")


if __name__ == "__main__":
    main()
