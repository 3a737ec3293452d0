"""Hidden and damaged tokens: rates within binomial limits, a network that looks both ways."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from nlpmeta.masking import (
    IGNORED,
    MaskedLM,
    causal_targets,
    corrupt,
    mask_tokens,
    token_loss,
)
from nlpmeta.training import fit
from nlpmeta.transformer import GPT, GPTConfig

MASK, V = 1, 30


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def text(b=200, t=50, seed=1):
    """Tokens from 2 to 29; the last 10 places are padding."""
    x = torch.randint(2, V, (b, t), generator=generator(seed))
    x[:, -10:] = 0
    return x


def model(**settings):
    config = GPTConfig(n_tokens=V, context=12, width=16, n_layers=2, n_heads=2)
    return MaskedLM(config, generator(), **settings)


def within(count, n, p, deviations=4.5):
    """Whether a count lies within so many deviations of a binomial distribution."""
    return abs(count - n * p) <= deviations * math.sqrt(n * p * (1 - p))


@pytest.mark.parametrize("rate", [0.15, 0.4, 1.0])
def test_the_rates_of_bert(rate):
    x = text()
    inputs, targets = mask_tokens(x, generator(), mask=MASK, n_symbols=V, rate=rate)
    chosen = targets != IGNORED
    n, real = chosen.sum().item(), (x != 0).sum().item()
    assert within(n, real, rate)
    hidden, same = (inputs == MASK)[chosen].sum().item(), (inputs == x)[chosen].sum().item()
    assert within(hidden, n, 0.8)
    assert within(same, n, 0.1 + 0.1 / (V - 2))  # a random token may be the old one
    random = inputs[chosen & (inputs != MASK) & (inputs != x)]
    assert set(random.tolist()) == set(range(2, V))


@given(st.integers(0, 1000), st.floats(0, 1))
def test_what_is_not_chosen_stays(seed, rate):
    x = text(4, 15)
    inputs, targets = mask_tokens(x, generator(seed), mask=MASK, n_symbols=V, rate=rate)
    chosen = targets != IGNORED
    assert torch.equal(inputs[~chosen], x[~chosen])
    assert torch.equal(targets[chosen], x[chosen])
    assert not chosen[x == 0].any()
    again = mask_tokens(x, generator(seed), mask=MASK, n_symbols=V, rate=rate)
    assert torch.equal(again[0], inputs)


def test_marks_are_never_chosen_nor_put_in():
    x = text()
    x[:, 0], x[:, 39] = 2, 3
    inputs, targets = mask_tokens(
        x, generator(), mask=MASK, n_symbols=V, rate=1.0, special=(0, 2, 3)
    )
    assert (targets[:, [0, 39]] == IGNORED).all()
    changed = (targets != IGNORED) & (inputs != x)
    assert not torch.isin(inputs[changed], torch.tensor([0, 2, 3])).any()


def test_nothing_and_everything():
    x = text(3)
    assert torch.equal(mask_tokens(x, generator(), mask=MASK, n_symbols=V, rate=0.0)[0], x)
    assert (mask_tokens(x, generator(), mask=MASK, n_symbols=V, rate=0.0)[1] == IGNORED).all()
    for how in ("delete", "replace"):
        assert torch.equal(corrupt(x, generator(), how, n_symbols=V, rate=0.0), x)
    deleted = corrupt(x, generator(), "delete", n_symbols=V, rate=1.0)
    assert torch.equal(deleted[:, 0], x[:, 0])  # one token is left
    assert (deleted[:, 1:] == 0).all()


def test_next_tokens_by_hand():
    inputs, targets = causal_targets(torch.tensor([[4, 5, 6, 7], [8, 9, 0, 0]]))
    assert inputs.tolist() == [[4, 5, 6], [8, 9, 0]]
    assert targets.tolist() == [[5, 6, 7], [9, IGNORED, IGNORED]]


@given(st.integers(0, 1000), st.floats(0, 1))
def test_deletion_keeps_the_order(seed, rate):
    x = text(5, 20)
    damaged = corrupt(x, generator(seed), "delete", n_symbols=V, rate=rate)
    assert damaged.shape == x.shape
    for old, new in zip(x.tolist(), damaged.tolist()):
        left = [token for token in new if token]
        assert new == left + [0] * (len(new) - len(left))
        rest = iter(old)
        assert left
        assert all(token in rest for token in left)  # a subsequence


def test_rates_of_damage():
    x = text()
    real = (x != 0).sum().item()
    left = (corrupt(x, generator(), "delete", n_symbols=V, rate=0.3) != 0).sum().item()
    assert within(left, real, 0.7)
    replaced = corrupt(x, generator(), "replace", n_symbols=V, rate=0.3)
    assert within((replaced != x).sum().item(), real, 0.3 * (1 - 1 / (V - 1)))
    assert torch.equal(replaced == 0, x == 0)


def test_an_empty_text_stays_empty():
    empty = torch.zeros(2, 4, dtype=torch.int64)
    for how in ("delete", "replace"):
        assert torch.equal(corrupt(empty, generator(), how, n_symbols=V, rate=1.0), empty)
    assert mask_tokens(empty, generator(), mask=MASK, n_symbols=V)[0].equal(empty)
    assert model().encode(empty).tolist() == [[0.0] * 16] * 2


def test_the_loss_is_the_mean_of_what_is_asked_for():
    logits = torch.randn(2, 3, 5, generator=generator())
    targets = torch.tensor([[1, IGNORED, 4], [IGNORED, IGNORED, 0]])
    p = logits.softmax(-1)
    expected = -(p[0, 0, 1].log() + p[0, 2, 4].log() + p[1, 2, 0].log()) / 3
    assert torch.allclose(token_loss(logits, targets), expected, atol=1e-6)


@pytest.mark.parity(
    "masking",
    "`MaskedLM`; causal",
    "`torch.nn.TransformerEncoderLayer` with the same weights; `transformer.GPT`",
    "`1e-5`, absolute",
)
def test_the_blocks_are_pytorchs_without_a_causal_mask():
    ours = model().eval()
    x = text(5, 12)[:, :8]
    x[1, 3:], x[2, 5:] = 0, 0
    net = ours.network
    h = net.tokens(x) + net.places.weight[:8]
    for block in net.blocks:
        layer = nn.TransformerEncoderLayer(
            16, 2, 64, dropout=0.0, activation=lambda z: F.gelu(z, approximate="tanh"),
            batch_first=True, norm_first=True,
        )  # fmt: skip
        parts = {
            "self_attn.in_proj_": block.attention.qkv, "self_attn.out_proj.": block.attention.out,
            "linear1.": block.up, "linear2.": block.down,
            "norm1.": block.norm_1, "norm2.": block.norm_2,
        }  # fmt: skip
        layer.load_state_dict(
            {
                name + kind: getattr(p, kind)
                for name, p in parts.items()
                for kind in ("weight", "bias")
            }
        )
        h = layer(h, src_key_padding_mask=x == 0)
    real = x != 0
    assert torch.allclose(ours.states(x)[real], net.norm(h)[real], atol=1e-5)


def test_every_place_sees_both_sides_and_no_padding():
    ours = model().eval()
    x = text(1, 18)[:, :6]
    changed = x.clone()
    changed[0, 5] = 2 if x[0, 5] != 2 else 3
    assert not torch.allclose(ours(x)[0, 0], ours(changed)[0, 0], atol=1e-6)
    longer = F.pad(x, (0, 4))
    assert torch.allclose(ours(longer)[:, :6], ours(x), atol=1e-5)


@pytest.mark.parity
def test_the_causal_network_is_the_gpt():
    ours = model(dropout=0.0)
    ours.causal = True
    x = text(4, 18)[:, :8]
    assert torch.allclose(ours(x), gpt_like(ours)(x)[0], atol=1e-5)
    changed, padded = x.clone(), x.clone()
    changed[:, 5:], padded[:, 5:] = 3, 0
    for other in (changed, padded):  # nothing from the right comes in
        assert torch.allclose(ours(other)[:, :5], ours(x)[:, :5], atol=1e-5)


def gpt_like(ours):
    gpt = GPT(ours.network.config)
    gpt.load_state_dict(ours.network.state_dict())
    return gpt


def test_dropout_in_training_only():
    ours = model(dropout=0.5)
    x = text(2, 20)[:, :8]
    assert not torch.equal(ours.encode(x), ours.encode(x))
    ours.eval()
    assert torch.equal(ours.encode(x), ours.encode(x))


def test_hidden_tokens_are_learned():
    # Each text repeats one token, so what is hidden stands beside it.
    ours, x = model(dropout=0.0), torch.arange(2, V).repeat(2)[:, None].expand(-1, 8).contiguous()

    def batch(step):
        return mask_tokens(x, generator(step), mask=MASK, n_symbols=V)

    def loss(network, pair):
        return token_loss(network(pair[0]), pair[1])

    history = fit(ours, loss, batch, steps=150, lr=0.01)
    assert history.losses[0] > 3  # log 30 = 3.4
    assert history.losses[-20:].mean() < 0.5


def test_bad_tokens():
    with pytest.raises(ValueError, match=r"x: shape \(3,\); give \(b, t\)"):
        causal_targets(torch.tensor([1, 2, 3]))
    with pytest.raises(ValueError, match="needs two columns"):
        causal_targets(torch.tensor([[1]]))
    with pytest.raises(TypeError, match=r"x: dtype torch.float32; give int64"):
        corrupt(torch.ones(2, 3), generator(), "delete", n_symbols=V)
    with pytest.raises(ValueError, match="x: token 30 is not in the vocabulary; give 0 to 29"):
        corrupt(torch.tensor([[3, 30]]), generator(), "replace", n_symbols=V)
    with pytest.raises(ValueError, match="x: token -1"):
        mask_tokens(torch.tensor([[-1]]), generator(), mask=MASK, n_symbols=V)
    with pytest.raises(ValueError, match="x: 13 tokens; cut to the context of 12"):
        model()(torch.ones(1, 13, dtype=torch.int64))


@pytest.mark.parametrize("rate", [-0.1, 1.1, math.nan])
def test_bad_rates(rate):
    with pytest.raises(ValueError, match=r"rate: .*; give a probability"):
        mask_tokens(text(2), generator(), mask=MASK, n_symbols=V, rate=rate)
    with pytest.raises(ValueError, match=r"rate: .*; give a probability"):
        corrupt(text(2), generator(), "delete", n_symbols=V, rate=rate)


def test_bad_settings():
    with pytest.raises(ValueError, match="how: 'shuffle'; give 'delete' or 'replace'"):
        corrupt(text(2), generator(), "shuffle", n_symbols=V)
    for mask in (0, V):
        with pytest.raises(ValueError, match=f"mask: {mask}; give a token from 1 to 29"):
            mask_tokens(text(2), generator(), mask=mask, n_symbols=V)
    with pytest.raises(ValueError, match=r"special: .* leaves no token of 30"):
        mask_tokens(text(2), generator(), mask=MASK, n_symbols=V, special=range(V))
    with pytest.raises(ValueError, match="targets: nothing is asked for"):
        token_loss(torch.zeros(1, 2, 3), torch.full((1, 2), IGNORED))
    with pytest.raises(ValueError, match=r"targets: shape \(1, 3\); logits \(1, 2, 3\)"):
        token_loss(torch.zeros(1, 2, 3), torch.zeros(1, 3, dtype=torch.int64))
    rotary = GPTConfig(n_tokens=5, context=4, width=8, n_layers=1, n_heads=2, positions="rotary")
    with pytest.raises(ValueError, match="positions 'rotary'; give 'learned'"):
        MaskedLM(rotary, generator())
