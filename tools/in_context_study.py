"""Train learners that read, for the chapter "In context".

``python -m tools.in_context_study`` trains, from three seeds each, transformers that read linear
functions as a sequence and as a set, a recurrent network that reads the same, and readers that met
few functions; then readers of names on five draws of the languages, and small language models on
names in two orders. Each run is kept in ``build/in-context`` when it ends. Results go to
``notebooks/data/in-context.json``, the weights of the first sequence and set reader to
``notebooks/data/in-context.safetensors``; half an hour on one core.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nlpmeta import optim
from nlpmeta.class_splits import Split
from nlpmeta.corpora import names
from nlpmeta.episodes import EpisodeSampler, Task, evaluate
from nlpmeta.in_context_regression import averaging, least_squares, linear_tasks, posterior
from nlpmeta.learners import InContext, InContextRegressor
from nlpmeta.meta import training_loss
from nlpmeta.neural import initialize
from nlpmeta.neural_lm import NeuralLM
from nlpmeta.task_sets import latin_names
from nlpmeta.training import History, cosine, fit
from nlpmeta.transformer import GPT, GPTConfig
from tools import metric_study
from tools.keep import keep

ROOT = Path(__file__).resolve().parent.parent
TARGET, WORK = ROOT / "notebooks/data/in-context.json", ROOT / "build/in-context"
kept = partial(keep, WORK)
WEIGHTS = TARGET.with_suffix(".safetensors")
SEEDS, NAME_SEEDS = (0, 1, 2), metric_study.SEEDS
D, LENGTH, NOISE, QUERIES = 3, 10, 0.5, 8
WIDTH, LAYERS, HEADS = 32, 3, 2
STEPS, SET_STEPS, BATCH, LR = 2500, 1500, 64, 3e-3
TESTS, TEST_SEED, EVERY = 2000, 10**6, 50
FUNCTIONS = (8, 128)
ENCODER_RATE = 1e-2  # of the chapter on metric learning
NAME_LAYERS, TASKS = 2, 8
NAME_RUNS = {  # steps, learning rate
    "from scratch": (600, 1e-3),
    "from scratch, longer": (1500, 3e-3),
    "on a prototypical encoder": (600, 3e-3),
}
RULE_D, RULE_POINTS, RULE_STEPS, HORIZON = 8, 16, 150, 20
RULE_AT, RULE_RATES = (5, 20, 100, 400), (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
RULES = ("20 steps", "random lengths", "decaying rate")
LM_STEPS, PASSES, LONGEST, PROMPTS, KINDS = 600, 8, 14, 400, (0, 1, 2, 4, 8)


# --- linear functions -----------------------------------------------------------------------------


def reader(seed: int, places: int = 0) -> InContextRegressor:
    """A transformer of random weights for numbers: of a set, or of a sequence."""
    generator = torch.Generator().manual_seed(seed)
    encoder = nn.Linear(D, WIDTH)
    initialize(encoder, generator)
    return InContextRegressor(encoder, WIDTH, LAYERS, HEADS, generator, places)


class Recurrent(nn.Module):
    """A gated recurrent unit that sees each input with the number of the one before it.

    The arrangement of Hochreiter et al. (2001) and Santoro et al. (2016): what is known of a task
    has to fit into the state.
    """

    def __init__(self, seed: int, width: int = 64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.cell, self.out = nn.GRU(D + 1, width, batch_first=True), nn.Linear(width, 1)
        initialize(self, generator)

    def along(self, x: Tensor, y: Tensor) -> Tensor:
        """The answer for each input from the examples before it: (b, s, d), (b, s, 1)."""
        before = torch.cat([torch.zeros_like(y[:, :1]), y[:, :-1]], 1)
        return self.out(self.cell(torch.cat([x, before], -1))[0])


def tasks(seed: int, step: int, functions: int | None = None) -> Task:
    """A batch of training tasks: from all linear functions, or from so many of them."""
    g = torch.Generator().manual_seed(10_000 * (seed + 1) + step)
    batch, w = linear_tasks(BATCH, LENGTH, QUERIES, D, g, NOISE)
    if functions is None:
        return batch
    pool = torch.randn(functions, D, 1, generator=torch.Generator().manual_seed(seed))
    change = pool[torch.randint(functions, (BATCH,), generator=g)] - w
    return batch._replace(
        support_y=batch.support_y + batch.support_x @ change,
        query_y=batch.query_y + batch.query_x @ change,
    )


def sequence_loss(model: nn.Module, batch: Task) -> Tensor:
    """Mean squared error of the answers at every place of the sequence."""
    return (model.along(batch.support_x, batch.support_y) - batch.support_y).square().mean()


def set_loss(model: InContextRegressor, batch: tuple[Task, int]) -> Tensor:
    """Mean squared error on the queries after reading the first k examples."""
    task, k = batch
    answers = model.adapt(task.support_x[:, :k], task.support_y[:, :k])(task.query_x)
    return (answers - task.query_y).square().mean()


def train_sequence(model: nn.Module, seed: int) -> History:
    return fit(model, sequence_loss, lambda step: tasks(seed, step), steps=STEPS, lr=LR, clip=1.0,
               schedule=cosine(STEPS, warmup=100))  # fmt: skip


def train_set(model: InContextRegressor, seed: int, functions: int | None = None) -> History:
    def batch(step: int) -> tuple[Task, int]:
        k = int(np.random.default_rng([seed, step]).integers(1, LENGTH + 1))
        return tasks(seed, step, functions), k

    return fit(model, set_loss, batch, steps=SET_STEPS, lr=LR, clip=1.0,
               schedule=cosine(SET_STEPS, warmup=100))  # fmt: skip


def held_out(n_support: int = LENGTH, noise: float = NOISE, prior: float = 1.0) -> Task:
    g = torch.Generator().manual_seed(TEST_SEED)
    return linear_tasks(TESTS, n_support, QUERIES, D, g, noise, prior)[0]


def sequence_errors(model: nn.Module) -> list[float]:
    """Mean squared error of the answer after 0, 1, ... examples of the test tasks."""
    batch = held_out()
    with torch.no_grad():
        answers = model.along(batch.support_x, batch.support_y)
    return [round(float(e), 5) for e in (answers - batch.support_y).square().mean((0, 2))]


def formulas() -> dict[str, list[float]]:
    """The same errors of the answers with a formula; before any example all say 0."""
    x, y = held_out()[:2]
    found: dict[str, list[float]] = {"Bayes": [], "least squares": [], "averaging": []}
    for k in range(LENGTH):
        seen, query, target = (x[:, :k], y[:, :k]), x[:, k : k + 1], y[:, k : k + 1]
        ways = (lambda a, b: posterior(a, b, NOISE).mean, least_squares, averaging)
        for name, way in zip(found, ways):
            w = way(*seen) if k else torch.zeros(D, 1)
            found[name].append(round(float((query @ w - target).square().mean()), 5))
    return found


def set_errors(model: InContextRegressor, batch: Task) -> dict[str, float]:
    """Mean squared error on the queries by number of examples read."""
    with torch.no_grad():
        return {
            str(k): round(
                float(set_loss(model, (batch, k))), 5
            )
            for k in (1, 2, 3, 5, 10, 20, 40)
            if k <= batch.support_x.shape[1]
        }  # fmt: skip


def curve(losses: np.ndarray) -> list[float]:
    """Means of so many steps at a time."""
    return [round(float(v), 4) for v in losses.reshape(-1, EVERY).mean(1)]


def sequence(seed: int) -> dict[str, object]:
    model = reader(seed, LENGTH)
    history = train_sequence(model, seed)
    keep_weights("sequence", seed, model)
    return {"losses": curve(history.losses), "errors": sequence_errors(model)}


def recurrent(seed: int) -> dict[str, object]:
    model = Recurrent(seed)
    history = train_sequence(model, seed)
    return {"losses": curve(history.losses), "errors": sequence_errors(model)}


def as_set(seed: int) -> dict[str, object]:
    model = reader(seed)
    history = train_set(model, seed)
    keep_weights("set", seed, model)
    return {"losses": curve(history.losses), "errors": set_errors(model, held_out(40))}


def few_functions(seed: int, functions: int) -> dict[str, object]:
    """A reader that met few functions: its errors on those, and on new ones."""
    model = reader(seed)
    train_set(model, seed, functions)
    known = [tasks(seed, 10**5 + i, functions) for i in range(-(-TESTS // BATCH))]
    known = Task(*map(torch.cat, zip(*known)))
    return {"known": set_errors(model, known), "new": set_errors(model, held_out())}


def choose_among(pool: Tensor, x: Tensor, y: Tensor, query: Tensor) -> Tensor:
    """Exact Bayes where the function is one of a few: their mean, weighted by how well they fit."""
    fits = -(y - torch.einsum("bsd,mdo->mbso", x, pool)).square().sum((-2, -1)) / (2 * NOISE**2)
    return query @ torch.einsum("mb,mdo->bdo", fits.softmax(0), pool)


def rulers(seed: int, functions: int) -> dict[str, dict[str, float]]:
    """Errors after ten examples of ridge, and of the Bayes predictor that knows the functions."""
    pool = torch.randn(functions, D, 1, generator=torch.Generator().manual_seed(seed))
    known = [tasks(seed, 10**5 + i, functions) for i in range(-(-TESTS // BATCH))]
    found = {}
    for label, task in (("known", Task(*map(torch.cat, zip(*known)))), ("new", held_out())):
        x, y, query, target = task
        answers = {
            "ridge": query @ posterior(x, y, NOISE).mean,
            "knows them": choose_among(pool, x, y, query),
        }
        found[label] = {
            k: round(float((a - target).square().mean()), 5) for k, a in answers.items()
        }
    return found


def keep_weights(kind: str, seed: int, model: nn.Module) -> None:
    if seed == 0:
        WORK.mkdir(parents=True, exist_ok=True)
        save_file(model.state_dict(), WORK / f"{kind}.safetensors")


def load_reader(kind: str, path: Path = WEIGHTS) -> InContextRegressor:
    """The stored reader of a sequence or of a set, as it was trained from the first seed."""
    model = reader(0, LENGTH if kind == "sequence" else 0)
    stored = load_file(path)
    own = {k.removeprefix(f"{kind}."): v for k, v in stored.items() if k.startswith(f"{kind}.")}
    model.load_state_dict(own)
    return model.eval()


# --- names ----------------------------------------------------------------------------------------


class Vectors(nn.Module):
    """An encoder for what is a vector already; all have one scale."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def encoded(part: Split, encoder: nn.Module) -> Split:
    """The names of all parts as vectors, in units of their spread in training."""
    with torch.no_grad():
        found = [
            {d: {c: encoder(x) for c, x in own.items()} for d, own in tasks.items()}
            for tasks in part
        ]
    spread = torch.cat([x for own in found[0].values() for x in own.values()]).std()
    return Split(
        *({d: {c: x / spread for c, x in o.items()} for d, o in tasks.items()} for tasks in found)
    )


