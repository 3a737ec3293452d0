"""Train the language models that are too large for a lab, score them, and keep them.

``python -m tools.train_lm NAME`` trains a configuration of ``CONFIGS`` on the scoreboard's training
text, keeps the weights that predict its validation text best, stores them as
``notebooks/data/NAME.safetensors``, opens that file again, scores it on the test text once, and
writes curve, settings, seconds and the hash of the weights to ``notebooks/data/NAME.json``. A run
that is stopped goes on from its last checkpoint when the same command is given again.

``python -m tools.train_lm NAME --lr LR --steps STEPS`` is a pilot: it trains with this learning
rate for so many steps, prints the score on the validation text, and writes nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from nlpmeta import scoreboard
from nlpmeta.information import bits_per_character
from nlpmeta.neural_lm import Build, NeuralLM
from nlpmeta.recurrent import RecurrentLM
from nlpmeta.training import Schedule, cosine, trapezoid
from nlpmeta.transformer import GPT, GPTConfig

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "notebooks" / "data"
CHECKPOINTS = ROOT / "_build" / "checkpoints"
VALIDATION = 50_000  # characters of the validation text that are scored while it trains


class Config(NamedTuple):
    """A model and how it is trained.

    Attributes
    ----------
    model : str
        Its name on the scoreboard.
    build : callable
        Makes the network; see ``NeuralLM``.
    steps, batch_size, window, lr, seed
        See ``NeuralLM``.
    every : int
        Updates between scores on validation text, each followed by a checkpoint.
    validation : int
        Characters of the validation text that are scored while it trains.
    size : int, optional
        Characters of the training text, one of ``scoreboard.SIZES``; all by default.
    schedule : callable, optional
        See ``NeuralLM``.
    half : bool
        Store the weights in 16 bits.
    """

    model: str
    build: Build
    steps: int
    batch_size: int
    window: int
    lr: float
    every: int = 400
    size: int | None = None
    schedule: Schedule | None = None
    half: bool = True
    seed: int = 0
    validation: int = VALIDATION


_NOT_JSON = ("model", "build", "schedule")


def cut_short(planned: int, cut: int, steps: int) -> Schedule:
    """A cosine of ``planned`` steps until step ``cut``, then a straight line to zero at ``steps``.

    For a run that is to end sooner than planned: until the cut it is the planned one.
    """
    wave = cosine(planned, planned // 20)
    return lambda step: wave(step) if step < cut else wave(cut) * (steps - step) / (steps - cut)


# The rates of the two smaller LSTMs: of 0.02 and 0.04, each trained in full, the one that scored
# better on validation text; pilots of 400 steps had shown that lower rates were worse.
CONFIGS: dict[str, Config] = {
    "lstm": Config(
        model="LSTM, trained for long",
        build=lambda v, g: RecurrentLM("lstm", v, 64, 448, generator=g),
        steps=6800,
        batch_size=16,
        window=128,
        lr=4e-3,
        schedule=cut_short(planned=8000, cut=5200, steps=6800),
    ),
    "lstm-1m": Config(
        model="LSTM, trained for long",
        build=lambda v, g: RecurrentLM("lstm", v, 48, 256, generator=g),
        steps=3000,
        batch_size=16,
        window=128,
        lr=2e-2,
        every=250,
        size=1_000_000,
    ),
    "lstm-200k": Config(
        model="LSTM, trained for long",
        build=lambda v, g: RecurrentLM("lstm", v, 32, 192, generator=g),
        steps=2000,
        batch_size=16,
        window=128,
        lr=4e-2,
        every=100,
        size=200_000,
    ),
    "gpt": Config(
        model="GPT, trained for long",
        build=lambda v, g: GPT(GPTConfig(v, 128, 128, 3, 4, "rotary"), g),
        steps=12_000,
        batch_size=16,
        window=128,
        lr=3e-3,
        validation=100_000,
        schedule=trapezoid(12_000, warmup=100, decay=2400),
    ),
}


def language_model(config: Config) -> NeuralLM:
    """The model of a configuration before training."""
    return NeuralLM(
        config.build,
        steps=config.steps,
        batch_size=config.batch_size,
        window=config.window,
        lr=config.lr,
        schedule=config.schedule,
        seed=config.seed,
    )


def sha256(path: Path) -> str:
    """Hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def stored(name: str) -> NeuralLM:
    """The trained model of a configuration, from its committed file."""
    return NeuralLM.load(TARGET / f"{name}.safetensors", CONFIGS[name].build)


