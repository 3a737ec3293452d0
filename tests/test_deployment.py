"""Files that run without PyTorch: the same numbers, silence, nothing half-written."""

from __future__ import annotations

import copy
import logging
import subprocess
import sys
from collections import Counter

import onnx
import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from nlpmeta.deployment import OnnxModel, export_onnx, quantize_onnx
from nlpmeta.layers import named_layers, size
from nlpmeta.quantized_layers import calibrate, quantize_model


def batch(b, t, seed=0):
    ids = torch.randint(90, (b, t), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    mask[-1, max(1, t // 2) :] = 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.fixture(scope="module")
def bert():
    config = BertConfig(
        vocab_size=90,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BertModel(config, add_pooling_layer=False).eval()


@pytest.fixture(scope="module")
def path(bert, tmp_path_factory):
    return export_onnx(bert, tmp_path_factory.mktemp("onnx") / "bert.onnx", batch(2, 7))


def run(model, inputs):
    with torch.no_grad():
        return model(**inputs).last_hidden_state


@pytest.mark.parity(
    "deployment",
    "an exported network at five shapes",
    "the network in PyTorch",
    "`1e-4`",
)
@pytest.mark.parametrize(("b", "t"), [(2, 7), (1, 1), (1, 3), (5, 20), (3, 64)])
def test_the_file_computes_what_the_network_computes(bert, path, b, t):
    inputs = batch(b, t, seed=b)
    found = OnnxModel(path)(**inputs)
    torch.testing.assert_close(found, run(bert, inputs), atol=1e-4, rtol=0)


def test_what_is_known_about_a_file(path):
    model = OnnxModel(path)
    assert model.inputs == ("input_ids", "attention_mask")
    assert model.bytes == path.stat().st_size
    onnx.checker.check_model(path, full_check=True)


def operations(path):
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def test_integers_come_near_and_our_own_layers_nearer(bert, path, tmp_path):
    """On a random BERT, whose outputs have a standard deviation of 1."""
    target = quantize_onnx(path, tmp_path / "int8.onnx")
    assert operations(target)["MatMulInteger"] == 12  # six products of each layer
    inputs = batch(4, 12, seed=1)
    found, exact = OnnxModel(target)(**inputs), run(bert, inputs)
    assert (found - exact).abs().max() < 0.15
    assert (found - exact).square().mean().sqrt() < 0.03
    ours = copy.deepcopy(bert)
    quantize_model(ours)
    assert (run(ours, inputs) - exact).square().mean().sqrt() < 0.03
    assert (found - run(ours, inputs)).square().mean().sqrt() < 0.03
    whole = quantize_onnx(path, tmp_path / "whole.onnx", per_channel=False)
    assert OnnxModel(whole).bytes < OnnxModel(target).bytes < path.stat().st_size


@pytest.mark.parity
def test_one_layer_is_ours_exactly(tmp_path):
    """The same scales and integers as :class:`QuantizedLinear`: only float sums differ.

    The first input is 0 and holds the largest weights, so that no processor cuts off a sum.
    """
    generator = torch.Generator().manual_seed(0)
    layer = nn.Sequential(nn.Linear(24, 10))
    weight = torch.rand(10, 24, generator=generator) * 0.8 - 0.4
    weight[:, 0] = 1.0
    layer[0].weight.data = weight
    x = torch.randn(50, 24, generator=generator)
    x[:, 0] = 0
    path = export_onnx(layer, tmp_path / "a.onnx", {"input": x})
    found = OnnxModel(quantize_onnx(path, tmp_path / "b.onnx"))(input=x)
    torch.testing.assert_close(found, quantize_model(layer)(x), atol=1e-4, rtol=1e-4)


def test_static_integers_and_ours(bert, path, tmp_path):
    seen = [batch(4, 12, seed=seed) for seed in range(2, 6)]
    target = quantize_onnx(path, tmp_path / "static.onnx", seen)
    assert operations(target)["QuantizeLinear"] > 0
    assert "DynamicQuantizeLinear" not in operations(target)
    inputs = batch(4, 12, seed=1)
    exact = run(bert, inputs)
    assert (OnnxModel(target)(**inputs) - exact).square().mean().sqrt() < 0.06
    ours = copy.deepcopy(bert)
    quantize_model(ours, ranges=calibrate(bert, seen, list(named_layers(bert))))
    assert (run(ours, inputs) - exact).square().mean().sqrt() < 0.06


class Classifier(nn.Module):
    """Tokens to logits, with dropout, called by another name of its input."""

    def __init__(self):
        super().__init__()
        self.vectors, self.drop, self.out = nn.Embedding(9, 6), nn.Dropout(), nn.Linear(6, 3)

    def forward(self, x):
        return self.out(self.drop(self.vectors(x)).mean(1))


def test_dropout_is_left_out_and_modes_stay(tmp_path):
    model = Classifier()
    model.out.eval()
    x = torch.arange(8).view(2, 4)
    path = export_onnx(model, tmp_path / "new" / "folder" / "a.onnx", {"x": x})
    assert (model.training, model.drop.training, model.out.training) == (True, True, False)
    model.eval()
    for inputs in (x, x[:1, :1], x.repeat(3, 2)):
        torch.testing.assert_close(OnnxModel(path)(x=inputs), model(inputs))
    assert size(model).numbers == 9 * 6 + 6 * 3 + 3


class Deciding(nn.Module):
    def forward(self, x):
        return x + 1 if len(x) > 1 else x - 1


def test_a_network_that_decides_by_what_it_sees_is_found_out(tmp_path):
    with pytest.raises(RuntimeError, match="computes something else on another batch"):
        export_onnx(Deciding(), tmp_path / "a.onnx", {"x": torch.ones(4, 3)})
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_export_leaves_the_old_file(path, tmp_path, monkeypatch):
    target = tmp_path / "a.onnx"
    target.write_bytes(path.read_bytes())

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("nlpmeta.deployment.quantize_dynamic", stop)
    with pytest.raises(KeyboardInterrupt):
        quantize_onnx(path, target)
    assert target.read_bytes() == path.read_bytes()
    assert list(tmp_path.iterdir()) == [target]


def test_nothing_is_printed(tmp_path):
    """In a process of its own, because some notes are printed once and by C++."""
    code = """if True:
        import sys, torch
        from pathlib import Path
        from torch import nn
        from nlpmeta.deployment import OnnxModel, export_onnx, quantize_onnx
        from transformers import BertConfig, BertModel
        model = BertModel(BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1,
                                     num_attention_heads=2, intermediate_size=8)).eval()
        ids = {"input_ids": torch.ones(2, 3, dtype=torch.int64),
               "attention_mask": torch.ones(2, 3, dtype=torch.int64)}
        folder = Path(sys.argv[1])
        path = export_onnx(model, folder / "a.onnx", ids)
        for calibration in (None, [ids]):
            OnnxModel(quantize_onnx(path, folder / "b.onnx", calibration))(**ids)
    """
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_the_log_is_as_it_was(path, tmp_path):
    before = (logging.root.manager.disable, logging.root.handlers[:])
    quantize_onnx(path, tmp_path / "a.onnx")
    assert (logging.root.manager.disable, logging.root.handlers[:]) == before


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(ValueError, match="is no file; write it with export_onnx"):
        OnnxModel(tmp_path / "nowhere.onnx")
    with pytest.raises(ValueError, match="is no file"):
        quantize_onnx(tmp_path / "nowhere.onnx", tmp_path / "b.onnx")
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "text.onnx").write_bytes(b"a text and no network")
    for name in ("empty", "text"):
        with pytest.raises(ValueError, match="damaged or not ONNX"):
            OnnxModel(tmp_path / f"{name}.onnx")


def test_a_file_cut_short(path, tmp_path):
    (tmp_path / "part.onnx").write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match="damaged or not ONNX"):
        OnnxModel(tmp_path / "part.onnx")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"attention_mask": None}, "inputs: input_ids; give input_ids, attention_mask"),
        ({"extra": torch.ones(2, 7)}, "inputs: input_ids, attention_mask, extra; give"),
        ({"input_ids": torch.ones(2, 7)}, r"input_ids: torch.float32; convert it to torch.int64"),
    ],
)
def test_inputs_that_do_not_fit(path, change, match):
    inputs = {k: v for k, v in (batch(2, 7) | change).items() if v is not None}
    with pytest.raises(ValueError, match=match):
        OnnxModel(path)(**inputs)


