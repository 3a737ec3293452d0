"""Train one small network on many pretext tasks, for the chapter "Self-supervision".

``python -m tools.pretext tasks`` trains the same network from the same start on each of
``TASKS``, as many steps on each; ``python -m tools.pretext encoder`` trains a wider
one by masked language modeling for longer, and writes it to ``notebooks/data/encoder.safetensors``
with curve, settings and hash in ``notebooks/data/encoder.json``. What was trained lies in
``_build/pretext`` until ``python -m tools.probes`` has scored it. Nothing but the training part of
``docs`` is read, and of it no label. Twenty minutes on one core.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from nlpmeta.bpe import BytePairEncoding
from nlpmeta.corpora import docs
from nlpmeta.masking import IGNORED, MaskedLM, causal_targets, corrupt, mask_tokens, token_loss
from nlpmeta.neural import PAD
from nlpmeta.self_supervision import info_nce, simcse_loss
from nlpmeta.text import pad
from nlpmeta.training import History, cosine, fit
from nlpmeta.transformer import GPTConfig

ROOT = Path(__file__).resolve().parent.parent
DATA, BUILT = ROOT / "notebooks" / "data", ROOT / "_build" / "pretext"
MASK, N_SYMBOLS, CONTEXT = 1, 2048, 48  # 0 is padding, 1 the mask, the rest word pieces
SMALL = GPTConfig(N_SYMBOLS, CONTEXT, width=96, n_layers=2, n_heads=4)
LARGE = GPTConfig(N_SYMBOLS, CONTEXT, width=128, n_layers=2, n_heads=4)
STEPS, SIZE = 1500, 48
TEMPERATURE = 0.05
ENCODER = {"steps": 8000, "size": 48, "lr": 2e-3, "seed": 0, "every": 500}


@lru_cache(maxsize=1)
def word_pieces() -> BytePairEncoding:
    """The book's byte-pair encoding of the training part, in small letters."""
    text = " ".join(sentence.text.lower() for sentence in docs.load("train"))
    return BytePairEncoding.train(text, N_SYMBOLS - 2 - 256)


def encode(texts: Sequence[str]) -> Tensor:
    """Numbers of the word pieces of texts, int64 (n, t), cut to the context and padded."""
    ids = [word_pieces().encode(" " + text.lower())[:CONTEXT] + 2 for text in texts]
    return torch.from_numpy(pad(ids))


def decode(ids: Sequence[int]) -> list[str]:
    """The word pieces with these numbers; the mask is written ``[mask]``."""
    return ["[mask]" if i == MASK else word_pieces().decode([i - 2]) for i in ids if i != PAD]


