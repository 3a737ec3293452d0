"""The smaller experiments of ``tools.meta_nlp_study``: words, blanks, domains, names.

Each function is one piece: it trains and scores on one draw and returns what its table needs.
"""

from __future__ import annotations

import time
from collections import Counter
from functools import cache

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds
from torch import Tensor, nn
from torch.nn import functional as F

from nlpmeta.class_splits import split_classes
from nlpmeta.corpora import names
from nlpmeta.episodes import EpisodeSampler, by_class, evaluate
from nlpmeta.learners import NearestCentroid, ProtoNet, SignatureNet
from nlpmeta.meta import meta_train
from nlpmeta.metrics import chrf
from nlpmeta.seq2seq import END, PAD, START, Seq2Seq
from nlpmeta.task_sets import Examples, blanks, latin_names, modules
from nlpmeta.text import Vocabulary, pad, words
from nlpmeta.training import fit, minibatches

N_WAY, N_QUERY, EPISODES = 5, 5, 200


def accuracy(learner, data, seed: int, shots=(1, 5)) -> dict[str, float]:
    """Mean accuracy by shots."""
    with torch.no_grad():
        return {
            str(k): round(
                evaluate(learner, EpisodeSampler(data, N_WAY, k, N_QUERY, seed), EPISODES).mean, 5
            )
            for k in shots
        }


# Weights of words, and two leaks


@cache
def counted(found: Examples) -> Tensor:
    """Word counts (n, v) of all texts; the numbering of words is no statistic of theirs."""
    rows = [[w.lower() for w in words(text)] for text in found.texts]
    vocabulary = {w: i for i, w in enumerate(sorted({w for row in rows for w in row}))}
    x = torch.zeros(len(rows), len(vocabulary))
    for i, row in enumerate(rows):
        for w in row:
            x[i, vocabulary[w]] += 1
    return x


def vectors(counts: Tensor, width: int = 100) -> Tensor:
    """Word vectors (v, width): positive pointwise mutual information of words of a text, reduced.

    ``max(0, log(p(a, b) / (p(a) p(b))))`` with the share of pairs within a text (Church and Hanks,
    1990; Levy, Goldberg and Dagan, 2015), and the square roots of its largest singular values.
    """
    x = csr_matrix((counts > 0).double().numpy())
    pairs = (x.T @ x).tocoo()
    total, single = pairs.sum(), np.asarray(pairs.sum(0)).ravel()
    value = np.log(pairs.data * total / (single[pairs.row] * single[pairs.col]))
    keep = value > 0
    ppmi = csr_matrix((value[keep], (pairs.row[keep], pairs.col[keep])), shape=pairs.shape)
    u, s, _ = svds(ppmi, k=width, v0=np.ones(pairs.shape[0]))
    return torch.from_numpy(u * np.sqrt(s)).float()


def signatures(
    found: Examples, train: np.ndarray, test: np.ndarray, others: np.ndarray, seed: int
) -> dict:
    """Class means of words under several weights, and what two leaks fake.

    ``others`` are sentences of the test classes that are never asked: what word vectors gain by
    the text of those classes, and not by the queries.
    """
    every = counted(found)
    at, tested = torch.from_numpy(train), torch.from_numpy(test)
    x = every[:, every[torch.cat([at, tested])].sum(0) > 0]
    wider = torch.cat([at, tested, torch.from_numpy(others)])
    every = every[:, every[wider].sum(0) > 0]
    own, asked = x[at], x[tested]
    data = by_class(own, [found.labels[i] for i in train])
    there = by_class(asked, [found.labels[i] for i in test])
    share = own.sum(0) / own.sum()
    fixed = {"all alike": (0, 0), "half": (0.5, 0), "rare words": (1, 0), "telling words": (0, 1),
             "both": (1, 1)}  # fmt: skip
    out = {k: accuracy(SignatureNet(share, *ab), there, seed) for k, ab in fixed.items()}
    sampler = EpisodeSampler(data, N_WAY, 1, N_QUERY, seed)
    for name, start_at in (("learned, rarity only", 0.0), ("learned", 1.0)):
        model = SignatureNet(share, beta=start_at)
        model.beta.requires_grad_(name == "learned")
        start = time.process_time()
        meta_train(model, sampler, steps=60, tasks_per_step=8, lr=0.05)
        seconds = round(time.process_time() - start, 1)
        out[name] = accuracy(model, there, seed) | {
            "alpha": round(model.alpha.item(), 3),
            "beta": round(model.beta.item(), 3),
            "seconds": seconds,
        }
    leak = asked.sum(0) / asked.sum()
    out["leak: rare in the test classes"] = accuracy(SignatureNet(leak, 1, 0), there, seed)
    for name, text in (("vectors", own), ("leak: vectors of queries too", torch.cat([own, asked]))):
        e = vectors(text)
        means = NearestCentroid(lambda c, e=e: F.normalize(c @ e, dim=-1, eps=1e-6))
        out[name] = accuracy(means, there, seed)
    text = every[torch.cat([at, torch.from_numpy(others)])]
    e = vectors(text)
    there = by_class(every[tested], [found.labels[i] for i in test])
    means = NearestCentroid(lambda c: F.normalize(c @ e, dim=-1, eps=1e-6))
    out["vectors of others too"] = accuracy(means, there, seed)
    out["others"] = len(others)
    return out


