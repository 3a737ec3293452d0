"""The study of the chapter "Summarization": a network that writes the first line of a docstring.

``python -m tools.summarization_study`` trains the sequence model of ``nlpmeta.seq2seq`` on the
(description, summary) pairs of the training part, with a number of steps and a learning rate chosen
on validation pairs, lets it write a line for every test description, fits a maximum-entropy scorer
of sentences, and stores what all systems wrote in ``notebooks/data/summarization.json``. Finished
runs are kept under ``build/`` and not repeated.
"""

from __future__ import annotations

import json
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from nlpmeta.corpora import docs
from nlpmeta.maxent import MaxEntClassifier
from nlpmeta.overlap import rouge
from nlpmeta.seq2seq import END, START, Seq2Seq
from nlpmeta.summarization import rank, similarity, split
from nlpmeta.text import PAD, UNK, Vocabulary, pad, words
from nlpmeta.training import cosine, fit, minibatches
from tools.keep import keep

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "notebooks" / "data" / "summarization.json"
WORK = ROOT / "build" / "summarization"
kept = partial(keep, WORK)
LONGEST, LINE = 40, 20  # words of a description that are read, and of a line that is written
WIDTH, BATCH, STEPS = 128, 32, 600
RATES, TRIED = (2e-3, 5e-3), 60  # rates, and steps of a trial
SEED = 0
OPENINGS = 60  # first words of sentences that are features
PENALTIES = (0.1, 1.0, 10.0)


@cache
def pairs(part: str) -> tuple[docs.Pair, ...]:
    return docs.pairs(part)


def tokens(text: str) -> list[str]:
    return [w.lower() for w in words(text)]


@cache
def vocabulary() -> Vocabulary:
    texts = (t for p in pairs("train") for t in (p.summary, p.description))
    return Vocabulary.from_tokens(
        (w for t in texts for w in tokens(t)), min_count=12, specials=(PAD, "<start>", "<end>", UNK)
    )


def numbers(part: str) -> tuple[Tensor, Tensor]:
    """Descriptions and lines as rows of numbers."""
    v = vocabulary()
    source = [v.encode(tokens(p.description))[:LONGEST] for p in pairs(part)]
    target = [[START, *v.encode(tokens(p.summary))[:LINE], END] for p in pairs(part)]
    return torch.as_tensor(pad(source)), torch.as_tensor(pad(target))


