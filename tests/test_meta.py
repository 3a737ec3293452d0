"""Adaptation, prototypes and learners against closed forms and scikit-learn."""

import ast
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid as PeerCentroid
from torch import nn

from nlpmeta import meta
from nlpmeta.episodes import EpisodeSampler, by_class, evaluate
from nlpmeta.learners import FineTune, LogisticRegressionLearner, NearestCentroid, ProtoNet
from nlpmeta.neural import CharacterCNN, NGramFeatures, initialize


def blobs(n_classes=8, n=12, d=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centers = 2 * torch.randn(n_classes, d, generator=generator)
    x = centers.repeat_interleave(n, 0) + torch.randn(n_classes * n, d, generator=generator)
    return by_class(x, [str(c) for c in range(n_classes) for _ in range(n)])


@pytest.mark.parity(
    "meta",
    "`prototypes`; `learners.NearestCentroid`",
    "`sklearn.neighbors.NearestCentroid`",
    "`1e-5`; exact labels",
)
@given(st.integers(2, 5), st.integers(1, 4), st.integers(0, 1000))
def test_prototypes_and_nearest_centroid_equal_scikit_learn(n_way, k_shot, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n_way * k_shot, 3, generator=generator, dtype=torch.float64)
    y = torch.arange(n_way).repeat(k_shot)
    query = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    peer = PeerCentroid().fit(x.numpy(), y.numpy())
    assert np.allclose(meta.prototypes(x, y, n_way), peer.centroids_)
    ours = NearestCentroid(nn.Identity()).adapt(x, y)(query).argmax(-1)
    assert np.array_equal(ours, peer.predict(query.numpy()))


@pytest.mark.parity("meta", "`prototype_logits`", "the linear classifier it is equal to", "`1e-5`")
def test_prototype_logits_are_a_linear_classifier():
    """-|z - c|^2 = 2 c z - |c|^2 - |z|^2, and the last term is common to all classes."""
    z, c = torch.randn(2, 7, 4, generator=torch.Generator().manual_seed(0)).double()
    linear = 2 * z @ c.T - c.square().sum(-1)
    assert torch.allclose(meta.prototype_logits(z, c).softmax(-1), linear.softmax(-1))


def quadratic(params, a, c):
    return 0.5 * c * (params["theta"] - a) ** 2


@pytest.mark.parity(
    "meta",
    "`adapt`, and its derivative by the start",
    "closed form on a quadratic loss",
    "`1e-9`, absolute",
)
@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0.1, 2), st.integers(0, 4))
def test_adapt_equals_the_closed_form_and_can_be_differentiated(theta, a, c, steps):
    alpha = 0.3
    start = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    task = torch.tensor(a, dtype=torch.float64), torch.tensor(c, dtype=torch.float64)
    phi = meta.adapt(quadratic, {"theta": start}, task, alpha, steps)["theta"]
    shrink = (1 - alpha * c) ** steps
    assert phi.item() == pytest.approx(a + shrink * (theta - a), abs=1e-9)
    (slope,) = torch.autograd.grad(phi, start)
    assert slope.item() == pytest.approx(shrink, abs=1e-9)


@pytest.mark.parity(
    "meta",
    "`episode_loss` on a batch of tasks, and its gradient",
    "a loop over the tasks; central differences",
    "`1e-5`; gradient `1e-5`",
)
def test_the_batched_loss_is_the_mean_over_tasks_and_so_is_its_gradient():
    learner = ProtoNet(nn.Linear(5, 3).double())
    initialize(learner, torch.Generator().manual_seed(0))
    grouped = {"": {k: v.double() for k, v in blobs()[""].items()}}
    tasks = EpisodeSampler(grouped, 3, 2, 4, seed=0).batch(0, 6)
    together = meta.episode_loss(learner, tasks, 3)
    one_by_one = torch.stack(
        [
            nn.functional.cross_entropy(learner(*(part[i] for part in tasks[:3]), 3), tasks[3][i])
            for i in range(6)
        ]
    ).mean()
    assert torch.allclose(together, one_by_one)
    for a, b in zip(
        torch.autograd.grad(together, list(learner.parameters())),
        torch.autograd.grad(one_by_one, list(learner.parameters())),
    ):
        assert torch.allclose(a, b, atol=1e-12)
    weight = learner.encoder.weight
    (slope,) = torch.autograd.grad(meta.episode_loss(learner, tasks, 3), weight)
    with torch.no_grad():
        values = []
        for sign in (1, -1):
            weight[0, 0] += sign * 1e-5
            values.append(meta.episode_loss(learner, tasks, 3).item())
            weight[0, 0] -= sign * 1e-5
    assert slope[0, 0].item() == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-5)


