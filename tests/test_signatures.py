"""Words weighed by where else they occur: hand-worked weights, laws, and what cannot be."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from nlpmeta.episodes import EpisodeSampler, by_class, evaluate
from nlpmeta.heads import ridge_weights
from nlpmeta.learners import NearestCentroid, SignatureNet
from nlpmeta.meta import meta_train, prototype_logits, prototypes

SHARE = torch.tensor([0.5, 0.001, 0.0])
SUPPORT, LABELS = torch.tensor([[3.0, 1.0, 0.0], [1.0, 0.0, 1.0]]), torch.tensor([0, 1])


def test_general_weights_are_the_formula():
    learner = SignatureNet(SHARE, alpha=1, beta=0)
    found = learner.log_weights(SUPPORT, LABELS, 2).exp()
    expected = [0.001 / (0.001 + p) for p in (0.5, 0.001, 0.0)]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_without_exponents_it_is_the_nearest_mean_of_counts():
    learner = SignatureNet(SHARE, alpha=0, beta=0, scale=1.0)
    query = torch.tensor([[2.0, 1.0, 1.0], [0.0, 0.0, 4.0]])
    plain = NearestCentroid(lambda x: F.normalize(x, dim=-1)).adapt(SUPPORT, LABELS)(query)
    torch.testing.assert_close(learner.adapt(SUPPORT, LABELS)(query), plain)


def test_telling_words_follow_entropy_of_ridge_rows():
    learner = SignatureNet(SHARE, alpha=0, beta=1)
    z = F.normalize(SUPPORT, dim=-1)
    w = ridge_weights(z, F.one_hot(LABELS, 2).float(), torch.tensor(0.1))
    p = (10 * w).softmax(-1)
    entropy = -(p * p.log()).sum(-1)
    found = learner.log_weights(SUPPORT, LABELS, 2)
    torch.testing.assert_close(found, -entropy.clamp(min=1e-2).log())


def test_a_word_of_no_support_text_tells_nothing():
    share = torch.tensor([0.1, 0.1, 0.1, 0.1])
    learner = SignatureNet(share, alpha=0, beta=1)
    support = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0]])
    weights = learner.log_weights(support, torch.arange(3), 3)
    assert weights[3].item() == pytest.approx(-math.log(math.log(3)), abs=1e-5)
    assert (weights[:3] > weights[3]).all()


@given(seed=st.integers(0, 1000))
def test_order_of_support_and_numbering_change_nothing(seed):
    g = torch.Generator().manual_seed(seed)
    support = torch.randint(0, 4, (6, 12), generator=g).float() + 0.0
    support[:, 0] += 1
    labels = torch.arange(3).repeat(2)
    learner = SignatureNet(torch.rand(12, generator=g) / 12)
    query = torch.randint(0, 4, (4, 12), generator=g).float()
    logits = learner.adapt(support, labels)(query)
    order, names = torch.randperm(6, generator=g), torch.randperm(3, generator=g)
    torch.testing.assert_close(
        learner.adapt(support[order], labels[order])(query), logits, atol=1e-4, rtol=1e-4
    )
    renamed = learner.adapt(support, names[labels])(query)
    torch.testing.assert_close(renamed[:, names], logits, atol=1e-4, rtol=1e-4)


def test_an_empty_query_has_finite_logits():
    logits = SignatureNet(SHARE).adapt(SUPPORT, LABELS)(torch.zeros(1, 3))
    assert logits.isfinite().all()


def test_exponents_are_learned_in_episodes():
    g = torch.Generator().manual_seed(0)
    noise = torch.poisson(torch.full((80, 4), 3.0), generator=g)
    rare = torch.zeros(80, 8)
    rare[torch.arange(80), torch.arange(8).repeat_interleave(10)] = 1
    data = by_class(torch.cat([noise, rare], 1), [str(i // 10) for i in range(80)])
    share = torch.tensor([0.2] * 4 + [0.01] * 8)
    sampler = EpisodeSampler(data, 3, 1, 3, seed=0)
    learner = SignatureNet(share, alpha=0, beta=0)
    before = evaluate(learner, sampler, 50).mean
    meta_train(learner, sampler, steps=40, tasks_per_step=4, lr=0.05)
    assert learner.alpha.item() > 0.2
    assert evaluate(learner, sampler, 50).mean > before + 0.1


def test_it_is_prototypes_of_weighed_counts():
    learner = SignatureNet(SHARE, scale=2.0)
    a = learner.log_weights(SUPPORT, LABELS, 2).exp()
    z, q = F.normalize(SUPPORT * a, dim=-1), F.normalize(SUPPORT.flip(0) * a, dim=-1)
    expected = 2 * prototype_logits(q, prototypes(z, LABELS, 2))
    torch.testing.assert_close(learner.adapt(SUPPORT, LABELS)(SUPPORT.flip(0)), expected)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: SignatureNet(torch.tensor([-0.1])), "share holds"),
        (lambda: SignatureNet(torch.tensor([float("nan")])), "share holds"),
        (lambda: SignatureNet(SHARE, epsilon=0), "epsilon is 0"),
        (lambda: SignatureNet(SHARE, scale=float("inf")), "scale is inf"),
        (lambda: SignatureNet(SHARE).adapt(SUPPORT, torch.tensor([0, 2])), "no 1"),
    ],
)
def test_what_cannot_be(call, match):
    with pytest.raises(ValueError, match=match):
        call()
