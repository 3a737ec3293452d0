"""Look for winning tickets in a small network, for the chapter "Compression".

``python -m tools.tickets`` trains a network of two hidden layers to tell from the words of a
sentence which library it documents, removes a part of the weights of least magnitude, takes what
is left back to its first values and trains it again, round after round (Frankle and Carbin, 2019).
At each round the same mask is also trained from other first values, and a random mask of the same
size from its own. Five seeds, fixed beforehand; learning rate by validation. Everything goes to
``notebooks/data/tickets.json``; ten minutes on one core.
"""

from __future__ import annotations

import copy
import itertools
import json
from pathlib import Path

import numpy as np
import torch
from sklearn.feature_extraction.text import CountVectorizer
from torch import Tensor, nn
from torch.nn import functional as F

from nlpmeta.corpora import docs
from nlpmeta.pruning import Masks, keep_zeros, prune_magnitude, rewind
from nlpmeta.training import fit, minibatches

TARGET = Path(__file__).resolve().parent.parent / "notebooks/data/tickets.json"
LIBRARIES = tuple(docs.LIBRARIES)
PER_LIBRARY = {"train": 400, "validation": 100, "test": 300}
WORDS, WIDTHS = 1000, (1000, 100, 50, len(LIBRARIES))
SEEDS, ROUNDS, REMOVED = range(5), 8, 0.5
STEPS, BATCH, RATES = 250, 60, (5e-4, 1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
KINDS = ("ticket", "reinitialized", "random mask")

Data = dict[str, tuple[Tensor, Tensor]]


def data() -> Data:
    """For each part, which of the most frequent words a sentence has, and its library."""
    rng = np.random.default_rng(0)
    texts: dict[str, list[str]] = {part: [] for part in PER_LIBRARY}
    for part, library in itertools.product(PER_LIBRARY, LIBRARIES):
        own = [s.text for s in docs.load(part) if s.library == library]
        texts[part] += [own[i] for i in rng.permutation(len(own))[: PER_LIBRARY[part]]]
    count = CountVectorizer(max_features=WORDS, binary=True).fit(texts["train"])
    return {
        part: (
            torch.tensor(count.transform(own).toarray(), dtype=torch.float32),
            torch.arange(len(LIBRARIES)).repeat_interleave(PER_LIBRARY[part]),
        )
        for part, own in texts.items()
    }


def network(seed: int) -> nn.Sequential:
    """Linear layers with ReLU between them; first values from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [
            layer for i, o in itertools.pairwise(WIDTHS) for layer in (nn.Linear(i, o), nn.ReLU())
        ]
    return nn.Sequential(*layers[:-1])


@torch.no_grad()
def right(model: nn.Module, part: tuple[Tensor, Tensor]) -> float:
    """Share right."""
    return round((model(part[0]).argmax(1) == part[1]).float().mean().item(), 4)


def train(model: nn.Module, masks: Masks, parts: Data, rate: float, seed: int) -> None:
    """The same steps for every network; the weights of the best validation share are kept."""
    batch = minibatches(*parts["train"], size=BATCH, seed=seed)
    with keep_zeros(model, masks):
        fit(
            model,
            lambda m, rows: F.cross_entropy(m(rows[0]), rows[1]),
            batch,
            steps=STEPS,
            lr=rate,
            evaluate=lambda m: -right(m, parts["validation"]),
            every=25,
        )


def shuffled(masks: Masks, seed: int) -> Masks:
    """As many weights of each layer as before, others."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, mask in masks.items():
        order = torch.randperm(mask.numel(), generator=generator)
        found[name] = mask.flatten()[order].view_as(mask)
    return found


def rounds(parts: Data, rate: float, seed: int, n: int = ROUNDS) -> list[dict[str, float]]:
    """A row for each round: the share of weights left, and what the three networks get right."""
    first = network(seed)
    initial, model = copy.deepcopy(first.state_dict()), first
    train(model, prune_magnitude(model, 0.0), parts, rate, seed)
    rows = [{"left": 1.0, **dict.fromkeys(KINDS, right(model, parts["test"]))}]
    for k in range(1, n):
        left = (1 - REMOVED) ** k
        masks = prune_magnitude(model, 1 - left, ["0", "2"])  # not the output layer
        row = {"left": left}
        for kind in KINDS:
            own = shuffled(masks, 100 * seed + k) if kind == "random mask" else masks
            start = initial if kind != "reinitialized" else network(1000 + seed).state_dict()
            other = network(seed)
            rewind(other, start, own)
            train(other, own, parts, rate, seed)
            row[kind] = right(other, parts["test"])
            if kind == "ticket":
                model = other
        rows.append(row)
    return rows


def choose(parts: Data) -> dict[float, float]:
    """What the whole network of a seed that is not used again gets right of the validation part."""
    found = {}
    for rate in RATES:
        model = network(99)
        train(model, prune_magnitude(model, 0.0), parts, rate, 99)
        found[rate] = right(model, parts["validation"])
    return found


def main() -> None:
    """Choose the rate, run the seeds, write the file."""
    parts = data()
    tried = choose(parts)
    rate = max(tried, key=tried.get)
    report = {
        "recipe": {
            "command": "python -m tools.tickets",
            "corpus": docs.EXPECTED,
            "sentences": {part: len(y) for part, (_, y) in parts.items()},
            "widths": WIDTHS,
            "steps": STEPS,
            "batch": BATCH,
            "tried": tried,
            "rate": rate,
        },
        "seeds": [],
    }
    for seed in SEEDS:
        report["seeds"].append(rounds(parts, rate, seed))
        print(seed, report["seeds"][-1], flush=True)
    TARGET.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
