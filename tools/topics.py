"""Choose the priors of the topic models and score them, for the chapter "Inference".

``python -m tools.topics`` counts the words of docstrings, a document per module and a document per
docstring, chooses both priors of :class:`nlpmeta.topics.LDA` under each method on the validation
part by the perplexity of completed documents, then fits five starts with them and scores these on
the test part. Everything goes to ``notebooks/data/topics.json``, which the lab shows. A quarter of
an hour on one core.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import normalized_mutual_info_score

from nlpmeta.corpora import docs
from nlpmeta.topics import LDA, METHODS

TARGET = Path(__file__).resolve().parent.parent / "notebooks/data/topics.json"
CUTS = ("module", "docstring")
TOPICS, PASSES = 20, {"variational": 40, "gibbs": 60}
ALPHAS, BETAS = (0.03, 0.1, 0.3, 1.0), (0.1, 0.3, 1.0, 3.0)
NUMBERS = (5, 10, 20, 40, 80)
STARTS = 5
# A topic must not be recognized by the name of its library.
NAMES = ["numpy", "scipy", "sklearn", "scikit", "matplotlib", "pandas", "torch", "pytorch", "sympy"]
NAMES += ["networkx", "transformers", "pyplot", "huggingface"]

Part = dict[str, tuple[sp.csr_array, np.ndarray]]


def documents(part: str, cut: str) -> tuple[list[str], list[str]]:
    """The texts of a part, a document per module or per docstring, and their libraries."""
    texts: dict[object, list[str]] = {}
    library: dict[object, str] = {}
    for i, pair in enumerate(docs.pairs(part)):
        key = pair.module if cut == "module" else i
        texts.setdefault(key, []).append(f"{pair.summary} {pair.description}")
        library[key] = pair.library
    return [" ".join(own) for own in texts.values()], list(library.values())


def counter() -> CountVectorizer:
    """Words in five docstrings or more, but in no more than one of twenty; no library's name."""
    count = CountVectorizer(token_pattern="[a-z]{3,}", min_df=5, max_df=0.05, stop_words=NAMES)
    return count.fit(documents("train", "docstring")[0])


def read(count: CountVectorizer, part: str) -> Part:
    """For each cut the counts of its documents and their libraries; empty documents left out."""
    found = {}
    for cut in CUTS:
        texts, library = documents(part, cut)
        x = sp.csr_array(count.transform(texts), dtype=float)
        full = np.diff(x.indptr) > 0
        found[cut] = x[full], np.array(library)[full]
    return found


def purity(group: Sequence[int], label: Sequence[str]) -> float:
    """Share of the documents whose label is the most frequent one of their group."""
    pairs = Counter(zip(group, label))
    return sum(max(n for (h, _), n in pairs.items() if h == g) for g in set(group)) / len(label)


def fit(train: Part, cut: str, method: str, alpha: float, beta: float, k: int, seed: int) -> LDA:
    """Topics from the documents of one cut."""
    return LDA(k, method, alpha, beta, PASSES[method], seed).fit(train[cut][0])


def completion(model: LDA, part: Part, cut: str) -> float:
    """Held-out perplexity, rounded; the halves of the documents are the same for every model."""
    return round(model.completion_perplexity(part[cut][0], np.random.default_rng(0)), 1)


def scores(model: LDA, part: Part) -> dict[str, dict[str, float]]:
    """Held-out perplexity, and what the largest topic of a document says of its library."""
    found = {}
    for cut in CUTS:
        x, library = part[cut]
        topic = model.transform(x).argmax(axis=1).tolist()
        by_chance = np.random.default_rng(0).permutation(topic).tolist()
        found[cut] = {
            "perplexity": completion(model, part, cut),
            "purity": round(purity(topic, library), 4),
            "nmi": round(float(normalized_mutual_info_score(library, topic)), 4),
            "purity by chance": round(purity(by_chance, library), 4),
            "nmi by chance": round(float(normalized_mutual_info_score(library, by_chance)), 4),
        }
    return found


def choose(train: Part, validation: Part, cut: str, method: str) -> list[dict[str, float]]:
    """Every pair of priors with its validation perplexity, the best first."""
    rows = [
        {"alpha": a, "beta": b, "perplexity": completion(model, validation, cut)}
        for a, b in itertools.product(ALPHAS, BETAS)
        for model in [fit(train, cut, method, a, b, TOPICS, 0)]
    ]
    return sorted(rows, key=lambda row: row["perplexity"])


def main() -> None:
    """Choose on the validation part, score on the test part, write the file."""
    count = counter()
    train, validation, test = (read(count, part) for part in docs.PARTS)
    report: dict = {
        "recipe": {
            "command": "python -m tools.topics",
            "corpus": docs.EXPECTED,
            "passes": PASSES,
            "chosen_on": "perplexity of completed validation documents",
        },
        "words": len(count.vocabulary_),
        "tokens": int(train["module"][0].sum()),
        "models": [],
        "numbers": [],
    }
    for method, cut in itertools.product(METHODS, CUTS):
        grid = choose(train, validation, cut, method)
        a, b = grid[0]["alpha"], grid[0]["beta"]
        models = [fit(train, cut, method, a, b, TOPICS, seed) for seed in range(STARTS)]
        row = {"method": method, "cut": cut, "alpha": a, "beta": b, "grid": grid}
        row["test"] = [scores(model, test) for model in models]
        report["models"].append(row)
        print(row, flush=True)
    for method in METHODS:
        own = next(m for m in report["models"] if (m["method"], m["cut"]) == (method, "module"))
        for k in NUMBERS:  # the prior of a document weighs the same whatever the number of topics
            model = fit(train, "module", method, own["alpha"] * TOPICS / k, own["beta"], k, 0)
            found = completion(model, validation, "module")
            report["numbers"].append({"method": method, "topics": k, "validation": found})
            print(report["numbers"][-1], flush=True)
    TARGET.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
