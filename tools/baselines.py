"""Score what a meta-learner must beat, for the chapter "Episodes".

``python -m tools.baselines`` scores six learners that have met no task on the same episodes of
three kinds of tasks, with one and five examples a class, over five draws of the test domains or
classes: class means and logistic regression on n-grams of characters and on the vectors of a
pretrained encoder, a network trained on each support set from scratch, and guessing. Penalties of
logistic regression and orders of n-grams are chosen on validation tasks of the first draw.
Everything goes to ``notebooks/data/baselines.json``. A quarter of an hour on one core.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nlpmeta.class_splits import Split, compare_splits, over_splits, split_classes, split_domains
from nlpmeta.corpora import docs, names
from nlpmeta.episodes import EpisodeSampler, Learner, Score, by_class, evaluate
from nlpmeta.learners import FineTune, LogisticRegressionLearner, NearestCentroid
from nlpmeta.neural import CharacterCNN, NGramFeatures
from nlpmeta.pretrained import SHA256, load_encoder
from nlpmeta.task_sets import Examples, families, languages, modules
from nlpmeta.text import Vocabulary, pad

TARGET = Path(__file__).resolve().parent.parent / "notebooks/data/baselines.json"
SHOTS, N_WAY, N_QUERY = (1, 5), 5, 5
SEEDS, EPISODES, CHOOSING = range(5), 400, 100
FEW = 60  # episodes of a draw for what is slow, and what it is compared with on them
STRENGTHS, ORDERS = (1.0, 10.0, 100.0), ((1, 2, 3), (2, 3, 4))
LONGEST = {"families": 30, "languages": 30, "modules": 120}
SCRATCH = {"hidden": 96, "lr": 0.1, "steps": 20}  # what ``tools.choose`` chose for these names


@cache
def examples(task: str) -> Examples:
    """All texts of a kind of task; the draws divide them."""
    if task == "modules":
        return modules(least=30, most=30)
    return {"families": families, "languages": languages}[task](most=25)


@cache
def views(task: str) -> dict[str, dict[str, dict[str, Tensor]]]:
    """The texts as character numbers and as vectors, by domain and class."""
    found = examples(task)
    vocabulary = Vocabulary.from_tokens((c for text in found.texts for c in text), min_count=20)
    rows = [vocabulary.encode(text)[: LONGEST[task]] for text in found.texts]
    x = {"characters": torch.as_tensor(pad(rows)), "vectors": load_encoder().embed(found.texts)}
    return {view: by_class(value, found.labels, found.domains) for view, value in x.items()}


def split(task: str, view: str, seed: int) -> Split:
    """A draw: other languages, or other classes, in each part."""
    data = views(task)[view]
    if task == "families":
        return split_domains(data, n_validation=20, n_test=30, seed=seed)
    return split_classes(data, n_validation=len(classes(task)) // 5, n_test=len(classes(task)) // 3,
                         seed=seed)  # fmt: skip


def classes(task: str) -> set[str]:
    return set(examples(task).labels)


def ngrams(part: Split, orders: tuple[int, ...]) -> NGramFeatures:
    """Weights from the texts of the training part: those of a test part would be a leak."""
    known = [x for own in part.train.values() for x in own.values()]
    return NGramFeatures(orders=orders).fit(torch.cat(known))


def same(x: Tensor) -> Tensor:
    return x


def scratch(part: Split, seed: int) -> Learner:
    symbols = 1 + max(int(x.max()) for own in part.train.values() for x in own.values())
    symbols = max(
        symbols, 1 + max(int(x.max()) for own in part.test.values() for x in own.values())
    )
    network = CharacterCNN(symbols, 32, SCRATCH["hidden"], 64, torch.Generator().manual_seed(seed))
    return FineTune(network, 64, lr=SCRATCH["lr"], steps=SCRATCH["steps"])


class Guess:
    """Logits that are drawn at random: what a score is when nothing was learned."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Callable[[Tensor], Tensor]:
        n_way = int(support_y.max()) + 1
        return lambda query_x: torch.randn(len(query_x), n_way, generator=self.generator)


