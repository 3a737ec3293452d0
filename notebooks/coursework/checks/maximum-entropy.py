"""What is checked in the problem set on maximum entropy. This runs on the lecturer's side only."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_softmax

from nlpmeta.coursework.checks import Check, ProblemSet
from nlpmeta.maxent import MaxEntClassifier

WORDS = ("bed", "breakfast", "ticket", "late", "plot", "actor", "crash", "update", "soup", "quiet")
SIGNS = '.,!?;:"()'


def die(sides, mean):
    values = np.arange(1, sides + 1)

    def at(theta):
        return np.exp(log_softmax(theta * values))

    return at(brentq(lambda theta: at(theta) @ values - mean, -80, 80, xtol=1e-13))


def features(texts, vocabulary):
    clean = [text.lower().translate(str.maketrans("", "", SIGNS)).split() for text in texts]
    return [[float(word in words) for word in vocabulary] + [1.0] for words in clean]


def softmax(scores):
    return log_softmax(np.array(scores), axis=1)


def gradient(theta, x, y, l2):
    theta, x = np.array(theta), np.array(x)
    gap = np.exp(log_softmax(x @ theta, axis=1)) - np.eye(theta.shape[1])[y]
    return x.T @ gap + l2 * np.vstack([theta[:-1], 0 * theta[-1:]])


def fitted(x, y, classes, l2):
    x = np.array(x)
    model = MaxEntClassifier(l2=l2, tol=1e-7).fit(x[:, :-1], y)
    p = np.zeros((len(x), classes))
    p[:, model.classes_] = model.predict_proba(x[:, :-1])
    return p


def scores(far, n=3, k=4):
    def cases(rng):
        shift = far * np.array([[1], [-1], [0.5]])  # one shift for all rows will not do
        return [{"scores": (rng.normal(size=(n, k)) + shift).tolist()} for _ in range(3)]

    return cases


def dice(low, high, sides=(6,)):
    def cases(rng):
        return [{"sides": m, "mean": float(1 + (m - 1) * rng.uniform(low, high))} for m in sides]

    return cases


def texts(odd):
    def cases(rng):
        made = []
        for _ in range(3):
            words = [str(word) for word in rng.choice(WORDS, 6, replace=False)]
            texts = {
                "binary": [f"{words[0]} {words[0]} {words[1]}", f"{words[4]} {words[0]}"],
                "signs": [f'"{words[0].title()}"; ({words[1].upper()})! {words[4]}: {words[2]}?'],
                "empty": ["", f"{words[4]} {words[5]}", words[0]],
            }[odd]
            made.append({"texts": texts, "vocabulary": words[: 4 if odd == "empty" else 5]})
        return made

    return cases


def weighted(l2=0.0, bias=0.0, n=5):
    def cases(rng):
        theta = rng.normal(size=(3, 4))
        theta[-1] *= bias
        x = np.column_stack([rng.normal(size=(n, 2)), np.ones(n)])
        y = rng.integers(4, size=n).tolist()
        return [{"theta": theta.tolist(), "x": x.tolist(), "y": y, "l2": l2}]

    return cases


def data(n, classes, l2):
    def cases(rng):
        y = [i % classes for i in range(n)]
        x = (rng.random((n, 4)) < 0.2 + 0.15 * np.array(y)[:, None]).astype(float)
        if l2:
            x[:, 3] = np.array(y) == 0  # this one feature occurs in one class only
        return [{"x": np.column_stack([x, np.ones(n)]).tolist(), "y": y, "classes": classes, "l2": l2}]

    return cases




SET = ProblemSet(
    title="Maximum entropy: filing sentences",
    hours=6,
    chapter="chapter-maximum-entropy",
    goals=(
        ("derive the exponential form from constraints", "maxent-principle"),
        ("solve for the weight of one constraint", "maxent-die"),
        ("write the gradient as expected minus observed", "maxent-logistic"),
        ("fit the model and know when it is fitted", "maxent-scaling"),
        ("say what a penalty relaxes", "maxent-penalties"),
    ),
    corpora=("docs",),
    checks=(
        Check("die-loaded", "die", 2, "die: other means of a die with six sides",
              dice(0.55, 0.9, (6, 6, 6)), die),
        Check("die-below", "die", 2, "die: means below the middle, where theta is negative",
              dice(0.1, 0.4, (6, 6, 6)), die),
        Check("die-sides", "die", 2, "die: two, twenty and a hundred sides",
              dice(0.6, 0.8, (2, 20, 100)), die),
        Check("softmax-rows", "softmax", 2, "log_softmax: every row by itself",
              scores(1.0), softmax),
        Check("softmax-large", "softmax", 2, "log_softmax: scores in the thousands, each row with its own",
              scores(5000.0), softmax, tolerance=1e-9),
        Check("softmax-tiny", "softmax", 2, "log_softmax: probabilities too small for a float",
              lambda rng: [{"scores": [[0.0, -900.0 - float(rng.random())]]}], softmax),
        Check("features-binary", "features", 2, "features: a word counts once",
              texts("binary"), features),
        Check("features-signs", "features", 2, "features: capitals and signs",
              texts("signs"), features),
        Check("features-empty", "features", 2, "features: empty texts and unknown words",
              texts("empty"), features),
        Check("gradient-gap", "gradient", 2, "gradient: expected minus observed, one example",
              weighted(n=1), gradient),
        Check("gradient-sum", "gradient", 2, "gradient: a sum over the examples",
              weighted(n=6), gradient),
        Check("gradient-bias", "gradient", 2, "gradient: the penalty, and none on the bias",
              weighted(l2=0.7, bias=1.0, n=1), gradient),
        Check("fit-optimum", "fit", 3, "fit: the probabilities at the optimum",
              data(60, 3, 0.0), fitted, tolerance=1e-3),
        Check("fit-penalty", "fit", 3, "fit: two classes, a strong penalty",
              data(20, 2, 4.0), fitted, tolerance=1e-3),
    ),
)  # fmt: skip
