"""Fine-tune the encoder in every way and measure it, for the chapter "Fine-tuning".

``python -m tools.transfer_curves`` chooses settings on validation modules, then trains on growing
numbers of labels, over five draws each; measures what a detour through another task does, what is
forgotten and what is distorted; and scores two benchmarks in full. Each run is kept in the cache
folder when it ends, so a script that was stopped goes on; a second process with ``--backward``
takes the runs from the other end of the list, and the two meet. When every run is there, all goes
to ``notebooks/data/fine-tuning.json``, which the lab shows. An hour on one core.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional as F

from nlpmeta.corpora import benchmarks, docs, reviews
from nlpmeta.corpora._cache import cache_dir
from nlpmeta.pretrained import SHA256, Encoder, load_encoder
from nlpmeta.text_classifier import SoftPrompt, TextClassifier, text_batches
from nlpmeta.training import cosine, fit
from nlpmeta.transfer import (
    Adapter,
    add_lora,
    freeze,
    gradual_unfreeze,
    merge,
    n_trainable,
)

TARGET = Path(__file__).resolve().parent.parent / "notebooks/data/fine-tuning.json"
LIBRARY = "scipy"
AREAS = {
    "integrate": "numerical integration and differential equations",
    "interpolate": "interpolation and splines",
    "linalg": "linear algebra",
    "optimize": "optimization and root finding",
    "signal": "signal processing",
    "sparse": "sparse matrices",
    "special": "special functions",
    "stats": "statistics",
}
SECTIONS = ("summary", "description", "notes")
HARD_PROMPTS = ("{}", "This sentence is about {}.")
SHARES, CAPS = {"validation": 0.15, "test": 0.3}, {"train": 64, "validation": 25, "test": 50}
LENGTH, SEEDS, TUNING_SEED = 32, 5, 99
# Labels of each class, and updates of 16 texts (of 8 where there are no more).
STEPS = {1: 30, 4: 40, 16: 64, 64: 96}
EXTRA_SIZE, TUNED_AT = 16, (16, 64)
HEAD_RATE, BODY_RATES, SMALL_RATES = 2e-3, (3e-5, 1e-4, 3e-4), (5e-4, 2e-3, 8e-3)
CURVES = ("scratch", "full", "gradual", "lora")
EXTRAS = ("top block", "adapters", "soft prompt")
RATES = {
    "scratch": (3e-4, 1e-3, 3e-3),
    **dict.fromkeys(("full", "gradual"), BODY_RATES),
    **dict.fromkeys(("lora", "adapters", "soft prompt"), SMALL_RATES),
}
# A rate beyond the grid, tried where the largest of the grid was best.
BEYOND = {("full", 16): 1e-3, ("scratch", 16): 1e-2}
STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0)  # C of logistic regression
BLOCKS = ["encoder.network.embeddings", *(f"encoder.network.encoder.layer.{i}" for i in range(6))]
B_STEPS, B_TRAIN = 32, 200


class Texts(NamedTuple):
    """Texts and their labels, 0 to n - 1."""

    texts: list[str]
    labels: list[int]


# --- data ----------------------------------------------------------------------------------------


@cache
def area_modules(library: str = LIBRARY) -> dict[str, dict[str, list[str]]]:
    """The sentences of a library in summaries, descriptions and notes, by area and module."""
    found: dict[str, dict[str, list[str]]] = {}
    for part in docs.PARTS:
        for s in docs.load(part):
            names = s.module.split(".")
            told = s.section in SECTIONS and 6 <= len(s.text.split()) <= 20
            if s.library == library and len(names) > 1 and told:
                found.setdefault(names[1], {}).setdefault(s.module, []).append(s.text)
    return found


@cache
def area_parts() -> dict[str, Texts]:
    """Sentences of SciPy and the area of their module; no module is in two parts."""
    rows: dict[str, list[tuple[str, int]]] = {part: [] for part in CAPS}
    for label, area in enumerate(AREAS):
        modules = area_modules()[area]
        room = {part: share * sum(map(len, modules.values())) for part, share in SHARES.items()}
        for name in sorted(modules, key=lambda name: hashlib.sha256(name.encode()).digest()):
            part = next((p for p in room if len(modules[name]) <= room[p]), "train")
            if part in room:
                room[part] -= len(modules[name])
            rows[part] += [(text, label) for text in modules[name]]
    taken: set[str] = set()
    parts = {}
    for part in CAPS:  # the training part first: the others lose what they share with it
        kept = [row for row in rows[part] if not taken & set(docs.shingles(row[0]))]
        taken |= {run for text, _ in kept for run in docs.shingles(text)}
        parts[part] = capped(kept, CAPS[part])
    return parts


def capped(rows: Sequence[tuple[str, int]], most: int) -> Texts:
    """At most so many of each label, drawn by a fixed seed, no text twice."""
    order = np.random.default_rng(0).permutation(len(rows))
    texts: dict[str, int] = {}
    count: dict[int, int] = {}
    for i in order:
        text, label = rows[i]
        if text not in texts and count.get(label, 0) < most:
            texts[text] = label
            count[label] = count.get(label, 0) + 1
    return Texts(list(texts), list(texts.values()))


def fingerprint(parts: dict[str, Texts]) -> str:
    """The sha256 of all texts and labels, which the lab compares with its own."""
    return hashlib.sha256(json.dumps({p: list(parts[p]) for p in parts}).encode()).hexdigest()


def draw(data: Texts, k: int, seed: int) -> Texts:
    """k texts of each label, without replacement."""
    order = np.random.default_rng([seed, k]).permutation(len(data.texts))
    rows: list[int] = []
    for label in sorted(set(data.labels)):
        rows += [int(i) for i in order if data.labels[i] == label][:k]
    return Texts([data.texts[i] for i in rows], [data.labels[i] for i in rows])


def sentiment(domains: Sequence[str] = reviews.DOMAINS, language: str = "en") -> Texts:
    """Reviews of these domains: 1 if positive, 0 if negative; mixed ones are left out."""
    found = [
        r
        for r in reviews.load(language)
        if r.domain in domains and r.label in ("positive", "negative")
    ]
    return Texts([r.text for r in found], [int(r.label == "positive") for r in found])


def halves(data: Texts, n: int, seed: int) -> tuple[Texts, Texts]:
    """n texts to train on, and the others."""
    order = np.random.default_rng(seed).permutation(len(data.texts)).tolist()
    return tuple(
        Texts([data.texts[i] for i in rows], [data.labels[i] for i in rows])
        for rows in (order[:n], order[n:])
    )


# --- models --------------------------------------------------------------------------------------


@cache
def pretrained() -> Encoder:
    """The encoder, opened once, which reads the first tokens of a text."""
    opened = load_encoder()
    opened.max_length = LENGTH
    return opened


def encoder() -> Encoder:
    """A fresh copy of the pretrained encoder."""
    return copy.deepcopy(pretrained())


def small_encoder(seed: int) -> Encoder:
    """Two blocks of width 128 with random weights, and the same tokenizer."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=30522,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=512,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        return Encoder(BertModel(config), pretrained().tokenizer, LENGTH)


