"""How much to share, and how to weigh: tables of the chapter "Multi-task learning".

``python -m tools.sharing`` classifies names in twelve languages by a linear model with all degrees
of coupling and by networks that share nothing, a trunk, or everything; adds tasks one by one;
weighs two losses in several ways; and lets tasks share an adapter on top of a frozen encoder, on
docstrings and reviews and, with ``NLPMETA_MIRROR`` or a network, on the intents of CLINC150 and
BANKING77. Rates, penalties and weights are chosen on validation parts. Everything goes to
``notebooks/data/sharing.json``. A quarter of an hour on one core.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nlpmeta.corpora import benchmarks, docs, names, reviews
from nlpmeta.multitask import SharedTrunk, pcgrad_loss, uncertainty_weighting
from nlpmeta.neural import NGramFeatures, initialize
from nlpmeta.pretrained import load_encoder
from nlpmeta.transfer import Adapter
from tools.task_pairs import CHOOSING, LANGUAGES, RATES, Task, network, task, train

TARGET = Path(__file__).resolve().parent.parent / "notebooks/data/sharing.json"
SHOTS, SEEDS = (5, 20, 60), 5
COUPLINGS, PENALTIES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0), (0.3, 1.0)
GROUPS = (1, 2, 3, 4, 6, 12)
WAYS = ("alone", "trunk", "trunk, heads alike", "trunk and head", "everything")
ADDED = ("initial", "length", "which", "random")
WEIGHED = (
    ("family es", "length es"),
    ("library", "section"),
    ("sentiment", "domain"),
)
RATE_OF_S = 0.03
WEIGHTS = (0.1, 0.3, 1.0, 3.0, 10.0)  # of the first loss, beside 1 for the second
TASKS = ("library", "sentiment", "domain")
BOTTLENECK, INTENTS = 32, ("clinc150", "banking77")

Losses = Callable[[list[Tensor], SharedTrunk], Tensor]


# A linear model, in closed form


class Names:
    """The family tasks of all languages, as vectors of n-grams, with the products that count."""

    def __init__(self, k: int, seed: int) -> None:
        tasks = [task(f"family {code}", seed, k) for code in LANGUAGES]
        x = torch.cat([t.train[0] for t in tasks])
        features = NGramFeatures((1, 2, 3, 4), 4096).fit(x)
        z = features(x)
        self.y = torch.cat([t.train[1] for t in tasks])
        self.of = torch.repeat_interleave(
            torch.arange(len(tasks)), torch.tensor([len(t.train[1]) for t in tasks])
        )
        self.inner = z @ z.T
        self.asked = {
            part: [(features(getattr(t, part)[0]) @ z.T, getattr(t, part)[1]) for t in tasks]
            for part in ("validation", "test")
        }

    def scores(self, group: Sequence[int], coupling: float, penalty: float) -> dict[str, list]:
        """Ridge regression onto one-hot labels, the languages of a group coupled; in percent."""
        own = torch.isin(self.of, torch.tensor(group)).nonzero()[:, 0]
        of = self.of[own]
        same = (of[:, None] == of).float()
        gram = self.inner[own][:, own] * (coupling + (1 - coupling) * same)
        target = nn.functional.one_hot(self.y[own], 5) - 0.2
        a = torch.linalg.solve(gram + penalty * torch.eye(len(own)), target)
        found: dict[str, list] = {part: [] for part in self.asked}
        for part, asked in self.asked.items():
            for i in group:
                products, y = asked[i]
                shared = coupling + (1 - coupling) * (of == i).float()
                right = ((products[:, own] * shared) @ a).argmax(-1) == y
                by_class = [right[y == c].float().mean().item() for c in range(5)]
                found[part].append(100 * float(np.mean(by_class)))
        return found


def best_penalty(data: Names, groups: Sequence[Sequence[int]], coupling: float) -> dict:
    """Mean scores over languages, with the penalty that is best on validation names."""
    tried = []
    for penalty in PENALTIES:
        rows = [data.scores(group, coupling, penalty) for group in groups]
        means = {part: np.mean([s for row in rows for s in row[part]]) for part in rows[0]}
        tried.append({part: round(float(mean), 2) for part, mean in means.items()})
    return max(tried, key=lambda row: row["validation"])


def linear() -> dict:
    """Coupling of all languages, and pooling or coupling of some, by number of examples."""
    coupled, grouped = [], []
    for k in SHOTS:
        for seed in range(SEEDS):
            data = Names(k, seed)
            everyone = [list(range(len(LANGUAGES)))]
            for coupling in COUPLINGS:
                row = {"k": k, "seed": seed, "coupling": coupling}
                coupled.append({**row, **best_penalty(data, everyone, coupling)})
            order = np.random.default_rng(seed).permutation(len(LANGUAGES)).tolist()
            for size in GROUPS:
                groups = [order[i : i + size] for i in range(0, len(order), size)]
                for way, coupling in (("pooled", 1.0), ("coupled", 0.25)):
                    row = {"k": k, "seed": seed, "size": size, "way": way}
                    grouped.append({**row, **best_penalty(data, groups, coupling)})
        print("linear", k, flush=True)
    return {"coupled": coupled, "grouped": grouped}


# Networks on names


def shared_network(tasks: Sequence[Task], way: str, seed: int) -> SharedTrunk:
    """What all tasks have in common: the trunk, the head as well, or a head beside their own.

    With heads alike each task has a head of its own, and all begin as copies of the first.
    """
    model = network(tasks, way == "everything", 64, seed)
    if way == "trunk, heads alike":
        for head in model.heads:
            head.load_state_dict(model.heads[0].state_dict())
    if way == "trunk and head":
        model.shared = nn.Linear(64, tasks[0].n_classes)
        initialize(model.shared, torch.Generator().manual_seed(seed))
    return model


def mean_test(scores: dict, tasks: Sequence[Task]) -> float:
    return float(np.mean([scores[t.name]["test"] for t in tasks if t.scored]))


def networks() -> list[dict]:
    """Networks for all twelve languages that share nothing, a trunk, a head too, everything."""
    rows = []
    for k in (SHOTS[0], SHOTS[-1]):
        for seed in range(SEEDS):
            tasks = [task(f"family {code}", seed, k) for code in LANGUAGES]
            for way in WAYS:
                scores: dict = {}
                for group in [[t] for t in tasks] if way == "alone" else [tasks]:
                    model = shared_network(group, way, seed)
                    run = train(group, False, 64, 1e-3, seed, 200, model=model)
                    scores |= run["scores"]
                score = round(mean_test(scores, tasks), 2)
                rows.append({"k": k, "seed": seed, "way": way, "test": score})
        print("networks", k, flush=True)
    return rows


def added() -> list[dict]:
    """One task of names with more and more tasks of other kinds beside it, in random order."""
    rows = []
    for seed in range(SEEDS):
        order = np.random.default_rng(seed).permutation(ADDED).tolist()
        for n in range(len(ADDED) + 1):
            own = ["family es", *(f"{label} es" for label in order[:n])]
            tasks = [task(name, seed, 20) for name in own]
            found = train(tasks, False, 64, 1e-3, seed, 200)["scores"][own[0]]["test"]
            rows.append({"seed": seed, "added": n, "test": round(found, 2)})
    print("added", flush=True)
    return rows


# Weights of losses


def static(weight: float) -> Losses:
    return lambda losses, model: weight * losses[0] + losses[1]


def uncertain(losses: list[Tensor], model: SharedTrunk) -> Tensor:
    return uncertainty_weighting(losses, model.s)


def freed(seed: int) -> Losses:
    """The loss of PCGrad."""
    generator = torch.Generator().manual_seed(seed)
    return lambda losses, model: pcgrad_loss(losses, model.shared_parameters(), generator)


def weighed(pair: tuple[str, str], way: str, weight: float, lr: float, seed: int) -> dict:
    """Scores of a pair under one way of weighing."""
    tasks = [task(name, seed, 20) for name in pair]
    model = network(tasks, False, 64, seed)
    if way == "uncertainty":
        model.s = nn.Parameter(torch.zeros(2))
    ways = {"uncertainty": uncertain, "pcgrad": freed(seed)}
    loss = ways.get(way, static(weight))

    def optimizer(parameters: list[Tensor], lr: float) -> torch.optim.Optimizer:
        """Adam; s, which has a long way to go, with a rate of its own."""
        s = [p for p in parameters if p is getattr(model, "s", None)]
        others = {"params": [p for p in parameters if all(p is not own for own in s)]}
        own = [{"params": s, "lr": RATE_OF_S}] if s else []
        return torch.optim.Adam([others, *own], lr=lr)

    start = time.process_time()
    options = {"loss": loss, "model": model, "optimizer": optimizer}
    scores = train(tasks, False, 64, lr, seed, 200, **options)["scores"]
    row = {part: [round(scores[name][part], 2) for name in pair] for part in ("validation", "test")}
    row["seconds"] = round(time.process_time() - start, 2)
    return row


def weighing() -> list[dict]:
    """Equal weights, the best fixed ones, learned ones and PCGrad; each with its own rate."""
    rows = []
    for pair in WEIGHED:
        for way in ("equal", "static", "uncertainty", "pcgrad"):
            weights = WEIGHTS if way == "static" else (1.0,)
            tried = [
                (float(np.mean(weighed(pair, way, w, lr, CHOOSING)["validation"])), w, lr)
                for w in weights
                for lr in RATES
            ]
            _, weight, lr = max(tried)
            runs = [weighed(pair, way, weight, lr, seed) for seed in range(SEEDS)]
            rows.append({"pair": pair, "way": way, "weight": weight, "lr": lr, "runs": runs})
            print(pair, way, weight, lr, flush=True)
    return rows


# A frozen encoder


@cache
def intents() -> dict[str, dict[str, tuple[Tensor, Tensor]]]:
    """Vectors and numbered intents of both data sets; BANKING77 lends validation from training."""
    encoder = load_encoder()
    encoder.max_length = 48
    found = {}
    for name in INTENTS:
        train_part, test_part = (list(benchmarks.load(name, part)) for part in ("train", "test"))
        rng = np.random.default_rng(0)
        labels = sorted({r.label for r in train_part})
        taken: dict[str, list] = {"train": [], "validation": [], "test": []}
        for label in labels:
            own = [r for r in train_part if r.label == label]
            own = [own[i] for i in rng.permutation(len(own))[:25]]
            taken["train"] += own[:20]
            taken["validation"] += own[20:]
            test = [r for r in test_part if r.label == label]
            taken["test"] += [test[i] for i in rng.permutation(len(test))[:15]]
        found[name] = {
            part: (
                encoder.embed([r.text for r in own]) * encoder.width**0.5,
                torch.tensor([labels.index(r.label) for r in own]),
            )
            for part, own in taken.items()
        }
        print("embedded", name, flush=True)
    return found


def intent_task(name: str, seed: int, k: int) -> Task:
    """k training examples of each intent."""
    parts = intents()[name]
    x, y = parts["train"]
    rng = np.random.default_rng([seed, k])
    rows = np.concatenate([rng.permutation(np.flatnonzero(y == c))[:k] for c in y.unique()])
    drawn = (x[rows], y[rows])
    n = int(y.max()) + 1
    return Task(name, "intents", n, drawn, parts["validation"], parts["test"])


def on_encoder(tasks: Sequence[Task], adapter: bool, seed: int) -> SharedTrunk:
    """Linear heads on the vectors, or on those that an adapter makes of them."""
    generator, width = torch.Generator().manual_seed(seed), tasks[0].train[0].shape[1]
    trunk = Adapter(width, BOTTLENECK, generator) if adapter else nn.Identity()
    heads = {t.name: nn.Linear(width, t.n_classes) for t in tasks}
    for t in tasks:  # each head as it would be without the others
        initialize(heads[t.name], torch.Generator().manual_seed(seed))
    return SharedTrunk(trunk, heads)


def sentence_tasks(seed: int, k: int) -> list[Task]:
    return [task(name, seed, k) for name in TASKS]


def intent_tasks(seed: int, k: int) -> list[Task]:
    return [intent_task(name, seed, k) for name in INTENTS]


def frozen(
    tasks_of: Callable[..., list[Task]], k: int, size: int, steps: int, draws: int
) -> list[dict]:
    """Heads alone and together, adapters of their own and shared, each with its own rate.

    The rate is the best on validation sets, as a mean over so many draws of training examples.
    """

    def run(way: str, lr: float, seed: int) -> dict:
        tasks = tasks_of(seed, k)
        groups = [[t] for t in tasks] if way.startswith("own") else [tasks]
        scores: dict = {}
        for group in groups:
            model = on_encoder(group, way.endswith("adapter"), seed)
            scores |= train(group, False, 0, lr, seed, steps, model=model, size=size)["scores"]
        return scores

    rows = []
    for way in ("own head", "joint head", "own adapter", "joint adapter"):
        tried = []
        for lr in (1e-3, 3e-3):
            found = [run(way, lr, CHOOSING + i).values() for i in range(draws)]
            tried.append((float(np.mean([s["validation"] for own in found for s in own])), lr))
        lr = max(tried)[1]
        for seed in range(SEEDS):
            scores = run(way, lr, seed)
            test = {name: round(s["test"], 2) for name, s in scores.items()}
            rows.append({"k": k, "way": way, "lr": lr, "seed": seed, "test": test})
    return rows


def main() -> None:
    """Make every table and write the file."""
    report: dict = {
        "recipe": {
            "command": "python -m tools.sharing",
            "corpora": {
                "names": names.EXPECTED,
                "docs": docs.EXPECTED,
                "reviews": reviews.EXPECTED,
            },
            "seeds": SEEDS,
            "bottleneck": BOTTLENECK,
            "chosen_on": "validation parts, draw of another seed",
        }
    }
    jobs = {
        "linear": linear,
        "weighing": weighing,
        "added": added,
        "encoder": lambda: [r for k in (5, 20) for r in frozen(sentence_tasks, k, 16, 200, 3)],
        "intents": lambda: [r for k in (5, 20) for r in frozen(intent_tasks, k, 64, 300, 1)],
        "networks": networks,
    }
    for name, job in jobs.items():
        report[name] = job()
        TARGET.write_text(json.dumps(report) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
