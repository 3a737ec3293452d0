"""Measure how a small GPT improves with data and parameters; score all on Tiny Shakespeare.

``python -m tools.scaling [parameters] [data] [shakespeare]`` trains what the chapter on
transformers plots and tabulates, and writes ``notebooks/data/scaling.json``: settings, scores,
seconds and the sha256 of each text. Named parts replace their own results and leave the others.
Learning rates and stopping points are chosen on the first 20,000 characters of the validation text,
curves are scored on its second half. ``shakespeare`` needs the file of Tiny Shakespeare, downloaded
on the first use or read from the folder that ``NLPMETA_MIRROR`` names. Half an hour on one
processor core.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from nlpmeta import scoreboard
from nlpmeta.corpora import benchmarks
from nlpmeta.hmm_lm import HMMLanguageModel
from nlpmeta.maxent_lm import MaxEntLM
from nlpmeta.metrics import bits_per_character
from nlpmeta.neural_lm import NeuralLM
from nlpmeta.ngram import NGramLM
from nlpmeta.recurrent import RecurrentLM
from nlpmeta.training import cosine
from nlpmeta.transformer import GPT, GPTConfig

TARGET = Path(__file__).resolve().parent.parent / "notebooks/data/scaling.json"
WINDOW, BATCH, STEPS, HEAD = 128, 16, 800, 16
WIDTHS = (16, 24, 32, 48, 64, 96)
RATES = (3e-3, 1e-2)
DATA_WIDTH, DATA_RATE, DATA_STEPS = 64, 1e-2, 1600  # the rate is what the other grid chose
SIZES = (20_000, 50_000, 125_000, 300_000, 750_000, 2_000_000)
# nanoGPT's recipe for a processor: README.md and config/train_shakespeare_char.py, and its result
NANOGPT = {"context": 64, "batch": 12, "layers": 4, "heads": 4, "width": 128, "steps": 2000}
NANOGPT_NATS = 1.88


def gpt(width: int, layers: int = 2, heads: int | None = None, context: int = WINDOW,
        positions: str = "rotary") -> Callable[[int, torch.Generator], GPT]:  # fmt: skip
    """What ``NeuralLM`` builds: a GPT of that shape for any vocabulary."""
    heads = heads or max(1, width // HEAD)
    return lambda v, generator: GPT(
        GPTConfig(v, context, width, layers, heads, positions), generator
    )


def digest(text: str) -> str:
    """The sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def timed(model: Any, *data: str, **options: Any) -> tuple[Any, float]:
    """The fitted model and the seconds that fitting took."""
    start = time.perf_counter()
    model.fit(*data, **options)
    return model, round(time.perf_counter() - start, 1)


def parameters() -> dict[str, Any]:
    """Bits against the number of parameters, each network trained on the same tokens."""
    train, choose, score = texts()
    rows = []
    for width in tqdm(WIDTHS, desc="parameters"):
        tried = []
        for rate in RATES:
            model, seconds = timed(
                NeuralLM(gpt(width), steps=STEPS, batch_size=BATCH, window=WINDOW, lr=rate), train
            )
            tried.append((bits_per_character(model, choose), rate, seconds, model))
        _, rate, seconds, model = min(tried, key=lambda found: found[0])
        rows.append(
            {
                "width": width,
                "parameters": model.n_parameters,
                "lr": rate,
                "tried": {f"{r:g}": round(bits, 4) for bits, r, *_ in tried},
                "bits": round(bits_per_character(model, score), 4),
                "seconds": seconds,
            }
        )
    tokens = STEPS * BATCH * WINDOW
    return {"layers": 2, "window": WINDOW, "tokens": tokens, "text": digest(train), "rows": rows}