def makers(task: str, chosen: dict[str, object]) -> dict[str, tuple[str, Callable]]:
    """View and maker of each learner, by name."""
    orders = chosen["orders"]
    return {
        "guessing": ("characters", lambda s, seed: Guess(seed)),
        "class means, n-grams": ("characters", lambda s, seed: NearestCentroid(ngrams(s, orders))),
        "logistic regression, n-grams": (
            "characters",
            lambda s, seed: LogisticRegressionLearner(ngrams(s, orders), chosen["characters"]),
        ),
        "class means, encoder": ("vectors", lambda s, seed: NearestCentroid(same)),
        "logistic regression, encoder": (
            "vectors",
            lambda s, seed: LogisticRegressionLearner(same, chosen["vectors"]),
        ),
        "network from scratch": ("characters", scratch),
    }


def choose(task: str, k_shot: int) -> dict[str, object]:
    """Orders of n-grams, then penalties, by validation tasks of the first draw."""
    tried: dict[str, dict[str, float]] = {"orders": {}, "characters": {}, "vectors": {}}

    def score(view: str, make: Callable[[Split], Learner]) -> float:
        part = split(task, view, SEEDS[0])
        sampler = EpisodeSampler(part.validation, N_WAY, k_shot, N_QUERY, seed=1000)
        return round(evaluate(make(part), sampler, CHOOSING).mean, 4)

    for orders in ORDERS:
        tried["orders"][str(list(orders))] = score(
            "characters", lambda s, o=orders: NearestCentroid(ngrams(s, o))
        )
    orders = max(ORDERS, key=lambda o: tried["orders"][str(list(o))])
    for c in STRENGTHS:
        tried["characters"][str(c)] = score(
            "characters", lambda s, c=c: LogisticRegressionLearner(ngrams(s, orders), c)
        )
        tried["vectors"][str(c)] = score(
            "vectors", lambda s, c=c: LogisticRegressionLearner(same, c)
        )
    best = {v: float(max(tried[v], key=tried[v].get)) for v in ("characters", "vectors")}
    return {"orders": orders, **best, "tried": tried}


def run(task: str, k_shot: int) -> dict[str, object]:
    """All learners on the same episodes."""
    chosen = choose(task, k_shot)
    scores: dict[str, list[Score]] = {}
    seconds = {}
    for name, (view, make) in makers(task, chosen).items():
        count = FEW if name == "network from scratch" else EPISODES
        scores[name], start = [], time.perf_counter()
        for seed in SEEDS:
            part = split(task, view, seed)
            sampler = EpisodeSampler(part.test, N_WAY, k_shot, N_QUERY, seed)
            scores[name].append(evaluate(make(part, seed), sampler, count))
        seconds[name] = (time.perf_counter() - start) / (count * len(SEEDS))
        print(task, k_shot, name, over_splits(scores[name]), flush=True)
    means = over_splits(scores["class means, n-grams"])
    rows = {}
    for name, own in scores.items():
        everyone = np.concatenate([s.per_episode for s in own])
        shorter = [Score(0, 0, s.per_episode[: len(own[0].per_episode)]) for s in means.per_split]
        difference = compare_splits(over_splits(own), over_splits(recounted(shorter)))
        rows[name] = {
            "mean": round(over_splits(own).mean, 4),
            "over_splits": round(over_splits(own).ci95, 4),
            "over_episodes": round(1.96 * float(everyone.std(ddof=1) / np.sqrt(len(everyone))), 4),
            "splits": [round(s.mean, 4) for s in own],
            "to_class_means": [round(difference.mean, 4), round(difference.ci95, 4)],
            "episodes": len(everyone),
            "seconds": float(f"{seconds[name]:.2g}"),
        }
    return {"chosen": chosen, "rows": rows}


def recounted(scores: list[Score]) -> list[Score]:
    """The same episodes with their mean."""
    return [Score(float(s.per_episode.mean()), 0.0, s.per_episode) for s in scores]


def main() -> None:
    torch.set_num_threads(1)
    results = {
        task: {str(k): run(task, k) for k in SHOTS} for task in ("families", "languages", "modules")
    }
    TARGET.write_text(
        json.dumps(
            {
                "recipe": {
                    "command": "python -m tools.baselines",
                    "corpora": {"names": names.EXPECTED, "docs": docs.EXPECTED},
                    "encoder": SHA256,
                    "n_way": N_WAY,
                    "n_query": N_QUERY,
                    "episodes": EPISODES,
                    "splits": len(SEEDS),
                },
                "texts": {task: len(examples(task).texts) for task in results},
                "classes": {task: len(classes(task)) for task in results},
                "results": results,
            },
            indent=1,
        )
        + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
