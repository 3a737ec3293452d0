"""Attention's weights, padding, beam search, and a task that needs attention."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from nlpmeta.seq2seq import END, PAD, START, Seq2Seq, additive_scores, product_scores
from nlpmeta.training import fit


def model_of(attention="additive", d=8, seed=0, v=9):
    generator = torch.Generator().manual_seed(seed)
    return Seq2Seq(v, v, 6, d, attention, generator=generator).eval()


def reversal(step, size=64, longest=7, symbols=6):
    """Sources of random numbers, and the same backward between START and END."""
    generator = torch.Generator().manual_seed(step)
    lengths = torch.randint(2, longest + 1, (size,), generator=generator)
    source = torch.zeros(size, longest, dtype=torch.int64)
    target = torch.zeros(size, longest + 2, dtype=torch.int64)
    for row, n in enumerate(lengths.tolist()):
        tokens = torch.randint(3, 3 + symbols, (n,), generator=generator)
        source[row, :n] = tokens
        target[row, : n + 2] = torch.cat(
            [torch.tensor([START]), tokens.flip(0), torch.tensor([END])]
        )
    return source, target


attentions = pytest.mark.parametrize("attention", ["additive", "product"])


@attentions
@given(seed=st.integers(0, 100))
def test_weights_are_averages_of_what_is_there(attention, seed):
    model = model_of(attention, seed=seed)
    source, target = reversal(seed, size=5)
    logits, weights = model(source, target[:, :-1])
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]))
    assert (weights.transpose(1, 2)[source == PAD] == 0).all()
    assert (weights >= 0).all()
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("attention", ["additive", "product", "none"])
def test_padding_and_company_change_nothing(attention):
    model = model_of(attention)
    source, target = reversal(3, size=6)
    together, _ = model(source, target[:, :-1])
    for x, y, logits in zip(source, target, together):
        n = int((x != PAD).sum())
        alone, _ = model(x[None, :n], y[None, : n + 1])
        torch.testing.assert_close(logits[: n + 1], alone[0], atol=1e-5, rtol=1e-4)


def test_a_later_target_token_changes_nothing_before_it():
    model = model_of()
    source, target = reversal(0, size=1)
    other = target.clone()
    other[0, 3] = 5 if target[0, 3] != 5 else 4
    a, b = (model(source, t)[0][0] for t in (target, other))
    torch.testing.assert_close(a[:3], b[:3])
    assert not torch.equal(a[3], b[3])


@pytest.mark.parity("seq2seq", "`product_scores`", "`scaled_dot_product_attention`", "`1e-5`")
def test_product_scores_equal_the_fused_attention():
    generator = torch.Generator().manual_seed(0)
    h, keys = (torch.randn(2, n, 4, generator=generator) for n in (3, 5))
    ours = product_scores(h, keys, torch.eye(4) / 2).softmax(-1) @ keys
    torch.testing.assert_close(ours, F.scaled_dot_product_attention(h, keys, keys))


def test_additive_scores_by_hand():
    h, keys = torch.tensor([[[1.0]]]), torch.tensor([[[2.0], [-1.0]]])
    w = torch.ones(1, 1)
    found = additive_scores(h, keys, w, w, torch.tensor([3.0]))
    torch.testing.assert_close(found, torch.tensor([[[3 * math.tanh(3), 0.0]]]))


@attentions
def test_gradients_by_finite_differences(attention):
    model = model_of(attention, d=3).double()
    source, target = reversal(0, size=2)
    names, weights = zip(*model.named_parameters())

    def logits(*values):
        values = dict(zip(names, values))
        return torch.func.functional_call(model, values, (source, target[:, :-1]))[0]

    assert torch.autograd.gradcheck(logits, weights)


def test_the_beam_scores_are_those_of_the_model():
    model = model_of()
    for beam in model.translate([3, 5, 4], width=4, length=6):
        if len(beam.tokens) < 6:  # it ended
            target = torch.tensor([[START, *beam.tokens, END]])
            logits, _ = model(torch.tensor([[3, 5, 4]]), target[:, :-1])
            logits[..., [PAD, START]] = -math.inf
            logprobs = logits.log_softmax(-1)[0].gather(-1, target[0, 1:, None])
            assert beam.logprob == pytest.approx(logprobs.sum().item(), abs=1e-4)


@attentions
@pytest.mark.slow
def test_it_learns_to_reverse(attention):
    model = Seq2Seq(9, 9, 16, 48, attention, generator=torch.Generator().manual_seed(0))
    fit(model, lambda m, batch: m.loss(*batch), reversal, steps=700, lr=5e-3, clip=1.0)
    source, _ = reversal(10**6, size=100)
    right = 0
    for row in source:
        tokens = row[row != PAD].tolist()
        right += model.translate(tokens, length=12)[0].tokens == tuple(tokens[::-1])
    assert right > 90


def test_bad_input():
    with pytest.raises(ValueError, match="attention is 'self'"):
        Seq2Seq(3, 3, 2, 2, "self", generator=torch.Generator())
    with pytest.raises(ValueError, match="source has a row without a token"):
        model_of()(torch.tensor([[0, 0], [3, 4]]), torch.tensor([[START], [START]]))
    with pytest.raises(ValueError, match="source has a row without a token"):
        model_of().translate([])
