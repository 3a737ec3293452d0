"""Encoders of strings: what padding, order and emptiness do to the vectors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nlpmeta.neural import BagEncoder, CharacterCNN, GRUEncoder

ENCODERS = (BagEncoder, CharacterCNN, GRUEncoder)
kinds = pytest.mark.parametrize("kind", ENCODERS, ids=lambda kind: kind.__name__)
strings = st.lists(st.integers(1, 9), min_size=1, max_size=8)


def encoder(kind, seed=0):
    return kind(10, 5, 7, 4, torch.Generator().manual_seed(seed))


@kinds
@given(x=strings, padding=st.integers(0, 5))
def test_padding_changes_nothing(kind, x, padding):
    model = encoder(kind)
    one, two = model(torch.tensor([x])), model(torch.tensor([x + [0] * padding]))
    torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-5)


@kinds
def test_leading_axes_stay(kind):
    x = torch.randint(1, 10, (2, 3, 6), generator=torch.Generator().manual_seed(0))
    model = encoder(kind)
    z = model(x)
    assert z.shape == (2, 3, 4)
    torch.testing.assert_close(z[1, 2], model(x[1, 2][None])[0], atol=1e-6, rtol=1e-5)


@kinds
def test_an_empty_string_has_a_vector(kind):
    assert torch.isfinite(encoder(kind)(torch.zeros(1, 3, dtype=torch.int64))).all()


@given(x=strings, data=st.data())
def test_a_bag_forgets_the_order(x, data):
    other = data.draw(st.permutations(x))
    model = encoder(BagEncoder)
    torch.testing.assert_close(model(torch.tensor([x])), model(torch.tensor([other])))


@pytest.mark.parametrize("kind", [CharacterCNN, GRUEncoder])
def test_the_others_do_not(kind):
    model = encoder(kind)
    one, two = model(torch.tensor([[1, 2, 3]])), model(torch.tensor([[3, 2, 1]]))
    assert (one - two).abs().max() > 1e-3


@kinds
def test_the_weights_depend_on_the_generator_alone(kind):
    one, same, other = (encoder(kind, seed).state_dict() for seed in (0, 0, 1))
    assert all(one[name].equal(same[name]) for name in one)
    assert not one["embedding.weight"].equal(other["embedding.weight"])


@kinds
def test_gradients_reach_every_weight(kind):
    model = encoder(kind)
    model(
        torch.randint(1, 10, (20, 6), generator=torch.Generator().manual_seed(0))
    ).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
