"""Skip-gram: pairs by hand, gradients by finite differences, the optimum of Levy and Goldberg."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nlpmeta.word_vectors import SkipGram, noise_distribution, sgns_loss, skip_gram_pairs


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def test_pairs_by_hand():
    centers, contexts = skip_gram_pairs(torch.tensor([[4, 5, 6, 7], [8, 9, 0, 0]]), window=2)
    assert sorted(zip(centers.tolist(), contexts.tolist())) == [
        *[(4, 5), (4, 6), (5, 4), (5, 6), (5, 7), (6, 4), (6, 5), (6, 7), (7, 5), (7, 6)],
        *[(8, 9), (9, 8)],
    ]


@given(
    st.lists(st.lists(st.integers(1, 5), min_size=2, max_size=7), min_size=1, max_size=4),
    st.integers(1, 8),
)
def test_pairs_are_those_of_two_loops(texts, window):
    slow = sorted(
        (a, b)
        for text in texts
        for i, a in enumerate(text)
        for j, b in enumerate(text)
        if 0 < abs(i - j) <= window
    )
    x = torch.zeros(len(texts), 7, dtype=torch.int64)
    for row, text in zip(x, texts):
        row[: len(text)] = torch.tensor(text)
    centers, contexts = skip_gram_pairs(x, window)
    assert sorted(zip(centers.tolist(), contexts.tolist())) == slow


def test_noise_by_hand():
    q = noise_distribution(torch.tensor([0, 81, 16]))
    assert torch.allclose(q, torch.tensor([0.0, 27 / 35, 8 / 35], dtype=torch.float64))


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=20))
def test_noise_lies_between_frequencies_and_equal_shares(counts):
    n = torch.tensor(counts)
    q, p = noise_distribution(n), n / n.sum()
    assert abs(q.sum().item() - 1) < 1e-12
    assert q.max() <= p.max() + 1e-6
    assert q.max() >= 1 / len(n) - 1e-6


def test_the_loss_by_hand():
    center, context = torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 5.0]])
    negative = torch.tensor([[[0.0, 1.0], [-1.0, 3.0]]])
    # products 2, 0 and -1
    expected = math.log(1 + math.exp(-2)) + math.log(2) + math.log(1 + math.exp(-1))
    assert sgns_loss(center, context, negative).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parity
def test_the_gradient_against_finite_differences():
    v, u, n = normal(3, 4), normal(3, 4, seed=1), normal(3, 2, 4, seed=2)
    inputs = [z.requires_grad_() for z in (v, u, n)]
    gradients = torch.autograd.grad(sgns_loss(*inputs), inputs)
    for z, gradient in zip(inputs, gradients):
        for place in np.ndindex(*z.shape):
            ends = []
            for h in (1e-5, -1e-5):
                moved = z.detach().clone()
                moved[place] += h
                ends.append(sgns_loss(*[moved if y is z else y.detach() for y in inputs]).item())
            assert gradient[place].item() == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-8)


@pytest.mark.parity(
    "word_vectors",
    "`sgns_loss` and its gradient",
    "`binary_cross_entropy_with_logits`; central differences",
    "`1e-12`; `1e-8`",
)
def test_the_loss_is_that_of_logistic_regression():
    v, u, n = normal(5, 3), normal(5, 3, seed=1), normal(5, 4, 3, seed=2)
    products = torch.cat([(u * v).sum(-1, keepdim=True), torch.einsum("bkd,bd->bk", n, v)], dim=1)
    true = torch.zeros(5, 5, dtype=torch.float64)
    true[:, 0] = 1
    expected = torch.nn.functional.binary_cross_entropy_with_logits(products, true, reduction="sum")
    assert sgns_loss(v, u, n).item() == pytest.approx(expected.item() / 5, abs=1e-12)


def test_the_optimum_is_shifted_mutual_information():
    # With noise drawn by frequency and wide vectors (Levy and Goldberg, 2014).
    # How often each center stands with each context:
    table = torch.tensor([[4, 1, 2], [1, 3, 1], [2, 1, 6]], dtype=torch.float64)
    total, k = table.sum(), 2
    pairs = [(i, j) for i in range(3) for j in range(3) for _ in range(int(table[i, j]))]
    contexts = [j for _, j in pairs]
    pmi = (table * total / (table.sum(1, keepdim=True) * table.sum(0))).log()
    center = torch.eye(3, dtype=torch.float64)
    context = (pmi - math.log(k)).T.clone().requires_grad_()
    # every pair with every k negatives that can be drawn
    rows = [(i, j, a, b) for i, j in pairs for a in contexts for b in contexts]
    i, j, a, b = torch.tensor(rows).T
    loss = sgns_loss(center[i], context[j], context[torch.stack([a, b], dim=1)])
    (gradient,) = torch.autograd.grad(loss, context)
    assert gradient.abs().max() < 1e-12


def company(seed=0):
    """Texts of words 1 to 4 or of words 5 to 8."""
    topic = torch.randint(0, 2, (300, 1), generator=generator(seed))
    return 1 + 4 * topic + torch.randint(0, 4, (300, 6), generator=generator(seed + 1))


def test_words_in_one_company_become_neighbors():
    model = SkipGram(9, 8, generator())
    history = model.fit(company(), window=2, steps=200, size=256)
    assert history.losses[0] == pytest.approx(6 * math.log(2), abs=1e-5)
    assert history.losses[-1] < history.losses[0] - 0.3
    for word in range(1, 9):
        own = set(range(1, 5)) if word < 5 else set(range(5, 9))
        assert set(model.neighbors(word, 3).tolist()) == own - {word}


def test_a_run_is_its_seed():
    losses = []
    for seed in (0, 0, 1):
        model = SkipGram(9, 4, generator())
        losses.append(model.fit(company(), window=1, steps=5, size=32, seed=seed).losses)
    assert np.array_equal(losses[0], losses[1])
    assert not np.array_equal(losses[0], losses[2])


def test_padding_is_never_drawn_or_trained():
    model = SkipGram(12, 4, generator())
    x = torch.nn.functional.pad(company(), (0, 3))
    before = model.center.weight[0].clone()
    model.fit(x, window=2, steps=20, size=128)
    assert torch.equal(model.center.weight[0], before)
    # neither padding nor words that do not occur are drawn as noise
    assert (model.context.weight[[0, 9, 10, 11]] == 0).all()


def test_bad_input():
    x = company()
    with pytest.raises(ValueError, match="window: 0; give an integer of at least 1"):
        skip_gram_pairs(x, 0)
    with pytest.raises(ValueError, match=r"x: shape \(6,\); give \(b, t\)"):
        skip_gram_pairs(x[0], 1)
    for lonely in ([[3, 0, 0]], [[3]]):
        with pytest.raises(ValueError, match="x: it holds no pair of words"):
            skip_gram_pairs(torch.tensor(lonely), 2)
    for counts in ([0, 0], [1, -1], [1.0, math.nan], [[1]], []):
        with pytest.raises(ValueError, match="counts: give a vector of finite numbers"):
            noise_distribution(torch.tensor(counts))
    with pytest.raises(ValueError, match=r"center, context, negative: shapes \(2, 3\), \(1, 3\)"):
        sgns_loss(torch.ones(2, 3), torch.ones(1, 3), torch.ones(2, 4, 3))
    with pytest.raises(ValueError, match="width: 0; give an integer"):
        SkipGram(9, 0, generator())
    model = SkipGram(9, 4, generator())
    with pytest.raises(ValueError, match="negatives: 0; give an integer"):
        model.fit(x, negatives=0)
    with pytest.raises(ValueError, match="x: word 9 is not in the vocabulary of 9"):
        model.fit(torch.tensor([[1, 9]]))
    with pytest.raises(ValueError, match="word: 0 is not in the vocabulary; give 1 to 8"):
        model.neighbors(0, 2)
    with pytest.raises(ValueError, match="n: 8; give 1 to 7"):
        model.neighbors(1, 8)
