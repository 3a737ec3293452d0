"""Choose the settings of the chapter "Learning to learn" on its validation tasks, and nothing else.

``python -m tools.choose [METHOD ...]`` tries every combination below on tasks from the validation
languages, for each method on the same tasks, and writes all scores to
``notebooks/data/learning-to-learn.json``. The lab reads the winners from there and meets the test
languages once. Twenty minutes on one processor core.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from nlpmeta import meta
from nlpmeta.corpora import names
from nlpmeta.episodes import EpisodeSampler, by_class, evaluate
from nlpmeta.learners import FineTune, NearestCentroid, ProtoNet
from nlpmeta.neural import CharacterCNN, NGramFeatures, initialize
from nlpmeta.text import Vocabulary, pad
from nlpmeta.training import fit

TARGET = Path(__file__).resolve().parent.parent / "notebooks/data/learning-to-learn.json"
SEED, SHOTS, EPISODES, WIDTH, STEPS, TASKS = 0, (1, 5), 300, 64, 300, 8
NAMES = STEPS * TASKS * 5 * (1 + 5)  # what every learning stage reads, however it is cut into tasks
GRIDS: dict[str, dict[str, list]] = {
    "centroids": {"capitals": [True, False], "orders": [[1, 2], [1, 2, 3], [2, 3], [1, 2, 3, 4]]},
    "scratch": {"hidden": [64, 96], "lr": [0.01, 0.03, 0.1]},  # 0.3 diverges
    "proto": {
        "capitals": [True, False],
        "hidden": [64, 96],
        "k_shot": [1, 5],
        "lr": [1e-3, 3e-3, 1e-2],
    },
    "transfer": {"capitals": [True, False], "hidden": [64, 96], "lr": [1e-3, 3e-3, 1e-2]},
}


class Names:
    """The training and validation names as rows of character numbers, with capitals or without."""

    def __init__(self, capitals: bool) -> None:
        view = names.load(near_copies=False)
        latin = {code for code, script in names.main_scripts(view).items() if script == "Latn"}
        records = [r for r in view if r.language in latin and r.script == "Latn"]
        if not capitals:
            records = [r._replace(text=r.text.lower()) for r in records]
        parts = {part: names.split(records, part) for part in ("train", "validation")}
        self.vocabulary = Vocabulary.from_tokens(
            (c for r in parts["train"] for c in r.text), min_count=20
        )
        self.data = {part: self.rows(chosen) for part, chosen in parts.items()}

    def rows(self, records: tuple[names.Name, ...]) -> dict[str, dict[str, torch.Tensor]]:
        """Names as rows of numbers, by language and family."""
        x = torch.as_tensor(pad([self.vocabulary.encode(r.text)[:20] for r in records]))
        return by_class(x, [r.family for r in records], [r.language for r in records])

    def tasks(self, part: str, k_shot: int) -> EpisodeSampler:
        """Five-way tasks of one part."""
        return EpisodeSampler(self.data[part], n_way=5, k_shot=k_shot, n_query=5, seed=SEED)

    def network(self, hidden: int) -> CharacterCNN:
        """The encoder with random weights."""
        generator = torch.Generator().manual_seed(SEED)
        return CharacterCNN(len(self.vocabulary), 32, hidden, WIDTH, generator)


def combinations(grid: dict[str, list]) -> list[dict]:
    """Every choice of one value per setting."""
    return [dict(zip(grid, values)) for values in itertools.product(*grid.values())]


def centroids(corpus: Names, setting: dict) -> NearestCentroid:
    """Class means of character n-grams."""
    return NearestCentroid(NGramFeatures(orders=tuple(setting["orders"]), width=4096))


def scratch(corpus: Names, setting: dict) -> FineTune:
    """Twenty steps from random weights for every task."""
    return FineTune(corpus.network(setting["hidden"]), WIDTH, lr=setting["lr"], steps=20)


def proto(corpus: Names, setting: dict) -> ProtoNet:
    """The meta-learner, after its learning stage on the training languages."""
    learner = ProtoNet(corpus.network(setting["hidden"]))
    tasks = corpus.tasks("train", setting["k_shot"])
    steps = NAMES // (TASKS * 5 * (setting["k_shot"] + 5))
    meta.meta_train(learner, tasks, steps=steps, tasks_per_step=TASKS, lr=setting["lr"])
    return learner


def transfer(corpus: Names, setting: dict) -> ProtoNet:
    """The same encoder, trained to name the family of as many names with one fixed label each."""
    domains = list(corpus.tasks("train", 1).domains.values())
    families = sorted({family for own in domains for family in own})

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng([SEED, step])
        rows, labels = [], []
        for _ in range(NAMES // STEPS):
            own = domains[rng.integers(len(domains))]
            family = list(own)[rng.integers(len(own))]
            rows.append(own[family][rng.integers(len(own[family]))])
            labels.append(families.index(family))
        return torch.stack(rows), torch.tensor(labels)

    source = nn.Sequential(corpus.network(setting["hidden"]), nn.Linear(WIDTH, len(families)))
    initialize(source, torch.Generator().manual_seed(SEED))
    loss = nn.functional.cross_entropy
    fit(source, lambda model, b: loss(model(b[0]), b[1]), batch, steps=STEPS, lr=setting["lr"])
    return ProtoNet(source[0])


METHODS: dict[str, tuple[Callable[[Names, dict], nn.Module | NearestCentroid | FineTune], int]] = {
    "centroids": (centroids, EPISODES),
    "scratch": (scratch, 40),
    "proto": (proto, EPISODES),
    "transfer": (transfer, EPISODES),
}


def main() -> None:
    """Try everything and write all scores, the best of each method first."""
    parser = argparse.ArgumentParser(description="Choose settings on the validation tasks.")
    parser.add_argument("methods", nargs="*", help=f"of {', '.join(METHODS)}; default: all")
    chosen = parser.parse_args().methods or list(METHODS)
    found = json.loads(TARGET.read_text(encoding="utf8")) if TARGET.is_file() else {}
    torch.set_num_threads(1)
    corpora = {capitals: Names(capitals) for capitals in (True, False)}
    for name in chosen:
        (build, episodes), rows = METHODS[name], []
        for setting in tqdm(combinations(GRIDS[name]), desc=name):
            corpus = corpora[setting.get("capitals", True)]
            learner = build(corpus, setting)
            scores = {
                k: 100 * evaluate(learner, corpus.tasks("validation", k), episodes).mean
                for k in SHOTS
            }
            rows.append({**setting, **{f"{k}-shot": round(v, 2) for k, v in scores.items()}})
        found[name] = sorted(rows, key=lambda row: -sum(row[f"{k}-shot"] for k in SHOTS))
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
