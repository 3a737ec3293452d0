"""Translate names into a script of which only 50 pairs are known.

``python -m tools.translation_study`` takes four languages with 50 English names and their own, and
learns to translate them by copying, by the most similar name, by pairs of chunks, and by networks:
alone, from one other language, from ten, beside ten, and from a start that Reptile learned on ten.
No thing that is asked for was seen in any language. Rates were chosen on two further languages;
steps are what a short run affords, so some ways are trained again with four times as many. Each run
is kept in ``build/translation`` when it ends; delete that folder after a change of this script.
Everything goes to ``notebooks/data/translation.json``; a quarter of an hour on one core.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from nlpmeta.corpora import names
from nlpmeta.metrics import bleu, chrf
from nlpmeta.multigram import Multigrams
from nlpmeta.overlap import edit_distance
from nlpmeta.seq2seq import END, PAD, START, Seq2Seq
from nlpmeta.text import pad
from nlpmeta.training import cosine, fit, minibatches
from tools.keep import keep

ROOT = Path(__file__).resolve().parent.parent
TARGET, WORK = ROOT / "notebooks/data/translation.json", ROOT / "build/translation"
kept = partial(keep, WORK)
FAMILIES, LONGEST = ("city", "territory", "language"), 20
SOURCES = ("ru", "bg", "uk", "ar", "fa", "hi", "ne", "bn", "he", "ja")
# Languages with 50 pairs. Sources have the script of the first two; of the others, none.
TARGETS = ("kk", "ur", "ka", "el")
PARENT = "ru"  # the one language, where there is one
SHARED = ("kk", "ur")
VALIDATION = ("ky", "si")
FEW, ASKED, SEEDS, TUNING = 50, 150, (0, 1, 2, 3, 4), 99
D_EMBEDDING, D_HIDDEN, SIZE, RATE = 32, 64, 64, 3e-3
STEPS = {"parent": 150, "pooled": 250}
ADAPTING = ((60, 1e-3), (60, 3e-3))
ALONE = ((120, 3e-3), (120, 1e-2))
CHUNKS = ((1, 2), (2, 2))
OFTEN = 4  # times a pair of a language with few pairs is read as often as another, together
INNER, INNER_SIZE, TASKS = 5, 32, 4  # Reptile: steps in a language, and languages in a step
REPTILE_STEPS = STEPS["pooled"] * SIZE // (INNER * INNER_SIZE * TASKS)  # as many pairs are read
REPTILE_RATES = ((0.1, 1.0), (0.3, 1.0))  # inner rate, and the step toward the ends

# Whether the order is that of short runs: some ways again with so many times the steps.
TIMES, LONG_SEEDS = 4, (0, 1, 2)
LONG_WAYS = ("alone", "from ten", "beside ten, with tags", "Reptile")

Pair = tuple[str, str]


# --- data ---------------------------------------------------------------------------------------


@cache
def corpus() -> dict[str, dict[str, list[Pair]]]:
    """By language and part: English names and theirs, small letters, in the main script."""
    records = names.load(near_copies=False)
    scripts = names.main_scripts(records)
    used = {*SOURCES, *TARGETS, *VALIDATION}
    found: dict[str, dict[str, dict[str, str]]] = {}
    for r in records:
        fits = max(len(r.text), len(r.english)) <= LONGEST and r.script == scripts[r.language]
        if r.language in used and r.family in FAMILIES and fits:
            own = found.setdefault(r.language, {}).setdefault(names.entity_part(r.english), {})
            own.setdefault(r.english.lower(), r.text.lower())
    return {k: {p: sorted(v.items()) for p, v in parts.items()} for k, parts in found.items()}


@cache
def symbols() -> tuple[dict[str, int], dict[str, int]]:
    """Numbers of source characters and language tags, and of target characters."""
    known = [pair for parts in corpus().values() for pair in parts["train"]]
    left = [*sorted({c for x, _ in known for c in x}), *(f"<{k}>" for k in sorted(corpus()))]
    right = sorted({c for _, y in known for c in y})
    source = {c: i for i, c in enumerate(left, START + 2)}
    return source, {c: i for i, c in enumerate(right, START + 2)}


def sources_of(texts: Sequence[str], tag: str | None = None) -> Tensor:
    left, _ = symbols()
    first = [left[f"<{tag}>"]] if tag else []
    unknown = max(left.values()) + 1
    return torch.as_tensor(pad([[*first, *(left.get(c, unknown) for c in x)] for x in texts]))


def targets_of(texts: Sequence[str]) -> Tensor:
    _, right = symbols()
    unknown = max(right.values()) + 1
    return torch.as_tensor(pad([[START, *(right.get(c, unknown) for c in y), END] for y in texts]))


def tensors(pairs: Sequence[Pair], tag: str | None = None) -> tuple[Tensor, Tensor]:
    return sources_of([x for x, _ in pairs], tag), targets_of([y for _, y in pairs])


def few(language: str, seed: int) -> list[Pair]:
    """The pairs that are known of a language."""
    own = corpus()[language]["train"]
    order = np.random.default_rng([seed, *map(ord, language)]).permutation(len(own))
    return [own[i] for i in order[:FEW]]


def asked(language: str, part: str = "test") -> list[Pair]:
    """The pairs that are asked for: the same for every way and seed."""
    own = corpus()[language][part]
    return [own[i] for i in np.random.default_rng(0).permutation(len(own))[:ASKED]]


# --- networks ------------------------------------------------------------------------------------


def network(seed: int, attention: str = "product") -> Seq2Seq:
    left, right = symbols()
    n, m = max(left.values()) + 2, max(right.values()) + 2
    generator = torch.Generator().manual_seed(seed)
    return Seq2Seq(n, m, D_EMBEDDING, D_HIDDEN, attention, generator=generator)


def train(
    model: Seq2Seq, x: Tensor, y: Tensor, steps: int, lr: float, seed: int, size: int = SIZE
) -> Seq2Seq:
    """A model after so many batches, which it is trained on in place."""
    batch = minibatches(x, y, size=min(size, len(x)), seed=seed)
    plan = cosine(steps, warmup=steps // 10)
    fit(model, lambda m, b: m.loss(*b), batch, steps=steps, lr=lr, clip=1.0, schedule=plan)
    return model


@torch.no_grad()
def translate(model: Seq2Seq, texts: Sequence[str], tag: str | None = None) -> list[str]:
    """The most probable next character, again and again, for all texts at once."""
    x = sources_of(texts, tag)
    _, right = symbols()
    letters = {i: c for c, i in right.items()}
    keys, state = model.encode(x)
    y = torch.full((len(x), 1), START)
    for _ in range(LONGEST + 4):
        logits, _ = model.decode(keys, state, x != PAD, y)
        logits[:, -1, [PAD, START]] = -1e9
        y = torch.cat([y, logits[:, -1].argmax(-1, keepdim=True)], 1)
    rows = [row[: row.index(END)] if END in row else row for row in y[:, 1:].tolist()]
    return ["".join(letters.get(i, "?") for i in row) for row in rows]


def pooled_data(seed: int, tagged: Sequence[str] = ()) -> tuple[Tensor, Tensor]:
    """All pairs of the sources; with tags, and with the few pairs of languages beside them."""
    xs, ys = [], []
    for language in SOURCES:
        pairs = corpus()[language]["train"]
        xs += [(x, language if tagged else None) for x, _ in pairs]
        ys += [y for _, y in pairs]
    for language in tagged:
        pairs = few(language, seed) * OFTEN
        xs += [(x, language) for x, _ in pairs]
        ys += [y for _, y in pairs]
    left, _ = symbols()
    unknown = max(left.values()) + 1
    rows = [
        [*([left[f"<{tag}>"]] if tag else []), *(left.get(c, unknown) for c in x)] for x, tag in xs
    ]
    return torch.as_tensor(pad(rows)), targets_of(ys)


@cache
def parent(language: str, seed: int, times: int = 1) -> Seq2Seq:
    x, y = tensors(corpus()[language]["train"])
    return train(network(seed), x, y, STEPS["parent"] * times, RATE, seed)


@cache
def pooled(seed: int, times: int = 1) -> Seq2Seq:
    return train(network(seed), *pooled_data(seed), STEPS["pooled"] * times, RATE, seed)


@cache
def beside(seed: int, languages: tuple[str, ...], times: int = 1) -> Seq2Seq:
    """One model of the sources and of languages with few pairs; a tag says which is wanted."""
    steps = STEPS["pooled"] * times
    return train(network(seed), *pooled_data(seed, languages), steps, RATE, seed)


@cache
def reptile(seed: int, inner: float, outer: float, times: int = 1) -> Seq2Seq:
    """A start that moved toward where a few steps of descent in each language end."""
    model = network(seed)
    rng = np.random.default_rng(seed)
    data = {k: tensors(corpus()[k]["train"]) for k in SOURCES}
    theta = {k: v.detach().clone() for k, v in model.named_parameters()}
    steps = REPTILE_STEPS * times
    for step in range(steps):
        ends = {k: torch.zeros_like(v) for k, v in theta.items()}
        for language in rng.choice(SOURCES, TASKS, replace=False):
            x, y = data[str(language)]
            phi = theta
            for _ in range(INNER):
                rows = torch.from_numpy(rng.choice(len(x), INNER_SIZE, replace=False))
                phi = descended(model, phi, x[rows], y[rows], inner)
            ends = {k: ends[k] + v / TASKS for k, v in phi.items()}
        rate = outer * (1 - step / steps)
        theta = {k: v + rate * (ends[k] - v) for k, v in theta.items()}
    model.load_state_dict(theta)
    return model


def descended(model: Seq2Seq, theta: dict, x: Tensor, y: Tensor, lr: float) -> dict:
    """A step of descent, its gradient cut to length 1."""
    own = {k: v.detach().requires_grad_() for k, v in theta.items()}
    logits, _ = functional_call(model, own, (x, y[:, :-1]))
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), y[:, 1:].flatten(), ignore_index=PAD
    )
    grads = torch.autograd.grad(loss, list(own.values()), allow_unused=True)
    grads = [torch.zeros_like(v) if g is None else g for g, v in zip(grads, own.values())]
    length = torch.stack([g.square().sum() for g in grads]).sum().sqrt()
    scale = lr / max(1.0, float(length))
    return {k: (v - scale * g).detach() for (k, v), g in zip(own.items(), grads)}


# --- without a network ---------------------------------------------------------------------------


def nearest(pairs: Sequence[Pair], texts: Sequence[str]) -> list[str]:
    """The translation of the known name that differs in the smallest share of its characters."""
    return [
        min(pairs, key=lambda p: edit_distance(x, p[0]) / max(len(x), len(p[0])))[1] for x in texts
    ]


def table(pairs: Sequence[Pair], texts: Sequence[str], longest: tuple[int, int]) -> list[str]:
    model = Multigrams.fit([p for p in pairs if p[0] and p[1]], longest)
    best = model.best()
    return ["".join(b for _, b in model.align(x, best)) for x in texts]


# --- scores --------------------------------------------------------------------------------------


def scores(found: Sequence[str], right: Sequence[str]) -> dict[str, float]:
    """chrF, BLEU of words and of characters, and the share that is exactly right, in percent."""
    spaced = [[" ".join(text.replace(" ", "_")) for text in own] for own in (found, right)]
    exact = 100 * float(np.mean([a == b for a, b in zip(found, right)]))
    return {
        "chrf": round(chrf(found, right), 3),
        "exact": round(exact, 3),
        "bleu": round(bleu(found, right), 3),
        "character bleu": round(bleu(*spaced, tokenize="none"), 3),
    }


def judged(found: Sequence[str], language: str, part: str = "test") -> dict[str, float]:
    return scores(found, [y for _, y in asked(language, part)])


WAYS = (
    "copy",
    "most similar name",
    "pairs of chunks",
    "alone",
    "from one language",
    "from ten, not adapted",
    "from ten",
    "beside ten, with tags",
    "Reptile",
)
GRIDS: dict[str, tuple] = {
    "pairs of chunks": CHUNKS,
    "alone": ALONE,
    "from one language": ADAPTING,
    "from ten": ADAPTING,
    "Reptile": tuple((*r, *ADAPTING[1]) for r in REPTILE_RATES),
}


def low(
    way: str, language: str, seed: int, setting, part: str = "test", times: int = 1
) -> list[str]:
    """Translations into a language of which 50 pairs are known; networks take times the steps."""
    pairs, texts = few(language, seed), [x for x, _ in asked(language, part)]
    if way == "copy":
        return texts
    if way == "most similar name":
        return nearest(pairs, texts)
    if way == "pairs of chunks":
        return table(pairs, texts, tuple(setting))
    everyone = TARGETS if language in TARGETS else VALIDATION
    if way == "from ten, not adapted":
        return translate(pooled(seed, times), texts)
    if way == "beside ten, with tags":
        return translate(beside(seed, everyone, times), texts, language)
    start = {
        "alone": lambda: network(seed),
        "from one language": lambda: parent(PARENT, seed, times),
        "from ten": lambda: pooled(seed, times),
        "Reptile": lambda: reptile(seed, *setting[:2], times),
    }[way]()
    steps, lr = setting[-2:]
    model = train(copy.deepcopy(start), *tensors(pairs), steps * times, lr, seed, 32)
    return translate(model, texts)


def tune(way: str) -> dict[str, float]:
    """Mean chrF of every setting on validation things of the validation languages."""
    return {
        json.dumps(setting): round(
            float(
                np.mean(
                    [
                        judged(low(way, k, TUNING, setting, "validation"), k, "validation")["chrf"]
                        for k in VALIDATION
                    ]
                )
            ),
            3,
        )
        for setting in GRIDS[way]
    }


def chosen(way: str):
    if way not in GRIDS:
        return None
    tried = kept(f"tune {way}", partial(tune, way))
    return json.loads(max(tried, key=tried.get))


def low_seed(seed: int, way: str, times: int = 1) -> dict[str, dict[str, float]]:
    setting = chosen(way)
    return {k: judged(low(way, k, seed, setting, times=times), k) for k in TARGETS}


def recipe() -> dict[str, object]:
    return {
        "command": "python -m tools.translation_study",
        "corpus": names.EXPECTED,
        "sources": list(SOURCES),
        "targets": list(TARGETS),
        "parent": PARENT,
        "shared script": list(SHARED),
        "validation": list(VALIDATION),
        "pairs": FEW,
        "asked": ASKED,
        "steps": STEPS,
        "reptile steps": REPTILE_STEPS,
        "longer": {"times": TIMES, "seeds": list(LONG_SEEDS), "ways": list(LONG_WAYS)},
    }


def main() -> None:
    torch.set_num_threads(1)
    tried = {way: kept(f"tune {way}", partial(tune, way)) for way in GRIDS}
    few_pairs = {
        way: [kept(f"low {way} {s}", partial(low_seed, s, way)) for s in SEEDS] for way in WAYS
    }
    longer = {
        way: [kept(f"long {way} {s}", partial(low_seed, s, way, TIMES)) for s in LONG_SEEDS]
        for way in LONG_WAYS
    }
    sizes = {k: {p: len(v) for p, v in parts.items()} for k, parts in sorted(corpus().items())}
    report = {
        "recipe": recipe(),
        "sizes": sizes,
        "tried": tried,
        "few": few_pairs,
        "longer": longer,
    }
    TARGET.write_text(json.dumps(report, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