def test_meta_training_learns_which_directions_matter():
    """Classes differ in two of ten coordinates, the rest is loud noise; new classes are scored."""
    generator = torch.Generator().manual_seed(0)

    def classes(n):
        centers = torch.zeros(n, 10)
        centers[:, :2] = 3 * torch.randn(n, 2, generator=generator)
        noise = torch.randn(n * 20, 10, generator=generator)
        noise[:, 2:] *= 6
        return by_class(
            centers.repeat_interleave(20, 0) + noise, [str(c) for c in range(n) for _ in range(20)]
        )

    train, test = (EpisodeSampler(classes(30), 3, 2, 5, seed=1) for _ in range(2))
    learner = ProtoNet(nn.Linear(10, 10))
    initialize(learner, torch.Generator().manual_seed(0))
    before = evaluate(learner, test, 100).mean
    history = meta.meta_train(learner, train, steps=150, lr=1e-2)
    assert history.losses[-20:].mean() < history.losses[:20].mean()
    assert evaluate(learner, test, 100).mean > before + 0.15
    weight = learner.encoder.weight.detach().abs()
    assert weight[:, :2].mean() > 2 * weight[:, 2:].mean()


@pytest.mark.parity(
    "learners",
    "`LogisticRegressionLearner`",
    "`sklearn.linear_model.LogisticRegression` on the same support set",
    "`1e-5`, absolute",
)
def test_logistic_regression_learner_equals_scikit_learn():
    task = EpisodeSampler(blobs(), 3, 3, 5, seed=0).task(0)
    logits = LogisticRegressionLearner(nn.Identity()).adapt(*task[:2])(task.query_x)
    peer = LogisticRegression(C=10.0).fit(task.support_x.numpy(), task.support_y.numpy())
    assert np.allclose(logits.softmax(-1), peer.predict_proba(task.query_x.numpy()), atol=1e-5)


@pytest.mark.parametrize("n_way", [1, 2])
def test_few_classes_are_served_too(n_way):
    task = EpisodeSampler(blobs(), n_way, 2, 5, seed=0).task(0)
    learners = [
        LogisticRegressionLearner(nn.Identity()),
        NearestCentroid(nn.Identity()),
        FineTune(nn.Linear(5, 4), 4, lr=0.1, steps=5),
    ]
    for learner in learners:
        assert learner.adapt(*task[:2])(task.query_x).shape == (5 * n_way, n_way)
    logits = learners[0].adapt(*task[:2])(task.query_x)
    if n_way == 2:
        peer = LogisticRegression(C=10.0).fit(task.support_x.numpy(), task.support_y.numpy())
        assert np.allclose(logits.softmax(-1), peer.predict_proba(task.query_x.numpy()), atol=1e-5)


@pytest.mark.parity(
    "learners",
    "`FineTune`",
    "a loop written out with `torch.optim.SGD`",
    "`1e-5`, absolute",
)
def test_fine_tuning_equals_a_hand_written_loop_and_leaves_the_encoder_alone():
    task = EpisodeSampler(blobs(), 3, 3, 5, seed=0).task(0)
    encoder = nn.Linear(5, 4)
    kept = {k: v.detach().clone() for k, v in encoder.named_parameters()}
    logits = FineTune(encoder, 4, lr=0.1, steps=7).adapt(*task[:2])(task.query_x)
    assert all(torch.equal(v, kept[k]) for k, v in encoder.named_parameters())
    head = nn.Linear(4, 3)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    both = nn.Sequential(encoder, head)
    descent = torch.optim.SGD(both.parameters(), lr=0.1)
    for _ in range(7):
        descent.zero_grad()
        nn.functional.cross_entropy(both(task.support_x), task.support_y).backward()
        descent.step()
    assert torch.allclose(both(task.query_x), logits, atol=1e-5)


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="lr is 0"):
        FineTune(nn.Identity(), 1, lr=0, steps=1)
    with pytest.raises(ValueError, match="strength is 0"):
        LogisticRegressionLearner(nn.Identity(), strength=0)
    with pytest.raises(ValueError, match="orders"):
        NGramFeatures((0,), 10)


