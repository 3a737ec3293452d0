"""What is checked in the set on gradient-based meta-learning. This runs on the lecturer's side."""

import numpy as np
import torch

from nlpmeta.adaptation import meta_loss
from nlpmeta.coursework.checks import Check, ProblemSet


def bowls(steps, n=3):
    def cases(rng):
        return [{"h": rng.uniform(0.5, 2, n).tolist(), "c": rng.normal(size=n).tolist(),
                 "theta": rng.normal(size=n).tolist(), "lr": float(rng.uniform(0.1, 0.4)),
                 "steps": steps} for _ in range(3)]  # fmt: skip

    return cases


def descended(h, c, theta, lr, steps):
    """In closed form: the distance to the optimum shrinks by a factor."""
    c = np.array(c)
    return c + (1 - lr * np.array(h)) ** steps * (np.array(theta) - c)


def parabolas(steps, h=(0.5, 1.0, 3.0)):
    def cases(rng):  # at a rate of one half the last of three steps too far
        return [{"h": list(h), "c": rng.normal(size=len(h)).tolist(), "lr": 0.5, "steps": steps}
                for _ in range(3)]  # fmt: skip

    return cases


def best_start(power):
    def right(h, c, lr, steps):
        h = np.array(h)
        weights = h * (1 - lr * h) ** (power * steps)
        return float(weights @ np.array(c) / weights.sum())

    return right


def tasks(steps, first_order=False, hidden=0):
    def cases(rng):
        shapes = [(3, hidden), (hidden, 3)] if hidden else [(3, 3)]
        return [{"start": [rng.normal(size=shape).tolist() for shape in shapes],
                 "sx": rng.normal(size=(4, 3)).tolist(), "sy": rng.integers(3, size=4).tolist(),
                 "qx": rng.normal(size=(6, 3)).tolist(), "qy": rng.integers(3, size=6).tolist(),
                 "lr": 0.7, "steps": steps, "first_order": first_order}
                for _ in range(2)]  # fmt: skip

    return cases


def meta_gradient(start, sx, sy, qx, qy, lr, steps, first_order):
    params = {str(i): torch.tensor(p, dtype=torch.float64, requires_grad=True)
              for i, p in enumerate(start)}  # fmt: skip

    def loss(params, x, y):
        for i in range(len(start) - 1):
            x = torch.tanh(x @ params[str(i)])
        return torch.nn.functional.cross_entropy(x @ params[str(len(start) - 1)], y)

    def task(x, y):
        return torch.tensor([x], dtype=torch.float64), torch.tensor([y])

    value = meta_loss(loss, params, task(sx, sy), task(qx, qy), lr=lr, steps=steps,
                      first_order=first_order)  # fmt: skip
    return [g.tolist() for g in torch.autograd.grad(value, list(params.values()))]


def ended(n, rate):
    def cases(rng):
        return [{"theta": rng.normal(size=4).tolist(), "ends": rng.normal(size=(n, 4)).tolist(),
                 "rate": rate}]  # fmt: skip

    return cases


def reptile(theta, ends, rate):
    return np.array(theta) + rate * (np.array(ends) - np.array(theta)).mean(axis=0)


def classes(rng):
    kinds = [f"kind {n}" for n in rng.choice(99, 4, replace=False)]
    labels = [kinds[i] for i in rng.permutation([0, 0, 1, 2, 2, 3])]
    return [{"labels": labels, "seeds": rng.integers(10**6, size=60).tolist()}]


def one_number_each(answer, case):
    for numbers in answer:
        pairs = set(zip(case["labels"], numbers, strict=True))
        if len(pairs) != 4 or {number for _, number in pairs} != {0, 1, 2, 3}:
            return False
    return len(answer) == len(case["seeds"])


def every_number(answer, case):
    return all({numbers[i] for numbers in answer} >= {0, 1, 2, 3} for i in range(6))


SET = ProblemSet(
    title="Gradient-based meta-learning: a harbor office",
    hours=8,
    chapter="chapter-gradient-based",
    goals=(
        ("derive the gradient of a descent", "sec-second-order"),
        ("compute it, and say what first order leaves out", "sec-second-order"),
        ("write the relatives of the method", "chapter-gradient-based"),
        ("find out what moves in a learned start", "sec-feature-reuse"),
        ("keep the support set from being ignored", "sec-memorization"),
    ),
    corpora=("names",),
    checks=(
        Check("descend-steps", "descend", 2, "descend: several steps", bowls(4), descended),
        Check("descend-none", "descend", 2, "descend: no steps", bowls(0), descended),
        Check("descend-kept", "descend", 2, "descend: the start that was handed in is not changed",
              bowls(2), lambda h, c, theta, lr, steps: theta),
        Check("start-one", "best_start", 2, "best_start: one step", parabolas(1), best_start(2)),
        Check("start-steps", "best_start", 2, "best_start: several steps",
              parabolas(3), best_start(2)),
        Check("start-first", "best_start", 2,
              "best_start: first order, and a rate that steps beyond an optimum",
              parabolas(1), best_start(1)),
        Check("meta-one", "meta_gradient", 2, "meta_gradient: one step",
              tasks(1), meta_gradient),
        Check("meta-steps", "meta_gradient", 2, "meta_gradient: several steps",
              tasks(3), meta_gradient),
        Check("meta-first", "meta_gradient", 2, "meta_gradient: first order",
              tasks(1, first_order=True), meta_gradient),
        Check("meta-network", "meta_gradient", 2, "meta_gradient: parameters of two layers",
              tasks(1, hidden=2), meta_gradient),
        Check("reptile-mean", "reptile", 2, "reptile: the mean over several tasks",
              ended(5, 1.0), reptile),
        Check("reptile-rate", "reptile", 2, "reptile: the rate", ended(1, 0.3), reptile),
        Check("numbered-classes", "numbered", 2, "numbered: one number for each class, from 0 on",
              classes, accept=one_number_each),
        Check("numbered-varied", "numbered", 2, "numbered: every class gets every number in time",
              classes, accept=every_number),
    ),
)  # fmt: skip