def model() -> Seq2Seq:
    n = len(vocabulary())
    generator = torch.Generator().manual_seed(SEED)
    return Seq2Seq(n, n, WIDTH // 2, WIDTH, "product", generator=generator)


def held_out_loss(m: Seq2Seq) -> float:
    source, target = numbers("validation")
    with torch.no_grad():
        return float(np.mean([float(m.loss(source[i : i + 89], target[i : i + 89]))
                              for i in range(0, 267, 89)]))  # fmt: skip


def train(lr: float, steps: int) -> tuple[Seq2Seq, list[float]]:
    """The model with the weights of the lowest loss on validation pairs, and these losses."""
    m = model()
    history = fit(
        m,
        lambda net, batch: net.loss(*batch),
        minibatches(*numbers("train"), size=BATCH, seed=SEED),
        steps=steps,
        lr=lr,
        schedule=cosine(steps, steps // 20),
        clip=1.0,
        evaluate=held_out_loss,
        every=min(steps, 200),
    )
    return m, [round(float(s), 4) for s in history.scores]


def abstractive(lr: float) -> list[float]:
    m, losses = train(lr, STEPS)
    save_file(m.state_dict(), WORK / "model.safetensors")
    return losses


def written(part: str) -> list[str]:
    """The line that the trained network writes for each description, word by likeliest word."""
    m, v = model(), vocabulary()
    m.load_state_dict(load_file(WORK / "model.safetensors"))
    m.eval()
    with torch.no_grad():
        m.out.bias[v.tokens.index(UNK)] = -1e9  # an unknown word is no word
    found = []
    for pair in pairs(part):
        beams = m.translate(v.encode(tokens(pair.description))[:LONGEST], 1, LINE + 1)
        found.append(" ".join(v.decode(beams[0].tokens)))
    return found


def looks() -> dict[str, float]:
    """Nats a token of the test lines, each with its own description and with that of another."""
    m = model()
    m.load_state_dict(load_file(WORK / "model.safetensors"))
    m.eval()
    source, target = numbers("test")
    with torch.no_grad():
        return {
            "own": round(float(m.loss(source, target)), 4),
            "other": round(float(m.loss(source.roll(len(source) // 2, 0), target)), 4),
        }


@cache
def openings() -> tuple[str, ...]:
    first = [tokens(s)[0] for p in pairs("train") for s in split(p.description)]
    return Vocabulary.from_tokens(first, specials=()).tokens[:OPENINGS]


def features(sentences: list[str]) -> np.ndarray:
    """Place, length, rank and first word of each sentence, none of which needs the summary."""
    n, s = len(sentences), similarity(sentences)
    place = np.arange(n)
    length = np.array([len(tokens(x)) for x in sentences])
    columns = [place == 0, place == 1, place == n - 1, 1 / (1 + place), np.log(length),
               length < 6, length > 25, n * rank(s), s.mean(1)]  # fmt: skip
    columns += [[float(tokens(x)[0] == w) for x in sentences] for w in openings()]
    return np.array(columns, dtype=float).T  # (n, d)


def one_by_one(summary: str, sentences: list[str]) -> np.ndarray:
    return np.array([rouge([s], [summary])["rouge1"] for s in sentences])


def examples(part: str) -> list[tuple[np.ndarray, np.ndarray, list[str]]]:
    """Features of the sentences of each description of several, and their ROUGE-1."""
    found = []
    for p in pairs(part):
        sentences = split(p.description)
        if len(sentences) > 1:
            found.append((features(sentences), one_by_one(p.summary, sentences), sentences))
    return found


def scorer() -> dict[str, object]:
    """Maximum entropy: is this sentence the one of its description with the highest ROUGE-1?"""
    train_, validation = examples("train"), examples("validation")
    x = np.concatenate([f for f, _, _ in train_])
    y = np.concatenate([np.arange(len(r)) == r.argmax() for _, r, _ in train_]).astype(int)
    models, tried = {}, {}
    for l2 in PENALTIES:
        m = models[l2] = MaxEntClassifier(l2=l2, tol=1e-4).fit(x, y)
        chosen = [r[m.predict_proba(f)[:, 1].argmax()] for f, r, _ in validation]
        tried[str(l2)] = round(float(np.mean(chosen)), 2)
    best = models[max(PENALTIES, key=lambda l2: tried[str(l2)])]
    weights = best.coef_[1] - best.coef_[0]
    names = ["first", "second", "last", "1/(1+place)", "log length", "under 6 words",
             "over 25 words", "TextRank", "mean similarity", *map(repr, openings())]  # fmt: skip
    order = np.argsort(-np.abs(weights))
    picks = []
    for p in pairs("test"):
        s = split(p.description)
        picks.append(int(best.predict_proba(features(s))[:, 1].argmax()) if len(s) > 1 else 0)
    return {
        "tried": tried,
        "weights": {names[i]: round(float(weights[i]), 2) for i in order[:16]},
        "picks": picks,
    }


def recipe() -> dict[str, object]:
    return {
        "command": "python -m tools.summarization_study",
        "corpus": docs.EXPECTED,
        "steps": STEPS,
        "batch": BATCH,
        "width": WIDTH,
        "longest": LONGEST,
        "seed": SEED,
    }


def main() -> None:
    torch.set_num_threads(1)
    tried = {f"{lr:g}": kept(f"try-{lr:g}", lambda lr=lr: train(lr, TRIED)[1]) for lr in RATES}
    lr = float(min(tried, key=lambda k: min(tried[k])))
    losses = kept(f"train-{lr:g}", lambda: abstractive(lr))
    unknown = [w not in vocabulary() for p in pairs("test") for w in tokens(p.summary)]
    found = {
        "recipe": recipe(),
        "vocabulary": len(vocabulary()),
        "parameters": sum(p.numel() for p in model().parameters()),
        "unknown": round(float(np.mean(unknown)), 4),
        "tried": tried,
        "rate": lr,
        "losses": losses,
        "looks": kept("looks", looks),
        "scorer": kept("scorer", scorer),
        "written": kept("test", lambda: written("test")),
    }
    TARGET.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
