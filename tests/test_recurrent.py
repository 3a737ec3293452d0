"""Cells written out equal PyTorch's fused ones, forward and backward; gradients by differences."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nlpmeta.recurrent import (
    CELLS,
    CellWeights,
    RecurrentLM,
    bptt,
    gru_cell,
    lstm_cell,
    rnn_cell,
    unroll,
)

kinds = pytest.mark.parametrize("kind", CELLS)


def fused(kind: str, d: int, m: int, seed: int, dtype=torch.float32):
    """PyTorch's layer with random weights, and the same weights for the written-out cell."""
    layer = CELLS[kind][1](d, m, batch_first=True).to(dtype)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in layer.parameters():
            p.normal_(0, 0.4, generator=generator)
    return layer, CellWeights(*layer.parameters())


def start(kind: str, b: int, m: int, generator: torch.Generator, dtype=torch.float32):
    states = [torch.randn(b, m, generator=generator, dtype=dtype) for _ in range(2)]
    return tuple(states) if kind == "lstm" else states[0]


def theirs(state):
    return tuple(s[None] for s in state) if isinstance(state, tuple) else state[None]


@pytest.mark.parity(
    "recurrent",
    "the three cells written out: outputs, final states, gradients",
    "`torch.nn.RNN`, `LSTM`, `GRU` with the same weights; central differences",
    "`1e-6`; gradients `1e-5`",
)
@kinds
@given(seed=st.integers(0, 1000), b=st.integers(1, 3), t=st.integers(1, 7), m=st.integers(1, 6))
def test_written_out_equals_fused(kind, seed, b, t, m):
    layer, w = fused(kind, 4, m, seed)
    generator = torch.Generator().manual_seed(seed)
    x, state = torch.randn(b, t, 4, generator=generator), start(kind, b, m, generator)
    ours, last = unroll(CELLS[kind][0], x, state, w)
    wanted, final = layer(x, theirs(state))
    torch.testing.assert_close(ours, wanted, atol=1e-6, rtol=1e-5)
    for a, c in zip(last if kind == "lstm" else [last], final if kind == "lstm" else [final]):
        torch.testing.assert_close(a, c[0], atol=1e-6, rtol=1e-5)


@pytest.mark.parity
@kinds
def test_gradients_equal_the_fused_ones(kind):
    layer, w = fused(kind, 3, 5, 0)
    generator = torch.Generator().manual_seed(1)
    x, state = torch.randn(2, 6, 3, generator=generator), start(kind, 2, 5, generator)
    ours = torch.autograd.grad(unroll(CELLS[kind][0], x, state, w)[0].sin().sum(), w)
    wanted = torch.autograd.grad(layer(x, theirs(state))[0].sin().sum(), list(layer.parameters()))
    for a, c in zip(ours, wanted):
        torch.testing.assert_close(a, c, atol=1e-5, rtol=1e-4)


@kinds
def test_gradients_by_finite_differences(kind):
    _, w = fused(kind, 2, 3, 0, torch.float64)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 4, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    state = start(kind, 2, 3, generator, torch.float64)

    def outputs(x, *weights):
        return unroll(CELLS[kind][0], x, state, CellWeights(*weights))[0]

    assert torch.autograd.gradcheck(outputs, (x, *w))


@pytest.mark.parity("recurrent", "`bptt`", "automatic differentiation", "`1e-7`")
@given(seed=st.integers(0, 1000), b=st.integers(1, 3), t=st.integers(1, 6))
def test_back_propagation_through_time_equals_autograd(seed, b, t):
    _, w = fused("rnn", 3, 4, seed, torch.float64)
    generator = torch.Generator().manual_seed(seed)
    x, slopes = (torch.randn(b, t, n, generator=generator, dtype=torch.float64) for n in (3, 4))
    h = start("rnn", b, 4, generator, torch.float64)
    outputs, _ = unroll(rnn_cell, x, h, w)
    wanted = torch.autograd.grad((outputs * slopes).sum(), w)
    states = torch.cat([h[:, None], outputs], dim=1).detach()
    for ours, theirs_ in zip(bptt(x, states, slopes, w), wanted):
        torch.testing.assert_close(ours, theirs_)


def test_an_open_forget_gate_keeps_the_memory():
    w = CellWeights(*(torch.zeros(s) for s in ((4, 1), (4, 1), (4,), (4,))))
    w.b_x[:2] = torch.tensor([-40.0, 40.0])  # input gate shut, forget gate open
    state = (torch.zeros(1, 1), torch.tensor([[0.7]]))
    for _ in range(1000):
        state = lstm_cell(torch.randn(1, 1), state, w)
    assert state[1].item() == pytest.approx(0.7)


def test_a_closed_update_gate_keeps_the_state():
    w = CellWeights(*(torch.zeros(s) for s in ((3, 1), (3, 1), (3,), (3,))))
    w.b_x[1] = 40.0  # z = 1
    h = torch.tensor([[0.3]])
    for _ in range(1000):
        h = gru_cell(torch.ones(1, 1), h, w)
    assert h.item() == pytest.approx(0.3)


@kinds
def test_initial_weights_depend_on_the_generator_alone(kind):
    def make(seed):
        generator = torch.Generator().manual_seed(seed)
        return RecurrentLM(kind, 7, 3, 5, 2, generator=generator).state_dict()

    one, same, other = make(0), make(0), make(1)
    assert all(one[name].equal(same[name]) for name in one)
    assert not one["recurrent.weight_hh_l1"].equal(other["recurrent.weight_hh_l1"])
    assert one["recurrent.weight_hh_l0"].abs().max() <= 1 / math.sqrt(5)
    wanted = [0.0] * 5 + [1.0] * 5 + [0.0] * 10 if kind == "lstm" else [0.0] * 5
    assert one["recurrent.bias_ih_l0"][: len(wanted)].tolist() == wanted


def test_an_unknown_kind():
    with pytest.raises(ValueError, match="kind is 'transformer'; choose from rnn, lstm, gru"):
        RecurrentLM("transformer", 3, 2, 2, generator=torch.Generator())
