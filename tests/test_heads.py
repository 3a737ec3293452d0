"""Closed-form heads against scikit-learn, PyTorch's attention and loops written out."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from torch.nn import functional as F

from nlpmeta.heads import attention_logits, prototype_classifier, relation_logits, ridge_weights
from nlpmeta.meta import prototype_logits, prototypes

shapes = st.tuples(st.integers(2, 5), st.integers(1, 4), st.integers(1, 12), st.integers(0, 1000))


def drawn(shape):
    """Support vectors, their labels in mixed order, and queries, in double precision."""
    n_way, k_shot, d, seed = shape
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(n_way).repeat(k_shot)[torch.randperm(n_way * k_shot, generator=g)]
    z = torch.randn(n_way * k_shot, d, generator=g, dtype=torch.float64)
    return z, y, torch.randn(7, d, generator=g, dtype=torch.float64)


@pytest.mark.parity(
    "heads",
    "`prototype_classifier`",
    "`ProtoNet`'s logits less what is equal for all classes",
    "`1e-10`",
)
@given(shapes)
def test_prototypes_are_the_linear_classifier_of_their_derivation(shape):
    z, y, query = drawn(shape)
    c = prototypes(z, y, shape[0])
    w, b = prototype_classifier(c)
    linear = query @ w.T + b
    distances = prototype_logits(query, c)
    assert torch.allclose(linear - query.square().sum(-1, True), distances, atol=1e-10)
    assert torch.allclose(linear.softmax(-1), distances.softmax(-1), atol=1e-10)


@pytest.mark.parity(
    "heads",
    "`attention_logits`",
    "`scaled_dot_product_attention` with the labels as values",
    "`1e-10`",
)
@given(shapes, st.floats(0.05, 2))
def test_attention_equals_pytorchs_with_one_hot_values(shape, temperature):
    z, y, query = drawn(shape)
    logits = attention_logits(query, z, y, shape[0], temperature)
    peer = F.scaled_dot_product_attention(
        F.normalize(query, dim=-1),
        F.normalize(z, dim=-1),
        F.one_hot(y, shape[0]).double(),
        scale=1 / temperature,
    )
    assert torch.allclose(logits.exp(), peer, atol=1e-10)
    assert torch.allclose(logits.exp().sum(-1), torch.ones(7).double(), atol=1e-10)


def test_attention_worked_by_hand():
    """Two votes of weight e for class 0 against one of weight 1 for class 1."""
    support = torch.tensor([[2.0, 0.0], [7.0, 0.0], [0.0, 1.0]])
    logits = attention_logits(torch.tensor([[3.0, 0.0]]), support, torch.tensor([0, 0, 1]), 2, 1.0)
    e = np.e
    assert logits.exp().squeeze().tolist() == pytest.approx([2 * e / (2 * e + 1), 1 / (2 * e + 1)])


def test_a_vector_of_zeros_has_a_finite_gradient():
    z = torch.zeros(2, 3, requires_grad=True)
    attention_logits(z, torch.zeros(2, 3), torch.tensor([0, 1]), 2, 0.1)[:, 0].sum().backward()
    assert torch.isfinite(z.grad).all()


@given(shapes)
def test_relations_equal_a_loop_over_pairs(shape):
    z, y, query = drawn(shape)
    c = prototypes(z, y, shape[0])
    weight = torch.arange(1.0, 2 * shape[2] + 1, dtype=torch.float64)

    def compare(pair):
        return (pair * weight).sin().sum(-1, keepdim=True)

    logits = relation_logits(query, c, compare)
    for i, q in enumerate(query):
        for k, center in enumerate(c):
            assert torch.allclose(logits[i, k], compare(torch.cat([center, q])))


@pytest.mark.parity(
    "heads",
    "`ridge_weights`, with more and with fewer examples than columns",
    "`sklearn.linear_model.Ridge` without intercept",
    "`1e-6`",
)
@given(shapes, st.floats(0.01, 100))
def test_ridge_equals_scikit_learn_with_more_examples_than_features_and_with_fewer(shape, penalty):
    z, y, query = drawn(shape)
    targets = F.one_hot(y, shape[0]).double()
    w = ridge_weights(z, targets, penalty)
    peer = Ridge(alpha=penalty, fit_intercept=False).fit(z.numpy(), targets.numpy())
    assert np.allclose(w.T, peer.coef_, atol=1e-6, rtol=0)
    assert np.allclose(query @ w, peer.predict(query.numpy()), atol=1e-6, rtol=0)


def test_both_systems_of_ridge_have_one_solution():
    z, y, _ = drawn((3, 4, 6, 0))  # 12 examples, 6 features
    targets = F.one_hot(y, 3).double()
    primal = ridge_weights(z, targets, 0.7)
    dual = z.T @ torch.linalg.solve(z @ z.T + 0.7 * torch.eye(12).double(), targets)
    assert torch.allclose(primal, dual, atol=1e-12)
    gradient = z.T @ (z @ primal - targets) + 0.7 * primal
    assert gradient.abs().max() < 1e-12, "the slope at the minimum is zero"


@pytest.mark.parametrize("d", [2, 9])
def test_ridge_can_be_differentiated(d):
    z, y, _ = drawn((3, 2, d, 1))
    targets = F.one_hot(y, 3).double()
    penalty = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda z, penalty: ridge_weights(z, targets, penalty), (z.requires_grad_(), penalty)
    )


def test_ridge_in_half_precision_is_refused():
    with pytest.raises(TypeError, match=r"torch\.float16.*encoder\.float\(\)"):
        ridge_weights(torch.ones(2, 2).half(), torch.eye(2).half(), 1.0)