def train_names(how: str, part: Split, seed: int) -> tuple[InContext, Split, History]:
    """A reader of names; the parts as it wants them; and how its training went."""
    if how == "on a prototypical encoder":
        prototypical = metric_study.learner("prototypical", "families", seed)
        trained = metric_study.trained(prototypical, part, seed, ENCODER_RATE)
        part, encoder = encoded(part, trained.encoder), Vectors()
    else:
        encoder = metric_study.network("families", seed)
    g = torch.Generator().manual_seed(100 + seed)
    model = InContext(encoder, metric_study.WIDTH, metric_study.N_WAY, NAME_LAYERS, 4, g)
    samplers = [
        EpisodeSampler(part.train, metric_study.N_WAY, k, metric_study.N_QUERY, seed)
        for k in metric_study.SHOTS
    ]

    def batch(step: int) -> Task:
        return samplers[step % 2].batch(step * TASKS, TASKS)

    steps, lr = NAME_RUNS[how]
    history = fit(
        model,
        lambda m, tasks: training_loss(m, tasks, metric_study.N_WAY),
        batch,
        steps=steps,
        lr=lr,
        clip=1.0,
        schedule=cosine(steps, warmup=100),
    )
    return model, part, history


class Relabeled:
    """A learner whose support labels are taken away: shuffled, or replaced by "unknown"."""

    def __init__(self, model: InContext, how: str) -> None:
        self.model, self.how, self.rng = model, how, np.random.default_rng(0)

    def adapt(self, x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
        if self.how == "shuffled":
            y = y[torch.as_tensor(self.rng.permutation(len(y)))]
        elif self.how == "left out":
            y = torch.full_like(y, self.model.n_labels)
        return self.model.adapt(x, y, metric_study.N_WAY)


def name_readers(seed: int, how: str) -> dict[str, object]:
    part = metric_study.split("families", seed)
    model, part, history = train_names(how, part, seed)
    found: dict[str, object] = {"losses": curve(history.losses)}
    for label, tasks_ in (("train", part.train), ("test", part.test)):
        found[label] = {
            str(k): accuracy(model, tasks_, k, seed if label == "test" else 10**6 + seed)
            for k in metric_study.SHOTS
        }
    for label in ("shuffled", "left out"):
        found[label] = {
            str(k): accuracy(Relabeled(model, label), part.test, k, seed, 200)
            for k in metric_study.SHOTS
        }
    return found


def accuracy(
    model: object, tasks_: dict, k: int, seed: int, n: int = metric_study.EPISODES
) -> float:
    sampler = EpisodeSampler(tasks_, metric_study.N_WAY, k, metric_study.N_QUERY, seed)
    with torch.no_grad():
        return round(evaluate(model, sampler, n).mean, 5)


# --- language models of names ---------------------------------------------------------------------


def names_of(seed: int, part: str) -> dict[str, list[str]]:
    """Names by language: languages and things of one part of the draw."""
    languages = set(getattr(metric_study.split("families", seed), part))
    found: dict[str, set[str]] = {}
    for r in latin_names():
        own = r.language in languages and names.entity_part(r.english) == part
        if own and 3 <= len(r.text) <= LONGEST:
            found.setdefault(r.language, set()).add(r.text)
    return {language: sorted(t) for language, t in sorted(found.items()) if len(t) >= 20}


def text_of(found: dict[str, list[str]], order: str, seed: int) -> str:
    """All names several times, a line each: language after language, or all mixed."""
    rng, lines = np.random.default_rng(seed), []
    for _ in range(PASSES):
        if order == "by language":
            for language in rng.permutation(list(found)):
                lines += rng.permutation(found[language]).tolist()
        else:
            lines += rng.permutation([t for own in found.values() for t in own]).tolist()
    return "\n".join(lines) + "\n"


def small_gpt(n_symbols: int, generator: torch.Generator) -> GPT:
    return GPT(GPTConfig(n_symbols, 128, 64, 2, 4, "rotary"), generator)


def prompt_bits(model: NeuralLM, prompts: list[str], target: list[str]) -> float:
    """Bits per character of each target after its prompt."""
    number = {c: i for i, c in enumerate(model.vocabulary)}
    unknown, bits, length = number["<unk>"], 0.0, 0
    for prompt, name in zip(prompts, target):
        ids = [unknown] + [number.get(c, unknown) for c in prompt + name]
        x = torch.tensor(ids[-129:])[None]
        with torch.no_grad():
            logprobs = model.network(x[:, :-1])[0][0].log_softmax(-1)
        own = logprobs.gather(-1, x[0, 1:, None])[-len(name) :, 0]
        bits, length = bits - float(own.sum()) / math.log(2), length + len(name)
    return round(bits / length, 4)


def language_model(seed: int, order: str) -> dict[str, object]:
    """Bits of names in unseen languages after names of the same and of another language."""
    text = text_of(names_of(seed, "train"), order, seed)
    model = NeuralLM(small_gpt, steps=LM_STEPS, batch_size=16, window=128, lr=4e-3, seed=seed)
    model.fit(text)
    test, rng = names_of(seed, "test"), np.random.default_rng(seed)
    languages, drawn = list(test), []
    for _ in range(PROMPTS):
        own, other = (test[languages[i]] for i in rng.choice(len(languages), 2, replace=False))
        drawn.append((rng.permutation(own)[:9].tolist(), rng.permutation(other)[:8].tolist()))
    target = [own[8] + "\n" for own, _ in drawn]
    found: dict[str, object] = {"loss": round(float(model.history.losses[-50:].mean()), 4)}
    for kind, place in (("same", 0), ("other", 1)):
        found[kind] = {
            str(k): prompt_bits(
                model, ["".join(t + "\n" for t in pair[place][:k]) for pair in drawn], target
            )
            for k in KINDS
        }
    return found


# --- an update rule -------------------------------------------------------------------------------


class Problems(NamedTuple):
    """Least squares on support sets: inputs, numbers, and the loss that cannot be gone below."""

    x: Tensor
    y: Tensor
    least: Tensor


def problems(n: int, seed: int, scale: float = 1.0) -> Problems:
    g = torch.Generator().manual_seed(seed)
    task, _ = linear_tasks(n, RULE_POINTS, 1, RULE_D, g, NOISE)
    x, y = scale * task.support_x, task.support_y
    w = least_squares(x.double(), y.double()).float()
    return Problems(x, y, (y - x @ w).square().mean((1, 2)))


def gaps(update: Callable, problem: Problems, steps: int) -> Tensor:
    """Loss above the least along a run from zero: (steps + 1, n)."""
    x, y, least = problem

    def loss(w: Tensor, step: int) -> Tensor:
        return (y - x @ w[..., None]).square().mean((1, 2))

    return optim.unroll(update, loss, torch.zeros(len(x), RULE_D), steps) - least


def decaying(update: Callable, lr: float) -> Callable:
    """The rule with a rate that falls like one over the number of steps."""
    return lambda w, grad, state: update(
        w, grad, state, lr * HORIZON / (HORIZON + (state.t if state else 0))
    )


def train_rule(seed: int, how: str) -> optim.LearnedOptimizer:
    """A learned optimizer: on 20 steps, on runs of random length, or with a decaying rate."""
    rule = optim.LearnedOptimizer(torch.Generator().manual_seed(seed))

    def batch(step: int) -> tuple[Problems, int]:
        share = np.random.default_rng([seed, step]).random()
        length = round(5 * 20**share) if how == "random lengths" else HORIZON
        return problems(32, 1000 * (seed + 1) + step), length

    def loss(rule: nn.Module, batch: tuple[Problems, int]) -> Tensor:
        update = decaying(rule, 0.1) if how == "decaying rate" else rule
        return gaps(update, *batch)[1:].mean()

    fit(rule, loss, batch, steps=RULE_STEPS, lr=0.02, clip=1.0, schedule=cosine(RULE_STEPS))
    return rule


def learned_rule(seed: int, how: str) -> dict[str, dict[str, float]]:
    rule = train_rule(seed, how)
    update = decaying(rule, 0.1) if how == "decaying rate" else rule
    with torch.no_grad():
        return along(update)


def along(update: Callable) -> dict[str, dict[str, float]]:
    """Mean gap after some numbers of steps: on new problems, and on inputs three times as large."""
    found = {}
    for name, problem in (
        ("same", problems(200, TEST_SEED)),
        ("scaled", problems(200, TEST_SEED + 1, 3.0)),
    ):
        mean = gaps(update, problem, RULE_AT[-1]).mean(1)
        found[name] = {
            str(t): round(v, 6) if math.isfinite(v := float(mean[t])) else None for t in RULE_AT
        }
    return found


def with_state(w: Tensor, grad: Tensor, state: tuple | None, lr: float) -> tuple:
    """Gradient descent that counts its steps."""
    return optim.sgd(w, grad, None, lr)[0], optim.AdamState(w, w, (state.t if state else 0) + 1)


def rivals() -> dict[str, object]:
    """Rules by hand, each with the rate that is best on problems of training for 20 steps."""
    tune, found = problems(100, 999), {}
    rules = {"SGD": with_state, "Adam": optim.adam}
    with torch.no_grad():
        for name, rule in rules.items():
            for label, build in (
                (name, lambda r, lr: partial(r, lr=lr)),
                (f"{name}, decaying rate", decaying),
            ):
                tried = {
                    lr: float(gaps(build(rule, lr), tune, HORIZON)[1:].mean().nan_to_num(1e9, 1e9))
                    for lr in RULE_RATES
                }
                lr = min(tried, key=tried.get)
                found[label] = {"rate": lr, **along(build(rule, lr))}
    return found


# --- all runs ------------------------------------------------------------------------------------


def regression() -> dict[str, object]:
    return {
        "formulas": formulas(),
        "sequence": [kept(f"sequence {s}", lambda s=s: sequence(s)) for s in SEEDS],
        "set": [kept(f"set {s}", lambda s=s: as_set(s)) for s in SEEDS],
        "recurrent": [kept(f"recurrent {s}", lambda s=s: recurrent(s)) for s in SEEDS],
        "functions": {
            str(m): [
                kept(f"functions {m} {s}", lambda s=s, m=m: few_functions(s, m)) for s in SEEDS
            ]
            for m in FUNCTIONS
        },
        "rulers": {str(m): [rulers(s, m) for s in SEEDS] for m in FUNCTIONS},
    }


def on_names() -> dict[str, object]:
    return {
        how: [
            kept(f"names {how} {s}", lambda s=s, how=how: name_readers(s, how)) for s in NAME_SEEDS
        ]
        for how in NAME_RUNS
    }


def language_models() -> dict[str, object]:
    return {
        order: [kept(f"lm {order} {s}", lambda s=s, o=order: language_model(s, o)) for s in SEEDS]
        for order in ("by language", "mixed")
    }


def at_the_start() -> dict[str, float]:
    """The mean gap before the first step."""
    found = {"same": problems(200, TEST_SEED), "scaled": problems(200, TEST_SEED + 1, 3.0)}
    return {
        k: round(float((p.y.square().mean((1, 2)) - p.least).mean()), 4) for k, p in found.items()
    }


def update_rules() -> dict[str, object]:
    return {
        "start": at_the_start(),
        "learned": {
            how: [kept(f"rule {how} {s}", lambda s=s, how=how: learned_rule(s, how)) for s in SEEDS]
            for how in RULES
        },
        "by hand": kept("rivals", rivals),
    }


PARTS = {
    "regression": regression,
    "names": on_names,
    "language-models": language_models,
    "rules": update_rules,
}


def recipe() -> dict[str, object]:
    return {
        "command": "python -m tools.in_context_study",
        "corpora": {"names": names.EXPECTED},
        "regression": [D, LENGTH, NOISE, WIDTH, LAYERS, HEADS, STEPS, SET_STEPS, BATCH, LR],
        "names": [NAME_LAYERS, TASKS, {how: list(run) for how, run in NAME_RUNS.items()}],
        "language models": [LM_STEPS, PASSES, LONGEST, PROMPTS],
        "rules": [RULE_D, RULE_POINTS, RULE_STEPS, HORIZON],
        "draws": [len(SEEDS), len(NAME_SEEDS)],
    }


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=PARTS)
    part = parser.parse_args().part
    if part:
        PARTS[part]()
        return
    found = {name: run() for name, run in PARTS.items()}
    TARGET.write_text(json.dumps({"recipe": recipe(), **found}, indent=1) + "\n")
    stored = {
        f"{kind}.{key}": value
        for kind in ("sequence", "set")
        for key, value in load_file(WORK / f"{kind}.safetensors").items()
    }
    save_file(stored, WEIGHTS)


if __name__ == "__main__":
    main()