def data() -> dict[str, Any]:
    """Bits against the length of the training text, each network trained for the same steps."""
    train, choose, score = texts()
    rows = []
    for size in tqdm(SIZES, desc="data"):
        model, seconds = timed(
            NeuralLM(
                gpt(DATA_WIDTH), steps=DATA_STEPS, batch_size=BATCH, window=WINDOW, lr=DATA_RATE
            ),
            train[:size],
            validation=choose,
            every=100,
        )
        counted = NGramLM(7, "modified-kneser-ney").fit(train[:size])
        rows.append(
            {
                "characters": size,
                "bits": round(bits_per_character(model, score), 4),
                "best_step": model.history.best,
                "ngram_bits": round(bits_per_character(counted, score), 4),
                "seconds": seconds,
            }
        )
    return {
        "layers": 2, "width": DATA_WIDTH, "parameters": model.n_parameters, "steps": DATA_STEPS,
        "window": WINDOW, "batch": BATCH, "lr": DATA_RATE, "text": digest(train), "rows": rows,
    }  # fmt: skip


def shakespeare() -> dict[str, Any]:
    """Nats per character on Tiny Shakespeare, cut as nanoGPT cuts it, of every kind of model."""
    parts = [
        benchmarks.load("tinyshakespeare", part) for part in benchmarks.PARTS["tinyshakespeare"]
    ]
    train, valid, test = parts
    n = NANOGPT
    build = {"layers": n["layers"], "heads": n["heads"], "context": n["context"]}
    shape = {"steps": n["steps"], "batch_size": n["batch"], "window": n["context"]}

    def to_a_tenth(step: int) -> float:
        """Their schedule: 100 steps up, then a cosine down to a tenth."""
        return min(1.0, (step + 1) / 100) * (0.1 + 0.9 * cosine(n["steps"], 100)(max(step, 100)))

    orders = {
        k: bits_per_character(NGramLM(k, "modified-kneser-ney").fit(train), valid)
        for k in range(4, 9)
    }
    best = min(orders, key=orders.get)
    models: dict[str, Any] = {
        "GPT, nanoGPT's settings": NeuralLM(
            gpt(n["width"], **build, positions="learned"), **shape, lr=1e-3, schedule=to_a_tenth
        ),
        "unigram": NGramLM(1),
        f"{best}-gram, modified-kneser-ney": NGramLM(best, "modified-kneser-ney"),
        "maximum entropy, order 5": MaxEntLM(5, l2=0.3, max_iter=60),
        "GRU": NeuralLM(lambda v, g: RecurrentLM("gru", v, 64, 256, generator=g), **shape),
        "HMM, 64 states": HMMLanguageModel(64),
    }
    found = {
        "text": digest("".join(parts)), "characters": len(train), "scored": len(valid + test),
        "orders": {str(k): round(math.log(2) * bits, 4) for k, bits in orders.items()},
        "nanogpt": {"nats": NANOGPT_NATS, **n}, "rows": [],
    }  # fmt: skip
    for name, model in (bar := tqdm(models.items(), desc="shakespeare")):
        bar.set_postfix_str(name)
        model, seconds = timed(model, train)
        nats = [math.log(2) * bits_per_character(model, text) for text in (valid + test, test)]
        found["rows"].append(
            {
                "model": name,
                "nats": round(nats[0], 4),
                "nats_test": round(nats[1], 4),
                "parameters": int(model.n_parameters),
                "seconds": seconds,
            }
        )
        write("shakespeare", found)  # a run that is stopped leaves what it has
    return found


def write(name: str, found: dict[str, Any]) -> None:
    """Replace one part of the file and leave the others."""
    kept = json.loads(TARGET.read_text(encoding="utf8")) if TARGET.is_file() else {}
    result = {"command": "python -m tools.scaling"} | kept | {name: found}
    TARGET.write_text(json.dumps(result, indent=1) + "\n", encoding="utf8")


def texts() -> tuple[str, str, str]:
    """The training text, the text to choose on, the text that curves are scored on."""
    validation = scoreboard.validation_text()
    return scoreboard.train_text(), validation[:20_000], validation[100_000:160_000]


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    make.__name__: make for make in (parameters, data, shakespeare)
}


def main() -> None:
    """Measure the named parts, or all, and write them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="what to measure; else all")
    chosen = parser.parse_args().parts or list(PARTS)
    torch.set_num_threads(1)
    for name in chosen:
        start = time.process_time()
        found = PARTS[name]()
        write(name, found | {"minutes": round((time.process_time() - start) / 60, 1)})
        print(f"{name}: written to {TARGET.name}")


if __name__ == "__main__":
    main()
