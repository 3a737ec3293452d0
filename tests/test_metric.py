"""Metric learners: the vectorized loss, symmetries, learning, and bad input."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nlpmeta import meta
from nlpmeta.episodes import EpisodeSampler, by_class, evaluate
from nlpmeta.heads import ridge_weights
from nlpmeta.learners import MatchingNet, NearestCentroid, ProtoNet, RelationNet, RidgeNet
from nlpmeta.neural import CharacterCNN, initialize

NAMES = ("ProtoNet", "MatchingNet", "RelationNet", "RidgeNet")


def made(name, encoder, d):
    """A learner of that name on an encoder with vectors of width d."""
    if name == "RelationNet":
        return RelationNet(encoder, d, 16, torch.Generator().manual_seed(0))
    return {"ProtoNet": ProtoNet, "MatchingNet": MatchingNet, "RidgeNet": RidgeNet}[name](encoder)


def classes(n, generator, d=10):
    """Classes that differ in two of the coordinates; the rest is louder noise."""
    centers = torch.zeros(n, d)
    centers[:, :2] = 3 * torch.randn(n, 2, generator=generator)
    noise = torch.randn(n * 20, d, generator=generator)
    noise[:, 2:] *= 4
    labels = [str(c) for c in range(n) for _ in range(20)]
    return by_class(centers.repeat_interleave(20, 0) + noise, labels)


@pytest.mark.parity(
    "learners",
    "matching, relation and ridge networks: loss and gradient on a batch of tasks",
    "a loop over the tasks",
    "`1e-12`; `1e-10`",
)
@pytest.mark.parametrize("name", NAMES)
def test_the_vectorized_loss_and_its_gradient_equal_a_loop(name):
    learner = made(name, nn.Linear(10, 4), 4).double()
    initialize(learner, torch.Generator().manual_seed(1))
    data = classes(8, torch.Generator().manual_seed(0))
    data = {"": {label: x.double() for label, x in data[""].items()}}
    tasks = EpisodeSampler(data, 3, 2, 4, seed=0).batch(0, 6)
    together = meta.episode_loss(learner, tasks, 3)
    losses = [
        nn.functional.cross_entropy(learner(*(part[i] for part in tasks[:3]), 3), tasks[3][i])
        for i in range(6)
    ]
    one_by_one = torch.stack(losses).mean()
    assert torch.allclose(together, one_by_one, atol=1e-12)
    parameters = list(learner.parameters())
    for a, b in zip(
        torch.autograd.grad(together, parameters), torch.autograd.grad(one_by_one, parameters)
    ):
        assert torch.allclose(a, b, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_characters_under_vmap_too(name):
    encoder = CharacterCNN(20, 4, 6, 3, torch.Generator().manual_seed(0))
    x = torch.randint(1, 20, (40, 7), generator=torch.Generator().manual_seed(0))
    tasks = EpisodeSampler(by_class(x, list("abcd") * 10), 3, 2, 3, seed=0).batch(0, 4)
    learner = made(name, encoder, 3)
    meta.episode_loss(learner, tasks, 3).backward()
    assert all(torch.isfinite(p.grad).all() for p in learner.parameters())


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 500), order=st.permutations(range(6)), new=st.permutations(range(3)))
def test_the_order_of_examples_is_nothing_and_labels_are_only_names(name, seed, order, new):
    learner = made(name, nn.Identity(), 4).double()
    g = torch.Generator().manual_seed(seed)
    x, query = (torch.randn(n, 4, generator=g, dtype=torch.float64) for n in (6, 5))
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    logits = learner.adapt(x, y)(query)
    mixed = torch.tensor(order)
    assert torch.allclose(learner.adapt(x[mixed], y[mixed])(query), logits, atol=1e-9)
    renamed = learner.adapt(x, torch.tensor(new)[y])(query)
    assert torch.allclose(renamed[:, torch.tensor(new)], logits, atol=1e-9)
    assert torch.equal(learner(x, y, query, 3), logits)


@pytest.mark.parametrize("name", NAMES)
def test_meta_training_learns_which_directions_matter(name):
    g = torch.Generator().manual_seed(0)
    train, test = (EpisodeSampler(classes(n, g), 3, 2, 5, seed=1) for n in (30, 20))
    learner = made(name, nn.Linear(10, 10), 10)
    initialize(learner, torch.Generator().manual_seed(0))
    before = evaluate(NearestCentroid(nn.Identity()), test, 100).mean
    history = meta.meta_train(learner, train, steps=250, lr=1e-2)
    assert history.losses[-20:].mean() < history.losses[:20].mean()
    assert evaluate(learner, test, 100).mean > before + 0.1


def test_with_one_example_a_class_matching_is_a_softmax_of_cosines():
    g = torch.Generator().manual_seed(0)
    x, query = torch.randn(3, 4, generator=g), torch.randn(6, 4, generator=g)
    logits = MatchingNet(nn.Identity(), temperature=0.5).adapt(x, torch.arange(3))(query)
    cosine = nn.functional.cosine_similarity(query.unsqueeze(1), x.unsqueeze(0), dim=-1)
    assert torch.allclose(logits.softmax(-1), (cosine / 0.5).softmax(-1), atol=1e-6)


def test_ridge_net_is_scaled_ridge_on_one_hot_labels_and_learns_both_numbers():
    g = torch.Generator().manual_seed(0)
    x, query = torch.randn(6, 4, generator=g), torch.randn(5, 4, generator=g)
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    learner = RidgeNet(nn.Identity(), penalty=2.0, scale=3.0)
    w = ridge_weights(x, nn.functional.one_hot(y).float(), 2.0)
    assert torch.allclose(learner.adapt(x, y)(query), 3 * query @ w, atol=1e-5)
    nn.functional.cross_entropy(learner(x, y, query, 3), torch.tensor([0, 1, 2, 0, 1])).backward()
    assert learner.log_penalty.grad.abs() > 0
    assert learner.log_scale.grad.abs() > 0


def test_relation_net_takes_its_weights_from_the_generator():
    a, b = (
        RelationNet(nn.Identity(), 3, 5, torch.Generator().manual_seed(seed)) for seed in (4, 4)
    )
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters()))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("labels", "named"), [([0, 2], "labels have no 1"), ([-1, 0], "numbered from 0")]
)
def test_a_support_set_with_a_missing_label_is_refused(name, labels, named):
    with pytest.raises(ValueError, match=named):
        made(name, nn.Identity(), 2).adapt(torch.eye(2), torch.tensor(labels))


@pytest.mark.parametrize("name", NAMES)
def test_one_class_is_served(name):
    predict = made(name, nn.Identity(), 2).adapt(torch.eye(2), torch.tensor([0, 0]))
    assert predict(torch.ones(4, 2)).shape == (4, 1)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda e, g: MatchingNet(e, temperature=0.0), "temperature is 0"),
        (lambda e, g: MatchingNet(e, temperature=float("nan")), "temperature is nan"),
        (lambda e, g: RelationNet(e, 0, 4, g), "d is 0"),
        (lambda e, g: RelationNet(e, 2, 0, g), "d_hidden is 0"),
        (lambda e, g: RidgeNet(e, penalty=0.0), "penalty is 0"),
        (lambda e, g: RidgeNet(e, scale=-1.0), "scale is -1"),
    ],
)
def test_impossible_settings_are_refused(make, named):
    with pytest.raises(ValueError, match=named):
        make(nn.Identity(), torch.Generator().manual_seed(0))


def test_half_precision_is_refused_where_a_system_is_solved():
    with pytest.raises(TypeError, match=r"encoder\.float"):
        RidgeNet(nn.Identity()).adapt(torch.eye(2).half(), torch.tensor([0, 1]))