def build(method: str, n_classes: int, seed: int) -> TextClassifier:
    """A classifier with what the method trains unfrozen and all else frozen."""
    g = torch.Generator().manual_seed(seed)
    if method == "scratch":
        model = TextClassifier(small_encoder(seed), n_classes, g)
        freeze(model, but=["encoder.network.embeddings", "encoder.network.encoder", "head"])
        return model
    inner = SoftPrompt(encoder(), 10, g) if method == "soft prompt" else encoder()
    model = TextClassifier(inner, n_classes, g)
    prepare(model, method, g)
    return model


def prepare(model: TextClassifier, method: str, g: torch.Generator) -> None:
    """Freeze, and add what the method adds."""
    if method == "lora":
        names = ["encoder.network.encoder.layer.*.query", "encoder.network.encoder.layer.*.value"]
        freeze(model, but=[*add_lora(model, names, 8, 16, g), "head"])
    elif method == "adapters":
        for block in model.encoder.network.encoder.layer:
            for part in (block.attention.output, block.output):
                part.dense = nn.Sequential(part.dense, Adapter(384, 16, g))
        freeze(model, but=["*.dense.1", "head"])
    elif method == "top block":
        freeze(model, but=[BLOCKS[-1], "head"])
    elif method == "soft prompt":
        freeze(model, but=["encoder.prompt", "head"])
    elif method == "frozen":
        freeze(model, but="head")
    else:
        freeze(model, but=[*BLOCKS, "head"])


