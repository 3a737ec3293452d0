"""Pruning: parity with torch.nn.utils.prune, what movement measures, matrices that shrink."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

from nlpmeta.pruning import (
    SparseLinear,
    keep_zeros,
    movement_scores,
    prune_by_score,
    prune_magnitude,
    rewind,
)
from nlpmeta.structured_pruning import prune_structured
from nlpmeta.training import fit


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def network(seed=0, widths=(6, 8, 5, 3)):
    layers = []
    for i, o in itertools.pairwise(widths):
        layers += [nn.Linear(i, o), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator(seed)))
    return model


def bert():
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BertModel(config, add_pooling_layer=False).eval()


def test_by_hand_in_layers_and_globally():
    def two():
        model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
        model[0].weight.data = torch.tensor([[0.1, -0.2], [0.3, -0.4]])
        model[1].weight.data = torch.tensor([[5.0, -6.0]])
        return model

    model = two()
    prune_magnitude(model, 0.5)
    assert model[0].weight.tolist() == [[0, 0], [torch.tensor(0.3), torch.tensor(-0.4)]]
    assert model[1].weight.tolist() == [[0, -6]]
    model = two()
    masks = prune_magnitude(model, 0.5, scope="global")
    assert masks["0"].tolist() == [[False, False], [False, True]]
    assert masks["1"].all()


@pytest.mark.parity(
    "pruning, structured_pruning",
    "masks by magnitude, in a layer and globally; the network with removed neurons",
    "`torch.nn.utils.prune`; the network with zeros",
    "exact; `1e-5`",
)
@given(st.integers(0, 100), st.floats(0, 0.95))
def test_parity_with_torch(seed, sparsity):
    ours, theirs = network(seed), network(seed)
    masks = prune_magnitude(ours, sparsity, ["2"])
    prune.l1_unstructured(theirs[2], "weight", amount=sparsity)
    assert torch.equal(masks["2"], theirs[2].weight_mask.bool())
    assert torch.equal(ours[2].weight, theirs[2].weight)


@pytest.mark.parity
@given(st.integers(0, 100), st.floats(0, 0.6))
def test_parity_with_torch_globally(seed, sparsity):
    ours, theirs = network(seed), network(seed)
    layers = [theirs[0], theirs[2], theirs[4]]
    prune.global_unstructured(
        [(layer, "weight") for layer in layers], prune.L1Unstructured, amount=sparsity
    )
    masks = prune_magnitude(ours, sparsity, scope="global")
    for mask, layer in zip(masks.values(), layers):
        assert torch.equal(mask, layer.weight_mask.bool())


@given(st.integers(0, 100), st.floats(0, 0.9), st.floats(0, 0.9))
def test_more_sparsity_removes_what_less_removed(seed, a, b):
    less, more = sorted((a, b))
    few = prune_magnitude(network(seed), less)
    many = prune_magnitude(network(seed), more)
    for name, mask in few.items():
        assert not (many[name] & ~mask).any()
        assert int((~mask).sum()) == round(less * mask.numel())


@given(st.floats(0.1, 0.9))
def test_pruning_twice_is_pruning_once(sparsity):
    model = network()
    prune_magnitude(model, sparsity)
    once = copy.deepcopy(model.state_dict())
    prune_magnitude(model, sparsity)
    for name, value in model.state_dict().items():
        assert torch.equal(value, once[name])


@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.5, 0.75])
def test_of_equal_scores_as_many_go_as_are_asked_for(sparsity):
    model = nn.Sequential(nn.Linear(8, 1, bias=False))
    model[0].weight.data = torch.tensor([[1.0, 2.0, 1.0, -1.0, 2.0, 1.0, 3.0, -2.0]])
    before = model[0].weight.abs()
    mask = prune_magnitude(model, sparsity)["0"]
    assert int((~mask).sum()) == round(8 * sparsity)
    if sparsity > 0:
        assert before[~mask].max() <= before[mask].min()


@pytest.mark.parametrize(
    ("sparsity", "scope", "match"),
    [
        (-0.1, "layer", "sparsity: -0.1"),
        (1.5, "layer", "sparsity: 1.5"),
        (float("nan"), "layer", "sparsity: nan"),
        (0.5, "row", "scope: 'row'"),
        (1.0, "layer", "removes all 48 weights of layer '0'"),
        (0.98, "layer", "removes all 15 weights of layer '4'"),
        (1.0, "global", r"use scope='layer'"),
    ],
)
def test_what_cannot_be_pruned_is_left_alone(sparsity, scope, match):
    model = network()
    with pytest.raises(ValueError, match=match):
        prune_magnitude(model, sparsity, scope=scope)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), network().parameters()))


def test_weights_that_are_no_numbers():
    model = network()
    model[0].weight.data[1, 1] = float("nan")
    with pytest.raises(ValueError, match="layer '0': 1 of 48 entries are not finite"):
        prune_magnitude(model, 0.5)
    with pytest.raises(ValueError, match="layer '0': 1 of 48 entries are not finite"):
        prune_structured(model, 0.5)
    with pytest.raises(ValueError, match="scores of layer '2'"):
        prune_by_score(network(), {"2": torch.full((5, 8), float("nan"))}, 0.5)
    with pytest.raises(ValueError, match=r"scores: \(8, 5\) for layer '2'"):
        prune_by_score(network(), {"2": torch.ones(8, 5)}, 0.5)


def regression(seed=1):
    x = torch.randn(32, 6, generator=generator(seed))
    y = torch.randn(32, 3, generator=generator(seed + 1))
    return lambda model, _: ((model(x) - y) ** 2).mean()


def test_zeros_stay_through_training_and_the_rest_moves():
    model = network()
    masks = prune_magnitude(model, 0.7)
    before = copy.deepcopy(model.state_dict())
    with keep_zeros(model, masks):
        fit(model, regression(), lambda step: None, steps=30, lr=0.01, optimizer=torch.optim.AdamW)
    for name, mask in masks.items():
        weight = model.get_submodule(name).weight
        assert not weight[~mask].any()
        assert (weight != before[f"{name}.weight"])[mask].any()
    fit(model, regression(), lambda step: None, steps=1, lr=0.01)
    assert model[4].weight[~masks["4"]].any()  # outside the block they are free again


def test_a_frozen_layer_needs_no_holding():
    model = network()
    masks = prune_magnitude(model, 0.5)
    model[0].weight.requires_grad_(False)
    with keep_zeros(model, masks):
        fit(model, regression(), lambda step: None, steps=1)


def test_movement_is_how_far_from_zero_gradient_descent_moves():
    """``w_T^2 - w_0^2 = 2 lr S + O(lr^2)``: the score, measured by small steps."""
    model, lr = network().double(), 1e-6
    x = torch.randn(32, 6, generator=generator(1), dtype=torch.float64)
    start = model[2].weight.detach().clone()
    with movement_scores(model, ["2"]) as scores:
        fit(
            model,
            lambda m, _: (m(x) ** 2).mean(),
            lambda step: None,
            steps=20,
            lr=lr,
            optimizer=torch.optim.SGD,
        )
    moved = (model[2].weight.detach() ** 2 - start**2) / (2 * lr)
    torch.testing.assert_close(scores["2"], moved, rtol=1e-3, atol=1e-3)
    masks = prune_by_score(model, scores, 0.5)
    assert scores["2"][masks["2"]].min() >= scores["2"][~masks["2"]].max()


def test_movement_leaves_nothing_behind():
    model = network()
    with movement_scores(model) as scores:
        pass
    regression()(model, None).backward()
    assert not any(value.any() for value in scores.values())
    model[2].weight.requires_grad_(False)
    with pytest.raises(ValueError, match="weight of layer '2' is frozen"), movement_scores(model):
        pass


def test_a_ticket_is_taken_back_to_its_start():
    model = network()
    initial = copy.deepcopy(model.state_dict())
    fit(model, regression(), lambda step: None, steps=5, lr=0.1)
    masks = prune_magnitude(model, 0.5)
    rewind(model, initial, masks)
    for name, mask in masks.items():
        weight = model.get_submodule(name).weight
        assert torch.equal(weight, initial[f"{name}.weight"] * mask)


@pytest.mark.parity
@given(st.integers(0, 100), st.floats(0, 0.75))
def test_neurons_go_as_torch_marks_them(seed, sparsity):
    model = network(seed, (6, 8, 3))
    marked = copy.deepcopy(model)
    prune.ln_structured(marked[0], "weight", amount=sparsity, n=1, dim=0)
    stays = marked[0].weight_mask.bool().any(1)
    marked[0].bias.data *= stays
    kept = prune_structured(model, sparsity)
    assert torch.equal(kept["0"], stays.nonzero().squeeze(1))
    assert model[0].weight.shape == (stays.sum(), 6)
    assert model[2].weight.shape == (3, stays.sum())
    x = torch.randn(4, 6, generator=generator(seed))
    torch.testing.assert_close(model(x), marked(x), atol=1e-5, rtol=1e-5)


def test_a_chain_of_layers_is_cut_everywhere():
    model, whole = network(), network()
    kept = prune_structured(model, 0.5)
    assert [tuple(model[i].weight.shape) for i in (0, 2, 4)] == [(4, 6), (3, 4), (3, 3)]
    assert torch.equal(model[2].weight, whole[2].weight[kept["2"]][:, kept["0"]])
    assert (model[2].in_features, model[2].out_features) == (4, 3)
    model(torch.ones(1, 6)).sum().backward()


def test_bert_shrinks_and_can_be_saved(tmp_path):
    from transformers import BertModel

    model, masked = bert(), bert()
    ids = torch.randint(30, (3, 7), generator=generator())
    kept = prune_structured(model, 0.75)
    assert list(kept) == [f"encoder.layer.{i}.intermediate.dense" for i in (0, 1)]
    for name, keep in kept.items():
        gone = torch.ones(32, dtype=torch.bool).index_fill(0, keep, False)
        second = masked.get_submodule(name.replace("intermediate", "output"))
        second.weight.data[:, gone] = 0  # a neuron that nobody listens to
        assert model.get_submodule(name).weight.shape == (8, 16)
    with torch.no_grad():
        found = model(ids).last_hidden_state
        torch.testing.assert_close(found, masked(ids).last_hidden_state, atol=1e-5, rtol=1e-5)
        model.save_pretrained(tmp_path)
        again = BertModel.from_pretrained(tmp_path, add_pooling_layer=False).eval()
        assert torch.equal(again(ids).last_hidden_state, found)


@pytest.mark.parametrize(
    ("sparsity", "pairs", "match"),
    [
        (2, None, "sparsity: 2"),
        (1.0, None, "removes all 8 neurons of layer '0'"),
        (0.5, [("0", "4")], "'0' gives 8 numbers, '4' takes 5"),
        (0.5, [("0", "7")], "'7' is no layer"),
        (0.5, [], "none found"),
    ],
)
def test_neurons_that_cannot_go(sparsity, pairs, match):
    model = network()
    with pytest.raises(ValueError, match=match):
        prune_structured(model, sparsity, pairs)
    assert model[0].weight.shape == (8, 6)


def test_a_norm_between_two_layers_is_no_pair():
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 4))
    with pytest.raises(ValueError, match="none found in Sequential"):
        prune_structured(model, 0.5)


@pytest.mark.parity("pruning", "`SparseLinear`", "the dense layer", "`1e-6`, absolute")
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("shape", [(6,), (3, 6), (2, 3, 6)])
def test_leaving_zeros_out_changes_no_sum(sparsity, shape):
    layer = nn.Linear(6, 5)
    prune_magnitude(layer, sparsity)
    x = torch.randn(shape, generator=generator())
    sparse = SparseLinear(layer)
    assert sparse(x).allclose(layer(x), atol=1e-6)
    assert len(sparse.weight.values()) == round((1 - sparsity) * 30)


def test_a_sparse_layer_without_bias():
    layer = nn.Linear(4, 2, bias=False)
    assert SparseLinear(layer)(torch.ones(3, 4)).allclose(layer(torch.ones(3, 4)))