# Tasks made by blanking words


class MeanOfWords(nn.Module):
    """Vectors of words, learned, added up over a text (b, t) and divided by the root of its length.

    They start normal with deviation one half, so that texts are apart before anything is learned.
    """

    def __init__(self, n_words: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.words = nn.Embedding(n_words, width, padding_idx=PAD)
        with torch.no_grad():
            self.words.weight.normal_(0, 0.5, generator=generator)
            self.words.weight[PAD] = 0
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        seen = (x != PAD).unsqueeze(-1).float()
        h = (self.words(x) * seen).sum(-2) / seen.sum(-2).clamp(min=1).sqrt()
        return self.scale * h


@cache
def sentences() -> tuple[Examples, list[list[str]]]:
    found = modules(least=30, most=30)
    return found, [[w.lower() for w in words(text)][:40] for text in found.texts]


def blanked(seed: int) -> dict:
    """Modules of sentences, learned from blanked words, from modules, from one after the other."""
    found, rows = sentences()
    order = sorted(set(found.labels))
    part = np.random.default_rng(seed).permutation(len(order))
    test = {order[i] for i in part[: len(order) // 3]}
    known = [i for i, label in enumerate(found.labels) if label not in test]
    vocabulary = Vocabulary.from_tokens((w for i in known for w in rows[i]), min_count=3)

    def numbers(texts: list[list[str]]) -> Tensor:
        return torch.as_tensor(pad([vocabulary.encode(t) for t in texts]))

    asked = [i for i, label in enumerate(found.labels) if label in test]
    there = by_class(numbers([rows[i] for i in asked]), [found.labels[i] for i in asked],
                     [found.domains[i] for i in asked])  # fmt: skip
    tasks = {
        "modules": by_class(numbers([rows[i] for i in known]), [found.labels[i] for i in known],
                            [found.domains[i] for i in known])
    }  # fmt: skip
    made = blanks([rows[i] for i in known])
    x = numbers([text.split() for text in made.texts])
    split = split_classes(by_class(x, made.labels), 0, len(set(made.labels)) // 5, seed)
    tasks["blanks"], new_words = split.train, split.test
    out: dict = {"words": len(set(made.labels))}
    for name, stages in {
        "untrained": (), "blanks": ("blanks",), "modules": ("modules",),
        "modules twice": ("modules", "modules"), "blanks, then modules": ("blanks", "modules"),
    }.items():  # fmt: skip
        model = ProtoNet(MeanOfWords(len(vocabulary), 64, torch.Generator().manual_seed(seed)))
        start = time.process_time()
        for number, stage in enumerate(stages):
            sampler = EpisodeSampler(tasks[stage], N_WAY, 1, N_QUERY, 10 * seed + number)
            meta_train(model, sampler, steps=300, tasks_per_step=8, lr=1e-2)
        out[name] = accuracy(model, there, seed) | {
            "seconds": round(time.process_time() - start, 1),
            "new words": accuracy(model, new_words, seed, (1,))["1"],
        }
    return out


# English names into a language


def translation(n_held: int = 6, steps: int = 500) -> dict:
    """chrF of names in languages held out: copied, pooled, adapted, and from scratch."""
    by_language: dict[str, list[names.Name]] = {}
    for r in latin_names():
        if r.language != "en" and len(r.text) <= 24 and len(r.english) <= 24:
            by_language.setdefault(r.language, []).append(r)
    rng = np.random.default_rng(0)
    kept = sorted(k for k, v in by_language.items() if len(v) >= 150)
    held = [kept[i] for i in rng.permutation(len(kept))[:n_held]]
    pairs = {k: [by_language[k][i] for i in rng.permutation(len(by_language[k]))] for k in kept}
    pool = [r for k in kept if k not in held for r in pairs[k][:300]]
    symbols = Counter(c for r in pool for c in r.english + r.text)
    index = {c: i for i, c in enumerate((c for c, n in symbols.items() if n >= 20), START + 2)}
    unknown = START + 2 + len(index)

    def numbers(texts: list[str], target: bool = False) -> Tensor:
        rows = [[index.get(c, unknown) for c in text] for text in texts]
        return torch.as_tensor(pad([[START, *r, END] if target else r for r in rows]))

    def batch(rows: list, seed: int, size: int):
        x, y = numbers([r.english for r in rows]), numbers([r.text for r in rows], True)
        return minibatches(x, y, size=min(size, len(rows)), seed=seed)

    def new(seed: int) -> Seq2Seq:
        generator = torch.Generator().manual_seed(seed)
        n = unknown + 1
        return Seq2Seq(n, n, 32, 96, "product", generator=generator)

    def train(model: Seq2Seq, rows: list, n: int, lr: float, size: int = 64) -> float:
        start = time.process_time()
        fit(model, lambda m, b: m.loss(*b), batch(rows, 0, size), steps=n, lr=lr, clip=1.0)
        return round(time.process_time() - start, 1)

    letters = {i: c for c, i in index.items()}

    def score(model: Seq2Seq, rows: list) -> float:
        got = greedy(model, numbers([r.english for r in rows]))
        texts = ["".join(letters.get(i, "") for i in row) for row in got]
        return chrf(texts, [r.text for r in rows])

    pooled = new(0)
    out: dict = {"held": held, "languages": len(kept) - n_held, "pairs": len(pool)}
    out["seconds pooled"] = train(pooled, pool, steps, 3e-3)
    state = {k: v.clone() for k, v in pooled.state_dict().items()}
    table: dict[str, list[float]] = {}
    seconds = []
    for language in held:
        test = pairs[language][50:110]
        copied = chrf([r.english for r in test], [r.text for r in test])
        table.setdefault("copy the English name", []).append(copied)
        table.setdefault("pooled", []).append(score(pooled, test))
        for n in (10, 50):
            model = new(0)
            model.load_state_dict(state)
            seconds.append(train(model, pairs[language][:n], 40, 1e-3, 32))
            table.setdefault(f"pooled, adapted to {n}", []).append(score(model, test))
        model = new(1)
        train(model, pairs[language][:50], 100, 3e-3, 32)
        table.setdefault("from scratch on 50", []).append(score(model, test))
    out["chrf"] = {k: [round(v, 2) for v in row] for k, row in table.items()}
    out["seconds adapted"] = round(float(np.mean(seconds)), 2)
    return out


@torch.no_grad()
def greedy(model: Seq2Seq, x: Tensor, length: int = 28) -> list[list[int]]:
    """The most probable next symbol, again and again, for many sources at once."""
    keys, state = model.encode(x)
    y = torch.full((len(x), 1), START)
    for _ in range(length):
        logits, _ = model.decode(keys, state, x != PAD, y)
        logits[:, -1, [PAD, START]] = -1e9
        y = torch.cat([y, logits[:, -1].argmax(-1, keepdim=True)], 1)
    rows = y[:, 1:].tolist()
    return [row[: row.index(END)] if END in row else row for row in rows]
