"""Train pairs of tasks apart and together, for the chapter "Multi-task learning".

``python -m tools.task_pairs`` takes pairs of small classification tasks, on names (which family, in
which language, how long, ...) and on sentences of docstrings (which library, which section, ...).
Each pair is trained on one trunk, with a head for each task or one head for both, and each task
alone; the gain is what the joint network is ahead on test examples. Before and during joint
training the script measures what might have foretold it: the cosine of the two gradients on the
training sets, one lookahead step between training sets, and one whose effect is read off the
validation set. Everything goes to ``notebooks/data/task-pairs.json``. Ten minutes on one core.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from nlpmeta.corpora import docs, names, reviews
from nlpmeta.multitask import (
    SharedTrunk,
    gradient_cosines,
    losses_at,
    task_affinity,
    task_gradients,
    task_losses,
)
from nlpmeta.neural import CharacterCNN, initialize
from nlpmeta.pretrained import load_encoder
from nlpmeta.text import Vocabulary, pad
from nlpmeta.training import fit, minibatches

TARGET = Path(__file__).resolve().parent.parent / "notebooks/data/task-pairs.json"
PARTS = ("train", "validation", "test")
LANGUAGES = ("es", "pt", "fr", "ca", "cs", "pl", "fi", "et", "tr", "az", "sl", "sr_Latn")
FAMILIES = ("territory", "language", "script", "currency", "city")
FIELDS = {
    **dict.fromkeys(("numpy", "scipy", "pandas"), 0),
    **dict.fromkeys(("scikit-learn", "torch", "transformers"), 1),
    **dict.fromkeys(("sympy", "networkx", "matplotlib"), 2),
}
SECTIONS = ("summary", "description", "parameters", "returns", "notes", "examples")
SENTENCES = {"train": 2000, "validation": 900, "test": 1500}
MOST = {"validation": 30, "test": 100}  # of a class
RATES, EVERY, SIZE, CHOOSING = (1e-3, 3e-3), 20, 16, 100
EARLY = 40  # steps over which what foretells a gain is averaged; fixed before any gain was seen
LOOKAHEAD = 0.1
LENGTH = 24  # characters of a name that are read

Examples = tuple[Tensor, Tensor]


class Setting(NamedTuple):
    """Width of the trunk, training examples of a class, steps, and how many draws of them."""

    width: int
    k: int
    steps: int
    seeds: int


SETTINGS = (Setting(64, 20, 200, 6),)


class Task(NamedTuple):
    """Labeled examples of three parts; ``scored`` is False where labels mean nothing."""

    name: str
    corpus: str
    n_classes: int
    train: Examples
    validation: Examples
    test: Examples
    scored: bool = True


class Pair(NamedTuple):
    """Two tasks by name, what kind of pair they are, and whether they share the head."""

    first: str
    second: str
    kind: str
    one_head: bool


RELATED = (("es", "pt"), ("cs", "pl"), ("fi", "et"), ("tr", "az"), ("sl", "sr_Latn"), ("fr", "ca"))
DISTANT = (("es", "fi"), ("cs", "tr"), ("et", "pt"))
PAIRS = (
    *(Pair(f"family {a}", f"family {b}", "related, two heads", False) for a, b in RELATED),
    *(Pair(f"family {a}", f"family {b}", "distant, two heads", False) for a, b in DISTANT),
    *(Pair(f"family {a}", f"family {b}", "related, one head", True) for a, b in RELATED),
    *(Pair(f"family {a}", f"family {b}", "distant, one head", True) for a, b in DISTANT),
    Pair("family es", "shifted pt", "opposed, two heads", False),
    Pair("family fi", "shifted et", "opposed, two heads", False),
    Pair("family es", "shifted pt", "opposed, one head", True),
    Pair("family fi", "shifted et", "opposed, one head", True),
    Pair("family cs", "shifted tr", "opposed, one head", True),
    *(
        Pair(f"family {code}", f"{label} {code}", "other labels", False)
        for code in ("es", "fi")
        for label in ("initial", "length", "which", "random")
    ),
    Pair("library", "field", "other labels", False),
    Pair("library", "section", "other labels", False),
    Pair("library", "words", "other labels", False),
    Pair("section", "words", "other labels", False),
    Pair("library", "noise", "other labels", False),
    Pair("library", "sentiment", "other labels", False),
    Pair("sentiment", "domain", "other labels", False),
    Pair("sentiment", "noise", "other labels", False),
    Pair("library", "rotated", "opposed, one head", True),
)


# Examples: rows of numbers and labels, the same for a task, a size and a seed


class Row(NamedTuple):
    """A text as numbers, and everything that it may be asked for."""

    numbers: np.ndarray
    labels: dict[str, int]


@cache
def name_rows() -> tuple[int, dict[tuple[str, str], list[Row]]]:
    """How many characters there are, and the names of each language and part."""
    chosen = [
        r
        for r in names.load(near_copies=False)
        if r.language in LANGUAGES and r.family in FAMILIES and r.script == "Latn"
    ]
    seen = (c for r in chosen if names.entity_part(r.english) == "train" for c in r.text)
    vocabulary = Vocabulary.from_tokens(seen, min_count=20)
    rows: dict[tuple[str, str], list[Row]] = {}
    for r in chosen:
        labels = {
            "family": FAMILIES.index(r.family),
            "initial": int(np.searchsorted(list("chms"), r.text[0].casefold(), side="right")),
            "length": int(np.searchsorted((6, 8, 11, 16), len(r.text), side="right")),
            "which": LANGUAGES.index(r.language),
        }
        numbers = vocabulary.encode(r.text)[:LENGTH]
        rows.setdefault((r.language, names.entity_part(r.english)), []).append(Row(numbers, labels))
    return len(vocabulary), rows


@cache
def sentence_rows() -> dict[str, list[Row]]:
    """Sentences of docstrings and English reviews of each part, as vectors of the encoder."""
    encoder, libraries = load_encoder(), list(docs.LIBRARIES)
    encoder.max_length = 48
    own_reviews = reviews.load("en")
    order = np.random.default_rng(0).permutation(len(own_reviews))
    cuts = dict(zip(PARTS, np.split(order, [len(order) // 2, 7 * len(order) // 10])))
    rows: dict[str, list[Row]] = {}
    for part in PARTS:
        kept = [s for s in docs.load(part) if s.section in SECTIONS]
        chosen = np.random.default_rng(0).permutation(len(kept))[: SENTENCES[part]]
        texts, labels = [], []
        for s in (kept[i] for i in chosen):
            texts.append(s.text)
            n_words = len(s.text.split())
            labels.append(
                {
                    "library": libraries.index(s.library),
                    "field": FIELDS[s.library],
                    "section": SECTIONS.index(s.section),
                    "words": int(np.searchsorted((8, 12, 17, 24), n_words, side="right")),
                }
            )
        for r in (own_reviews[i] for i in cuts[part]):
            texts.append(r.text)
            domain, sentiment = reviews.DOMAINS.index(r.domain), reviews.LABELS.index(r.label)
            labels.append({"domain": domain, "sentiment": sentiment})
        z = (
            encoder.embed(texts).numpy() * encoder.width**0.5
        )  # entries of size one, as a layer likes
        rows[part] = [Row(own, asked) for own, asked in zip(z, labels)]
    return rows


def draw(rows: Sequence[Row], label: str, most: int, rng: np.random.Generator) -> Examples:
    """At most so many examples of each class, without replacement, padded."""
    by_class: dict[int, list[np.ndarray]] = {}
    for row in rows:
        if label in row.labels:
            by_class.setdefault(row.labels[label], []).append(row.numbers)
    x, y = [], []
    for k, own in sorted(by_class.items()):
        for i in rng.permutation(len(own))[:most]:
            x.append(own[i])
            y.append(k)
    if x[0].dtype == np.float32:
        return torch.as_tensor(np.stack(x)), torch.tensor(y)
    return torch.as_tensor(pad(x, length=LENGTH)), torch.tensor(y)


@cache
def task(name: str, seed: int, k: int) -> Task:
    """The task of this name; seeds differ in the training examples alone."""
    label, _, code = name.partition(" ")
    drawn = {"shifted": "family", "random": "family", "rotated": "library", "noise": "library"}
    drawn_label = drawn.get(label, label)
    number = int.from_bytes(name.encode()) % 2**32
    parts = {}
    for i, part in enumerate(PARTS):
        if not code:
            rows = sentence_rows()[part]
        elif label == "which":
            first = LANGUAGES.index(code) // 6 * 6
            own = LANGUAGES[first : first + 6]
            rows = [row for other in own for row in name_rows()[1][other, part]]
        else:
            rows = name_rows()[1][code, part]
        rng = np.random.default_rng([number, i, seed if part == "train" else 0])
        most = k if part == "train" else MOST[part]
        x, y = draw(rows, drawn_label, most, rng)
        if label == "which":
            y = y - LANGUAGES.index(code) // 6 * 6
        if label in ("shifted", "rotated"):
            y = (y + 1) % len(y.unique())
        if label in ("random", "noise"):
            y = torch.as_tensor(rng.permutation(y.numpy()))
        parts[part] = x, y
    n_classes = int(parts["train"][1].max()) + 1
    corpus = "names" if code else "sentences"
    return Task(name, corpus, n_classes, scored=label not in ("random", "noise"), **parts)


# Networks


def network(tasks: Sequence[Task], one_head: bool, width: int, seed: int) -> SharedTrunk:
    """A trunk for all tasks; a head for each or one for all."""
    generator = torch.Generator().manual_seed(seed)
    if tasks[0].corpus == "names":
        encoder: nn.Module = CharacterCNN(name_rows()[0], 16, width, width, generator)
    else:
        encoder = nn.Linear(tasks[0].train[0].shape[1], width)
        initialize(encoder, generator)
    if one_head:
        heads: dict[str, nn.Module] = dict.fromkeys(
            (t.name for t in tasks), nn.Linear(width, tasks[0].n_classes)
        )
    else:
        heads = {t.name: nn.Linear(width, t.n_classes) for t in tasks}
    for head in dict.fromkeys(heads.values()):
        initialize(head, generator)
    return SharedTrunk(nn.Sequential(encoder, nn.ReLU()), heads)


def recall(model: SharedTrunk, name: str, examples: Examples) -> float:
    """The mean over classes of the share of their examples that are recognized, in percent."""
    x, y = examples
    right = (model(x, name).argmax(-1) == y).float()
    return 100 * float(np.mean([right[y == k].mean().item() for k in y.unique()]))


def foretell(model: SharedTrunk, a: Task, b: Task) -> dict[str, float]:
    """Cosine of the gradients of two tasks, and what a step on each does to the other, in percent.

    ``ab`` is the step on the first, looked at from the second; with ``held`` it is looked at on
    the second's validation set.
    """
    shared, model_mode = model.shared_parameters(), model.training
    with torch.enable_grad():
        batch = {a.name: a.train, b.name: b.train}
        cosine = gradient_cosines(task_gradients(task_losses(model, batch), shared))[0, 1]
        both = task_affinity(losses_at(model, batch), shared, LOOKAHEAD)
        held_b = {a.name: a.train, b.name: b.validation}
        held_a = {a.name: a.validation, b.name: b.train}
        on_b = task_affinity(losses_at(model, held_b), shared, LOOKAHEAD)[0, 1]
        on_a = task_affinity(losses_at(model, held_a), shared, LOOKAHEAD)[1, 0]
    model.train(model_mode)
    found = {"cosine": cosine, "ab": both[0, 1], "ba": both[1, 0], "held ab": on_b, "held ba": on_a}
    return {k: float(v) if k == "cosine" else 100 * float(v) for k, v in found.items()}


def train(
    tasks: Sequence[Task],
    one_head: bool,
    width: int,
    lr: float,
    seed: int,
    steps: int,
    loss: Callable[[list[Tensor], SharedTrunk], Tensor] = lambda losses, model: sum(losses),
    watched: bool = False,
    model: SharedTrunk | None = None,
    size: int = SIZE,
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
) -> dict:
    """Train the tasks together; each is scored at the step that was best on its validation set."""
    model = network(tasks, one_head, width, seed) if model is None else model
    draws = {t.name: minibatches(*t.train, size=size, seed=seed) for t in tasks}
    best = {t.name: {"validation": -1.0} for t in tasks}
    seen = [{"step": 0, **foretell(model, *tasks)}] if watched else []
    step = itertools.count(EVERY, EVERY)

    def evaluate(model: SharedTrunk) -> float:
        now = next(step)
        for t in tasks:
            score = recall(model, t.name, t.validation)
            if score > best[t.name]["validation"]:
                test = recall(model, t.name, t.test)
                best[t.name] = {"validation": score, "test": test, "step": now}
        if watched and (now <= EARLY or now % 100 == 0):
            seen.append({"step": now, **foretell(model, *tasks)})
        return 0.0

    def total(model: SharedTrunk, batch: dict[str, Examples]) -> Tensor:
        return loss(task_losses(model, batch), model)

    def batch(step: int) -> dict[str, Examples]:
        return {name: own(step) for name, own in draws.items()}

    options = {"evaluate": evaluate, "every": EVERY, "optimizer": optimizer, "seed": seed}
    fit(model, total, batch, steps=steps, lr=lr, **options)
    return {"scores": best, "watched": seen}


# The experiment


def mean_validation(runs: Sequence[dict], tasks: Sequence[Sequence[Task]]) -> float:
    """Mean validation score of all tasks whose labels mean something."""
    return float(
        np.mean(
            [
                run["scores"][t.name]["validation"]
                for run, own in zip(runs, tasks)
                for t in own
                if t.scored
            ]
        )
    )


def choose(setting: Setting) -> dict[str, dict[str, float]]:
    """For single and for joint training the validation score of each learning rate."""
    width, k, steps, _ = setting
    apart = [[task(name, CHOOSING, k)] for name in dict.fromkeys(p.first for p in PAIRS)]
    joint = [[task(name, CHOOSING, k) for name in pair[:2]] for pair in PAIRS]
    heads = {"single": [False] * len(apart), "joint": [p.one_head for p in PAIRS]}
    found: dict[str, dict[str, float]] = {}
    for way, groups in (("single", apart), ("joint", joint)):
        found[way] = {}
        for lr in RATES:
            runs = [
                train(own, one, width, lr, CHOOSING, steps) for own, one in zip(groups, heads[way])
            ]
            found[way][str(lr)] = round(mean_validation(runs, groups), 2)
    return found


def early(watched: Sequence[dict], key: str, last: int) -> float:
    """The mean of what was measured up to a step."""
    return round(float(np.mean([row[key] for row in watched if row["step"] <= last])), 4)


def measure(pair: Pair, setting: Setting, rates: dict[str, float], seed: int, alone: dict) -> dict:
    """Test scores of both tasks of a pair, alone and together, and what foretold them."""
    width, k, steps, _ = setting
    tasks = [task(name, seed, k) for name in pair[:2]]
    run = train(tasks, pair.one_head, width, rates["joint"], seed, steps, watched=True)
    row: dict = {"seed": seed}
    for side, t in zip(("first", "second"), tasks):
        if t.scored:
            key = (t.name, seed)
            if key not in alone:
                single = train([t], False, width, rates["single"], seed, steps)
                alone[key] = single["scores"][t.name]
            scores = {"single": alone[key]["test"], "joint": run["scores"][t.name]["test"]}
            row[side] = {way: round(score, 2) for way, score in scores.items()}
    keys = ("cosine", "ab", "ba", "held ab", "held ba")
    row["early"] = {key: early(run["watched"], key, EARLY) for key in keys}
    row["all"] = {key: early(run["watched"], key, steps) for key in keys}
    return row


def report_of(setting: Setting) -> dict:
    """The choice of the rates and the runs of all pairs in one setting."""
    tried = choose(setting)
    rates = {way: float(max(found, key=found.get)) for way, found in tried.items()}
    print(setting, tried, flush=True)
    alone: dict = {}
    pairs = []
    for pair in PAIRS:
        runs = [measure(pair, setting, rates, seed, alone) for seed in range(setting.seeds)]
        pairs.append({**pair._asdict(), "runs": runs})
        scored = [r[side] for r in runs for side in ("first", "second") if side in r]
        gain = np.mean([scores["joint"] - scores["single"] for scores in scored])
        cosine = np.mean([r["early"]["cosine"] for r in runs])
        print(*pair[:3], f"gain {gain:+.1f}, cosine {cosine:+.2f}", flush=True)
    return {**setting._asdict(), "rates": tried, "pairs": pairs}


def main() -> None:
    """Choose the rates on validation sets, measure every pair, write the file."""
    report = {
        "recipe": {
            "command": "python -m tools.task_pairs",
            "corpora": {
                "names": names.EXPECTED,
                "docs": docs.EXPECTED,
                "reviews": reviews.EXPECTED,
            },
            "batch": SIZE,
            "early": EARLY,
            "lookahead": LOOKAHEAD,
            "most_of_a_class": MOST,
            "chosen_on": "mean validation score with a draw of its own",
        },
        "settings": [report_of(setting) for setting in SETTINGS],
    }
    TARGET.write_text(json.dumps(report) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
