"""Train learners that place classes in a space, for the chapter "Metric learning".

``python -m tools.metric_study`` trains prototypical, matching, relation and ridge networks on
families of names, chooses their rates on validation languages of the first draw, and scores them
and their baselines, with the same encoder trained as one classifier among them, on the same
episodes over five draws of the languages; then varies, over three draws, the shots and ways of
training, the number of training languages and the temperature of the cosine; and repeats the
prototypical network on two other kinds of tasks. Each run is kept in ``build/metric`` when it ends.
Everything goes to ``notebooks/data/metric.json``; half an hour on one core.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nlpmeta.class_splits import Split, split_classes, split_domains
from nlpmeta.corpora import docs, names
from nlpmeta.episodes import EpisodeSampler, Learner, by_class, evaluate
from nlpmeta.learners import (
    LogisticRegressionLearner,
    MatchingNet,
    NearestCentroid,
    ProtoNet,
    RelationNet,
    RidgeNet,
)
from nlpmeta.meta import meta_train
from nlpmeta.neural import CharacterCNN, NGramFeatures
from nlpmeta.pretrained import SHA256, load_encoder
from nlpmeta.task_sets import Examples, families, languages, latin_names, modules
from nlpmeta.text import Vocabulary, pad
from nlpmeta.training import fit, minibatches
from tools.keep import keep

ROOT = Path(__file__).resolve().parent.parent
TARGET, WORK = ROOT / "notebooks/data/metric.json", ROOT / "build/metric"
kept = partial(keep, WORK)
N_WAY, N_QUERY, SHOTS = 5, 5, (1, 5)
SEEDS, FEWER = (0, 1, 2, 3, 4), (0, 1, 2)
EPISODES, CHOOSING = 400, 200
NAMES_READ, TASKS = 72_000, 8  # examples that a run of training reads; tasks in a step
WIDTH, HIDDEN = 64, 96
RATES, TEMPERATURES = (1e-3, 3e-3, 1e-2), (1.0, 0.3, 0.1, 0.03)
LONGEST = {"families": 20, "languages": 20, "modules": 100}
LEARNERS = ("prototypical", "matching", "relation", "ridge")


@cache
def examples(task: str) -> Examples:
    if task == "modules":
        return modules(least=30, most=30)
    return languages(most=40) if task == "languages" else families()


@cache
def vocabulary(task: str) -> Vocabulary:
    return Vocabulary.from_tokens((c for text in examples(task).texts for c in text), min_count=20)


@cache
def data(task: str, view: str = "characters") -> dict[str, dict[str, Tensor]]:
    """Examples by domain and class: numbers of characters, or vectors of the encoder."""
    found = examples(task)
    if view == "vectors":
        x = load_encoder().embed(found.texts)
    else:
        rows = [vocabulary(task).encode(text)[: LONGEST[task]] for text in found.texts]
        x = torch.as_tensor(pad(rows))
    return by_class(x, found.labels, found.domains)


@cache
def things() -> dict[str, dict[str, dict[str, Tensor]]]:
    """Names by what they name: the things of the three parts differ, in every language."""
    parts: dict[str, dict[str, dict[str, Tensor]]] = {}
    for part in ("train", "validation", "test"):
        own = [r for r in latin_names() if names.entity_part(r.english) == part]
        rows = [vocabulary("families").encode(r.text)[: LONGEST["families"]] for r in own]
        x = torch.as_tensor(pad(rows))
        parts[part] = by_class(x, [r.family for r in own], [r.language for r in own])
    return parts


def split(task: str, seed: int, view: str = "characters") -> Split:
    """Other languages and things, or other classes, to learn from, choose by and be tested on."""
    if task == "families":
        drawn = split_domains(things()["train"], n_validation=20, n_test=40, seed=seed)
        parts = ("train", "validation", "test")
        return Split(
            *(
                {language: c for language, c in things()[part].items() if language in own}
                for part, own in zip(parts, drawn)
            )
        )
    n = len(set(examples(task).labels))
    return split_classes(data(task, view), n_validation=n // 5, n_test=n // 3, seed=seed)


def network(task: str, seed: int) -> CharacterCNN:
    generator = torch.Generator().manual_seed(seed)
    return CharacterCNN(len(vocabulary(task)), 32, HIDDEN, WIDTH, generator)


def learner(kind: str, task: str, seed: int, temperature: float = 0.1) -> nn.Module:
    encoder = network(task, seed)
    if kind == "prototypical":
        return ProtoNet(encoder)
    if kind == "matching":
        return MatchingNet(encoder, temperature)
    if kind == "relation":
        return RelationNet(encoder, WIDTH, 64, torch.Generator().manual_seed(1000 + seed))
    return RidgeNet(encoder)


def trained(
    model: nn.Module, part: Split, seed: int, lr: float, k_shot: int = 1, n_way: int = N_WAY
) -> nn.Module:
    """A learner after reading so many examples in episodes."""
    steps = NAMES_READ // (TASKS * n_way * (k_shot + N_QUERY))
    sampler = EpisodeSampler(part.train, n_way, k_shot, N_QUERY, seed)
    meta_train(model, sampler, steps=steps, tasks_per_step=TASKS, lr=lr)
    return model


def scores(
    model: Learner, part: Split, seed: int, shots: tuple[int, ...] = SHOTS, n_way: int = N_WAY
) -> dict[str, list[float]]:
    """Accuracy of each test episode by shots."""
    with torch.no_grad():
        return {
            str(k): evaluate(model, EpisodeSampler(part.test, n_way, k, N_QUERY, seed), EPISODES)
            .per_episode.round(4)
            .tolist()
            for k in shots
        }


def choose(kind: str) -> dict[str, float]:
    """Mean accuracy on validation episodes of the first draw by rate (and temperature)."""

    def tried(lr: float, temperature: float) -> float:
        part = split("families", 0)
        model = trained(learner(kind, "families", 0, temperature), part, 0, lr)
        sampler = EpisodeSampler(part.validation, N_WAY, 1, N_QUERY, 1000)
        with torch.no_grad():
            return round(evaluate(model, sampler, CHOOSING).mean, 4)

    warm = TEMPERATURES if kind == "matching" else (0.1,)
    return {
        f"{lr:g} {t:g}": kept(f"choose {kind} {lr:g} {t:g}", lambda lr=lr, t=t: tried(lr, t))
        for lr in RATES
        for t in warm
    }


def chosen(kind: str) -> tuple[float, float]:
    tried = choose(kind)
    lr, temperature = max(tried, key=tried.get).split()
    return float(lr), float(temperature)


def board(seed: int) -> dict[str, dict[str, list[float]]]:
    """All learners and baselines on one draw."""
    part = split("families", seed)
    known = torch.cat([x for own in part.train.values() for x in own.values()])
    ngrams = NGramFeatures().fit(known)
    found = {
        "class means, n-grams": scores(NearestCentroid(ngrams), part, seed),
        "logistic regression, n-grams": scores(LogisticRegressionLearner(ngrams), part, seed),
        "untrained network": scores(ProtoNet(network("families", seed)), part, seed),
    }
    for kind in LEARNERS:
        lr, temperature = chosen(kind)
        start = time.perf_counter()
        model = trained(learner(kind, "families", seed, temperature), part, seed, lr)
        found[kind] = scores(model, part, seed) | {
            "seconds": [round(time.perf_counter() - start, 1)]
        }
    return found


def shots(seed: int, k_shot: int) -> dict[str, list[float]]:
    part, lr = split("families", seed), chosen("prototypical")[0]
    model = trained(learner("prototypical", "families", seed), part, seed, lr, k_shot)
    return scores(model, part, seed, (1, 5, 10))


def ways(seed: int, n_way: int) -> dict[str, dict[str, list[float]]]:
    part, lr = split("languages", seed), chosen("prototypical")[0]
    model = trained(learner("prototypical", "languages", seed), part, seed, lr, n_way=n_way)
    return {str(n): scores(model, part, seed, (5,), n) for n in (5, 20)}


def fewer_languages(seed: int, n: int) -> dict[str, list[float]]:
    part, lr = split("families", seed), chosen("prototypical")[0]
    some = sorted(part.train)
    some = [some[i] for i in np.random.default_rng(seed).permutation(len(some))[:n]]
    part = part._replace(train={language: part.train[language] for language in some})
    return scores(trained(learner("prototypical", "families", seed), part, seed, lr), part, seed)


def cosine(seed: int, temperature: float) -> dict[str, list[float]]:
    part, lr = split("families", seed), chosen("matching")[0]
    model = trained(learner("matching", "families", seed, temperature), part, seed, lr)
    return scores(model, part, seed)


def pooled_encoder(part: Split, seed: int, lr: float) -> CharacterCNN:
    """The same network and as many names, but one classifier of all families with fixed labels."""
    labels = sorted({label for own in part.train.values() for label in own})
    pairs = [(labels.index(c), x) for own in part.train.values() for c, x in own.items()]
    x = torch.cat([rows for _, rows in pairs])
    y = torch.cat([torch.full((len(rows),), c) for c, rows in pairs])
    encoder = network("families", seed)
    model = nn.Sequential(encoder, nn.Linear(WIDTH, len(labels)))
    nn.init.zeros_(model[1].weight)
    nn.init.zeros_(model[1].bias)  # PyTorch would draw it from the global generator
    fit(
        model,
        lambda m, batch: nn.functional.cross_entropy(m(batch[0]), batch[1]),
        minibatches(x, y, size=240, seed=seed),
        steps=NAMES_READ // 240,
        lr=lr,
    )
    return encoder


def supervised(seed: int) -> dict[str, list[float]]:
    part = split("families", seed)
    encoder = pooled_encoder(part, seed, chosen("prototypical")[0])
    return {
        "as it is": scores(ProtoNet(encoder), part, seed),
        "length 1": scores(NearestCentroid(Normalized(encoder)), part, seed),
    }


class Normalized:
    """Vectors of length 1."""

    def __init__(self, encode: Callable[[Tensor], Tensor]) -> None:
        self.encode = encode

    def __call__(self, x: Tensor) -> Tensor:
        return nn.functional.normalize(self.encode(x), dim=-1)


def elsewhere(task: str, seed: int) -> dict[str, dict[str, list[float]]]:
    """N-grams, a prototypical network from scratch, and for sentences the encoder."""
    part, lr = split(task, seed), chosen("prototypical")[0]
    ngrams = NGramFeatures().fit(torch.cat([x for c in part.train.values() for x in c.values()]))
    found = {
        "class means, n-grams": scores(NearestCentroid(ngrams), part, seed),
        "prototypical": scores(
            trained(learner("prototypical", task, seed), part, seed, lr), part, seed
        ),
    }
    if task == "modules":
        part = split(task, seed, "vectors")
        found["class means, encoder"] = scores(NearestCentroid(lambda x: x), part, seed)
        width = next(iter(next(iter(part.train.values())).values())).shape[-1]
        layer = nn.Linear(width, width, bias=False)
        nn.init.eye_(layer.weight).data.mul_(4.0)
        found["prototypical on the encoder"] = scores(
            trained(ProtoNet(layer), part, seed, 1e-3), part, seed
        )
    return found


def main() -> None:
    torch.set_num_threads(1)
    tried = {kind: choose(kind) for kind in LEARNERS}
    found: dict[str, object] = {
        "board": [kept(f"board {s}", lambda s=s: board(s)) for s in SEEDS],
        "cosine": {
            str(t): [kept(f"cosine {t} {s}", lambda s=s, t=t: cosine(s, t)) for s in FEWER]
            for t in TEMPERATURES
        },
        "shots": {
            str(k): [kept(f"shots {k} {s}", lambda s=s, k=k: shots(s, k)) for s in FEWER]
            for k in (1, 5, 10)
        },
        "supervised": [kept(f"supervised {s}", lambda s=s: supervised(s)) for s in SEEDS],
        "languages": {
            str(n): [kept(f"few {n} {s}", lambda s=s, n=n: fewer_languages(s, n)) for s in FEWER]
            for n in (3, 10, 30)
        },
        "ways": {
            str(n): [kept(f"ways {n} {s}", lambda s=s, n=n: ways(s, n)) for s in FEWER]
            for n in (5, 20)
        },
        "elsewhere": {
            task: [kept(f"{task} {s}", lambda s=s, t=task: elsewhere(t, s)) for s in FEWER]
            for task in ("languages", "modules")
        },
    }
    TARGET.write_text(
        json.dumps({"recipe": recipe(), "tried": tried, **summary(found)}, indent=1) + "\n"
    )


def recipe() -> dict[str, object]:
    return {
        "command": "python -m tools.metric_study",
        "corpora": {"names": names.EXPECTED, "docs": docs.EXPECTED},
        "encoder": SHA256,
        "episodes": EPISODES,
        "n_way": N_WAY,
        "n_query": N_QUERY,
        "examples_read": NAMES_READ,
        "draws": [len(SEEDS), len(FEWER)],
    }


def summary(found: dict) -> dict[str, object]:
    """Means of each draw instead of every episode, with differences taken in pairs."""

    def means(runs: list[dict], *keys: str) -> list[float]:
        values = []
        for run in runs:
            for key in keys:
                run = run[key]
            values.append(round(float(np.mean(run)), 5))
        return values

    shorter: dict[str, object] = {}
    names_ = list(found["board"][0])
    shorter["board"] = {
        name: {k: means(found["board"], name, k) for k in found["board"][0][name]}
        for name in names_
    }
    shorter["over_episodes"] = {
        name: {
            k: round(1.96 * float(np.concatenate([r[name][k] for r in found["board"]]).std(ddof=1))
                     / (len(SEEDS) * EPISODES) ** 0.5, 5)
            for k in map(str, SHOTS)
        }
        for name in names_
    }  # fmt: skip
    for key in ("cosine", "shots", "languages"):
        shorter[key] = {v: {k: means(runs, k) for k in runs[0]} for v, runs in found[key].items()}
    shorter["supervised"] = {
        how: {k: means(found["supervised"], how, k) for k in map(str, SHOTS)}
        for how in found["supervised"][0]
    }
    shorter["ways"] = {
        v: {n: means(runs, n, "5") for n in runs[0]} for v, runs in found["ways"].items()
    }
    shorter["elsewhere"] = {
        task: {name: {k: means(runs, name, k) for k in map(str, SHOTS)} for name in runs[0]}
        for task, runs in found["elsewhere"].items()
    }
    return shorter


if __name__ == "__main__":
    main()
