"""Known wrong answers: for every set, edits of its solutions with the one check each must fail.

Answers of different tasks that do not use each other are tried in one run: ``RUNS`` of a set is a
list of runs, and each maps a cell to an edit, as (old text, new text, the checks that fail).
"""

from __future__ import annotations

# A fit that does not use the gradient of the task before, so that this may be wrong alone.
ALONE = (
    "gradient(theta, x, y, l2).ravel()",
    "(x.T @ (np.exp(log_softmax(x @ theta)) - np.eye(classes)[y])\n"
    "            + l2 * np.vstack([theta[:-1], 0 * theta[-1:]])).ravel()",
    set(),
)
RUNS: dict[str, list[dict[str, tuple[str, str, set[str]]]]] = {
    "maximum-entropy": [
        {
            "die": ("low, high = -60.0", "low, high = 0.0", {"die-below"}),
            "features": ("x[i, place[word]] = 1", "x[i, place[word]] += 1", {"features-binary"}),
            "gradient": ("    pull[-1] = 0\n", "", {"gradient-bias"}),
            "fit": ALONE,
        },
        {
            "die": ("sides + 1)\n", "7)\n", {"die-sides"}),
            "features": ("text.lower().translate(table)", "text.lower()", {"features-signs"}),
            "gradient": ("x.T @ p", "x.T @ p / len(y)", {"gradient-sum"}),
            "fit": ALONE,
        },
        {
            "softmax": (
                "scores = scores - scores.max(axis=1, keepdims=True)",
                "scores = scores - scores.max()",
                {"softmax-large"},
            ),
            "features": ("            if word in place:\n    ", "", {"features-empty"}),
            "fit": (
                "(x, y, classes, l2):\n",
                "(x, y, classes, l2):\n    l2 = 0\n",
                {"fit-penalty"},
            ),
        },
        {
            "softmax": (
                "return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))",
                "p = np.exp(scores)\n    p /= p.sum(axis=1, keepdims=True)\n"
                "    return np.log(np.maximum(p, 1e-300))",
                {"softmax-tiny"},
            ),
        },
    ],
    "metric-learning": [
        {
            "episode": ("counts >= k_shot + n_query", "counts >= 0", {"episode-small"}),
            "prototypes": (
                "z[np.asarray(y) == k].mean(axis=0)",
                "z[np.sort(y) == k].mean(axis=0)",
                {"prototypes-order"},
            ),
            "scores": ("y].mean()", "y].sum()", {"loss-mean"}),
            "interval": ("ddof=1", "ddof=0", {"interval-width"}),
        },
        {
            "episode": (
                "np.array(rows)[:, k_shot:]",
                "np.array(rows)[:, :n_query]",
                {"episode-disjoint"},
            ),
            "prototypes": (
                ".mean(axis=0) for",
                ".sum(axis=0) * n_way / len(y) for",
                {"prototypes-unequal"},
            ),
            "scores": (
                "    scores = scores - scores.max(axis=1, keepdims=True)\n",
                "",
                {"loss-far"},
            ),
            "interval": ("values.mean()", "np.median(values)", {"interval-mean"}),
        },
        {
            "episode": (
                "chosen = rng",
                "rng = np.random.default_rng(7)\n    chosen = rng",
                {"episode-varied"},
            ),
            "prototypes": (
                "z[np.asarray(y) == k].mean(axis=0) for",
                "z[np.asarray(y) == k].sum(axis=0) / max(2, list(y).count(k)) for",
                {"prototypes-one"},
            ),
            "scores": (".sum(axis=2)", ".max(axis=2)", {"scores-distance"}),
        },
        {
            "episode": ("[:, k_shot:]", "[::-1, k_shot:]", {"episode-classes"}),
            "scores": (
                "    return -log_p",
                "    log_p = np.maximum(log_p, -700)\n    return -log_p",
                {"loss-wrong"},
            ),
        },
    ],
    "graphical-models": [
        {
            "estimate": (
                "    for x, y in zip(xs, ys):\n        start",
                "    for before, after in zip(ys, ys[1:]):\n"
                "        transition[before[-1], after[0]] += 1\n"
                "    for x, y in zip(xs, ys):\n        start",
                {"estimate-boundaries"},
            ),
            "forward": (
                "    for symbol in x[1:]:\n"
                "        alpha = logsumexp(alpha[:, None] + a, axis=0) + b[:, symbol]\n"
                "    return logsumexp(alpha)",
                "    p = np.exp(alpha)\n    for symbol in x[1:]:\n"
                "        p = (p @ transition) * emission[:, symbol]\n"
                "    with np.errstate(divide='ignore'):\n        return np.log(p.sum())",
                {"forward-long"},
            ),
            "paths": (
                "    path = [int(best.argmax())]",
                "    path = [int(best.argmax() if len(x) > 1 else emission[:, x[0]].argmin())]",
                {"viterbi-one"},
            ),
            "crf": ("alpha[:, None] + pairwise,", "alpha[:, None] + pairwise.T,", {"crf-value"}),
        },
        {
            "estimate": (
                "start = np.full(n_states, float(add))",
                "start = np.zeros(n_states)",
                {"estimate-smoothing"},
            ),
            "forward": ("np.log(emission)", "np.log(emission + 1e-12)", {"forward-zeros"}),
            "paths": (
                "    gamma = np.array(alpha) + np.array(beta[::-1])\n"
                "    return np.exp(gamma - logsumexp(gamma, axis=1, keepdims=True))",
                "    gamma = np.exp(np.array(alpha)) * np.exp(np.array(beta[::-1]))\n"
                "    return gamma / gamma.sum(axis=1, keepdims=True)",
                {"posteriors-long"},
            ),
            "crf": (
                "    return score - logsumexp(alpha)",
                "    return score - np.log(np.exp(alpha).sum())",
                {"crf-large"},
            ),
        },
        {
            "paths": (
                "best = through.max(axis=0) + b[:, symbol]",
                "best = np.log(np.exp(through.max(axis=0) + b[:, symbol]))",
                {"viterbi-long"},
            ),
        },
    ],
    "language-models": [
        {
            "bigram": ("    p[totals[:, 0] == 0] = continuation\n", "", {"bigram-unseen"}),
            "bits": ("/ len(text))", "/ len(log_probabilities))", {"bits-words"}),
            "attention": ("    if causal:\n", "    if False:\n", {"attention-causal"}),
            "next": ("/ temperature", "* temperature", {"next-temperature"}),
        },
        {
            "bigram": (
                "    seen = counts",
                "    discount = 0.75\n    seen = counts",
                {"bigram-discount"},
            ),
            "bits": ("len(text)", "len(text.encode())", {"bits-unicode"}),
            "attention": (" / np.sqrt(q.shape[1])", "", {"attention-scale"}),
            "next": ("[-top]", "[-len(scores)]", {"next-top"}),
        },
        {
            "attention": ("    s = s - s.max(axis=1, keepdims=True)\n", "", {"attention-large"}),
            "next": ("scores - scores.max()", "scores", {"next-large"}),
        },
    ],
    "transfer-compression": [
        {
            "prune": ("np.abs(w)", "w", {"prune-signs"}),
            "quantize": ("    step = np.where(step == 0, 1, step)\n", "", {"quantize-zeros"}),
            "rank": ("alpha / len(a) * ", "", {"lora-scale"}),
            "teacher": ("temperature**2 * ", "", {"teacher-temperature"}),
        },
        {
            "prune": (
                "kept = w.copy()\n    order = np.argsort(np.abs(w)",
                "kept = w\n    order = np.argsort(np.abs(w)",
                {"prune-copy"},
            ),
            "quantize": ("(2 ** (bits - 1) - 1)", "127", {"quantize-bits"}),
            "teacher": ("        s = s - s.max(axis=1, keepdims=True)\n", "", {"teacher-large"}),
        },
    ],
    "gradient-based": [
        {
            "descend": ("theta = theta - lr", "theta -= lr", {"descend-kept"}),
            "best_start": ("h * (1 - lr * h)", "h * abs(1 - lr * h)", {"start-first"}),
            "meta_gradient": ("create_graph=not first_order", "create_graph=True", {"meta-first"}),
            "reptile": ("np.mean(ends", "np.sum(ends", {"reptile-mean"}),
            "numbered": (
                "rng.permutation(len(classes))[place]",
                "rng.integers(len(classes), size=len(classes))[place]",
                {"numbered-classes"},
            ),
        },
        {
            "descend": ("range(steps)", "range(max(1, steps))", {"descend-none"}),
            "best_start": ("2 * steps)", "2)", {"start-steps"}),
            "meta_gradient": ("in range(steps)", "in range(1)", {"meta-steps"}),
            "reptile": ("theta + rate *", "theta + 1 *", {"reptile-rate"}),
            "numbered": (
                "rng.permutation(len(classes))[place]",
                "place",
                {"numbered-varied"},
            ),
        },
        {
            "meta_gradient": (
                "tuple(p - lr * g for p, g in zip(phi, slope))",
                "(*phi[:-1], phi[-1] - lr * slope[-1])",
                {"meta-network"},
            ),
        },
    ],
}

# Honest partial answers: the tasks that were answered, and the points that they get.
PARTIAL: dict[str, list[tuple[set[str], float]]] = {
    "maximum-entropy": [
        ({"die"}, 6.0),
        ({"softmax", "features"}, 12.0),
        ({"softmax", "gradient", "fit"}, 18.0),
    ],
    "metric-learning": [
        ({"episode"}, 8.0),
        ({"prototypes", "interval"}, 10.0),
        ({"episode", "scores"}, 18.0),
    ],
    "graphical-models": [
        ({"estimate"}, 6.0),
        ({"forward", "crf"}, 12.0),
        ({"estimate", "paths"}, 16.0),
    ],
    "language-models": [
        ({"bits"}, 4.0),
        ({"bigram", "next"}, 12.0),
        ({"bits", "attention"}, 14.0),
    ],
    "transfer-compression": [
        ({"prune"}, 6.0),
        ({"quantize", "teacher"}, 12.0),
        ({"rank", "prune"}, 14.0),
    ],
    "gradient-based": [
        ({"descend"}, 6.0),
        ({"best_start", "reptile"}, 10.0),
        ({"meta_gradient", "numbered"}, 12.0),
    ],
}
