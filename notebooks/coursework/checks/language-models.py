"""What is checked in the problem set on language models. This runs on the lecturer's side only."""

import math

import numpy as np
from scipy.special import softmax

from nlpmeta.coursework.checks import Check, ProblemSet


def bigram(tokens, n_symbols, discount):
    pairs = list(zip(tokens, tokens[1:]))
    kinds = set(pairs)
    table = []
    for v in range(n_symbols):
        row = []
        total = sum(a == v for a, _ in pairs)
        after = sum(a == v for a, _ in kinds)
        for w in range(n_symbols):
            p = sum(b == w for _, b in kinds) / len(kinds)
            if total:
                p = max(pairs.count((v, w)) - discount, 0) / total + discount * after / total * p
            row.append(p)
        table.append(row)
    return table


def bits(log_probabilities, text):
    return -math.fsum(log_probabilities) / math.log(2) / len(text)


def attention(q, k, v, causal):
    q, k, v = map(np.array, (q, k, v))
    rows = []
    for i, query in enumerate(q):
        seen = slice(0, i + 1 if causal else None)
        rows.append(softmax(k[seen] @ query / math.sqrt(len(query))) @ v[seen])
    return rows


def following(scores, temperature, top):
    order = np.argsort(scores)[::-1][:top]
    p = np.zeros(len(scores))
    p[order] = softmax(np.array(scores)[order] / temperature)
    return p


def tokens(discount, unseen=0):
    def cases(rng):
        drawn = [*range(4), *rng.integers(4, size=25).tolist(), 0]
        return [{"tokens": drawn, "n_symbols": 4 + unseen, "discount": discount}]

    return cases


def texts(words):
    def cases(rng):
        text = "".join(rng.choice(list(words), 12))
        count = 3 if words.isascii() else len(text)
        return [{"log_probabilities": np.log(rng.uniform(0.01, 1, count)).tolist(), "text": text}]

    return cases


def head(t, s, d, causal, far=1.0):
    def cases(rng):
        q, k = far * rng.normal(size=(t, d)), rng.normal(size=(s, d))
        return [{"q": q.tolist(), "k": k.tolist(), "v": rng.normal(size=(s, 2)).tolist(),
                 "causal": causal}]  # fmt: skip

    return cases


def scores(temperature, top, far=0.0):
    def cases(rng):
        s = rng.normal(size=6) + far
        return [{"scores": s.tolist(), "temperature": temperature, "top": top}]

    return cases


SET = ProblemSet(
    title="Language models: finishing docstrings",
    hours=7,
    chapter="chapter-transformers",
    goals=(
        ("compare models in bits per character", "sec-language-model"),
        ("write attention, causal and safe", "sec-attention"),
        ("place a model on the scoreboard", "scoreboard"),
        ("divide text without leaking", "bn-split"),
    ),
    corpora=("docs",),
    checks=(
        Check("bigram-value", "bigram", 2, "bigram: every context seen", tokens(0.75), bigram),
        Check("bigram-unseen", "bigram", 2, "bigram: a context that was never seen",
              tokens(0.75, unseen=1), bigram),
        Check("bigram-discount", "bigram", 2, "bigram: another discount", tokens(0.4), bigram),
        Check("bits-words", "bits", 2, "bits_per_character: tokens longer than a character",
              texts("abc "), bits),
        Check("bits-unicode", "bits", 2, "bits_per_character: characters beyond ASCII",
              texts("éß語"), bits),
        Check("attention-all", "attention", 2, "attention: every position sees all",
              head(4, 4, 1, False), attention),
        Check("attention-causal", "attention", 2, "attention: nothing is seen before its time",
              head(4, 4, 1, True), attention),
        Check("attention-scale", "attention", 2, "attention: scores over the root of d",
              head(3, 3, 16, False), attention),
        Check("attention-large", "attention", 2, "attention: scores in the thousands",
              head(3, 3, 1, False, 9000.0), attention),
        Check("attention-shapes", "attention", 2, "attention: fewer queries than keys",
              head(2, 5, 1, False), attention),
        Check("next-temperature", "next", 2, "next_distribution: temperatures",
              scores(0.6, 6), following),
        Check("next-top", "next", 2, "next_distribution: only the largest", scores(1.0, 3), following),
        Check("next-large", "next", 2, "next_distribution: scores in the thousands",
              scores(1.0, 6, 5000.0), following),
    ),
)  # fmt: skip
