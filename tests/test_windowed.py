"""Networks that see a window: how far they see, parity with plain layers, gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from nlpmeta.windowed import CausalCNNLM, FixedWindowLM


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


NETWORKS = {
    "window": lambda n: FixedWindowLM(n, 9, 4, 6, generator=generator()),
    "cnn": lambda n: CausalCNNLM(n, 9, 6, generator=generator()),
}


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_the_reach_is_exact(kind, n):
    network = NETWORKS[kind](n)
    x = torch.randint(9, (1, 40), generator=generator(1))
    with torch.no_grad():
        base = network(x)[0][0, -1]
        for back in range(40):
            changed = x.clone()
            changed[0, -1 - back] = (changed[0, -1 - back] + 1) % 9
            same = torch.equal(network(changed)[0][0, -1], base)
            assert same == (back >= network.reach) or (kind == "cnn" and same)
        changed = x.clone()
        changed[0, -network.reach] = (changed[0, -network.reach] + 1) % 9
        assert not torch.equal(network(changed)[0][0, -1], base)  # the last that is seen


@pytest.mark.parity(
    "windowed",
    "`FixedWindowLM`; `CausalCNNLM`",
    "vectors put side by side; a padded `torch.nn.Conv1d`; central differences",
    "`1e-5`",
)
@given(st.integers(1, 5), st.integers(1, 12), st.integers(0, 100))
def test_bengio_by_concatenation(n, t, seed):
    network = FixedWindowLM(n, 9, 4, 6, generator=generator(seed))
    x = torch.randint(9, (2, t), generator=generator(seed))
    e = F.pad(network.embedding(x), (0, 0, n - 1, 0))
    for place in range(t):
        side_by_side = e[:, place : place + n].reshape(2, -1)
        wanted = network.out(torch.tanh(network.hidden(side_by_side)))
        torch.testing.assert_close(network(x)[0][:, place], wanted, atol=1e-6, rtol=1e-5)


@pytest.mark.parity
def test_a_convolution_is_a_padded_one():
    network = CausalCNNLM(1, 9, 6, generator=generator())
    x = torch.randint(9, (2, 7), generator=generator())
    layer = nn.Conv1d(6, 6, kernel_size=2, padding=1)
    layer.load_state_dict(network.layers[0].state_dict())
    h = network.embedding(x).transpose(1, 2)
    h = h + torch.relu(layer(h)[..., :-1])
    torch.testing.assert_close(network(x)[0], network.out(h.transpose(1, 2)))


@pytest.mark.parametrize("kind", NETWORKS)
def test_gradients_by_finite_differences(kind):
    network = NETWORKS[kind](2).double()
    x = torch.randint(9, (1, 5), generator=generator())
    names, weights = zip(*network.named_parameters())

    def logits(*values):
        values = dict(zip(names, values))
        return torch.func.functional_call(network, values, (x,))[0]

    assert torch.autograd.gradcheck(logits, weights)


@pytest.mark.parametrize("kind", NETWORKS)
def test_nothing_to_see(kind):
    with pytest.raises(ValueError, match="at least 1"):
        NETWORKS[kind](0)
