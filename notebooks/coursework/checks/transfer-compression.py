"""What is checked in the problem set on transfer and compression, on the lecturer's side only."""

import numpy as np
from scipy.special import log_softmax

from nlpmeta.coursework.checks import Check, ProblemSet


def prune(w, share):
    w = np.array(w)
    cut = np.sort(np.abs(w), axis=None)[round(share * w.size)]
    return np.where(np.abs(w) >= cut, w, 0.0)


def quantize(w, bits):
    rows = []
    for row in np.array(w):
        step = np.abs(row).max() / (2 ** (bits - 1) - 1)
        rows.append(np.round(row / step) * step if step else row)
    return np.array(rows)


def low_rank(w, r):
    u, s, v = np.linalg.svd(w)
    return sum(s[i] * np.outer(u[:, i], v[i]) for i in range(r))


def lora(x, w, a, b, alpha):
    return np.array(x) @ (np.array(w) + alpha / len(a) * np.array(b) @ np.array(a)).T


def distillation(student, teacher, temperature):
    log_p = log_softmax(np.array(teacher) / temperature, axis=1)
    log_q = log_softmax(np.array(student) / temperature, axis=1)
    return float(temperature**2 * (np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean())


def weights(shape, positive=False, zero=False, **more):
    def cases(rng):
        w = rng.normal(size=shape)
        w = np.abs(w) if positive else w
        if zero:
            w[1] = 0
        return [{"w": w.tolist(), **more}]

    return cases


def layer(alpha):
    def cases(rng):
        shapes = {"x": (3, 5), "w": (4, 5), "a": (2, 5), "b": (4, 2)}
        return [{k: rng.normal(size=s).tolist() for k, s in shapes.items()} | {"alpha": alpha}]

    return cases


def logits(temperature, far=0.0):
    def cases(rng):
        s, t = rng.normal(size=(2, 4, 3)) + far
        return [{"student": s.tolist(), "teacher": t.tolist(), "temperature": temperature}]

    return cases


SET = ProblemSet(
    title="Transfer and compression: reviews on a phone",
    hours=6,
    chapter="chapter-compression",
    goals=(
        ("prune weights and say what it saves", "sec-pruning"),
        ("say when zeros make a model faster", "sec-zeros"),
        ("add a low-rank update to a frozen layer", "ft-lora"),
    ),
    corpora=("reviews",),
    checks=(
        Check("prune-share", "prune", 2, "prune: how many become zero",
              weights((5, 7), positive=True, share=0.4), prune),
        Check("prune-signs", "prune", 2, "prune: large negative weights stay",
              weights((6, 6), share=0.5), prune),
        Check("prune-copy", "prune", 2, "prune: the argument stays as it was",
              weights((4, 4), positive=True, share=0.5),
              lambda w, share: [prune(w, share).tolist(), w]),
        Check("quantize-rows", "quantize", 2, "quantize: eight bits, a step for every row",
              weights((4, 6), bits=8), quantize),
        Check("quantize-zeros", "quantize", 2, "quantize: a row of zeros",
              weights((3, 4), zero=True, bits=8), quantize),
        Check("quantize-bits", "quantize", 2, "quantize: four bits", weights((3, 8), bits=4), quantize),
        Check("rank-nearest", "rank", 2, "low_rank: the nearest", weights((6, 4), r=2), low_rank),
        Check("rank-wide", "rank", 2, "low_rank: more columns than rows", weights((3, 9), r=2), low_rank),
        Check("lora-value", "rank", 2, "lora: the update of a frozen layer", layer(2), lora),
        Check("lora-scale", "rank", 2, "lora: alpha over the rank", layer(7), lora),
        Check("teacher-value", "teacher", 2, "distillation: temperature one", logits(1.0), distillation),
        Check("teacher-temperature", "teacher", 2, "distillation: other temperatures",
              logits(3.0), distillation),
        Check("teacher-large", "teacher", 2, "distillation: logits in the thousands",
              logits(1.0, 4000.0), distillation),
    ),
)  # fmt: skip