def optimizer_of(model: TextClassifier, method: str) -> Callable[..., torch.optim.Optimizer]:
    """Adam with a rate for the body and the head's own."""
    head = list(model.head.parameters())
    own = {id(p) for p in head}

    def make(parameters: Sequence[nn.Parameter], lr: float) -> torch.optim.Optimizer:
        body = [p for p in parameters if id(p) not in own]
        head_rate = max(lr, HEAD_RATE) if method == "scratch" else HEAD_RATE
        groups = [{"params": head, "lr": head_rate}]
        groups += [{"params": body, "lr": lr}] if body else []
        return torch.optim.Adam(groups, lr=lr, fused=True)

    return make


def loss(model: nn.Module, batch: tuple[dict[str, Tensor], Tensor]) -> Tensor:
    """Cross-entropy, with matrix products in bfloat16."""
    tokens, labels = batch
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(tokens)
    return F.cross_entropy(logits.float(), labels)


def train(
    model: TextClassifier,
    method: str,
    data: Texts,
    steps: int,
    rate: float,
    seed: int,
    batch: Callable[[int], Any] | None = None,
    objective: Callable[..., Tensor] = loss,
) -> float:
    """Fine-tune in place; the seconds of processor time it took."""
    start = time.process_time()
    plan = cosine(steps, warmup=steps // 10)
    if method == "gradual":
        plan = gradual_unfreeze(model, -(-steps // 8), [*BLOCKS, "head"], plan)
    batch = batch or text_batches(model.encoder, data.texts, data.labels, 16, seed)
    fit(
        model,
        objective,
        batch,
        steps=steps,
        lr=rate,
        optimizer=optimizer_of(model, method),
        schedule=plan,
        clip=1.0,
        seed=seed,
    )
    return round(time.process_time() - start, 1)


# --- frozen vectors ------------------------------------------------------------------------------

_VECTORS: dict[str, np.ndarray] = {}


def vectors(texts: Sequence[str]) -> np.ndarray:
    """The pretrained vectors of texts, each computed once in a process."""
    new = [text for text in dict.fromkeys(texts) if text not in _VECTORS]
    if new:
        _VECTORS.update(zip(new, pretrained().embed(new).numpy()))
    return np.array([_VECTORS[text] for text in texts])


def linear(x: Any, y: Sequence[int], test_x: Any, test_y: Sequence[int], c: float) -> float:
    """Accuracy of logistic regression."""
    model = LogisticRegression(C=c, max_iter=3000).fit(x, y)
    return round(float(model.score(test_x, test_y)), 4)


def features(kind: str, own: Texts, other: Texts) -> tuple[Any, Any]:
    """Vectors of two sets of texts: of the encoder, or TF-IDF of words and pairs of words."""
    if kind == "frozen":
        return vectors(own.texts), vectors(other.texts)
    count = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    return count.fit_transform(own.texts), count.transform(other.texts)


# --- runs ----------------------------------------------------------------------------------------


def tune(method: str, k: int) -> dict[str, Any]:
    """Validation accuracy of every setting, one draw."""
    parts = area_parts()
    own = draw(parts["train"], k, TUNING_SEED)
    found = {}
    if method in ("frozen", "tf-idf"):
        x, z = features(method, own, parts["validation"])
        for c in STRENGTHS:
            found[str(c)] = linear(x, own.labels, z, parts["validation"].labels, c)
    else:
        beyond = [BEYOND[method, k]] if (method, k) in BEYOND else []
        for rate in (*RATES[method], *beyond):
            model = build(method, len(AREAS), TUNING_SEED)
            train(model, method, own, steps_of(method, k), rate, TUNING_SEED)
            found[str(rate)] = round(model.accuracy(*parts["validation"]), 4)
    return {"method": method, "k": k, "validation": found}


def steps_of(method: str, k: int) -> int:
    """Updates: a network without pretraining gets three times as many."""
    return STEPS[k] * (3 if method == "scratch" else 1)


def chosen(method: str, k: int) -> float:
    """The setting that was best on the validation part, at the nearer of the tuned sizes."""
    at = TUNED_AT[0] if k <= TUNED_AT[0] else TUNED_AT[1]
    method = "full" if method == "top block" else method
    found = read(f"tune {method} {at}")["validation"]
    return float(max(found, key=found.get))


def curve(method: str, k: int, seed: int) -> dict[str, Any]:
    """Test accuracy from k labels of each class."""
    parts = area_parts()
    own = draw(parts["train"], k, seed)
    setting = chosen(method, k)
    row: dict[str, Any] = {"method": method, "k": k, "seed": seed}
    if method in ("frozen", "tf-idf"):
        x, z = features(method, own, parts["test"])
        return {**row, "test": linear(x, own.labels, z, parts["test"].labels, setting)}
    model = build(method, len(AREAS), seed)
    row["trained"] = n_trainable(model)
    row["seconds"] = train(model, method, own, steps_of(method, k), setting, seed)
    row["trained"] = max(row["trained"], n_trainable(model))
    row["test"] = round(model.accuracy(*parts["test"]), 4)
    if k == 64 and method == "full":
        row |= {"forgetting": forget(model, own, seed), "targets": probe(model.encoder, seed)}
    if k == 64 and method == "lora":
        row["forgetting"] = forget_lora(model, seed)
    return row


def zero() -> dict[str, Any]:
    """No label: the class whose name, put into a sentence or not, has the nearest vector."""
    test = area_parts()["test"]
    z = vectors(test.texts)
    found = {}
    for prompt in HARD_PROMPTS:
        names = vectors([prompt.format(name) for name in AREAS.values()])
        found[prompt] = round(float(((z @ names.T).argmax(1) == test.labels).mean()), 4)
    return {"accuracy": found}


def second(
    model: TextClassifier, seed: int, kind: str, rate: float, old: Texts
) -> dict[str, float]:
    """Train a classifier of reviews on the same encoder; accuracy of both tasks afterward."""
    parts = area_parts()
    b_train, b_test = halves(sentiment(), B_TRAIN, seed)
    other = TextClassifier(model.encoder, 2, torch.Generator().manual_seed(seed))
    if kind == "lora":
        freeze(other, but=["*.A", "*.B", "head"])
    else:
        freeze(other, but=[*BLOCKS, "head"])
    batch, objective = None, loss
    if kind == "replay":
        news = text_batches(model.encoder, *b_train, 12, seed)
        olds = text_batches(model.encoder, *old, 4, seed)
        batch = lambda step: (news(step), olds(step))  # noqa: E731
        model.head.requires_grad_(False)

        def objective(_: nn.Module, both: Any) -> Tensor:
            return (12 * loss(other, both[0]) + 4 * loss(model, both[1])) / 16

    train(other, kind, b_train, B_STEPS, rate, seed, batch, objective)
    return {
        "old": round(model.accuracy(*parts["test"]), 4),
        "new": round(other.accuracy(*b_test), 4),
    }


def forget(model: TextClassifier, own: Texts, seed: int) -> dict[str, Any]:
    """Reviews after areas, four ways, each from the same state, which is put back at the end."""
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    rate, few = chosen("full", 64), draw(own, 4, seed)
    rates = {"lower rate": rate / 10, "full": rate, "higher rate": 10 * rate, "replay": 10 * rate}
    found = {}
    for kind, r in rates.items():
        found[kind] = second(model, seed, kind, r, few)
        model.load_state_dict(kept)
    return found


def forget_lora(model: TextClassifier, seed: int) -> dict[str, Any]:
    """Reviews after areas with the same small matrices, and with new ones beside the merged."""
    rate = chosen("lora", 64)
    test = area_parts()["test"]
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    before = model.logits(test.texts)
    same = second(model, seed, "lora", rate, test)
    model.load_state_dict(kept)
    merge(model)
    gap = float((model.logits(test.texts) - before).abs().max())
    # New matrices on the pretrained weights: the old ones are untouched in a file.
    own = build("lora", 2, seed)
    b_train, b_test = halves(sentiment(), B_TRAIN, seed)
    train(own, "lora", b_train, B_STEPS, rate, seed)
    return {"same": same, "own": {"new": round(own.accuracy(*b_test), 4)}, "merge gap": gap}


def forget_scratch(seed: int) -> dict[str, Any]:
    """Reviews after areas in the small network that was never pretrained, at its own rate."""
    parts = area_parts()
    rate, seen = chosen("scratch", 64), ["encoder.network.embeddings", "encoder.network.encoder"]
    model = build("scratch", len(AREAS), seed)
    own = draw(parts["train"], 64, seed)
    train(model, "scratch", own, steps_of("scratch", 64), rate, seed)
    before = round(model.accuracy(*parts["test"]), 4)
    b_train, b_test = halves(sentiment(), B_TRAIN, seed)
    other = TextClassifier(model.encoder, 2, torch.Generator().manual_seed(seed))
    freeze(other, but=[*seen, "head"])
    train(other, "scratch", b_train, 3 * B_STEPS, rate, seed)
    after = {"old": model.accuracy(*parts["test"]), "new": other.accuracy(*b_test)}
    return {"before": before} | {name: round(value, 4) for name, value in after.items()}


def probe(inner: Encoder, seed: int) -> dict[str, float]:
    """Linear classifiers of both tasks on an encoder's vectors, 16 labels of each class."""
    found = {}
    for name, (own, test) in targets(seed).items():
        x, z = inner.embed(own.texts).numpy(), inner.embed(test.texts).numpy()
        found[name] = linear(x, own.labels, z, test.labels, chosen("frozen", 16))
    return found


def targets(seed: int) -> dict[str, tuple[Texts, Texts]]:
    """Training and test texts of the tasks that a changed encoder is asked to solve."""
    parts = area_parts()
    r_train, r_test = halves(sentiment(), B_TRAIN, seed)
    return {
        "areas": (draw(parts["train"], 16, seed), parts["test"]),
        "sentiment": (draw(r_train, 16, seed), r_test),
    }


def source(kind: str, seed: int) -> dict[str, Any]:
    """The same probes after another detour: none, reviews, or areas with shuffled labels."""
    row = {"source": kind, "seed": seed}
    if kind == "none":
        return {**row, "targets": probe(pretrained(), seed)}
    if kind == "sentiment":
        own, steps, n = halves(sentiment(), B_TRAIN, seed)[0], B_STEPS, 2
    else:
        own, steps, n = draw(area_parts()["train"], 64, seed), STEPS[64], len(AREAS)
        labels = np.random.default_rng(seed).permutation(own.labels).tolist()
        own = Texts(own.texts, labels)
    model = build("full", n, seed)
    train(model, "full", own, steps, chosen("full", 64), seed)
    return {**row, "targets": probe(model.encoder, seed)}


def distort(domain: str) -> dict[str, Any]:
    """Sentiment from the reviews of one domain, asked of it and of the seven others."""
    own, inside = halves(sentiment([domain]), 36, 0)
    outside = sentiment([d for d in reviews.DOMAINS if d != domain])
    seed, row = reviews.DOMAINS.index(domain), {"domain": domain}
    x = 384**0.5 * vectors(own.texts)
    head = LogisticRegression(C=chosen("frozen", 16) / 384, max_iter=3000).fit(x, own.labels)

    def score(model: Callable[[Texts], float]) -> dict[str, float]:
        return {"inside": round(model(inside), 4), "outside": round(model(outside), 4)}

    row["frozen"] = score(lambda t: float(head.score(384**0.5 * vectors(t.texts), t.labels)))
    for name in ("full", "head first"):
        model = build("full", 2, seed)
        if name == "head first":
            w = torch.tensor(head.coef_[0], dtype=torch.float32)
            with torch.no_grad():
                model.head.weight.copy_(torch.stack([-w, w]) / 2)
                b = float(head.intercept_[0]) / 2
                model.head.bias.copy_(torch.tensor([-b, b]))
        train(model, "full", own, B_STEPS, chosen("full", 16), seed)
        row[name] = score(lambda t, m=model: m.accuracy(*t))
    return row


def benchmark(name: str) -> dict[str, Any]:
    """Frozen vectors and a linear layer on a public data set, all labels and ten of a class."""
    train_rows, test_rows = (
        [r for r in benchmarks.load(name, part) if r.label != "oos"] for part in ("train", "test")
    )
    names = sorted({r.label for r in train_rows})
    own, test = (
        Texts([r.text for r in rows], [names.index(r.label) for r in rows])
        for rows in (train_rows, test_rows)
    )
    row: dict[str, Any] = {
        "name": name,
        "classes": len(names),
        "n": [len(own.texts), len(test.texts)],
    }
    z = vectors(test.texts)

    def score(some: Texts) -> float:
        """With the strength that is best for a fifth of the labels, held out."""
        fit_on, held = halves(some, len(some.texts) * 4 // 5, 0)
        x, h = vectors(fit_on.texts), vectors(held.texts)
        c = max((10.0, 100.0), key=lambda c: linear(x, fit_on.labels, h, held.labels, c))
        return linear(vectors(some.texts), some.labels, z, test.labels, c)

    row["all"] = score(own)
    row["ten"] = [score(draw(own, 10, seed)) for seed in range(SEEDS)]
    return row


def benchmark_lora(name: str, seed: int) -> dict[str, Any]:
    """LoRA from ten labels of a class on the same set."""
    train_rows, test_rows = (benchmarks.load(name, part) for part in ("train", "test"))
    names = sorted({r.label for r in train_rows})
    own = Texts([r.text for r in train_rows], [names.index(r.label) for r in train_rows])
    test = Texts([r.text for r in test_rows], [names.index(r.label) for r in test_rows])
    model = build("lora", len(names), seed)
    seconds = train(model, "lora", draw(own, 10, seed), 300, chosen("lora", 64), seed)
    return {"seed": seed, "test": round(model.accuracy(*test), 4), "seconds": seconds}


# --- the list of runs ----------------------------------------------------------------------------


def tuning() -> dict[str, Callable[[], dict[str, Any]]]:
    """What has to be there before the other runs."""
    jobs = {}
    for k in TUNED_AT:
        for method in ("frozen", "tf-idf", *CURVES):
            jobs[f"tune {method} {k}"] = partial(tune, method, k)
    for method in ("adapters", "soft prompt"):
        jobs[f"tune {method} {EXTRA_SIZE}"] = partial(tune, method, EXTRA_SIZE)
    return jobs


def runs() -> dict[str, Callable[[], dict[str, Any]]]:
    """All others, by name, the most needed first."""
    jobs: dict[str, Callable[[], dict[str, Any]]] = {"zero": zero}
    for seed in range(SEEDS):
        for k in STEPS:
            for method in ("frozen", "tf-idf", *CURVES):
                jobs[f"curve {method} {k} {seed}"] = partial(curve, method, k, seed)
        jobs[f"forget scratch {seed}"] = partial(forget_scratch, seed)
        for kind in ("none", "sentiment", "shuffled"):
            jobs[f"source {kind} {seed}"] = partial(source, kind, seed)
        for method in EXTRAS:
            jobs[f"curve {method} {EXTRA_SIZE} {seed}"] = partial(curve, method, EXTRA_SIZE, seed)
    for seed in range(1):
        jobs[f"benchmark lora {seed}"] = partial(benchmark_lora, "banking77", seed)
    for domain in reviews.DOMAINS:
        jobs[f"distort {domain}"] = partial(distort, domain)
    for name in ("banking77", "clinc150"):
        jobs[f"benchmark {name}"] = partial(benchmark, name)
    return jobs


def place(name: str) -> Path:
    """Where a run is kept."""
    return cache_dir() / "fine-tuning" / f"{name.replace(' ', '-')}.json"


def read(name: str) -> dict[str, Any]:
    return json.loads(place(name).read_text(encoding="utf-8"))


def main() -> None:
    """Run what is missing; write the file when nothing is."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--backward", action="store_true", help="the last runs first")
    direction = -1 if parser.parse_args().backward else 1
    for jobs in (tuning(), runs()):
        for name, job in [*jobs.items()][::direction]:
            if not place(name).exists():
                start = time.process_time()
                row = job()
                place(name).parent.mkdir(parents=True, exist_ok=True)
                place(name).write_text(json.dumps(row), encoding="utf-8")
                print(f"{time.process_time() - start:6.1f}", name, row, flush=True)
    parts = area_parts()
    report = {
        "recipe": {
            "command": "python -m tools.transfer_curves",
            "corpus": docs.EXPECTED,
            "reviews": reviews.EXPECTED,
            "encoder": SHA256,
            "areas": list(AREAS),
            "parts": fingerprint(parts),
            "length": LENGTH,
            "steps": STEPS,
            "head rate": HEAD_RATE,
            "chosen_on": "accuracy on validation modules, one draw",
        },
        "sizes": {part: len(parts[part].texts) for part in parts},
        "runs": {name: read(name) for name in [*tuning(), *runs()]},
    }
    TARGET.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
