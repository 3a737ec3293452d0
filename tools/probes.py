"""Score what pretext tasks leave in a network, for the chapter "Self-supervision".

``python -m tools.probes``, after ``python -m tools.pretext tasks`` and ``… encoder``, asks every
representation the same four questions by :func:`nlpmeta.self_supervision.linear_probe`, with few
and with many labels, drawn five times. The weight of the penalty is chosen for each
representation, question and number of labels on validation data. Everything goes to
``notebooks/data/pretext.json``, which the lab shows. Five minutes on one core. With the names of
representations it scores these again and keeps what the file has of the others.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize
from torch import Tensor

from nlpmeta import pretrained
from nlpmeta.corpora import docs, reviews
from nlpmeta.masking import MaskedLM
from nlpmeta.neural import PAD
from nlpmeta.self_supervision import linear_probe
from nlpmeta.text import Vocabulary, pad, words
from nlpmeta.word_vectors import SkipGram
from tools import pretext

TARGET = pretext.DATA / "pretext.json"
DRAWS = 5
# Weights of the loss against the penalty, for standardized vectors and for those left as they are.
PENALTIES = {True: (0.003, 0.03, 0.3, 3.0), False: (0.3, 3.0, 30.0, 300.0)}
SECTIONS = ("summary", "description", "parameters", "returns", "notes", "examples")
# A sentence must not be recognized by the name of its library.
NAMES = ("numpy", "scipy", "sklearn", "scikit", "matplotlib", "pandas", "torch", "sympy")
NAMES += ("networkx", "transformers", "pyplot", "hugging")
Vectors = np.ndarray | sp.csr_array


class Question(NamedTuple):
    """What a probe is asked.

    Attributes
    ----------
    texts, labels : list of str
    validation, test : pair of int arrays
        Rows that labels are drawn from, and rows that are scored; if there are none of these, the
        rows that were not drawn.
    counts : tuple of int
        Labels of each class.
    """

    texts: list[str]
    labels: np.ndarray
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    counts: tuple[int, ...]


def named(text: str) -> bool:
    """Whether a text names a library."""
    return any(name in text.lower() for name in NAMES)


def balanced(labels: Sequence[str], n: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of ``n`` examples of every class."""
    labels = np.asarray(labels)
    own = [rng.choice(np.flatnonzero(labels == k), n, replace=False) for k in np.unique(labels)]
    return np.concatenate(own)


def from_sentences(label: Callable[[docs.Sentence], str | None], sizes: Sequence[int]) -> Question:
    """Labels from the training part, scores on the other parts, classes equally frequent."""
    texts, labels, rows = [], [], []
    for part, size in zip(docs.PARTS, sizes):
        own = [s for s in docs.load(part) if label(s) is not None and not named(s.text)]
        chosen = balanced([label(s) for s in own], size, np.random.default_rng(0))
        rows.append(np.arange(len(texts), len(texts) + len(chosen)))
        texts += [own[i].text for i in chosen]
        labels += [label(own[i]) for i in chosen]
    pool, validation, test = rows
    return Question(texts, np.array(labels), (pool, validation), (pool, test), (4, 128))


def from_groups(n_groups: int = 10, n: int = 200) -> Question:
    """Which group of modules: labels from its first half, scores on its second."""
    texts, labels, sides = [], [], {}
    for part in ("validation", "test"):
        of: dict[str, list[str]] = {}
        for s in docs.load(part):
            if not named(s.text):
                of.setdefault(docs.group_of(s.module), []).append(s.text)
        largest = sorted(of, key=lambda group: -len(of[group]))[:n_groups]
        pool, score = [], []
        for group in largest:
            own, half = of[group], len(of[group]) // 2
            rng = np.random.default_rng(0)
            for side, rows, size in ((own[:half], pool, 70), (own[half:], score, n - 70)):
                chosen = np.sort(rng.permutation(len(side))[:size])
                rows += range(len(texts), len(texts) + len(chosen))
                texts += [side[i] for i in chosen]
                labels += [group] * len(chosen)
        sides[part] = np.array(pool), np.array(score)
    return Question(texts, np.array(labels), sides["validation"], sides["test"], (4, 64))


def from_reviews() -> Question:
    """Positive or negative, English."""
    own = [r for r in reviews.load("en") if r.label != "mixed"]
    labels = np.array([r.label for r in own])
    pool = balanced(labels, 100, np.random.default_rng(0))
    test = np.setdiff1d(np.arange(len(own)), pool)
    none = np.array([], dtype=int)
    return Question([r.text for r in own], labels, (pool, none), (pool, test), (4, 64))


def questions() -> dict[str, Question]:
    """The four questions."""
    return {
        "library": from_sentences(lambda s: s.library, (300, 100, 150)),
        "modules": from_groups(),
        "section": from_sentences(
            lambda s: s.section if s.section in SECTIONS else None, (300, 100, 150)
        ),
        "sentiment": from_reviews(),
    }


