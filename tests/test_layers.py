"""Layers by name, size and speed."""

from __future__ import annotations

import itertools
import time
from unittest.mock import patch

import pytest
from safetensors.torch import save_file
from torch import nn

from nlpmeta.layers import check_share, latency, named_layers, replace_layer, size


def network():
    return nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


def test_layers_in_the_order_of_the_names():
    model = network()
    assert list(named_layers(model)) == ["1", "3"]
    assert list(named_layers(model, ["3", "1"])) == ["3", "1"]
    assert named_layers(model, ["0"], (nn.Embedding,))["0"] is model[0]


@pytest.mark.parametrize(
    ("names", "error", "match"),
    [
        (["encoder.1"], ValueError, "'encoder.1' is no layer of kind Linear; near it are 1"),
        (["2"], ValueError, "'2' is no layer"),
        ([], ValueError, "empty list"),
        ("1", TypeError, "one string; give a list"),
    ],
)
def test_names_that_are_none(names, error, match):
    with pytest.raises(error, match=match):
        named_layers(network(), names)


def test_near_names_are_listed():
    model = nn.ModuleDict({"query": nn.Linear(2, 2), "value": nn.Linear(2, 2)})
    with pytest.raises(ValueError, match="near it are query"):
        named_layers(model, ["qurey"])


def test_a_network_without_layers():
    with pytest.raises(ValueError, match="ReLU has no layer of kind Linear"):
        named_layers(nn.ReLU())


def test_replacing_keeps_the_mode_and_needs_a_place():
    model = network().eval()
    replace_layer(model, "2", nn.Dropout())
    assert not model[2].training
    with pytest.raises(ValueError, match=r"wrap it as nn\.Sequential"):
        replace_layer(nn.Linear(1, 1), "", nn.Linear(1, 1))


def test_size_is_that_of_the_file(tmp_path):
    model = network()
    model[1].weight.data[0] = 0
    save_file(model.state_dict(), tmp_path / "a.safetensors")
    assert size(model) == (43, 39, (tmp_path / "a.safetensors").stat().st_size)


def test_what_is_shared_counts_once():
    model = nn.ModuleList([nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)])
    model[1].weight = model[0].weight
    assert size(model).numbers == 16


def test_latency_is_the_median_and_skips_the_first_call():
    clock = itertools.accumulate([0, 5, 0, 1, 0, 90])  # three calls of 5, 1 and 90 seconds
    calls = []
    with patch.object(time, "perf_counter", lambda: next(clock)):
        assert latency(lambda: calls.append(1), repeats=3) == 5
    assert len(calls) == 4
    with pytest.raises(ValueError, match="repeats: 0"):
        latency(lambda: None, repeats=0)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_share_lies_between_0_and_1(value):
    with pytest.raises(ValueError, match=r"sparsity: .* from 0 to 1"):
        check_share("sparsity", value)