def train(name: str, config: Config, train_text: str, target: Path, checkpoints: Path) -> dict:
    """Train, store, open again, score; give what was written to ``NAME.json``."""
    checkpoint, path = checkpoints / f"{name}.safetensors", target / f"{name}.safetensors"
    clock = checkpoints / f"{name}.json"  # seconds of earlier parts of the run
    before = json.loads(clock.read_text("utf8")) if checkpoint.exists() and clock.exists() else {}
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        model = language_model(config).fit(
            train_text,
            validation=scoreboard.validation_text()[: config.validation],
            every=config.every,
            checkpoint=checkpoint,
        )
    finally:
        wall = before.get("seconds", 0) + time.perf_counter() - wall
        cpu = before.get("cpu_seconds", 0) + time.process_time() - cpu
        checkpoints.mkdir(parents=True, exist_ok=True)
        clock.write_text(json.dumps({"seconds": wall, "cpu_seconds": cpu}), encoding="utf8")
    model.save(path, half=config.half)
    kept, history = NeuralLM.load(path, config.build), model.history
    record = {
        "name": name,
        "model": config.model,
        "command": f"python -m tools.train_lm {name}",
        "settings": {k: v for k, v in config._asdict().items() if k not in _NOT_JSON},
        "torch": torch.__version__.split("+")[0],
        "threads": torch.get_num_threads(),
        "train_characters": len(train_text),
        "parameters": model.n_parameters,
        "seconds": round(wall, 1),
        "cpu_seconds": round(cpu, 1),
        "best_step": history.best,
        "curve": {
            "steps": history.evaluated.tolist(),
            "validation_bits": np.round(history.scores / math.log(2), 4).tolist(),
            "train_bits": [
                round(float(part.mean() / math.log(2)), 4)
                for part in np.split(history.losses, history.evaluated[:-1])
            ],
        },
        "validation_bits": bits_per_character(kept, scoreboard.validation_text()),
        "test_bits": bits_per_character(kept, scoreboard.test_text()),
        "sha256": sha256(path),
    }
    text = json.dumps(record, indent=1)
    (target / f"{name}.json").write_text(text + "\n", encoding="utf8")
    return record


def main() -> None:
    """Train the configuration that is named."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("name", choices=CONFIGS)
    parser.add_argument("--lr", type=float, help="for a pilot")
    parser.add_argument("--steps", type=int, help="for a pilot")
    arguments = parser.parse_args()
    config = CONFIGS[arguments.name]
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped; the same command goes on"))
    if arguments.lr or arguments.steps:
        config = config._replace(
            lr=arguments.lr or config.lr, steps=arguments.steps or config.steps
        )
        validation = scoreboard.validation_text()[: config.validation]
        model = language_model(config).fit(
            scoreboard.train_text(config.size), validation=validation, every=config.steps
        )
        bits = model.history.scores[-1] / math.log(2)
        print(f"{arguments.name}, lr {config.lr:g}, {config.steps} steps: {bits:.4f} bits")
        return
    record = train(arguments.name, config, scoreboard.train_text(config.size), TARGET, CHECKPOINTS)
    print(f"{record['validation_bits']:.4f} bits on validation, {record['test_bits']:.4f} on test")


if __name__ == "__main__":
    main()