@given(st.lists(st.integers(1, 19), min_size=1, max_size=12), st.integers(0, 6))
def test_encoders_do_not_see_the_padding(row, extra):
    cnn = CharacterCNN(20, 4, 6, 3, torch.Generator().manual_seed(0))
    ngrams = NGramFeatures((1, 2, 3), 64)
    short, long = torch.tensor([row]), torch.tensor([row + [0] * extra])
    assert torch.allclose(cnn(short), cnn(long), atol=1e-6)
    assert torch.allclose(ngrams(short), ngrams(long), atol=1e-6)


def test_equal_generators_give_equal_weights():
    a, b = (CharacterCNN(20, 4, 6, 3, torch.Generator().manual_seed(5)) for _ in range(2))
    torch.manual_seed(1)
    c = CharacterCNN(20, 4, 6, 3, torch.Generator().manual_seed(5))
    for x, y, z in zip(a.parameters(), b.parameters(), c.parameters()):
        assert torch.equal(x, y)
        assert torch.equal(x, z)


@pytest.mark.parity(
    "neural",
    "`NGramFeatures`: similarities of strings",
    "`sklearn.feature_extraction.text.TfidfVectorizer`",
    "`1e-6`, absolute",
)
def test_ngram_features_equal_scikit_learns_tfidf_when_no_buckets_collide():
    texts = ["abca", "bcd", "aab", "dddd"]
    symbols = {c: i + 1 for i, c in enumerate("abcd")}
    rows = torch.zeros(4, 4, dtype=torch.int64)
    for i, t in enumerate(texts):
        rows[i, : len(t)] = torch.tensor([symbols[c] for c in t])
    ours = NGramFeatures((1, 2), 99_991).fit(rows)(rows)
    peer = TfidfVectorizer(analyzer="char", ngram_range=(1, 2), sublinear_tf=True)
    theirs = peer.fit_transform(texts).toarray()
    assert np.allclose(ours @ ours.T, theirs @ theirs.T, atol=1e-6)


def code_lines(thing):
    """Lines of code of a function or class, without documentation, comments and blanks."""
    tree = ast.parse(inspect.getsource(thing))
    for node in ast.walk(tree):
        documented = isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node)
        if documented:
            node.body = node.body[1:]
    return len(ast.unparse(tree).splitlines())


def test_the_smallest_meta_learner_has_fewer_than_40_lines():
    parts = (meta.prototypes, meta.prototype_logits, ProtoNet, meta.episode_loss)
    assert sum(map(code_lines, (*parts, meta.training_loss, meta.meta_train))) < 40


def test_the_lines_that_the_chapter_shows_run():
    page = Path(__file__).parent.parent / "book/foundations/learning-to-learn.md"
    (lines,) = re.findall(r"```python\n(import torch\n\nfrom .*?)```", page.read_text("utf8"), re.S)
    lines = lines.replace("steps=300", "steps=2").replace("n_episodes=600", "n_episodes=3")
    x = torch.randint(1, 20, (80, 8), generator=torch.Generator().manual_seed(0))
    labels, domains = [str(i % 5) for i in range(80)], ["a"] * 40 + ["b"] * 40
    sampler = EpisodeSampler(by_class(x, labels, domains), 5, 2, 3, seed=1)
    given = {"x": x, "labels": labels, "domains": domains, "n_symbols": 20}
    exec(lines, {**given, "another_sampler": sampler})
