"""Heads of attention: the derivative of a switch, and a network that shrinks without them."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nlpmeta.head_pruning import head_scores, prune_heads

FIRST = "encoder.layer.0.attention"


def bert(heads=4):
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=heads,
        intermediate_size=32,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BertModel(config, add_pooling_layer=False).eval()


def ids(b=3, t=7):
    return torch.randint(30, (b, t), generator=torch.Generator().manual_seed(1))


def value(model, x):
    hidden = model(input_ids=x).last_hidden_state
    return F.softplus(hidden[:, 0, :3]).sum()


def silent(model, head, factor):
    """The loss when a head of the first block hands over its numbers times a factor."""

    def change(_, inputs):
        x = inputs[0].clone()
        x[..., 4 * head : 4 * head + 4] *= factor
        return (x,)

    hook = model.get_submodule(FIRST).output.dense.register_forward_pre_hook(change)
    try:
        with torch.no_grad():
            return value(model, ids()).item()
    finally:
        hook.remove()


@pytest.mark.parity(
    "head_pruning",
    "scores of heads; the network without heads",
    "central differences of a switch; the network whose heads are silent",
    "`2e-2`; `1e-5`",
)
@pytest.mark.parametrize("head", range(4))
def test_a_score_is_the_derivative_of_a_switch(head):
    model = bert()
    with head_scores(model) as scores:
        value(model, ids()).backward()
    slope = (silent(model, head, 1.01) - silent(model, head, 0.99)) / 0.02
    assert scores[FIRST][head].item() == pytest.approx(abs(slope), rel=0.02, abs=2e-4)


def test_scores_add_up_over_passes_and_leave_nothing_behind():
    model = bert()
    with head_scores(model) as scores:
        value(model, ids()).backward()
        once = scores[FIRST].clone()
        value(model, ids()).backward()
    assert scores[FIRST].allclose(2 * once)
    value(model, ids()).backward()
    assert scores[FIRST].allclose(2 * once)


@pytest.mark.parity
@pytest.mark.parametrize(("sparsity", "n"), [(0.0, 4), (0.25, 3), (0.5, 2), (0.75, 1)])
def test_without_a_head_is_as_if_it_were_silent(sparsity, n):
    model = bert()
    scores = {name: torch.tensor([0.3, 0.1, 0.4, 0.2]) for name in (FIRST, FIRST.replace("0", "1"))}
    small = copy.deepcopy(model)
    kept = prune_heads(small, scores, sparsity)
    for name, heads in kept.items():
        assert heads.tolist() == sorted([2, 0, 3, 1][:n])
        dense = model.get_submodule(name).output.dense
        for head in set(range(4)) - set(heads.tolist()):
            dense.weight.data[:, 4 * head : 4 * head + 4] = 0
    mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2, [1] * 3 + [0] * 4])
    wanted = model(input_ids=ids(), attention_mask=mask).last_hidden_state
    found = small(input_ids=ids(), attention_mask=mask).last_hidden_state
    assert found.allclose(wanted, atol=1e-5)
    assert small.get_submodule(FIRST).self.key.weight.shape == (4 * n, 16)


def test_twice_half_is_a_quarter():
    model = bert()
    for n in (4, 2):
        prune_heads(model, {FIRST: torch.arange(n).float()}, 0.5)
    assert model.get_submodule(FIRST).self.query.weight.shape == (4, 16)
    assert model(input_ids=ids()).last_hidden_state.isfinite().all()


@pytest.mark.parametrize(
    ("scores", "sparsity", "match"),
    [
        ({FIRST: torch.ones(4)}, 50, "sparsity: 50"),
        ({FIRST: torch.ones(4)}, 0.9, "removes all 4 heads"),
        ({FIRST: torch.ones(3)}, 0.5, "which has 4 heads"),
        ({"encoder.layer.7.attention": torch.ones(4)}, 0.5, "no attention block"),
        ({FIRST: torch.tensor([1.0, float("nan"), 1, 1])}, 0.5, "not finite"),
    ],
)
def test_heads_that_cannot_go(scores, sparsity, match):
    model = bert()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=match):
        prune_heads(model, scores, sparsity)
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


def test_a_network_without_attention():
    with pytest.raises(ValueError, match="no attention"):
        prune_heads(nn.Linear(2, 2), {}, 0.5)
