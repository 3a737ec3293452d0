"""Train learners that adapt by descent, for the chapter "Gradient-based meta-learning".

``python -m tools.gradient_study`` trains MAML of second and first order, ANIL, Meta-SGD, ProtoMAML
and Reptile on the tasks, the network and the number of examples of :mod:`tools.metric_study`. Rates
are chosen on validation languages of the first draw after a whole training, because a rate that
leads early may break later. Then it scores the learners and their baselines over five draws, takes
trained starts apart (what moves, what changes, how many steps), varies the inner steps, fixes the
labels, and measures what a step costs. Runs are kept in ``build/gradient`` when they end.
Everything goes to ``notebooks/data/gradient.json``; two hours on one core.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from nlpmeta.class_splits import Split
from nlpmeta.corpora import names
from nlpmeta.episodes import EpisodeSampler, Learner, Task, evaluate
from nlpmeta.learners import ANIL, MAML, MetaSGD, ProtoMAML, ProtoNet, Reptile
from nlpmeta.learners.gradient import Classifier
from nlpmeta.meta import meta_train, training_loss
from nlpmeta.streams import Streams
from tools import metric_study as same
from tools.keep import keep
from tools.measure import resident

TARGET, WORK = same.ROOT / "notebooks/data/gradient.json", same.ROOT / "build/gradient"
kept = partial(keep, WORK)
LEARNERS = ("MAML", "first order", "ANIL", "Meta-SGD", "ProtoMAML", "Reptile")
INNER, OUTER, STEPS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0), (1e-3, 3e-3, 1e-2, 3e-2), 5
FIRST_OUTER = 3e-3  # at which the inner rates are compared
DESCENTS = [(lr, steps) for lr in (0.01, 0.03, 0.1, 0.3) for steps in (5, 20)]
AFTER = (0, 1, 2, 3, 5, 10, 20)  # steps of descent after which a trained start is scored
TRAIN_STEPS, COSTS, COMPARED = (1, 3), (1, 2, 5, 10), 100


def network(seed: int, n_way: int = same.N_WAY) -> Classifier:
    return Classifier(same.network("families", seed), same.WIDTH, n_way)


def learner(kind: str, seed: int, inner: float, steps: int = STEPS) -> nn.Module:
    model = network(seed)
    if kind == "ANIL":
        return ANIL(model, inner, steps)
    if kind == "Meta-SGD":
        return MetaSGD(model, inner, steps)
    if kind == "ProtoMAML":
        return ProtoMAML(model.encoder, inner, steps)
    if kind == "Reptile":
        return Reptile(model, inner, steps)
    return MAML(model, inner, steps, first_order=kind == "first order")


def trained(kind: str, seed: int, inner: float, outer: float, steps: int = STEPS) -> nn.Module:
    """A learner after its training; a ``FloatingPointError`` if its descent leaves the numbers."""
    part = same.split("families", seed)
    return same.trained(learner(kind, seed, inner, steps), part, seed, outer)


def choosing(seed: int = 0) -> EpisodeSampler:
    part = same.split("families", seed)
    return EpisodeSampler(part.validation, same.N_WAY, 1, same.N_QUERY, 1000)


def accuracy(model: Learner, sampler: EpisodeSampler) -> float | None:
    """Mean accuracy on a few tasks; none if a descent, or what it ends in, leaves the numbers."""
    try:
        return round(evaluate(model, sampler, same.CHOOSING).mean, 4)
    except (FloatingPointError, ValueError):  # the second: logits that are NaN
        return None


def tried(kind: str, inner: float, outer: float) -> float | None:
    """Accuracy on validation tasks of the first draw; none if the training broke."""
    try:
        return accuracy(trained(kind, 0, inner, outer), choosing())
    except FloatingPointError:
        return None


def choose(kind: str) -> dict[str, float | None]:
    """Inner rates at one outer rate, then outer rates at the best inner rate."""

    def one(inner: float, outer: float) -> tuple[str, float | None]:
        name = f"choose {kind} {inner:g} {outer:g}"
        return f"{inner:g} {outer:g}", kept(name, lambda: tried(kind, inner, outer))

    found = dict(one(inner, FIRST_OUTER) for inner in INNER)
    best = float(best_of(found).split()[0])
    return found | dict(one(best, outer) for outer in OUTER)


def best_of(found: dict[str, float | None]) -> str:
    return max(found, key=lambda key: found[key] or 0.0)


def chosen(kind: str) -> tuple[float, float]:
    inner, outer = best_of(choose(kind)).split()
    return float(inner), float(outer)


def start(kind: str, seed: int) -> Classifier:
    """A network to descend from: with random weights, or an encoder of all families pooled."""
    model = network(seed)
    if kind == "pooled":
        part, lr = same.split("families", seed), same.chosen("prototypical")[0]
        model.encoder = same.pooled_encoder(part, seed, lr)
    return model


def choose_descent(kind: str) -> dict[str, float | None]:
    """Validation accuracy of descent from a start that knows no tasks, by rate and steps."""

    def run() -> dict[str, float | None]:
        model = start(kind, 0)
        return {f"{lr:g} {n}": accuracy(MAML(model, lr, n), choosing()) for lr, n in DESCENTS}

    return kept(f"choose descent {kind}", run)


def descent(kind: str, seed: int) -> dict[str, list[float]]:
    lr, steps = best_of(choose_descent(kind)).split()
    model = MAML(start(kind, seed), float(lr), int(steps))
    return same.scores(model, same.split("families", seed), seed)


class AsItIs:
    """A trained start that does not adapt."""

    def __init__(self, model: Classifier) -> None:
        self.model = model

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Callable[[Tensor], Tensor]:
        return self.model


def after(model: Classifier, rate: float, steps: int) -> Learner:
    return MAML(model, rate, steps) if steps else AsItIs(model)


def board(kind: str, seed: int) -> dict[str, object]:
    """One learner on one draw: its scores, and for MAML what its start is made of."""
    inner, outer = chosen(kind)
    begin = time.process_time()  # other work on the machine does not count
    model = trained(kind, seed, inner, outer)
    seconds = round(time.process_time() - begin, 1)
    part = same.split("families", seed)
    found: dict[str, object] = {"scores": same.scores(model, part, seed), "seconds": seconds}
    if kind == "MAML":
        found |= taken_apart(model, part, seed)
    return found


def taken_apart(model: MAML, part: Split, seed: int) -> dict[str, object]:
    """What a trained start does when only a part of it moves, and after how many steps."""
    net, rate = model.model, model.inner_lr
    ways = {
        "head alone moves": ANIL(net, rate, STEPS),
        "encoder alone moves": ANIL(net, rate, STEPS, head="encoder"),
        "class means of its features": ProtoNet(net.encoder),
    }
    test = EpisodeSampler(part.test, same.N_WAY, 1, same.N_QUERY, seed)
    return {
        "moves": {name: same.scores(way, part, seed) for name, way in ways.items()},
        "by_steps": {str(n): accuracy(after(net, rate, n), test) for n in AFTER},
        "similarity": similarity(model, [test.task(i) for i in range(COMPARED)]),
    }


def cka(a: Tensor, b: Tensor) -> float:
    """Linear centered kernel alignment of two representations (n, d) of the same examples."""
    a, b = (z.flatten(1).double() - z.flatten(1).double().mean(0) for z in (a, b))
    norms = (a @ a.T).norm() * (b @ b.T).norm()
    return float((a @ a.T * (b @ b.T)).sum() / norms) if norms > 0 else 1.0


def similarity(model: MAML, tasks: list[Task]) -> dict[str, float]:
    """How alike each layer's outputs are before and after adaptation: the mean over tasks."""
    layers = {"first convolution": "narrow", "second convolution": "wide", "vectors": "out"}
    seen: dict[str, Tensor] = {}
    hooks = [
        model.model.get_submodule(f"encoder.{name}").register_forward_hook(
            lambda _, __, out, name=name: seen.__setitem__(name, out.detach())
        )
        for name in layers.values()
    ]
    values: dict[str, list[float]] = {name: [] for name in layers}
    for task in tasks:
        phi = model.adapted(task.support_x, task.support_y, same.N_WAY)
        outputs = []
        for params in (dict(model.model.named_parameters()), phi):
            functional_call(model.model, params, (task.query_x,))
            outputs.append(dict(seen))
        for name, layer in layers.items():
            values[name].append(cka(outputs[0][layer], outputs[1][layer]))
    for hook in hooks:
        hook.remove()
    return {name: round(float(np.mean(found)), 4) for name, found in values.items()}


