"""What is checked in the problem set on graphical models. This runs on the lecturer's side only."""

import numpy as np
from scipy.special import logsumexp

from nlpmeta.coursework.checks import Check, ProblemSet


def estimate(xs, ys, n_states, n_symbols, add):
    start, transition = np.zeros(n_states) + add, np.zeros((n_states, n_states)) + add
    emission = np.zeros((n_states, n_symbols)) + add
    np.add.at(start, [y[0] for y in ys], 1)
    for x, y in zip(xs, ys):
        np.add.at(transition, (y[:-1], y[1:]), 1)
        np.add.at(emission, (y, x), 1)
    rows = [m / m.sum(axis=-1, keepdims=True) for m in (start, transition, emission)]
    return [m.tolist() for m in rows]


def logs(start, transition, emission, x):
    with np.errstate(divide="ignore"):
        return np.log(start), np.log(transition), np.log(np.array(emission)[:, x]).T


def forward(first, step, seen):
    alpha = [first + seen[0]]
    for row in seen[1:]:
        alpha.append(logsumexp(alpha[-1][:, None] + step, axis=0) + row)
    return np.array(alpha)


def log_probability(**case):
    return float(logsumexp(forward(*logs(**case))[-1]))


def viterbi(**case):
    first, step, seen = logs(**case)
    best, back = first + seen[0], []
    for row in seen[1:]:
        through = best[:, None] + step
        back.append(through.argmax(axis=0))
        best = through.max(axis=0) + row
    path = [int(best.argmax())]
    for pointers in back[::-1]:
        path.append(int(pointers[path[-1]]))
    return path[::-1]


def posteriors(**case):
    first, step, seen = logs(**case)
    beta = [np.zeros(len(first))]
    for row in seen[:0:-1]:
        beta.append(logsumexp(step + row + beta[-1], axis=1))
    gamma = forward(first, step, seen) + np.array(beta[::-1])
    return np.exp(gamma - logsumexp(gamma, axis=1, keepdims=True))


def crf(unary, pairwise, y):
    unary, pairwise = np.array(unary), np.array(pairwise)
    score = unary[range(len(y)), y].sum() + pairwise[y[:-1], y[1:]].sum()
    return float(score - logsumexp(forward(0, pairwise, unary)[-1]))


def labeled(count, add):
    def cases(rng):
        ys = [[*rng.permutation(3).tolist() * 3, int(rng.integers(3))] for _ in range(count)]
        xs = [rng.integers(4, size=len(y)).tolist() for y in ys]
        return [{"xs": xs, "ys": ys, "n_states": 3, "n_symbols": 4, "add": add}]

    return cases


def models(length, many=2):
    def cases(rng):
        made = []
        for _ in range(many):
            start, transition = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(3), 3)
            emission, x = rng.dirichlet(np.ones(4), 3), rng.integers(4, size=length)
            made.append({"start": start.tolist(), "transition": transition.tolist(),
                         "emission": emission.tolist(), "x": x.tolist()})  # fmt: skip
        return made

    return cases


def impossible(rng):
    (case,) = models(4, 1)(rng)
    for row in case["emission"]:
        row[0], row[1] = 0.0, row[0] + row[1]
    return [case | {"x": [1, 2, 0, 3]}]


def fields(length, unary, pairwise):
    def cases(rng):
        return [{"unary": (unary * rng.normal(size=(length, 3))).tolist(),
                 "pairwise": (pairwise * rng.normal(size=(3, 3))).tolist(),
                 "y": rng.integers(3, size=length).tolist()}]  # fmt: skip

    return cases


SET = ProblemSet(
    title="Graphical models: sections of docstrings",
    hours=8,
    chapter="chapter-sequence-models",
    goals=(
        ("derive and run the forward recursion", "seq-forward"),
        ("compute long sequences without underflow", "seq-underflow"),
        ("tell the best path from the best states", "seq-misconception"),
        ("write the likelihood of a conditional random field", "seq-crf"),
    ),
    corpora=("docs.lines",),
    checks=(
        Check("estimate-counts", "estimate", 2, "estimate: one sequence, nothing added",
              labeled(1, 0.0), estimate),
        Check("estimate-smoothing", "estimate", 2, "estimate: what is added to every count",
              labeled(1, 0.3), estimate),
        Check("estimate-boundaries", "estimate", 2, "estimate: several sequences",
              labeled(4, 0.0), estimate),
        Check("forward-value", "forward", 2, "log_probability: short sequences",
              models(5), log_probability),
        Check("forward-long", "forward", 2, "log_probability: thousands of symbols",
              models(3000, 1), log_probability, tolerance=1e-8),
        Check("forward-zeros", "forward", 2, "log_probability: a sequence that cannot be",
              impossible, log_probability),
        Check("viterbi-path", "paths", 2, "viterbi: short sequences", models(6, 5), viterbi),
        Check("viterbi-long", "paths", 2, "viterbi: thousands of symbols",
              models(2000, 1), viterbi),
        Check("viterbi-one", "paths", 2, "viterbi: one symbol", models(1, 4), viterbi),
        Check("posteriors-value", "paths", 2, "posteriors: short sequences",
              models(5), posteriors),
        Check("posteriors-long", "paths", 2, "posteriors: thousands of symbols",
              models(2000, 1), posteriors),
        Check("crf-value", "crf", 2, "crf_log_likelihood: scores of both kinds",
              fields(6, 1.0, 1.0), crf),
        Check("crf-large", "crf", 2, "crf_log_likelihood: scores in the thousands",
              fields(6, 3000.0, 0.0), crf),
        Check("crf-one", "crf", 2, "crf_log_likelihood: one position", fields(1, 1.0, 1.0), crf),
    ),
)  # fmt: skip
