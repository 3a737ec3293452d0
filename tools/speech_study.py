"""Recognizers trained on our synthesizer meet another one, for the chapter "Speech recognition".

``python -m tools.speech_study`` needs the program espeak-ng (Debian: ``apt install espeak-ng``).
For each of three draws of voices it trains word models and a CTC network as the chapter's lab
does, and scores both on unseen voices of ours and on ten of eSpeak NG; the network also after
five strings of each of those, by a warp and by descent with the lab's rate. Nothing is chosen
here. It writes ``notebooks/data/speech.json``; a minute on one core.
"""

from __future__ import annotations

import json
from pathlib import Path

import jiwer
import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from nlpmeta.acoustic import features, speech_part
from nlpmeta.adaptation import adapt
from nlpmeta.ctc import Recognizer, greedy
from nlpmeta.speech import RATE, WORDS, Voice, draw_voice, espeak, synthesize
from nlpmeta.training import fit
from nlpmeta.word_models import WordHMM, WordLoop

TARGET = Path(__file__).resolve().parent.parent / "notebooks/data/speech.json"
SEEDS = (0, 1, 2)
DIGITS = list(WORDS)
VOICES, STRINGS, SPELLED, NEAR, SUPPORT, QUERY = 24, 8, 12, 5, 5, 5
STEPS, BATCH, LR = 160, 16, 2e-3
INNER_LR, INNER_STEPS = 0.003, 10
WARPS = tuple(np.arange(0.9, 1.61, 0.05).round(2).tolist())
ESPEAK = ("en-us", "en-us+f2", "en-gb", "en-gb+f4", "en-gb-scotland", "en-gb-x-rp+m3",
          "en-029", "en-us+m5", "en-gb-x-gbclan+f1", "en-us+f5")  # fmt: skip

Said = tuple[np.ndarray, list[int]]


def text(labels: list[int]) -> str:
    return " ".join(DIGITS[label - 1] for label in labels)


def say(voice: Voice | str, rng: np.random.Generator) -> Said:
    """Three to five digits, labels from 1; a string names a voice of eSpeak NG."""
    labels = (1 + rng.integers(0, 10, rng.integers(3, 6))).tolist()
    if isinstance(voice, str):
        sound = espeak(text(labels), voice, speed=int(rng.integers(120, 180)))
        return sound + 0.1 * 10**-1.5 * rng.standard_normal(len(sound)), labels
    return synthesize(text(labels), voice, rng), labels


def word_loop(voices: list[Voice], rng: np.random.Generator) -> WordLoop:
    """Word models of single digits, each said once by each voice, in a loop with silence."""
    heard: dict[str, list[np.ndarray]] = {word: [] for word in DIGITS}
    silence = []
    for word in DIGITS:
        for voice in voices:
            sound = synthesize(word, voice, rng)
            x, part = features(sound, RATE), speech_part(sound, RATE)
            heard[word].append(x[part])
            silence += [side for side in (x[: part.start], x[part.stop :]) if len(side)]
    models = {word: WordHMM(8).fit(xs) for word, xs in heard.items()}
    return WordLoop(models, WordHMM(1).fit(silence), penalty=20.0)


class Net:
    """A CTC network with its front end."""

    def __init__(self, train: list[Said], seed: int) -> None:
        x = np.concatenate([features(sound, RATE) for sound, _ in train])
        self.mean, self.std = x.mean(0), x.std(0)
        self.model = Recognizer(26, 11, 48, 3, torch.Generator().manual_seed(seed))
        x, y = self.see(train)

        def batch(step: int) -> tuple[Tensor, Tensor]:
            rows = np.random.default_rng([seed, step]).integers(0, len(train), BATCH)
            return x[rows, : 2 * y[rows, 0].max()], y[rows]

        fit(self.model, lambda m, b: ctc(m(b[0]), b[1]), batch, steps=STEPS, lr=LR, clip=1.0)
        self.params = {name: p.detach() for name, p in self.model.named_parameters()}

    def see(self, said: list[Said], warp: float = 1.0) -> tuple[Tensor, Tensor]:
        """Features padded with zeros, and labels with both lengths in front."""
        xs = [(features(s, RATE, warp=warp) - self.mean) / self.std for s, _ in said]
        ys = [torch.tensor([(len(x) + 1) // 2, len(own), *own]) for x, (_, own) in zip(xs, said)]
        pad = torch.nn.utils.rnn.pad_sequence
        return pad([torch.from_numpy(x) for x in xs], batch_first=True), pad(ys, batch_first=True)

    def loss(self, params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return ctc(functional_call(self.model, params, (x,)), y)

    def read(self, said: list[Said], params: dict | None = None, warp: float = 1.0) -> list[str]:
        x, y = self.see(said, warp)
        with torch.no_grad():
            out = functional_call(self.model, params or self.params, (x,))
        return [text(greedy(row[: int(n)])) for row, n in zip(out, y[:, 0])]

    def best_warp(self, said: list[Said]) -> float:
        with torch.no_grad():
            tried = {w: float(self.loss(self.params, *self.see(said, w))) for w in WARPS}
        return min(tried, key=tried.get)


def ctc(log_probs: Tensor, y: Tensor) -> Tensor:
    return F.ctc_loss(log_probs.transpose(0, 1), y[:, 2:], y[:, 0], y[:, 1])


def wer(said: list[Said], heard: list[str]) -> float:
    return round(float(jiwer.wer([text(labels) for _, labels in said], heard)), 5)


def one_draw(seed: int) -> dict[str, float]:
    """Word error rates on unseen voices of ours and on voices of the other synthesizer."""
    rng = np.random.default_rng(seed)
    voices = [draw_voice(rng) for _ in range(VOICES)]
    near = [pair for voice in (draw_voice(rng) for _ in range(NEAR)) for pair in
            [say(voice, rng) for _ in range(QUERY)]]  # fmt: skip
    net = Net([say(voice, rng) for voice in voices for _ in range(STRINGS)], seed)
    loop = word_loop(voices[:SPELLED], rng)
    other = [[say(name, rng) for _ in range(SUPPORT + QUERY)] for name in ESPEAK]
    queries = [pair for own in other for pair in own[SUPPORT:]]

    def chains(said: list[Said]) -> float:
        return wer(said, [" ".join(loop.decode(features(s, RATE))) for s, _ in said])

    warped, descended = [], []
    for own in other:
        warped += net.read(own[SUPPORT:], warp=net.best_warp(own[:SUPPORT]))
        phi = adapt(net.loss, net.params, net.see(own[:SUPPORT]), INNER_LR, INNER_STEPS, True)
        descended += net.read(own[SUPPORT:], {name: p.detach() for name, p in phi.items()})
    return {
        "chains, ours": chains(near),
        "network, ours": wer(near, net.read(near)),
        "chains, theirs": chains(queries),
        "network, theirs": wer(queries, net.read(queries)),
        "network, theirs, warp": wer(queries, warped),
        "network, theirs, all layers": wer(queries, descended),
    }


def recipe() -> dict[str, object]:
    return {
        "command": "python -m tools.speech_study",
        "sizes": [VOICES, STRINGS, SPELLED, NEAR, SUPPORT, QUERY],
        "training": [STEPS, BATCH, LR, INNER_LR, INNER_STEPS],
        "espeak": list(ESPEAK),
        "draws": len(SEEDS),
    }


def main() -> None:
    torch.set_num_threads(1)
    report = {"recipe": recipe(), "draws": [one_draw(seed) for seed in SEEDS]}
    TARGET.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
