"""Every kind of language model of the book, on two texts, at three sizes of each.

``python -m tools.field`` writes ``notebooks/data/field.json``: bits per character, parameters and
seconds of each model on the docstrings of the scoreboard and on Tiny Shakespeare, trained on the
first characters of the training text, stopped or chosen on validation text, scored on test text.
Orders of n-gram models are chosen for each text and size. A network has about 200,000 parameters
and the same number of steps everywhere; its learning rate is chosen once for each kind, by short
runs on 200,000 characters of docstrings, from ``RATES``. A run that is stopped goes on where it was
when the command is given again. Tiny Shakespeare is downloaded on the first use, or read from the
folder that ``NLPMETA_MIRROR`` names. About forty-five minutes on one processor
core.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm.auto import tqdm

from nlpmeta import scoreboard
from nlpmeta.corpora import benchmarks
from nlpmeta.hmm_lm import HMMLanguageModel
from nlpmeta.maxent_lm import MaxEntLM
from nlpmeta.metrics import bits_per_character
from nlpmeta.neural_lm import Build, NeuralLM
from nlpmeta.ngram import NGramLM
from nlpmeta.recurrent import RecurrentLM
from nlpmeta.transformer import GPT, GPTConfig
from nlpmeta.windowed import CausalCNNLM, FixedWindowLM

TARGET = Path(__file__).resolve().parent.parent / "notebooks/data/field.json"
STEPS, BATCH, WINDOW, EVERY = 1500, 16, 64, 100
PILOT_STEPS, RATES = 400, (3e-3, 1e-2, 3e-2)
STOPPING = 20_000  # characters of validation text that decide when a network stops
ORDERS = range(2, 9)
NETWORKS: dict[str, Build] = {
    "window of 16": lambda v, g: FixedWindowLM(16, v, 32, 320, generator=g),
    "convolutions, 64 back": lambda v, g: CausalCNNLM(6, v, 120, generator=g),
    "RNN": lambda v, g: RecurrentLM("rnn", v, 64, 384, generator=g),
    "GRU": lambda v, g: RecurrentLM("gru", v, 48, 224, generator=g),
    "LSTM": lambda v, g: RecurrentLM("lstm", v, 48, 192, generator=g),
    "GPT": lambda v, g: GPT(GPTConfig(v, WINDOW, 88, 2, 4, "rotary"), g),
}


class Text(NamedTuple):
    """A text in three parts, and how many characters of the first to train on."""

    train: str
    validation: str
    test: str
    sizes: tuple[int, ...]


def docs() -> Text:
    """The scoreboard's text, validation cut to a quarter."""
    train = scoreboard.train_text()
    sizes = tuple(size or len(train) for size in scoreboard.SIZES)
    return Text(train, scoreboard.validation_text()[:50_000], scoreboard.test_text(), sizes)


def tinyshakespeare() -> Text:
    """Tiny Shakespeare as nanoGPT cuts it, its last tenth halved into validation and test."""
    parts = [benchmarks.load("tinyshakespeare", part) for part in ("train", "validation", "test")]
    return Text(*parts, sizes=(50_000, 200_000, len(parts[0])))


TEXTS: dict[str, Callable[[], Text]] = {"docs": docs, "tinyshakespeare": tinyshakespeare}


def network(build: Build, lr: float, steps: int) -> NeuralLM:
    """A network before training."""
    return NeuralLM(build, steps=steps, batch_size=BATCH, window=WINDOW, lr=lr)


def rate(build: Build, text: Text) -> dict[str, float]:
    """Validation bits of a network after a short run, for each learning rate."""
    train, valid = text.train[:200_000], text.validation[:STOPPING]
    return {
        f"{lr:g}": round(bits_per_character(network(build, lr, PILOT_STEPS).fit(train), valid), 4)
        for lr in RATES
    }


