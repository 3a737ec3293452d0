"""Integers of 8 bits: error bounds, parity with torch.ao and ONNX Runtime, exact sums."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from nlpmeta.layers import size
from nlpmeta.quantization import (
    Quantized,
    dequantize,
    fake_quantize,
    quantize_int8,
    scale_and_zero_point,
)
from nlpmeta.quantized_layers import (
    FakeQuantizedLinear,
    QuantizedEmbedding,
    QuantizedLinear,
    calibrate,
    fake_quantize_model,
    quantize_model,
)
from nlpmeta.training import fit

FLOATS = st.floats(-(2.0**100), 2.0**100, width=32)
MATRICES = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=FLOATS
)
KINDS = [(c, s) for c in (False, True) for s in (False, True)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def linear(i=16, o=8, seed=0, bias=True):
    layer = nn.Linear(i, o, bias=bias)
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(random(*p.shape, seed=seed))
    return layer


def test_by_hand():
    w = torch.tensor([[-1.0, 0.0, 1.55]])
    affine = quantize_int8(w, symmetric=False)
    assert affine.scale.item() == pytest.approx(0.01)
    assert affine.zero_point.item() == -28  # -128 + 100
    assert affine.values.tolist() == [[-128, -28, 127]]
    symmetric = quantize_int8(w)
    assert symmetric.scale.item() == pytest.approx(1.55 / 127)
    assert symmetric.values.tolist() == [[-82, 0, 127]]


@pytest.mark.parametrize(("per_channel", "symmetric"), KINDS)
@given(w=MATRICES)
def test_an_error_is_at_most_half_a_scale(per_channel, symmetric, w):
    w = torch.from_numpy(w)
    q = quantize_int8(w, per_channel=per_channel, symmetric=symmetric)
    error = (dequantize(q).double() - w.double()).abs()
    # the division w / scale is itself rounded, by at most 2^-24 of a value up to 255
    assert (error <= q.scale.double() * (0.5 + 255 * 2**-22)).all()
    assert torch.equal(dequantize(q)[w == 0], w[w == 0])  # 0 is exact
    assert (q.scale > 0).all()


@pytest.mark.parametrize("symmetric", [False, True])
@given(w=MATRICES)
def test_a_scale_for_each_row_bounds_errors_more_tightly(symmetric, w):
    w = torch.from_numpy(w)
    rows = quantize_int8(w, per_channel=True, symmetric=symmetric)
    whole = quantize_int8(w, symmetric=symmetric)
    used = w.abs().amax(1, keepdim=True) > 1e-30  # rows of zeros have scale 1 by convention
    assert (rows.scale <= whole.scale)[used].all()


def test_a_scale_for_each_row_errs_less_where_rows_differ():
    w = random(20, 50) * torch.logspace(-3, 0, 20)[:, None]
    rows, whole = (dequantize(quantize_int8(w, per_channel=c)) - w for c in (True, False))
    assert rows.square().sum() < 0.2 * whole.square().sum()


@given(w=MATRICES)
def test_rounding_again_changes_nothing(w):
    q = quantize_int8(torch.from_numpy(w))
    assert torch.equal(quantize_int8(dequantize(q)).values, q.values)


@pytest.mark.parity(
    "quantization",
    "scales, zero points, fake quantization and its gradient",
    "ONNX Runtime's formula; the observers of PyTorch",
    "exact; `1e-6`, equal gradients",
)
@pytest.mark.parametrize(("per_channel", "symmetric"), KINDS)
@given(seed=st.integers(0, 1000))
def test_parity_with_the_observers_of_torch(per_channel, symmetric, seed):
    from torch.ao.quantization import MinMaxObserver, PerChannelMinMaxObserver

    w = random(5, 7, seed=seed) + 0.3
    kind = f"per_{'channel' if per_channel else 'tensor'}_{'symmetric' if symmetric else 'affine'}"
    observer = (PerChannelMinMaxObserver if per_channel else MinMaxObserver)(
        dtype=torch.qint8,
        qscheme=getattr(torch, kind),
        quant_min=-127 if symmetric else -128,
        quant_max=127,
    )
    observer(w)
    scale, zero_point = observer.calculate_qparams()
    q = quantize_int8(w, per_channel=per_channel, symmetric=symmetric)
    torch.testing.assert_close(q.scale.flatten(), scale.flatten(), rtol=1e-6, atol=0)
    assert torch.equal(q.zero_point.flatten(), zero_point.flatten().int())
    if per_channel:
        theirs = torch.fake_quantize_per_channel_affine(w, scale, zero_point.int(), 0, -128, 127)
    else:
        theirs = torch.fake_quantize_per_tensor_affine(w, scale, zero_point, -128, 127)
    # torch multiplies by 1 / scale where we divide: a tie may fall to either side
    differences = (dequantize(q) - theirs).abs() / q.scale
    assert (differences > 1e-3).sum() <= 1
    assert differences.max() < 1.001


@pytest.mark.parity
@pytest.mark.parametrize("symmetric", [False, True])
@given(w=MATRICES)
def test_parity_with_the_formula_of_onnx_runtime(symmetric, w):
    from onnxruntime.quantization.quant_utils import compute_scale_zp

    qmin = np.array(-127 if symmetric else -128, dtype=np.int8)
    zero_point, scale = compute_scale_zp(
        w.min(), w.max(), qmin, np.array(127, dtype=np.int8), symmetric
    )
    lo, hi = torch.from_numpy(w).aminmax()
    ours = scale_and_zero_point(lo, hi, symmetric)
    assert (ours[0].item(), ours[1].item()) == (scale.item(), zero_point.item())


def test_zeros_have_the_scale_one():
    for per_channel, symmetric in KINDS:
        q = quantize_int8(torch.zeros(2, 3), per_channel=per_channel, symmetric=symmetric)
        assert not q.values.any()
        assert (q.scale == 1).all()
    model = nn.Sequential(linear())
    ranges = calibrate(model, [torch.zeros(2, 16)])
    assert ranges == {"0": (0.0, 0.0)}
    bias = model[0].bias
    quantize_model(model, ranges=ranges)
    assert torch.equal(model(torch.zeros(1, 16))[0], bias)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number(bad):
    w = torch.tensor([[1.0, bad]])
    with pytest.raises(ValueError, match="w: 1 of 2 entries are not finite"):
        quantize_int8(w)
    with pytest.raises(ValueError, match="x: an entry is not finite"):
        QuantizedLinear(linear(2, 1))(w)
    with pytest.raises(ValueError, match="input of layer '0': 1 of 2"):
        calibrate(nn.Sequential(linear(2, 1)), [w])
    model = nn.Sequential(linear(2, 1))
    model[0].weight.data = w
    with pytest.raises(ValueError, match="weight of layer '0': 1 of 2"):
        quantize_model(model)
    assert isinstance(model[0], nn.Linear)


def test_nothing_to_round():
    with pytest.raises(ValueError, match=r"w: shape \(0, 3\)"):
        quantize_int8(torch.ones(0, 3))


@pytest.mark.parity(
    "quantized_layers",
    "products in integers",
    "the float product of what the integers stand for; ONNX Runtime's dynamic int8",
    "`1e-5`; `1e-4`",
)
@given(st.integers(0, 500), st.booleans(), st.booleans(), st.booleans())
def test_the_sum_of_integers_is_the_product_of_what_they_stand_for(seed, channel, bias, static):
    layer = linear(seed=seed, bias=bias)
    x = random(3, 4, 16, seed=seed + 1)
    quantized = QuantizedLinear(layer, channel, (-1.5, 2.0) if static else None)
    q = quantize_int8(layer.weight, per_channel=channel)
    if static:
        scale, zero_point = scale_and_zero_point(torch.tensor(-1.5), torch.tensor(2.0), False)
        values = (torch.round(x / scale) + zero_point).clamp(-128, 127).to(torch.int8)
        rounded = dequantize(Quantized(values, scale, zero_point))
    else:
        rounded = dequantize(quantize_int8(x, symmetric=False))
    wanted = rounded.double() @ dequantize(q).double().T
    wanted = wanted + (layer.bias.double() if bias else 0)
    torch.testing.assert_close(quantized(x).double(), wanted, rtol=1e-5, atol=1e-5)


def test_the_largest_sum_fits():
    layer = nn.Linear(60_000, 1, bias=False)
    layer.weight.data.fill_(1.0)
    x = torch.full((1, 60_000), 255.0)
    assert QuantizedLinear(layer)(x).item() == pytest.approx(60_000 * 255)
    with pytest.raises(ValueError, match="60001 inputs could overflow"):
        QuantizedLinear(nn.Linear(60_001, 1))


def test_a_dynamic_range_depends_on_the_batch_and_a_static_one_does_not():
    layer, x = linear(), random(1, 16)
    crowd = torch.cat([x, 50 * random(1, 16, seed=1)])
    dynamic, static = QuantizedLinear(layer), QuantizedLinear(layer, input_range=(-3.0, 3.0))
    assert not torch.allclose(dynamic(x)[0], dynamic(crowd)[0], atol=1e-3)
    assert torch.equal(static(x)[0], static(crowd)[0])


def test_vectors_come_back_within_half_a_scale():
    layer = nn.Embedding.from_pretrained(random(9, 4))
    quantized = QuantizedEmbedding(layer)
    x = torch.tensor([[1, 8], [0, 0]])
    assert (quantized(x) - layer(x)).abs().max() <= quantized.scale.max() / 2 * 1.0001


def test_calibration_by_hand():
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1))
    model[0].weight.data.fill_(2.0)
    model[0].bias.data.fill_(1.0)
    batches = [torch.tensor([[-3.0], [1.0]]), torch.tensor([[4.0]])]
    assert calibrate(model, batches) == {"0": (-3.0, 4.0), "2": (0.0, 9.0)}
    assert list(calibrate(model, batches, ["2"])) == ["2"]


@given(st.floats(51, 100), st.integers(0, 50))
def test_percentiles_are_numpys_and_narrow(percentile, seed):
    model = nn.Sequential(linear(4, 1))
    batches = [random(n, 4, seed=seed + n) for n in (3, 5)]
    values = torch.cat(batches).numpy()
    lo, hi = calibrate(model, batches, percentile=percentile)["0"]
    assert (lo, hi) == pytest.approx(np.percentile(values, (100 - percentile, percentile)))
    least, most = calibrate(model, batches)["0"]
    assert least <= lo <= hi <= most


def test_a_percentile_clips_the_outlier_and_serves_the_rest():
    layer, x = linear(), random(400, 16)
    spoiled = x.clone()
    spoiled[0, 0] = 1000.0
    model = nn.Sequential(layer)

    def error(percentile):
        ranges = calibrate(model, [spoiled], percentile=percentile)
        return (QuantizedLinear(layer, True, ranges["0"])(x) - layer(x)).abs().mean()

    assert error(99.9) < error(100.0) / 20


def test_calibration_leaves_the_model_as_it_was():
    model = nn.Sequential(linear(), nn.Dropout(), linear(8, 2))
    model[1].eval()
    calibrate(model, [random(2, 16)])
    assert (model.training, model[1].training, model[2].training) == (True, False, True)
    assert not any(layer._forward_pre_hooks for layer in model)


@pytest.mark.parametrize(
    ("batches", "percentile", "match"),
    [
        ([], 100.0, "batches: there is none"),
        ([torch.ones(1, 16)], 50.0, "percentile: 50.0"),
        ([torch.ones(1, 16)], 101.0, "percentile: 101.0"),
    ],
)
def test_calibration_that_cannot_be(batches, percentile, match):
    with pytest.raises(ValueError, match=match):
        calibrate(nn.Sequential(linear()), batches, percentile=percentile)


def test_a_layer_that_nothing_reaches():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = linear(), linear()

        def forward(self, x):
            return self.used(x)

    model = Half()
    with pytest.raises(ValueError, match="layer 'idle' was never used"):
        calibrate(model, [torch.ones(1, 16)])
    ranges = calibrate(model, [torch.ones(1, 16)], ["used"])
    with pytest.raises(ValueError, match="ranges: none for layer 'idle'"):
        quantize_model(model, ranges=ranges)
    with pytest.raises(ValueError, match="'uesd' is no layer of kind Linear or Embedding; near"):
        quantize_model(model, ["uesd"])


def bert():
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BertModel(config, add_pooling_layer=False).eval()


def test_bert_in_a_quarter_of_the_space():
    model = bert()
    ids = torch.randint(60, (4, 9), generator=generator())
    batch = {"input_ids": ids, "attention_mask": (ids > 5).long()}
    ranges = calibrate(
        model, [batch], [n for n, m in model.named_modules() if type(m) is nn.Linear]
    )
    dynamic, static = copy.deepcopy(model), copy.deepcopy(model)
    quantize_model(dynamic)
    quantize_model(static, ranges=ranges)
    assert size(dynamic).bytes < 0.45 * size(model).bytes  # 65 KB of it are names and scales
    with torch.no_grad():
        wanted = model(**batch).last_hidden_state
        for small in (dynamic, static):
            assert (small(**batch).last_hidden_state - wanted).abs().max() < 0.06


@pytest.mark.parity
@given(st.integers(0, 200), st.booleans(), st.booleans())
def test_parity_with_the_fake_quantization_of_torch(seed, channel, symmetric):
    x = random(5, 7, seed=seed).requires_grad_()
    q = quantize_int8(x, per_channel=channel, symmetric=symmetric)
    y = fake_quantize(x, per_channel=channel, symmetric=symmetric)
    (y * torch.arange(35.0).view(5, 7)).sum().backward()
    theirs = x.detach().clone().requires_grad_()
    scale, zero_point = q.scale.flatten(), q.zero_point.flatten()
    if channel:
        z = torch.fake_quantize_per_channel_affine(theirs, scale, zero_point, 0, -128, 127)
    else:
        z = torch.fake_quantize_per_tensor_affine(theirs, scale, zero_point, -128, 127)
    (z * torch.arange(35.0).view(5, 7)).sum().backward()
    assert ((y - z).abs() <= q.scale * 1.001).all()  # ties, as above
    assert ((y - z).abs() > q.scale * 1e-3).sum() <= 1
    torch.testing.assert_close(x.grad, theirs.grad)


def test_training_for_integers_computes_what_the_integers_will():
    model = nn.Sequential(linear(), nn.ReLU(), linear(8, 2, seed=1))
    before = torch.get_rng_state()
    fake_quantize_model(model)
    assert torch.equal(torch.get_rng_state(), before)
    assert isinstance(model[0], FakeQuantizedLinear)
    x, y = random(64, 16), random(64, 2, seed=2)
    history = fit(
        model, lambda m, _: ((m(x) - y) ** 2).mean(), lambda step: None, steps=60, lr=0.02
    )
    assert history.losses[-1] < 0.5 * history.losses[0]
    with torch.no_grad():
        wanted = model(x)
        torch.testing.assert_close(quantize_model(model)(x), wanted, atol=1e-4, rtol=1e-4)
    assert isinstance(model[0], QuantizedLinear)


def test_a_layer_without_bias_stays_without():
    model = fake_quantize_model(nn.Sequential(linear(bias=False)))
    assert model[0].bias is None
    model(random(2, 16)).sum().backward()
    assert model[0].weight.grad.any()


@pytest.mark.parametrize("bits", [2, 3, 4, 7, 8])
@pytest.mark.parametrize(("per_channel", "symmetric"), KINDS)
def test_fewer_bits_have_fewer_integers_and_longer_steps(bits, per_channel, symmetric):
    w = random(6, 50)
    q = quantize_int8(w, per_channel=per_channel, symmetric=symmetric, bits=bits)
    assert -(2 ** (bits - 1)) <= q.values.int().min() <= q.values.int().max() < 2 ** (bits - 1)
    assert ((dequantize(q) - w).abs() <= q.scale * 0.501).all()
    y = fake_quantize(w, per_channel=per_channel, symmetric=symmetric, bits=bits)
    assert y.allclose(dequantize(q), atol=1e-6)


def test_four_bits_by_hand():
    q = quantize_int8(torch.tensor([0.7, -0.32, 0.04]), bits=4)
    assert q.values.tolist() == [7, -3, 0]
    assert q.scale.item() == pytest.approx(0.1)


@pytest.mark.parametrize("bits", [1, 9, 4.0])
def test_bits_that_are_none(bits):
    with pytest.raises(ValueError, match="bits"):
        quantize_int8(torch.ones(2), bits=bits)
    with pytest.raises(ValueError, match="bits"):
        fake_quantize_model(nn.Sequential(linear()), bits=bits)


def test_training_for_four_bits_computes_what_four_bits_will():
    model = nn.Sequential(linear(), nn.ReLU(), linear(8, 3))
    rounded = fake_quantize_model(copy.deepcopy(model), bits=4)
    integers = quantize_model(copy.deepcopy(model), bits=4)
    x = random(5, 16)
    assert rounded(x).allclose(integers(x), atol=1e-5)
    assert not rounded(x).allclose(model(x), atol=1e-2)
