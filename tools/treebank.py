"""Tag the English Web Treebank with an HMM, a classifier, a MEMM and a CRF, and write it down.

``python -m tools.treebank`` reads UD English EWT (from the network once, or from the folder that
NLPMETA_MIRROR names), chooses each model's one setting on the validation part, scores the winner
once on the test part and writes everything with its recipe to
``notebooks/data/treebank.json``, which the lab of "Sequence models" shows. The data are
CC BY-SA 4.0 (Silveira and others 2014); the file holds scores only. Ten minutes on one core.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from nlpmeta.corpora import benchmarks
from nlpmeta.crf import MEMM, LinearChainCRF
from nlpmeta.hmm import HMM
from nlpmeta.maxent import MaxEntClassifier
from nlpmeta.tagging import Encoder, word_features
from nlpmeta.text import UNK, Vocabulary

TARGET = Path(__file__).resolve().parent.parent / "notebooks/data/treebank.json"
DATA = "ud_english_ewt"
SMOOTHING = [1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.1]  # added to every count of the HMM
PENALTIES = [0.01, 0.03, 0.1, 0.3, 1.0]  # l2 of the others
STEPS = 100  # of L-BFGS

Words, Tags = list[list[str]], list[list[str]]
Tagger = Callable[[Words], Tags]


def read(part: str) -> tuple[Words, Tags]:
    """The words and the universal parts of speech of a part of the treebank."""
    sentences = benchmarks.load(DATA, part)
    return [[w for w, _ in s] for s in sentences], [[t for _, t in s] for s in sentences]


def accuracy(found: Tags, gold: Tags) -> float:
    """The share of tokens with the right tag."""
    pairs = [(a, b) for f, g in zip(found, gold, strict=True) for a, b in zip(f, g, strict=True)]
    return sum(a == b for a, b in pairs) / len(pairs)


def most_frequent(words: Words, tags: Tags) -> Tagger:
    """The baseline: a word gets its most frequent tag, an unknown one the most frequent of all."""
    counts: dict[str, Counter[str]] = {}
    for word, tag in ((w, t) for ws, ts in zip(words, tags) for w, t in zip(ws, ts)):
        counts.setdefault(word, Counter())[tag] += 1
    best = {word: own.most_common(1)[0][0] for word, own in counts.items()}
    usual = sum(counts.values(), Counter()).most_common(1)[0][0]
    return lambda sentences: [[best.get(word, usual) for word in s] for s in sentences]


def signature(word: str) -> str:
    """What an unknown word still shows: capital, digit, hyphen, ending."""
    shape = "A" * word[:1].isupper() + "0" * any(map(str.isdigit, word)) + "-" * ("-" in word)
    return f"<{shape}{word[-2:].lower() if word[-1:].isalpha() else word[-1:]}>"


def hidden_markov(words: Words, tags: Tags, smoothing: float) -> Tagger:
    """An HMM by counting; a word seen once in training stands for the unknown words like it."""
    counts = Counter(word for sentence in words for word in sentence)
    known = {word for word, count in counts.items() if count > 1}

    def symbols(sentence: Sequence[str]) -> list[str]:
        return [word if word in known else signature(word) for word in sentence]

    vocabulary = Vocabulary.from_tokens((s for w in words for s in symbols(w)), specials=(UNK,))
    states = sorted({tag for own in tags for tag in own})
    model = HMM(len(states), len(vocabulary)).fit_supervised(
        [vocabulary.encode(symbols(sentence)) for sentence in words],
        [[states.index(tag) for tag in own] for own in tags],
        smoothing,
    )

    def tag(sentences: Words) -> Tags:
        paths = model.viterbi([vocabulary.encode(symbols(sentence)) for sentence in sentences])
        return [[states[state] for state in path] for path in paths]

    return tag


def classifier(words: Words, tags: Tags, l2: float) -> Tagger:
    """Maximum entropy word by word: the features of the CRF, and no tag knows another."""
    encoder = Encoder()
    x = encoder.fit([word_features(sentence) for sentence in words])
    model = MaxEntClassifier(l2=l2, max_iter=STEPS).fit(x, [tag for own in tags for tag in own])

    def tag(sentences: Words) -> Tags:
        found = iter(model.predict(encoder.transform(map(word_features, sentences))).tolist())
        return [[next(found) for _ in sentence] for sentence in sentences]

    return tag


def chain(kind: type[MEMM] | type[LinearChainCRF]) -> Callable[[Words, Tags, float], Tagger]:
    """A MEMM or a CRF."""

    def learn(words: Words, tags: Tags, l2: float) -> Tagger:
        model = kind(l2=l2, max_iter=STEPS).fit([word_features(s) for s in words], tags)
        return lambda sentences: model.predict([word_features(s) for s in sentences])

    return learn


MODELS: dict[str, tuple[Callable[[Words, Tags, float], Tagger], list[float]]] = {
    "HMM": (hidden_markov, SMOOTHING),
    "maximum entropy": (classifier, PENALTIES),
    "MEMM": (chain(MEMM), PENALTIES),
    "CRF": (chain(LinearChainCRF), PENALTIES),
}


def main() -> None:
    """Choose on the validation part, score once on the test part, write the file."""
    train, validation, test = (read(part) for part in ("train", "validation", "test"))
    seen = {word for sentence in train[0] for word in sentence}
    report: dict = {
        "data": {
            "name": "UD English EWT, universal parts of speech",
            "license": benchmarks.SOURCES[DATA].license,
            "commit": benchmarks.SOURCES[DATA].commit,
            "sha256": benchmarks.SOURCES[DATA].files,
            "tokens": {"train": sum(map(len, train[0])), "test": sum(map(len, test[0]))},
            "unknown_test_words": round(np.mean([w not in seen for s in test[0] for w in s]), 4),
        },
        "recipe": {
            "command": "python -m tools.treebank",
            "features": "nlpmeta.tagging.word_features",
            "steps": STEPS,
            "chosen_on": "validation accuracy",
        },
        "baseline": {"test": round(accuracy(most_frequent(*train)(test[0]), test[1]), 4)},
        "models": {},
    }
    for name, (learn, settings) in MODELS.items():
        taggers = {value: learn(*train, value) for value in settings}
        scores = {v: accuracy(tag(validation[0]), validation[1]) for v, tag in taggers.items()}
        best = max(scores, key=scores.__getitem__)
        found = taggers[best](test[0])
        report["models"][name] = {
            "validation": {str(value): round(score, 4) for value, score in scores.items()},
            "setting": best,
            "test": round(accuracy(found, test[1]), 4),
            "test_unknown": round(accuracy(*_unknown(test[0], found, test[1], seen)), 4),
        }
        print(name, report["models"][name], flush=True)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _unknown(words: Words, found: Tags, gold: Tags, seen: set[str]) -> tuple[Tags, Tags]:
    """The tags, found and right, of the words that training has not seen."""
    rows = [
        (f, g)
        for ws, fs, gs in zip(words, found, gold)
        for w, f, g in zip(ws, fs, gs)
        if w not in seen
    ]
    return [[f for f, _ in rows]], [[g for _, g in rows]]


if __name__ == "__main__":
    # Every model gets the same number of steps; that it could take more is no surprise.
    warnings.simplefilter("ignore", ConvergenceWarning)
    main()
