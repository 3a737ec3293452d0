"""Contrastive losses: by hand, against PyTorch, the bound on information, and collapse."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from nlpmeta.self_supervision import (
    MaskedLM,
    alignment,
    info_nce,
    linear_probe,
    simcse_loss,
    uniformity,
)
from nlpmeta.training import fit
from nlpmeta.transformer import GPTConfig


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


seeds = st.integers(0, 10_000)


def test_two_pairs_by_hand():
    a, b = torch.tensor([[2.0, 0.0], [0.0, 3.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    # cosines [[0.6, 0], [0.8, 1]], temperature 0.5
    first = -math.log(math.exp(1.2) / (math.exp(1.2) + 1))
    second = -math.log(math.exp(2) / (math.exp(1.6) + math.exp(2)))
    assert info_nce(a, b, 0.5).item() == pytest.approx((first + second) / 2, abs=1e-6)


@pytest.mark.parity(
    "self_supervision",
    "`info_nce`; `uniformity`; `linear_probe`",
    "cross-entropy of cosine similarities; all distances by `torch.pdist`; scikit-learn "
    "with standardized columns",
    "`1e-5`; `1e-4`; accuracy `1e-2`",
)
@given(seeds, st.integers(2, 9), st.floats(0.05, 5))
def test_it_is_the_cross_entropy_of_the_similarities(seed, n, temperature):
    a, b = normal(n, 4, seed=seed), normal(n, 4, seed=seed + 1)
    s = torch.cosine_similarity(a[:, None], b[None], dim=-1) / temperature
    expected = F.cross_entropy(s, torch.arange(n))
    assert torch.allclose(info_nce(a, b, temperature), expected, atol=1e-5)


@given(seeds, st.floats(0.1, 10))
def test_order_length_and_rotation_do_not_matter(seed, scale):
    a, b = normal(6, 4, seed=seed), normal(6, 4, seed=seed + 1)
    order = torch.randperm(6, generator=generator(seed))
    q, _ = torch.linalg.qr(normal(4, 4, seed=seed + 2))
    assert torch.allclose(info_nce(scale * a[order] @ q, b[order] @ q), info_nce(a, b), atol=1e-4)
    assert torch.allclose(uniformity(scale * a[order] @ q), uniformity(a), atol=1e-4)
    assert torch.allclose(alignment(scale * a @ q, b @ q), alignment(a, b), atol=1e-4)


@given(
    st.lists(st.integers(1, 9), min_size=6, max_size=6),
    seeds,
    st.integers(2, 3),
    st.floats(0.1, 2),
)
def test_it_bounds_mutual_information_from_below(counts, seed, n, temperature):
    # All batches of n pairs from a table of 2 by 3 values, each with its probability.
    p = torch.tensor(counts, dtype=torch.float64).view(2, 3)
    p /= p.sum()
    information = (p * (p / (p.sum(1, keepdim=True) * p.sum(0))).log()).sum()
    a, b = normal(2, 3, seed=seed).double(), normal(3, 3, seed=seed + 1).double()
    expected = 0.0
    for batch in itertools.product(itertools.product(range(2), range(3)), repeat=n):
        i, j = torch.tensor(batch).T
        expected += p[i, j].prod() * info_nce(a[i], b[j], temperature)
    assert math.log(n) - expected <= information + 1e-9


def test_the_bound_is_never_above_log_n():
    z = torch.eye(8)
    assert info_nce(z, z, 0.01) >= 0
    assert math.log(8) - info_nce(z, z, 0.01).item() == pytest.approx(math.log(8), abs=1e-5)


def test_collapse_is_the_best_alignment_and_the_worst_of_all_else():
    z = normal(1, 5).expand(7, 5)
    assert alignment(z, z).item() == 0
    assert uniformity(z).item() == pytest.approx(0, abs=1e-5)
    assert info_nce(z, z).item() == pytest.approx(math.log(7), abs=1e-5)


def trained(loss):
    """A linear encoder trained on pairs of noisy copies, and the first copies."""
    x = normal(64, 6)
    pair = (x + 0.3 * normal(64, 6, seed=1), x + 0.3 * normal(64, 6, seed=2))
    network = nn.Linear(6, 4)
    nn.init.normal_(network.weight, generator=generator(3))
    nn.init.zeros_(network.bias)
    assert uniformity(network(x)) < -1.5
    fit(network, lambda f, p: loss(f(p[0]), f(p[1])), lambda _: pair, steps=300, lr=0.05)
    return network(pair[0]).detach(), network(pair[1]).detach()


def test_training_without_negatives_collapses():
    a, b = trained(alignment)
    assert alignment(a, b) < 0.01
    assert uniformity(a) > -0.5
    a, b = trained(info_nce)
    assert uniformity(a) < -1.5


def test_alignment_and_uniformity_by_hand():
    z = torch.tensor([[2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    assert alignment(z, -z).item() == pytest.approx(4)
    expected = math.log((2 * math.exp(-4) + math.exp(-8)) / 3)  # squared distances 2, 2, 4
    assert uniformity(z).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parity
@given(seeds)
def test_uniformity_is_that_of_all_pairs(seed):
    z = F.normalize(normal(9, 5, seed=seed), dim=-1)
    expected = torch.pdist(z).square().mul(-2).exp().mean().log()
    assert torch.allclose(uniformity(z), expected, atol=1e-4)


def test_simcse_is_info_nce_of_two_dropouts():
    network, x = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.2)), normal(5, 6)
    torch_state = torch.get_rng_state()
    loss = simcse_loss(network, x, 0.1)
    torch.set_rng_state(torch_state)
    assert torch.equal(loss, info_nce(network(x), network(x), 0.1))


def test_simcse_trains_the_small_encoder():
    config = GPTConfig(n_tokens=20, context=6, width=16, n_layers=1, n_heads=2)
    model = MaskedLM(config, generator())
    x = torch.randint(1, 20, (32, 6), generator=generator(1))
    history = fit(
        model, lambda m, batch: simcse_loss(m.encode, batch), lambda _: x, steps=60, lr=3e-3
    )
    assert history.losses[-1] < 0.5 * history.losses[0]


def test_simcse_without_dropout():
    network = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.2)).eval()
    with pytest.raises(ValueError, match="encoder: it gave the same vectors twice"):
        simcse_loss(network, normal(5, 6))


def clouds(n, seed):
    y = torch.randint(0, 3, (n,), generator=generator(seed))
    z = normal(n, 5, seed=seed + 1) + 0.6 * y[:, None]
    return z * torch.tensor([1, 10, 0.1, 1, 1]), y


@pytest.mark.parity
def test_the_probe_is_scikit_learns():
    (z, y), (test_z, test_y) = clouds(200, 0), clouds(300, 10)
    mean, deviation = z.mean(0), z.std(0, correction=0)
    theirs = LogisticRegression(max_iter=1000).fit(((z - mean) / deviation).numpy(), y.numpy())
    expected = theirs.score(((test_z - mean) / deviation).numpy(), test_y.numpy())
    assert linear_probe(z, y, test_z, test_y) == pytest.approx(expected, abs=0.01)
    assert 0.5 < expected < 1


def test_the_probe_does_not_see_scale_and_takes_any_labels():
    (z, y), (test_z, test_y) = clouds(100, 0), clouds(100, 10)
    scale = torch.tensor([1.0, 100.0, 0.01, 5.0, 1.0])
    score = linear_probe(z.double(), y, test_z.double(), test_y)
    again = linear_probe(z.double() * scale + 7, y, test_z.double() * scale + 7, test_y)
    assert again == pytest.approx(score, abs=0.011)
    names = np.array(["a", "b", "c"])
    assert linear_probe(z.double(), names[y], test_z.double(), names[test_y]) == score


def test_the_probe_takes_sparse_vectors_and_a_penalty():
    (z, y), (test_z, test_y) = clouds(100, 0), clouds(300, 10)
    z, test_z = z.clamp(min=0).numpy(), test_z.clamp(min=0).numpy()
    theirs = LogisticRegression(C=0.1, max_iter=1000).fit(z, y).score(test_z, test_y)
    for kind in (np.asarray, sp.csr_array):
        score = linear_probe(kind(z), y, kind(test_z), test_y, c=0.1, standardize=False)
        assert score == pytest.approx(theirs, abs=0.01)


@pytest.mark.parametrize("temperature", [0, -1.0, math.nan, math.inf])
def test_bad_temperatures(temperature):
    with pytest.raises(ValueError, match=r"temperature: .*; give a positive number"):
        info_nce(normal(3, 2), normal(3, 2), temperature)


@pytest.mark.parametrize("function", [info_nce, alignment])
def test_bad_pairs(function):
    with pytest.raises(ValueError, match=r"b: shape \(3, 2\), and a has \(4, 2\)"):
        function(normal(4, 2), normal(3, 2))
    with pytest.raises(ValueError, match=r"a: shape \(1, 2\); give \(n, d\) with at least two"):
        function(normal(1, 2), normal(1, 2))
    with pytest.raises(ValueError, match="b: not all numbers are finite"):
        function(normal(2, 2), torch.tensor([[1.0, math.nan], [0.0, 1.0]]))


def test_bad_vectors():
    with pytest.raises(ValueError, match=r"z: shape \(1, 2\)"):
        uniformity(normal(1, 2))
    with pytest.raises(ValueError, match=r"z: shape \(4,\)"):
        uniformity(normal(4))
    with pytest.raises(ValueError, match="z: not all numbers are finite"):
        uniformity(torch.tensor([[1.0, math.inf], [0.0, 1.0]]))


def test_bad_probes():
    z, y = normal(4, 2), torch.tensor([0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"train_z, train_y: shapes \(4, 2\), \(3,\)"):
        linear_probe(z, y[:3], z, y)
    with pytest.raises(ValueError, match=r"test_z, test_y: shapes \(0, 2\), \(0,\)"):
        linear_probe(z, y, z[:0], y[:0])
    with pytest.raises(ValueError, match="train_z: not all numbers are finite"):
        linear_probe(z * math.nan, y, z, y)
    with pytest.raises(ValueError, match="test_z: width 1; train_z has 2"):
        linear_probe(z, y, z[:, :1], y)
    with pytest.raises(ValueError, match="train_y: only class 0; give two"):
        linear_probe(z, y * 0, z, y)
    with pytest.raises(ValueError, match="c: 0; give a positive number"):
        linear_probe(z, y, z, y, c=0)
    with pytest.raises(ValueError, match="sparse, and to be standardized; give standardize=False"):
        linear_probe(sp.csr_array(z.numpy()), y, z, y)
