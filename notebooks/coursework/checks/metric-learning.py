"""What is checked in the problem set on metric learning. This runs on the lecturer's side only."""

import numpy as np
from scipy.special import log_softmax

from nlpmeta.coursework.checks import Check, ProblemSet


def labeled(sizes, k_shot, n_query, n_way):
    def cases(rng):
        labels = [f"class {i}" for i, n in enumerate(sizes) for _ in range(n)]
        seeds = rng.integers(10**6, size=6).tolist()
        labels = [labels[i] for i in rng.permutation(len(labels))]
        return [{"labels": labels, "n_way": n_way, "k_shot": k_shot, "n_query": n_query,
                 "seeds": seeds}]  # fmt: skip

    return cases


def shaped(answer, case):
    """Support and query of every seed, if they have the form that was asked for."""
    for support, query in answer:
        for rows, width in ((support, case["k_shot"]), (query, case["n_query"])):
            if len(rows) != case["n_way"] or any(len(row) != width for row in rows):
                raise ValueError("another shape")
            if any(type(i) is not int or i < 0 for row in rows for i in row):
                raise ValueError("no positions")
    if len(answer) != len(case["seeds"]):
        raise ValueError("another number of episodes")
    return answer


def one_class_a_row(answer, case):
    for support, query in shaped(answer, case):
        rows = [{case["labels"][i] for i in a + b} for a, b in zip(support, query)]
        if any(len(row) != 1 for row in rows) or len(set.union(*rows)) != case["n_way"]:
            return False
    return True


def disjoint(answer, case):
    for support, query in shaped(answer, case):
        used = [i for row in support + query for i in row]
        if len(set(used)) != len(used):
            return False
    return True


def large_only(answer, case):
    needed = case["k_shot"] + case["n_query"]
    chosen = [case["labels"][row[0]] for support, _ in shaped(answer, case) for row in support]
    return all(case["labels"].count(label) >= needed for label in chosen)


def varied(answer, case):
    found = shaped(answer, case)
    classes = {case["labels"][row[0]] for support, _ in found for row in support}
    first = [row[0] for support, _ in found for row in support]
    return len(classes) > case["n_way"] and len(set(first)) > len(classes)


def prototypes(z, y, n_way):
    y, z = np.array(y), np.array(z)
    return [z[y == k].mean(axis=0).tolist() for k in range(n_way)]


def scores(z, c):
    return -((np.array(z)[:, None] - np.array(c)[None]) ** 2).sum(axis=2)


def loss(scores, y):
    return float(-log_softmax(np.array(scores), axis=1)[np.arange(len(y)), y].mean())


def embedded(y):
    return lambda rng: [{"z": rng.normal(size=(len(y), 3)).tolist(), "y": y, "n_way": max(y) + 1}]


def pairs(q, n, d):
    def cases(rng):
        return [{"z": rng.normal(size=(q, d)).tolist(), "c": rng.normal(size=(n, d)).tolist()}]

    return cases


def scored(shift, size, q, gap=0.0):
    def cases(rng):
        s = size * rng.normal(size=(q, 3)) + np.array([shift] * q)[:, None]
        y = rng.integers(3, size=q)
        s[np.arange(q), y] -= gap
        return [{"scores": s.tolist(), "y": y.tolist()}]

    return cases


def values(n):
    return lambda rng: [{"values": rng.random(n).tolist()}]


SET = ProblemSet(
    title="Metric learning: names for an atlas",
    hours=7,
    chapter="chapter-metric-learning",
    goals=(
        ("draw episodes that do not leak", "chapter-episodes"),
        ("derive and write the prototype classifier", "chapter-metric-learning"),
        ("compare distances on the same episodes", "sec-cosine"),
        ("compare with baselines honestly", "sec-baselines"),
    ),
    corpora=("names",),
    checks=(
        Check("episode-classes", "episode", 2, "episode: every row of one class, all different",
              labeled((9, 9, 9, 9, 9), 2, 3, 4), accept=one_class_a_row),
        Check("episode-disjoint", "episode", 2, "episode: nothing is drawn twice",
              labeled((6, 6, 6, 6), 3, 3, 3), accept=disjoint),
        Check("episode-small", "episode", 2, "episode: a class with too few examples",
              labeled((4, 7, 7, 7, 3), 2, 3, 3), accept=large_only),
        Check("episode-varied", "episode", 2, "episode: other classes and examples for other seeds",
              labeled((12, 12, 12, 12, 12, 12, 12), 1, 2, 2), accept=varied),
        Check("prototypes-order", "prototypes", 2, "prototypes: classes in any order",
              embedded([2, 0, 1, 1, 0, 2]), prototypes),
        Check("prototypes-unequal", "prototypes", 2, "prototypes: more examples of one class",
              embedded([0, 0, 0, 1, 1, 2, 2]), prototypes),
        Check("prototypes-one", "prototypes", 2, "prototypes: one example of each class",
              embedded([0, 1, 2, 3]), prototypes),
        Check("scores-distance", "scores", 2, "scores: minus the squared distance",
              pairs(3, 3, 4), scores),
        Check("scores-shape", "scores", 2, "scores: one query, one dimension",
              pairs(1, 6, 1), scores),
        Check("loss-mean", "scores", 2, "loss: the mean over several queries",
              scored(0.0, 1.0, 7), loss),
        Check("loss-far", "scores", 2, "loss: a query far from all prototypes",
              scored(-5000.0, 1.0, 1), loss),
        Check("loss-wrong", "scores", 2, "loss: a right class of tiny probability",
              scored(0.0, 1.0, 1, gap=900.0), loss),
        Check("interval-mean", "interval", 2, "interval: the mean", values(40),
              lambda values: float(np.mean(values))),
        Check("interval-width", "interval", 2, "interval: half the width, few episodes", values(4),
              lambda values: float(1.96 * np.std(values, ddof=1) / np.sqrt(len(values)))),
    ),
)  # fmt: skip