def test_examples_and_weights_that_do_not_fit(tmp_path):
    layer = nn.Linear(2, 1)
    for example in ({}, {"input": torch.tensor(1.0)}, {"input": [1.0, 2.0]}):
        with pytest.raises(ValueError, match="example: give at least one tensor"):
            export_onnx(layer, tmp_path / "a.onnx", example)
    layer.weight.data.fill_(float("nan"))
    with pytest.raises(ValueError, match="parameter 'weight': 2 of 2 entries are not finite"):
        export_onnx(layer, tmp_path / "a.onnx", {"input": torch.ones(1, 2)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("calibration", "match"),
    [
        ([], "calibration: no batch"),
        ([{"input_ids": torch.ones(1, 2)}], "calibration: input_ids; give input_ids, attention"),
    ],
)
def test_calibration_that_does_not_fit(path, tmp_path, calibration, match):
    with pytest.raises(ValueError, match=match):
        quantize_onnx(path, tmp_path / "a.onnx", calibration)
    assert list(tmp_path.iterdir()) == []


def test_calibrated_on_zeros_the_numbers_stay_finite(tmp_path):
    layer = nn.Linear(8, 4)
    source = export_onnx(layer, tmp_path / "a.onnx", {"input": torch.ones(1, 8)})
    zeros = [{"input": torch.zeros(2, 8)}]
    model = OnnxModel(quantize_onnx(source, tmp_path / "b.onnx", zeros))
    assert model(input=torch.zeros(1, 8)).allclose(layer.bias, atol=0.02)
    assert model(input=torch.ones(1, 8)).isfinite().all()  # clipped, and wrong: no range was seen