def similar_lengths(lengths: np.ndarray, size: int, seed: int) -> Callable[[int], np.ndarray]:
    """Rows of the batch of a step: texts of like length, so that little is padding."""

    @lru_cache(maxsize=1)
    def epoch(number: int) -> np.ndarray:
        rng = np.random.default_rng([seed, number])
        order = np.argsort(lengths + rng.uniform(0, 4, len(lengths)), kind="stable")
        whole = order[: len(order) // size * size].reshape(-1, size)
        return rng.permutation(whole)

    per_epoch = len(lengths) // size
    return lambda step: epoch(step // per_epoch)[step % per_epoch]


def trimmed(x: Tensor) -> Tensor:
    """Without the columns that hold padding only."""
    return x[:, : max(1, int((x != PAD).sum(1).max()))]


class Task(NamedTuple):
    """What a network is asked to do.

    Attributes
    ----------
    make : callable
        ``make(x, generator)`` gives what the loss takes of texts (b, t).
    loss : callable
        ``loss(model, *made)``.
    lr : float
        Learning rate. In pilots of 300 steps on three of the tasks 0.001 was better than 0.004;
        tasks that predict tokens take 0.002, since here they train for longer.
    causal : bool
        Whether a place sees only those before it.
    neighbors : bool
        Whether ``x`` holds in its second half the sentences that follow those of the first.
    seeds : int
        How many networks are trained.
    """

    make: Callable[[Tensor, torch.Generator], tuple[Any, ...]]
    loss: Callable[..., Tensor]
    lr: float = 2e-3
    causal: bool = False
    neighbors: bool = False
    seeds: int = 1


def asked_loss(model: MaskedLM, x: Tensor, targets: Tensor) -> Tensor:
    """:func:`token_loss`, with logits for the places that are asked for and no others."""
    asked = targets != IGNORED
    logits = model.states(x)[asked] @ model.network.tokens.weight.T
    return token_loss(logits, targets[asked])


def bag_loss(model: MaskedLM, damaged: Tensor, x: Tensor) -> Tensor:
    """Mean cross-entropy of the tokens of a text, all predicted from its one vector."""
    logp = (model.encode(damaged) @ model.network.tokens.weight.T).log_softmax(-1)  # (b, v)
    return -logp.gather(1, x)[x != PAD].mean()


def copied(x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A text, and the same as its target."""
    return x, x.masked_fill(x == PAD, IGNORED)


def replaced(x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A text with random words in it, and what it was."""
    damaged = corrupt(x, generator, "replace", n_symbols=N_SYMBOLS)
    return damaged, x.masked_fill(x == PAD, IGNORED)


def thinned(x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Four tenths of a text, and the whole."""
    return corrupt(x, generator, "delete", n_symbols=N_SYMBOLS, rate=0.6), x


def whole(x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A text twice: the one vector that must hold it is the only obstacle."""
    return x, x


def pair_loss(model: MaskedLM, a: Tensor, b: Tensor) -> Tensor:
    """:func:`info_nce` of sentences and their neighbors."""
    return info_nce(model.encode(a), model.encode(b), TEMPERATURE)


def twice_loss(model: MaskedLM, x: Tensor) -> Tensor:
    """:func:`simcse_loss` of texts."""
    return simcse_loss(model.encode, x, TEMPERATURE)


TASKS = {
    "copy": Task(copied, asked_loss),
    "replaced": Task(replaced, asked_loss),
    "deleted": Task(thinned, bag_loss),
    "squeezed": Task(whole, bag_loss),
    "causal": Task(lambda x, generator: causal_targets(x), asked_loss, causal=True),
    "masked": Task(partial(mask_tokens, mask=MASK, n_symbols=N_SYMBOLS), asked_loss),
    "simcse": Task(lambda x, generator: (x,), twice_loss, lr=1e-3),
    "neighbors": Task(
        lambda x, generator: tuple(map(trimmed, x.chunk(2))), pair_loss, lr=1e-3, neighbors=True
    ),
}


def network(config: GPTConfig, seed: int, causal: bool = False) -> MaskedLM:
    """A network that has learned nothing."""
    return MaskedLM(config, torch.Generator().manual_seed(seed), causal=causal)


def successors(part: str = "train") -> np.ndarray:
    """Rows of sentences that are followed by another of the same module."""
    module = np.array([sentence.module for sentence in docs.load(part)])
    return np.flatnonzero(module[:-1] == module[1:])


def batches(task: Task, x: Tensor, size: int, seed: int) -> Callable[[int], tuple[Any, ...]]:
    """The batch of a step, damaged by a lot that depends on seed and step."""
    first = successors() if task.neighbors else np.arange(len(x))
    rows = similar_lengths((x != PAD).sum(1).numpy()[first], size, seed)

    def batch(step: int) -> tuple[Any, ...]:
        own = first[rows(step)]
        if task.neighbors:
            own = np.concatenate([own, own + 1])
        lot = torch.Generator().manual_seed(1_000_000 * (seed + 1) + step)
        return task.make(trimmed(x[own]), lot)

    return batch


def pretrain(task: Task, x: Tensor, seed: int, steps: int = STEPS) -> tuple[MaskedLM, History]:
    """The network of ``SMALL``, trained on a task."""
    model = network(SMALL, seed, task.causal)
    history = fit(
        model,
        lambda model, batch: task.loss(model, *batch),
        batches(task, x, SIZE, seed),
        steps=steps,
        lr=task.lr,
        schedule=cosine(steps, steps // 20),
        clip=1.0,
        seed=seed,
    )
    return model, history


def held_out(task: Task, part: str = "validation", n: int = 960) -> list[tuple[Any, ...]]:
    """Batches of sentences of another part, damaged once and for all."""
    x = encode([sentence.text for sentence in docs.load(part)])
    first = successors(part) if task.neighbors else np.arange(len(x))
    rows = np.random.default_rng(0).permutation(first)[:n]
    rows = rows[np.argsort((x[rows] != PAD).sum(1).numpy(), kind="stable")].reshape(-1, SIZE)
    own = [np.concatenate([r, r + 1]) if task.neighbors else r for r in rows]
    lot = torch.Generator().manual_seed(0)
    return [task.make(trimmed(x[r]), lot) for r in own]


@torch.no_grad()
def mean_loss(task: Task, held: list[tuple[Any, ...]], model: MaskedLM) -> float:
    """Mean loss over batches, dropout off, except where the task is made of dropout."""
    model.train(task.loss is twice_loss)
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(0)
        values = [task.loss(model, *batch).item() for batch in held]
    model.eval()
    return float(np.mean(values))


def smooth(losses: np.ndarray, n: int = 30) -> list[float]:
    """Means of ``n`` stretches of a curve."""
    return [round(float(part.mean()), 4) for part in np.array_split(losses, n)]


def stored(name: str, seed: int) -> MaskedLM:
    """A network that :func:`train_tasks` has trained."""
    model = network(SMALL, seed, name != "none" and TASKS[name].causal).eval()
    if name != "none":
        model.load_state_dict(load_file(BUILT / f"{name}-{seed}.safetensors"))
    return model


def train_tasks(names: Sequence[str]) -> None:
    """Train, keep weights and curves; what is there already stays."""
    x = encode([sentence.text for sentence in docs.load("train")])
    BUILT.mkdir(parents=True, exist_ok=True)
    for seed in range(max(TASKS[name].seeds for name in names)):
        for name in names:
            task, path = TASKS[name], BUILT / f"{name}-{seed}.safetensors"
            if path.exists() or seed >= task.seeds:
                continue
            clock = time.process_time()
            model, history = pretrain(task, x, seed)
            record = {
                "task": name,
                "seed": seed,
                "cpu_seconds": round(time.process_time() - clock, 1),
                "curve": smooth(history.losses),
                "validation_before": mean_loss(
                    task, held_out(task), network(SMALL, seed, task.causal)
                ),
                "validation": mean_loss(task, held_out(task), model),
            }
            path.with_suffix(".json").write_text(json.dumps(record), encoding="utf-8")
            save_file(model.state_dict(), path)
            print(record, flush=True)


def pilot(names: Sequence[str], rates: Sequence[float], steps: int) -> None:
    """The validation loss of a short run at several learning rates; writes nothing."""
    x = encode([sentence.text for sentence in docs.load("train")])
    for name in names:
        for lr in rates:
            task = TASKS[name]._replace(lr=lr)
            model, _ = pretrain(task, x, 0, steps)
            print(name, lr, round(mean_loss(task, held_out(task), model), 4), flush=True)


def load_encoder() -> MaskedLM:
    """The encoder that was pretrained for the book, from its committed file."""
    model = network(LARGE, 0).eval()
    weights = load_file(DATA / "encoder.safetensors")
    model.load_state_dict({name: w.float() for name, w in weights.items()})
    return model


def train_encoder() -> None:
    """Train the wider network by masked language modeling and write it down."""
    x, task = encode([sentence.text for sentence in docs.load("train")]), TASKS["masked"]
    held, model, clock = held_out(task), network(LARGE, ENCODER["seed"]), time.process_time()
    before = mean_loss(task, held, model)
    BUILT.mkdir(parents=True, exist_ok=True)
    history = fit(
        model,
        lambda model, batch: task.loss(model, *batch),
        batches(task, x, ENCODER["size"], ENCODER["seed"]),
        steps=ENCODER["steps"],
        lr=ENCODER["lr"],
        schedule=cosine(ENCODER["steps"], ENCODER["steps"] // 20),
        clip=1.0,
        evaluate=lambda model: mean_loss(task, held, model),
        every=ENCODER["every"],
        checkpoint=BUILT / "encoder-run.safetensors",
        seed=ENCODER["seed"],
    )
    path = DATA / "encoder.safetensors"
    save_file({name: w.half() for name, w in model.state_dict().items()}, path)
    kept, test = load_encoder(), held_out(task, "test")
    record = {
        "command": "python -m tools.pretext encoder",
        "settings": ENCODER | {"schedule": "cosine, warm-up of a twentieth", "clip": 1.0},
        "network": {"width": LARGE.width, "n_layers": LARGE.n_layers, "n_heads": LARGE.n_heads},
        "vocabulary": N_SYMBOLS,
        "context": CONTEXT,
        "corpus": docs.EXPECTED,
        "torch": torch.__version__.split("+")[0],
        "parameters": sum(p.numel() for p in model.parameters()),
        "cpu_seconds": round(time.process_time() - clock, 1),
        "best_step": history.best,
        "curve": {
            "steps": [0, *history.evaluated.tolist()],
            "validation": np.round([before, *history.scores], 4).tolist(),
            "train": smooth(history.losses, len(history.evaluated)),
        },
        "validation": round(mean_loss(task, held, kept), 4),
        "test": round(mean_loss(task, test, kept), 4),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    text = json.dumps(record, indent=1)
    (DATA / "encoder.json").write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Train what is named."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", choices=("tasks", "encoder", "pilot"))
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(TASKS)} (default: all)")
    parser.add_argument("--steps", type=int, default=300, help="for a pilot")
    parser.add_argument("--lr", type=float, nargs="+", default=[1e-3, 3e-3], help="for a pilot")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = arguments.names or list(TASKS)
    if arguments.what == "encoder":
        train_encoder()
    elif arguments.what == "pilot":
        pilot(names, arguments.lr, arguments.steps)
    else:
        train_tasks(names)


if __name__ == "__main__":
    main()