@torch.no_grad()
def pooled(model: MaskedLM, x: Tensor, layer: int | None = None, how: str = "mean") -> np.ndarray:
    """Vectors (n, d) of texts, from a layer (the last one with its norm if left out)."""
    z = np.empty((len(x), model.network.config.width), dtype=np.float32)
    order = np.argsort((x != PAD).sum(1).numpy(), kind="stable")
    for rows in np.array_split(order, max(1, len(order) // 128)):
        own = pretext.trimmed(x[rows])
        h, real = states(model, own, layer), (own != PAD).unsqueeze(-1)
        if how == "mean":
            v = (h * real).sum(1) / real.sum(1).clamp(min=1)
        elif how == "max":
            v = h.masked_fill(~real, -torch.inf).amax(1)
        else:  # the last token
            v = h[torch.arange(len(own)), (own != PAD).sum(1) - 1]
        z[rows] = v.numpy()
    return z


def states(model: MaskedLM, x: Tensor, layer: int | None) -> Tensor:
    """The vectors (b, t, d) that leave a block; those that enter the first one for layer 0."""
    found: list[Tensor] = []
    hooks = [
        block.register_forward_pre_hook(lambda block, args: found.append(args[0]))
        for block in model.network.blocks
    ]
    hooks.append(
        model.network.norm.register_forward_pre_hook(lambda n, args: found.append(args[0]))
    )
    last = model.states(x)
    for hook in hooks:
        hook.remove()
    return last if layer is None else found[layer]


def word_averages(texts: Sequence[str], seed: int) -> np.ndarray:
    """Averages of skip-gram vectors of words, trained on the training part."""
    train = [words(s.text.lower()) for s in docs.load("train")]
    vocabulary = Vocabulary.from_tokens((w for own in train for w in own), min_count=5)
    x = torch.from_numpy(pad([vocabulary.encode(own) for own in train], length=64))
    model = SkipGram(len(vocabulary), pretext.SMALL.width, torch.Generator().manual_seed(seed))
    model.fit(x, steps=1500, size=1024, lr=0.01, seed=seed)
    table = model.center.weight.detach().numpy()
    ids = [vocabulary.encode(words(text.lower())) for text in texts]
    return np.stack([table[own].mean(0) if len(own) else table[0] * 0 for own in ids])


def counted(texts: Sequence[str], kind: str) -> Vectors:
    """Word counts, TF-IDF of words and pairs of words, or its singular vectors, of unit length."""
    train = [s.text for s in docs.load("train")]
    if kind == "counts":
        count = TfidfVectorizer(min_df=5, use_idf=False, norm=None).fit(train)
        return sp.csr_array(count.transform(texts), dtype=np.float64)
    tfidf = TfidfVectorizer(min_df=5, ngram_range=(1, 2), sublinear_tf=True).fit(train)
    x = tfidf.transform(texts)
    if kind == "tfidf":
        return sp.csr_array(x)
    svd = TruncatedSVD(256, random_state=0).fit(tfidf.transform(train))
    return normalize(svd.transform(x)).astype(np.float32)


def trained(name: str) -> list[int]:
    """The seeds of a task whose networks are there."""
    seeds = range(pretext.TASKS[name].seeds)
    return [seed for seed in seeds if (pretext.BUILT / f"{name}-{seed}.safetensors").exists()]


def representations(texts: Sequence[str]) -> dict[str, Callable[[], list[Vectors]]]:
    """Vectors of texts under every method, one entry for each seed."""
    x = pretext.encode(texts)

    def network(name: str) -> list[Vectors]:
        seeds = trained(name) if name in pretext.TASKS else range(3)
        return [pooled(pretext.stored(name, seed), x) for seed in seeds]

    return {
        "counts": lambda: [counted(texts, "counts")],
        "tfidf": lambda: [counted(texts, "tfidf")],
        "svd": lambda: [counted(texts, "svd")],
        "none": lambda: network("none"),
        **{name: lambda name=name: network(name) for name in pretext.TASKS},
        "skip-gram": lambda: [word_averages(texts, 0)],
        "encoder": lambda: [pooled(pretext.load_encoder(), x)],
        "minilm": lambda: [pretrained.load_encoder().embed(texts).numpy()],
    }


def draw(question: Question, pool: np.ndarray, k: int, number: int) -> np.ndarray:
    """The rows of the pool that have labels in a draw: ``k`` of every class."""
    return pool[balanced(question.labels[pool], k, np.random.default_rng([k, number]))]


def score(
    z: Vectors, question: Question, part: str, k: int, number: int, c: float, standardize: bool
) -> float:
    """Accuracy of a probe on a part, with ``k`` labels of each class."""
    pool, scored = getattr(question, part)
    rows = draw(question, pool, k, number)
    scored = scored if len(scored) else np.setdiff1d(pool, rows)
    y = question.labels
    return linear_probe(z[rows], y[rows], z[scored], y[scored], c=c, standardize=standardize)


def choose(z: Vectors, question: Question, k: int) -> dict[str, Any]:
    """What scores best on validation data, in two draws that are not scored."""
    tried = [
        {"c": c, "standardize": standardize}
        for standardize, weights in PENALTIES.items()
        for c in weights
        if not (standardize and sp.issparse(z))
    ]

    def mean(setting: dict[str, Any]) -> float:
        return np.mean([score(z, question, "validation", k, 100 + i, **setting) for i in range(2)])

    return max(tried, key=mean)


def examine(seeds: list[Vectors], question: Question, k: int) -> dict[str, Any]:
    """Accuracies on the test part, by seed and draw."""
    own = choose(seeds[0], question, k)
    scores = [
        [round(score(z, question, "test", k, i, **own), 4) for i in range(DRAWS)] for z in seeds
    ]
    return {"k": k} | own | {"scores": scores}


def layers(
    asked: dict[str, Question], names: Sequence[str] = ("causal", "masked")
) -> list[dict[str, Any]]:
    """What depth and pooling do, for two of the networks and two of the questions."""
    rows = []
    for name in names:
        model = pretext.stored(name, 0)
        for key in ("library", "section"):
            question, x = asked[key], pretext.encode(asked[key].texts)
            for layer, how in ((0, "mean"), (1, "mean"), (2, "mean"), (2, "max"), (2, "last")):
                found = examine([pooled(model, x, layer, how)], question, 128)
                rows.append({"task": name, "question": key, "layer": layer, "pool": how} | found)
    return rows


MATCHED = ("tfidf", "svd", "none", "masked", "simcse", "neighbors", "encoder", "minilm")


def matching(methods: Sequence[str] = MATCHED, part: str = "test") -> dict[str, list[float]]:
    """Share of summaries whose nearest description, among all of a part, is their own."""
    pairs = docs.pairs(part)
    texts = [pair.summary for pair in pairs] + [pair.description for pair in pairs]
    made, found = representations(texts), {}
    for method in methods:
        found[method] = []
        for z in made[method]():
            z = normalize(z)
            scores = z[: len(pairs)] @ z[len(pairs) :].T
            scores = scores.toarray() if sp.issparse(scores) else scores
            right = scores.argmax(1) == np.arange(len(pairs))
            found[method].append(round(float(right.mean()), 4))
    return found


def recipe(asked: dict[str, Question]) -> dict[str, Any]:
    """What the file says of how it was made."""
    return {
        "recipe": {
            "commands": [f"python -m tools.pretext {w}" for w in ("tasks", "encoder")]
            + ["python -m tools.probes"],
            "corpus": docs.EXPECTED,
            "steps": pretext.STEPS,
            "batch": pretext.SIZE,
            "rates": {name: task.lr for name, task in pretext.TASKS.items()},
            "seeds": {name: len(trained(name)) for name in pretext.TASKS},
            "draws": DRAWS,
            "penalties": {"standardized": PENALTIES[True], "as they are": PENALTIES[False]},
            "chosen_on": "validation modules; for sentiment the labels that were not drawn",
        },
        "questions": {name: described(q) for name, q in asked.items()},
        "pretraining": {
            name: [
                json.loads((pretext.BUILT / f"{name}-{seed}.json").read_text(encoding="utf-8"))
                for seed in trained(name)
            ]
            for name in pretext.TASKS
        },
    }


def described(question: Question) -> dict[str, Any]:
    """Classes of a question, how many texts are scored, and what the largest class would get."""
    scored = question.labels[question.test[1]]
    classes, counts = np.unique(scored, return_counts=True)
    chance = round(float(counts.max()) / len(scored), 4)
    return {"classes": classes.tolist(), "scored": len(scored), "chance": chance}


def main() -> None:
    """Score everything that is named, or everything, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", help="representations (default: all)")
    only = parser.parse_args().names
    torch.set_num_threads(1)
    asked, start = questions(), time.process_time()
    texts = [text for question in asked.values() for text in question.texts]
    ends = np.cumsum([len(question.texts) for question in asked.values()])
    report = json.loads(TARGET.read_text(encoding="utf-8")) if only else {"scores": {}}
    report = recipe(asked) | {k: v for k, v in report.items() if k not in ("recipe", "pretraining")}
    for method, make in representations(texts).items():
        if only and method not in only:
            continue
        seeds = make()
        report["scores"][method] = {
            name: [examine([z[end - len(q.texts) : end] for z in seeds], q, k) for k in q.counts]
            for (name, q), end in zip(asked.items(), ends)
        }
        means = {
            name: [round(float(np.mean(row["scores"])), 3) for row in rows]
            for name, rows in report["scores"][method].items()
        }
        print(method, means, round(time.process_time() - start), flush=True)
        TARGET.write_text(json.dumps(report) + "\n", encoding="utf-8")
    if not only:
        report["layers"] = layers(asked)
        report["matching"] = {"pairs": len(docs.pairs("test")), "scores": matching()}
        report["cpu_seconds"] = round(time.process_time() - start)
    TARGET.write_text(json.dumps(report) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
