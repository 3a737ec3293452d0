"""Few-shot intents, words, names and domains, for the chapter "Meta-learning for language".

``python -m tools.meta_nlp_study`` reads CLINC150 and BANKING77 with the pretrained encoder, in the
five class splits of Dopierre et al. (2021), and scores on the same episodes what learned nothing,
what was learned on the frozen vectors, and the encoder itself after it was trained on the training
classes. All classes of a data set in one task follow, scored on its published test part. Then it
measures weights of words (distributional signatures) and two leaks, tasks made by blanking words, a
shift of the domain, and the translation of names. Each piece is kept in ``build/meta-nlp`` when it
ends, so that a run that was stopped goes on; pieces can be named, as in
``python -m tools.meta_nlp_study tuned-banking77-0``. Everything goes to
``notebooks/data/meta-nlp.json``; three quarters of an hour on one core. The benchmarks are
downloaded on the first use, or read from the folder that ``NLPMETA_MIRROR`` names.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from nlpmeta.class_splits import Split
from nlpmeta.corpora import benchmarks, docs, names
from nlpmeta.episodes import EpisodeSampler, Learner, Task, by_class, evaluate
from nlpmeta.learners import (
    ANIL,
    MAML,
    Classifier,
    LogisticRegressionLearner,
    NearestCentroid,
    ProtoNet,
    RidgeNet,
)
from nlpmeta.meta import meta_train, prototype_logits, prototypes
from nlpmeta.neural import NGramFeatures
from nlpmeta.pretrained import SHA256, Encoder, load_encoder
from nlpmeta.task_sets import Examples, intents
from nlpmeta.text import Vocabulary, pad
from nlpmeta.training import cosine, fit
from nlpmeta.transfer import freeze
from tools import meta_nlp_small as small
from tools.keep import keep

ROOT = Path(__file__).resolve().parent.parent
TARGET, WORK = ROOT / "notebooks/data/meta-nlp.json", ROOT / "build/meta-nlp"
NAMES = ("clinc150", "banking77")
SEEDS, FEWER = range(5), range(3)
N_QUERY, MOST = 5, 60  # queries of a class in a task; of a test class in all
CELLS = ((5, 1), (5, 5), (10, 1), (10, 5), (0, 5))  # way and shot; 0 ways: all test classes
EPISODES, ALL_WAYS = 200, 40  # tasks on each split: 1,000 in all; fewer where each has all classes
ALL_SHOTS = (5, 10)  # where all classes of a data set are told apart
MANY = 10.0  # strength of logistic regression where all classes are in a task: its default
STEPS, TASKS = 150, 8  # of learners on frozen vectors
SCALE = 4.0  # of the vectors before the linear map
TUNED = {"ways": 16, "queries": 2, "tokens": 24, "steps": 60, "scale": 10.0, "blocks": 3}
RATES = (1e-4, 3e-4)  # of the encoder's own weights
WAYS_TO_TUNE = ("episodes", "classifier")


def same(x: Tensor) -> Tensor:
    return x


@cache
def class_splits(name: str) -> tuple[benchmarks.ClassSplit, ...]:
    return benchmarks.load("intent_splits", name)


@cache
def examples(name: str) -> Examples:
    return intents(name)


@cache
def frozen(name: str) -> Tensor:
    """Vectors of all queries of a data set, read once by the frozen encoder."""
    path = WORK / f"{name}.safetensors"
    if not path.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        save_file({"z": load_encoder().embed(examples(name).texts)}, path)
    return load_file(path)["z"]


@cache
def parts(name: str, seed: int) -> dict[str, np.ndarray]:
    """Rows of a data set by part; of a class to be tested on at most so many."""
    known = class_splits(name)[seed]._asdict()
    known["validation"] = set(examples(name).labels) - known["train"] - known["test"]
    labels = np.array(examples(name).labels)
    found = {part: [] for part in known}
    for label in sorted(set(labels)):
        part = next(p for p in known if label in known[p])
        rows = np.flatnonzero(labels == label)
        if part != "train":
            rows = np.random.default_rng(0).permutation(rows)[:MOST]
        found[part].extend(rows.tolist())
    return {part: np.array(rows) for part, rows in found.items()}


def grouped(name: str, rows: np.ndarray, x: Tensor) -> dict[str, dict[str, Tensor]]:
    """One domain of classes, as the protocol has it, from vectors of those rows."""
    return by_class(x, [examples(name).labels[i] for i in rows])


def split(name: str, seed: int) -> Split:
    """Vectors of the frozen encoder in the three parts."""
    rows = parts(name, seed)
    order = ("train", "validation", "test")
    return Split(*(grouped(name, rows[p], frozen(name)[torch.from_numpy(rows[p])]) for p in order))


@cache
def characters(name: str) -> Tensor:
    texts = examples(name).texts
    vocabulary = Vocabulary.from_tokens((c for text in texts for c in text), min_count=20)
    return torch.as_tensor(pad([vocabulary.encode(text)[:120] for text in texts]))


def ngram_split(name: str, seed: int) -> Split:
    """N-grams whose weights come from the training classes, as vectors; nothing else is trained."""
    rows, x = parts(name, seed), characters(name)
    encode = NGramFeatures((2, 3, 4)).fit(x[torch.from_numpy(rows["train"])])
    test = grouped(name, rows["test"], encode(x[torch.from_numpy(rows["test"])]))
    return Split({}, {}, test)


def scores(
    learner: Learner, data: dict, seed: int, cells: tuple = CELLS, episodes: int = EPISODES
) -> dict[str, dict[str, object]]:
    """Accuracy of each test episode, and milliseconds for a whole episode, by way and shot."""
    found = {}
    for n_way, k_shot in cells:
        n = n_way or len(data[""])
        count = episodes if n_way else ALL_WAYS
        sampler = EpisodeSampler(data, n, k_shot, N_QUERY, seed)
        start = time.process_time()
        score = evaluate(learner, sampler, count)
        ms = 1000 * (time.process_time() - start) / count
        found[f"{n_way}-{k_shot}"] = {
            "accuracy": score.per_episode.round(4).tolist(),
            "ms": round(ms, 2),
        }
    return found


def linear(seed: int, scale: float = SCALE) -> nn.Linear:
    """A map that begins as a multiple of the identity: where the encoder left off."""
    layer = nn.Linear(384, 384, bias=False)
    nn.init.eye_(layer.weight).data.mul_(scale)
    return layer


LEARNED: dict[str, tuple[Callable[[int], nn.Module], tuple[float, ...]]] = {
    "prototypical map": (lambda s: ProtoNet(linear(s)), (1e-4, 1e-3)),
    "ridge map": (lambda s: RidgeNet(linear(s, 1.0)), (1e-4, 1e-3)),
    "ANIL map": (lambda s: ANIL(Classifier(linear(s), 384, 5), 0.1, 5), (1e-4, 1e-3)),
    "MAML map": (lambda s: MAML(Classifier(linear(s), 384, 5), 0.1, 5), (1e-4, 1e-3)),
}

FIVE_WAYS = ("ANIL map", "MAML map")  # their heads have five rows


def learned(kind: str, part: Split, seed: int, lr: float, steps: int = STEPS) -> nn.Module:
    """A learner on frozen vectors after its episodes."""
    model = LEARNED[kind][0](seed)
    sampler = EpisodeSampler(part.train, 5, 1, N_QUERY, seed)
    meta_train(model, sampler, steps=steps, tasks_per_step=TASKS, lr=lr)
    return model


def supervised(part: Split, seed: int, lr: float, steps: int = STEPS) -> Callable[[Tensor], Tensor]:
    """A map trained as one classifier of all training classes by cosines, without episodes."""
    classes = list(part.train[""].values())
    x = torch.cat(classes)
    y = torch.cat([torch.full((len(c),), i) for i, c in enumerate(classes)])
    layer, w = linear(seed), torch.stack([c.mean(0) for c in classes])
    model = nn.ModuleDict({"map": layer, "classes": nn.Linear(384, len(w), bias=False)})
    model["classes"].weight.data.copy_(w)

    def loss(m: nn.ModuleDict, rows: Tensor) -> Tensor:
        z = F.normalize(m["map"](x[rows]), dim=-1)
        c = F.normalize(m["classes"].weight, dim=-1)
        return F.cross_entropy(20 * z @ c.T, y[rows])

    rng = np.random.default_rng(seed)
    fit(model, loss, lambda _: torch.from_numpy(rng.integers(len(x), size=240)), steps=steps, lr=lr)
    return lambda z: F.normalize(layer(z), dim=-1)


def validated(learner: Learner, part: Split) -> float:
    """Mean accuracy on validation tasks of one shot."""
    with torch.no_grad() if not isinstance(learner, MAML) else torch.enable_grad():
        return evaluate(learner, EpisodeSampler(part.validation, 5, 1, N_QUERY, 1000), 200).mean


def choose(name: str = "banking77") -> dict[str, dict[str, float]]:
    """Validation accuracy on the first split of BANKING77 by learner and setting."""
    part, tried = split(name, 0), {}
    for kind, (_, rates) in LEARNED.items():
        tried[kind] = {
            f"{r:g}": round(validated(learned(kind, part, 0, r), part), 4) for r in rates
        }
    tried["supervised map"] = {
        f"{r:g}": round(validated(NearestCentroid(supervised(part, 0, r)), part), 4)
        for r in (1e-4, 1e-3)
    }
    tried["logistic regression, encoder"] = {
        f"{c:g}": round(validated(LogisticRegressionLearner(same, c), part), 4)
        for c in (1.0, 10.0, 100.0)
    }
    return tried


def chosen(kind: str) -> float:
    tried = kept("choose-banking77")[kind]
    return float(max(tried, key=tried.get))


def board(name: str, seed: int) -> dict[str, object]:
    """What learns nothing, and what is learned on the frozen vectors, on one split."""
    part, counted = split(name, seed), ngram_split(name, seed)
    other = NAMES[1 - NAMES.index(name)]
    elsewhere = split(other, seed).test
    strength = chosen("logistic regression, encoder")
    found: dict[str, dict] = {
        "class means, n-grams": scores(NearestCentroid(same), counted.test, seed),
        "logistic regression, n-grams": scores(
            LogisticRegressionLearner(same), counted.test, seed, CELLS[:2]
        ),
        "class means, encoder": scores(NearestCentroid(same), part.test, seed),
        "logistic regression, encoder": scores(
            LogisticRegressionLearner(same, strength), part.test, seed, CELLS[:4]
        )
        | scores(LogisticRegressionLearner(same, MANY), part.test, seed, CELLS[4:]),
    }
    for kind in (*LEARNED, "supervised map"):
        start = time.process_time()
        model = mapped(kind, part, seed)
        seconds = round(time.process_time() - start, 1)
        cells = CELLS if kind not in FIVE_WAYS else CELLS[:2]
        found[kind] = scores(model, part.test, seed, cells) | {"seconds": seconds}
        if kind in ("prototypical map", "supervised map"):
            found[f"{kind}, elsewhere"] = scores(model, elsewhere, seed, CELLS[:2])
    return found


def tuned_encoder(
    name: str, rows: np.ndarray, seed: int, lr: float, episodic: bool = True
) -> Encoder:
    """The encoder after its last blocks were trained on the training classes.

    In episodes of many classes with one support sentence each, or, with as many sentences, as one
    classifier of all classes by cosines; in 16 bits, without dropout.
    """
    encoder = load_encoder()
    n = len(encoder.network.encoder.layer)
    freeze(encoder, but=[f"network.encoder.layer.{i}.*" for i in range(n - TUNED["blocks"], n)])
    ids = [i[: TUNED["tokens"]] for i in encoder._ids([examples(name).texts[r] for r in rows])]
    data = grouped(name, rows, torch.arange(len(rows)))
    n_way = min(TUNED["ways"], len(data[""]))
    sampler = EpisodeSampler(data, n_way, 1, TUNED["queries"], seed)
    labels = torch.empty(len(rows), dtype=torch.int64)
    for i, own in enumerate(data[""].values()):
        labels[own] = i
    heads = nn.Linear(encoder.width, len(data[""]), bias=False)
    model = nn.ModuleDict({"encoder": encoder} | ({} if episodic else {"heads": heads}))
    if not episodic:
        z = frozen(name)[torch.from_numpy(rows)]
        heads.weight.data.copy_(prototypes(z, labels, len(data[""])))

    def loss(m: nn.ModuleDict, task: Task) -> Tensor:
        m["encoder"].eval()
        sentences = torch.cat([task.support_x, task.query_x])
        with torch.autocast("cpu", torch.bfloat16):
            tokens = m["encoder"]._pad([ids[i] for i in sentences.tolist()])
            hidden = m["encoder"].network(**tokens).last_hidden_state.float()
        mask = tokens["attention_mask"].unsqueeze(-1)
        z = F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
        if not episodic:
            c = F.normalize(m["heads"].weight, dim=-1)
            return F.cross_entropy(2 * TUNED["scale"] * z @ c.T, labels[sentences])
        c = prototypes(z[: len(task.support_x)], task.support_y, n_way)
        logits = TUNED["scale"] * prototype_logits(z[len(task.support_x) :], c)
        return F.cross_entropy(logits, task.query_y)

    fit(model, loss, sampler.task, steps=TUNED["steps"], lr=lr, schedule=cosine(TUNED["steps"], 10))
    return encoder.eval()


def validated_rate(how: str, lr: float) -> dict[str, object]:
    """The encoder trained on the first split of BANKING77: validation and test."""
    return tuned("banking77", 0, how, lr)


def chosen_tuning() -> tuple[str, float]:
    """How, and at which rate, the encoder did best on validation classes."""
    tried = {
        (how, lr): kept(f"rate-{how}-{lr:g}")["validation"] for how in WAYS_TO_TUNE for lr in RATES
    }
    return max(tried, key=tried.get)


def tuned(name: str, seed: int, how: str = "", lr: float = 0.0) -> dict[str, object]:
    """The trained encoder on the tests of its data set, and on validation where it is chosen."""
    choosing = bool(how)
    if not choosing:
        how, lr = chosen_tuning()
        if (name, seed) == ("banking77", 0):
            return kept(f"rate-{how}-{lr:g}")
    rows = parts(name, seed)
    start = time.process_time()
    encoder = tuned_encoder(name, rows["train"], seed, lr, how == "episodes")
    found: dict[str, object] = {"seconds": round(time.process_time() - start, 1), "how": how}

    def read(part: str) -> dict[str, dict[str, Tensor]]:
        texts = [examples(name).texts[i] for i in rows[part]]
        return grouped(name, rows[part], encoder.embed(texts))

    means = NearestCentroid(same)
    if choosing:
        found["validation"] = round(validated(means, Split({}, read("validation"), {})), 4)
    return found | {"own": scores(means, read("test"), seed)}


def shift(seed: int) -> dict[str, dict[str, float]]:
    """CLINC150: the same test classes after a map was learned on classes of their own domains, or
    on as many classes of the five other domains."""
    found, z = examples("clinc150"), frozen("clinc150")
    domain_of = dict(zip(found.labels, found.domains))
    rng = np.random.default_rng(seed)
    order = [sorted(set(found.domains))[i] for i in rng.permutation(10)]
    parts_: dict[str, list[str]] = {"test": [], "same domains": [], "other domains": []}
    for number, domain in enumerate(order):
        own = sorted(label for label, d in domain_of.items() if d == domain)
        own = [own[i] for i in rng.permutation(len(own))]
        if number < 5:
            parts_["test"] += own[:7]
            parts_["same domains"] += own[7:]
        else:
            parts_["other domains"] += own[:8]
    labels = np.array(found.labels)

    def data(part: str, most: int) -> dict[str, dict[str, Tensor]]:
        rows = np.concatenate([np.flatnonzero(labels == c)[:most] for c in parts_[part]])
        return grouped("clinc150", rows, z[torch.from_numpy(rows)])

    test = data("test", MOST)
    out = {"frozen": small.accuracy(NearestCentroid(same), test, seed)}
    for part in ("same domains", "other domains"):
        split_ = Split(data(part, 150), {}, {})
        for kind in ("prototypical map", "supervised map"):
            model = mapped(kind, split_, seed)
            out[f"{kind}, {part}"] = small.accuracy(model, test, seed)
    return out


SHRINK = (0.1, 1.0, 10.0)  # toward a round shape, in units of the mean variance


def whitening(part: Split, shrink: float) -> Tensor:
    """The map of the theorem, ``Sigma ** -1/2``, with the covariance inside the training classes.

    ``Sigma + shrink * trace(Sigma) / d * I``, pooled over the classes: computed, not trained.
    """
    classes = list(part.train[""].values())
    inside = torch.cat([c - c.mean(0) for c in classes]).double()
    sigma = inside.T @ inside / (len(inside) - len(classes))
    eye = torch.eye(len(sigma), dtype=torch.float64)
    values, vectors = torch.linalg.eigh(sigma + shrink * sigma.trace() / len(sigma) * eye)
    return (vectors @ torch.diag(values**-0.5) @ vectors.T).float()


def whitened(name: str, seed: int) -> dict[str, object]:
    """Class means after that map, by distances and by cosines, over those without any map."""
    part, cells = split(name, seed), CELLS[:2]
    base = scores(NearestCentroid(same), part.test, seed, cells)
    found: dict[str, object] = {}
    for shrink in SHRINK:
        w = whitening(part, shrink)
        heads = {"distances": lambda z, w=w: z @ w, "cosines": lambda z, w=w: F.normalize(z @ w)}
        for head, encode in heads.items():
            means = NearestCentroid(encode)
            row = scores(means, part.test, seed, cells)
            gains = {
                c: np.array(row[c]["accuracy"]) - np.array(base[c]["accuracy"])
                for c in ("5-1", "5-5")
            }
            found[f"{head} {shrink:g}"] = {c: round(float(g.mean()), 5) for c, g in gains.items()}
            if (name, seed) == ("banking77", 0):
                found[f"{head} {shrink:g}"]["validation"] = round(validated(means, part), 4)
    return found


def mapped(kind: str, part: Split, seed: int) -> Learner:
    """A learner on the frozen vectors with the rate that was chosen."""
    if kind == "supervised map":
        return NearestCentroid(supervised(part, seed, chosen(kind)))
    return learned(kind, part, seed, chosen(kind))


PRINTED_DOMAINS = ("utility", "auto_and_commute", "work", "home", "small_talk", "meta")


def protocol() -> dict[str, dict[str, object]]:
    """The protocol of Zhang et al. (2022): learn on six domains of CLINC150, test on BANKING77."""
    found = examples("clinc150")
    rows = np.array([i for i, d in enumerate(found.domains) if d in PRINTED_DOMAINS])
    labels = np.array(examples("banking77").labels)
    at = np.concatenate([np.flatnonzero(labels == c)[:MOST] for c in sorted(set(labels))])
    z = frozen("banking77")[torch.from_numpy(at)]
    part = Split(grouped("clinc150", rows, frozen("clinc150")[torch.from_numpy(rows)]), {}, {})
    cells = ((5, 2), (5, 10))
    strength = chosen("logistic regression, encoder")
    found_: dict[str, dict] = {}

    def score(name: str, x: Tensor) -> None:
        data = grouped("banking77", at, x)
        classifier = LogisticRegressionLearner(same, strength)
        for head, model in (("means", NearestCentroid(same)), ("regression", classifier)):
            found_[f"{name}, {head}"] = scores(model, data, 0, cells, 500)

    score("frozen", z)
    encode = supervised(part, 0, chosen("supervised map"))
    with torch.no_grad():
        score("supervised map", encode(z))
    how, lr = chosen_tuning()
    encoder = tuned_encoder("clinc150", rows, 0, lr, how == "episodes")
    score("tuned", encoder.embed([examples("banking77").texts[i] for i in at]))
    return found_


@cache
def official(name: str, part: str) -> np.ndarray:
    """Rows of the queries of a published part of a data set, in its order."""
    found = examples(name)
    at = {query: row for row, query in enumerate(zip(found.texts, found.labels))}
    return np.array([at[q.text.strip(), q.label] for q in benchmarks.load(name, part)])


@cache
def of_other_intents(name: str) -> dict[str, Tensor]:
    """Vectors of all queries: frozen, and after a map or the encoder learned on the other set.

    For BANKING77 from the six domains that :func:`protocol` takes; for CLINC150 from all of it.
    """
    other, z = NAMES[1 - NAMES.index(name)], frozen(name)
    domains = np.array(examples(other).domains)
    known = PRINTED_DOMAINS if other == "clinc150" else set(domains)
    rows = np.array([r for r in official(other, "train") if domains[r] in known])
    part = Split(grouped(other, rows, frozen(other)[torch.from_numpy(rows)]), {}, {})
    how, lr = chosen_tuning()
    encoder = tuned_encoder(other, rows, 0, lr, how == "episodes")
    encode = supervised(part, 0, chosen("supervised map"))
    with torch.no_grad():
        shaped = encode(z)
    return {"frozen": z, "map": shaped, "tuned elsewhere": encoder.embed(examples(name).texts)}


def full_ways(name: str, draw: int) -> dict[str, float]:
    """All classes in one task: k training queries of each, and the whole published test part.

    The protocol of Casanueva et al. (2020) and Zhang et al. (2020). The fourth encoder is trained
    as one classifier on the support set itself.
    """
    found, test = examples(name), official(name, "test")
    labels = np.unique(found.labels, return_inverse=True)[1]
    order = np.random.default_rng(draw).permutation(official(name, "train"))
    rows_of = [order[labels[order] == c] for c in range(labels.max() + 1)]
    out = {}
    for k in ALL_SHOTS:
        support = np.concatenate([rows[:k] for rows in rows_of])
        both = np.concatenate([support, test])
        own = tuned_encoder(name, support, draw, chosen_tuning()[1], episodic=False)
        read = {how: z[torch.from_numpy(both)] for how, z in of_other_intents(name).items()}
        read["tuned"] = own.embed([found.texts[row] for row in both])
        y, n = torch.from_numpy(labels[both]), len(support)
        regression = LogisticRegressionLearner(same, MANY)
        tried = {"frozen, regression": (regression, read["frozen"])}
        tried |= {f"{how}, means": (NearestCentroid(same), z) for how, z in read.items()}
        for row, (learner, z) in tried.items():
            right = learner.adapt(z[:n], y[:n])(z[n:]).argmax(-1) == y[n:]
            out[f"{row}, {k}"] = round(float(right.double().mean()), 5)
    return out


def word_pieces(name: str, seed: int) -> dict:
    """Weights of words on the classes of a split, at most so many queries of each class."""
    found, own = examples(name), parts(name, seed)
    labels = np.array(found.labels)
    known = class_splits(name)[seed]
    train = [np.flatnonzero(labels == c)[:MOST] for c in sorted(known.train)]
    of_test = [np.flatnonzero(labels == c) for c in sorted(known.test)]
    others = [np.setdiff1d(rows, own["test"])[:MOST] for rows in of_test]
    return small.signatures(found, np.concatenate(train), own["test"], np.concatenate(others), seed)


PIECES: dict[str, Callable[[], object]] = {"choose-banking77": choose}
for _how in WAYS_TO_TUNE:
    for _rate in RATES:
        PIECES[f"rate-{_how}-{_rate:g}"] = partial(validated_rate, _how, _rate)
for _name in NAMES:
    for _seed in SEEDS:
        PIECES[f"board-{_name}-{_seed}"] = partial(board, _name, _seed)
for _name in NAMES:
    for _seed in SEEDS:
        PIECES[f"tuned-{_name}-{_seed}"] = partial(tuned, _name, _seed)
for _name in NAMES:
    for _seed in SEEDS:
        PIECES[f"whitened-{_name}-{_seed}"] = partial(whitened, _name, _seed)
for _seed in FEWER:
    for _name in NAMES:
        PIECES[f"words-{_name}-{_seed}"] = partial(word_pieces, _name, _seed)
    PIECES[f"blanks-{_seed}"] = partial(small.blanked, _seed)
    PIECES[f"shift-{_seed}"] = partial(shift, _seed)
PIECES["translation"] = small.translation
PIECES["protocol"] = protocol
for _name in NAMES:
    for _seed in SEEDS:
        PIECES[f"full-ways-{_name}-{_seed}"] = partial(full_ways, _name, _seed)


def kept(name: str) -> Any:
    """What a piece gave; if it was made before, as it was."""
    return keep(WORK, name, PIECES[name])


PRINTED = {  # Zhang et al. (2022), Tables 5 and 6: BANKING77, 5-way, 2 and 10 shots
    "BERT, frozen": (57.10, 84.30),
    "TOD-BERT": (77.70, 89.40),
    "IntentBERT": (82.40, 91.80),
    "BERT, two regularizers": (85.21, 94.68),
    "RoBERTa, frozen": (60.74, 82.18),
    "RoBERTa, two regularizers": (87.96, 95.85),
}

PRINTED_ALL = {  # all ways: BANKING77, 5 and 10 shots, CLINC150; listed by J. Zhang et al. (2022)
    "RoBERTa, tuned": (74.04, 84.27, 87.99, 91.55),
    "USE": (76.29, 84.23, 87.82, 90.85),
    "ConveRT": (75.32, 83.32, 89.22, 92.62),
    "USE and ConveRT": (77.75, 85.19, 90.49, 93.26),
    "DNNC": (80.40, 86.71, 91.02, 93.76),
    "CPFT": (80.86, 87.20, 92.34, 94.18),
}


def recipe() -> dict[str, object]:
    sources = {name: benchmarks.SOURCES[name].files for name in NAMES}
    return {
        "command": "python -m tools.meta_nlp_study",
        "corpora": {"names": names.EXPECTED, "docs": docs.EXPECTED, **sources},
        "encoder": SHA256,
        "splits": benchmarks.SOURCES["intent_splits"].files,
        "episodes": EPISODES,
        "all ways": ALL_WAYS,
        "n_query": N_QUERY,
        "most": MOST,
        "steps": STEPS,
        "tuned": TUNED,
        "all shots": ALL_SHOTS,
        "strength, all ways": MANY,
        "draws": [len(SEEDS), len(FEWER)],
    }


def half(values: np.ndarray) -> float:
    """Half width of the normal 95 % interval of a mean."""
    return round(float(1.96 * values.std(ddof=1) / len(values) ** 0.5), 5)


def compared(runs: list[dict[str, dict]]) -> dict[str, dict]:
    """Means of each split, intervals over episodes, and paired gains over the frozen encoder."""
    table: dict[str, dict] = {}
    for learner in runs[0]:
        of = [run[learner] for run in runs]
        base = [run["class means, encoder"] for run in runs]
        row: dict[str, object] = {"seconds": [r["seconds"] for r in of if "seconds" in r]}
        for cell in [c for c in of[0] if c not in ("seconds", "how", "lr")]:
            own = [np.array(r[cell]["accuracy"]) for r in of]
            row[cell] = {
                "means": [round(float(a.mean()), 5) for a in own],
                "episodes": half(np.concatenate(own)),
                "ms": round(float(np.mean([r[cell]["ms"] for r in of])), 2),
            }
            if not learner.endswith("elsewhere"):
                gain = [a - np.array(b[cell]["accuracy"]) for a, b in zip(own, base)]
                row[cell] |= {
                    "base": round(float(np.mean([b[cell]["accuracy"] for b in base])), 5),
                    "base episodes": half(np.concatenate([b[cell]["accuracy"] for b in base])),
                    "gains": [round(float(g.mean()), 5) for g in gain],
                    "gain episodes": half(np.concatenate(gain)),
                }
        table[learner] = row
    return table


def full_table(name: str) -> dict[str, list[float]]:
    """Accuracy in each draw of the support set, by learner and shots."""
    runs = [kept(f"full-ways-{name}-{s}") for s in SEEDS]
    return {learner: [run[learner] for run in runs] for learner in runs[0]}


def summary() -> dict[str, object]:
    """Everything that the lab shows, from the pieces."""
    table = {}
    for name in NAMES:
        runs = [dict(kept(f"board-{name}-{s}")) for s in SEEDS]
        for run, s in zip(runs, SEEDS):
            piece = kept(f"tuned-{name}-{s}")
            run["tuned encoder"] = piece["own"] | {"seconds": piece["seconds"]}
        table[name] = compared(runs)
    tried = {f"{h} {r:g}": kept(f"rate-{h}-{r:g}") for h in WAYS_TO_TUNE for r in RATES}
    return {
        "recipe": recipe(),
        "classes": {
            name: [[len(s.train), len(s.test)] for s in class_splits(name)] for name in NAMES
        },
        "tried": kept("choose-banking77"),
        "tuned tried": {
            k: {"validation": v["validation"], "seconds": v["seconds"]} for k, v in tried.items()
        },
        "board": table,
        "whitened": {n: [kept(f"whitened-{n}-{s}") for s in SEEDS] for n in NAMES},
        "words": {n: [kept(f"words-{n}-{s}") for s in FEWER] for n in NAMES},
        "blanks": [kept(f"blanks-{s}") for s in FEWER],
        "shift": [kept(f"shift-{s}") for s in FEWER],
        "translation": kept("translation"),
        "protocol": {
            k: {
                c: {
                    "mean": round(float(np.mean(r["accuracy"])), 5),
                    "episodes": half(np.array(r["accuracy"])),
                }
                for c, r in v.items()
            }
            for k, v in kept("protocol").items()
        },
        "printed": PRINTED,
        "full ways": {name: full_table(name) for name in NAMES},
        "printed full ways": PRINTED_ALL,
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