def fewer_steps(kind: str, seed: int, steps: int) -> dict[str, list[float]]:
    """Training and test with other numbers of steps, at the rates chosen for five."""
    inner, outer = chosen(kind)
    part = same.split("families", seed)
    return same.scores(trained(kind, seed, inner, outer, steps), part, seed)


class FixedLabels(EpisodeSampler):
    """Tasks of five families in which a family always has the same label, unless shuffled."""

    def __init__(self, data: dict, k_shot: int, seed: int, shuffled: bool) -> None:
        super().__init__(data, same.N_WAY, k_shot, same.N_QUERY, seed)
        self.shuffled = shuffled

    def _classes(self, streams: Streams, domains: np.ndarray) -> np.ndarray:
        sort = np.array([np.argsort(list(families)) for families in self.domains.values()])
        order = np.tile(np.arange(self.n_way), (len(domains), 1))
        if self.shuffled:
            order = streams.permutations(np.full(len(domains), self.n_way))
        return np.take_along_axis(sort[domains], order, axis=1)


def five_families(part: Split) -> Split:
    """The five families with the most names, which every language of a part then has."""
    size = Counter()
    for own in part.train.values():
        size.update({family: len(x) for family, x in own.items()})
    five = {family for family, _ in size.most_common(same.N_WAY)}
    return Split(
        *(
            {
                language: {f: x for f, x in own.items() if f in five}
                for language, own in side.items()
            }
            for side in part
        )
    )