def counted(smoothing: str, train: str, text: Text, k: float = 0.1) -> tuple[NGramLM, dict]:
    """The n-gram model whose order scores best on validation text; its seconds, its order."""
    tried = []
    for order in ORDERS:
        start = time.perf_counter()
        model = NGramLM(order, smoothing, k=k).fit(train)
        seconds = time.perf_counter() - start
        tried.append((bits_per_character(model, text.validation), seconds, order, model))
    _, seconds, order, model = min(tried, key=lambda found: found[0])
    return model, {"order": order, "seconds": seconds}


def plain(make: Callable[[], Any], train: str, text: Text) -> tuple[Any, dict]:
    """A model without choices, fitted; its seconds."""
    start = time.perf_counter()
    model = make().fit(train)
    return model, {"seconds": time.perf_counter() - start}


def learned(build: Build, lr: float, train: str, text: Text) -> tuple[NeuralLM, dict]:
    """A network with the weights of the step that scored best on validation text; its seconds."""
    start = time.perf_counter()
    model = network(build, lr, STEPS)
    model.fit(train, validation=text.validation[:STOPPING], every=EVERY)
    return model, {"seconds": time.perf_counter() - start, "best_step": model.history.best}


def models(rates: dict[str, float]) -> dict[str, Callable[[str, Text], tuple[Any, dict]]]:
    """How each model of the field is made from a training text."""
    return {
        "unigram": partial(plain, lambda: NGramLM(1)),
        "n-gram, add-k": partial(counted, "add-k"),
        "n-gram, Witten-Bell": partial(counted, "witten-bell"),
        "n-gram, Kneser-Ney": partial(counted, "kneser-ney"),
        "n-gram, modified Kneser-Ney": partial(counted, "modified-kneser-ney"),
        "maximum entropy, order 5": partial(plain, lambda: MaxEntLM(5, l2=0.3, max_iter=60)),
        "HMM, 16 states": partial(plain, lambda: HMMLanguageModel(16)),
    } | {name: partial(learned, build, rates[name]) for name, build in NETWORKS.items()}


def digest(text: Text) -> str:
    """The sha256 of the three parts."""
    return hashlib.sha256("\0".join(text[:3]).encode()).hexdigest()


def write(found: dict[str, Any], target: Path) -> None:
    """Keep what has been measured so far."""
    target.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf8")


def measure(texts: dict[str, Text], target: Path) -> dict[str, Any]:
    """Measure what the file does not hold yet."""
    found = json.loads(target.read_text(encoding="utf8")) if target.is_file() else {}
    found.setdefault("command", "python -m tools.field")
    found.setdefault("torch", torch.__version__.split("+")[0])
    found["texts"] = {name: digest(text) for name, text in texts.items()}
    found.setdefault("settings", {"steps": STEPS, "batch_size": BATCH, "window": WINDOW})
    tried = found.setdefault("rates", {})
    for name in tqdm([n for n in NETWORKS if n not in tried], desc="learning rates"):
        tried[name] = rate(NETWORKS[name], texts["docs"])
        write(found, target)
    makers = models({name: float(min(bits, key=bits.get)) for name, bits in tried.items()})
    rows = found.setdefault("rows", [])
    done = {(row["text"], row["characters"], row["model"]) for row in rows}
    todo = [
        (name, size, model)
        for name, text in texts.items()
        for size in text.sizes
        for model in makers
        if (name, size, model) not in done
    ]
    for name, size, model in (bar := tqdm(todo, desc="models")):
        bar.set_postfix_str(f"{model}, {size:,} of {name}")
        fitted, extra = makers[model](texts[name].train[:size], texts[name])
        rows.append(
            {
                "text": name,
                "characters": size,
                "model": model,
                "bits": round(bits_per_character(fitted, texts[name].test), 4),
                "parameters": int(fitted.n_parameters),
                **extra,
                "seconds": round(extra["seconds"], 1),
            }
        )
        write(found, target)
    return found


def main() -> None:
    """Measure everything."""
    torch.set_num_threads(1)
    measure({name: load() for name, load in TEXTS.items()}, TARGET)
    print(f"written to {TARGET.name}")


if __name__ == "__main__":
    main()