def memorization(seed: int) -> dict[str, dict[str, float]]:
    """MAML trained with labels fixed or shuffled, tested with both, adapted or not."""
    part = five_families(same.split("families", seed))
    inner, outer = chosen("MAML")
    found: dict[str, dict[str, float]] = {}
    steps = same.NAMES_READ // (same.TASKS * same.N_WAY * (1 + same.N_QUERY))
    for shuffled in (False, True):
        model = learner("MAML", seed, inner)
        sampler = FixedLabels(part.train, 1, seed, shuffled)
        meta_train(model, sampler, steps=steps, tasks_per_step=same.TASKS, lr=outer)
        found["shuffled" if shuffled else "fixed"] = {
            f"{'shuffled' if tested else 'fixed'} {n}": round(
                evaluate(
                    after(model.model, inner, n),
                    FixedLabels(part.test, 1, seed, tested),
                    same.CHOOSING,
                ).mean,
                4,
            )
            for tested in (False, True)
            for n in (0, STEPS)
        }
    return found


def cost(first_order: bool, steps: int) -> dict[str, float]:
    """Seconds of a meta-gradient of eight tasks (median of five) and the memory that it adds."""
    torch.set_num_threads(1)
    part = same.split("families", 0)
    tasks = EpisodeSampler(part.train, same.N_WAY, 1, same.N_QUERY, 0).batch(0, same.TASKS)
    model = learner("first order" if first_order else "MAML", 0, 0.1, steps)
    before, times = resident("VmRSS"), []
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    for _ in range(5):
        begin = time.process_time()
        training_loss(model, tasks, same.N_WAY).backward()
        times.append(time.process_time() - begin)
    megabytes = (resident("VmHWM") - before) / 2**20
    return {"seconds": round(float(np.median(times)), 4), "megabytes": round(megabytes, 1)}


def measured(order: str, steps: int) -> dict[str, float]:
    """What a step costs, in a process of its own."""
    command = [sys.executable, "-m", "tools.gradient_study", order, str(steps)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    torch.set_num_threads(1)
    draws = same.SEEDS
    tries = {kind: choose(kind) for kind in LEARNERS}
    descents = {kind: choose_descent(kind) for kind in ("scratch", "pooled")}
    boards = {
        kind: [kept(f"board {kind} {s}", lambda k=kind, s=s: board(k, s)) for s in draws]
        for kind in LEARNERS
    }
    baselines = {
        kind: [kept(f"descent {kind} {s}", lambda k=kind, s=s: descent(k, s)) for s in draws]
        for kind in ("scratch", "pooled")
    }
    steps = {
        kind: {
            str(n): [
                kept(f"steps {kind} {n} {s}", lambda k=kind, s=s, n=n: fewer_steps(k, s, n))
                for s in draws
            ]
            for n in TRAIN_STEPS
        }
        for kind in ("MAML", "first order")
    }
    labels = [kept(f"labels {s}", lambda s=s: memorization(s)) for s in draws]
    costs = {
        order: {
            str(n): kept(f"cost {order} {n}", lambda o=order, n=n: measured(o, n)) for n in COSTS
        }
        for order in ("second", "first")
    }
    report = {
        "recipe": recipe(),
        "tried": tries,
        "descents": descents,
        "board": {
            kind: shortened([run["scores"] for run in runs])
            | {"seconds": [run["seconds"] for run in runs]}
            for kind, runs in boards.items()
        },
        "baselines": {kind: shortened(runs) for kind, runs in baselines.items()},
        "moves": {
            way: shortened([run["moves"][way] for run in boards["MAML"]])
            for way in boards["MAML"][0]["moves"]
        },
        "by_steps": by_draw([run["by_steps"] for run in boards["MAML"]]),
        "similarity": by_draw([run["similarity"] for run in boards["MAML"]]),
        "steps": {k: {n: shortened(runs) for n, runs in own.items()} for k, own in steps.items()},
        "labels": {
            how: by_draw([run[how] for run in labels]) for how in ("fixed", "shuffled")
        },
        "costs": costs,
    }  # fmt: skip
    TARGET.write_text(json.dumps(report, indent=1) + "\n")


def shortened(runs: list[dict[str, list[float]]]) -> dict[str, list[float]]:
    """Means of each draw instead of every episode."""
    return {k: [round(float(np.mean(run[k])), 5) for run in runs] for k in runs[0]}


def by_draw(runs: list[dict[str, float]]) -> dict[str, list[float]]:
    return {key: [run[key] for run in runs] for key in runs[0]}


def recipe() -> dict[str, object]:
    return {
        "command": "python -m tools.gradient_study",
        "corpus": names.EXPECTED,
        "episodes": same.EPISODES,
        "n_way": same.N_WAY,
        "n_query": same.N_QUERY,
        "examples_read": same.NAMES_READ,
        "inner_steps": STEPS,
        "draws": len(same.SEEDS),
    }


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(cost(sys.argv[1] == "first", int(sys.argv[2]))))
    else:
        main()
