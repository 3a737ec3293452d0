"""The plot of the chapter "Compression": files that are read as they were written, and its sums."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch

from nlpmeta.compression import low_rank, prune_magnitude, prune_structured
from nlpmeta.corpora import docs
from nlpmeta.head_pruning import head_scores, prune_heads
from tools import measure, pareto, tickets


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A little encoder in the place of the real one, and a folder for its files."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=32,
    )
    monkeypatch.setattr(pareto, "encoder_config", lambda: config)
    monkeypatch.setattr(pareto, "WORK", tmp_path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = BertModel(config, add_pooling_layer=False)
        return pareto.Classifier(network, len(pareto.LIBRARIES)).eval()


def ids():
    x = torch.randint(1, 40, (5, 9), generator=torch.Generator().manual_seed(1))
    x[1, 5:] = 0
    x[4, 2:] = 0
    return x


def without_heads(model):
    with head_scores(model) as scores:
        model(ids()).square().sum().backward()
    prune_heads(model, scores, 0.5)
    return model


def with_fewer_rows(model):
    model.rows = torch.arange(40).clamp(max=20)
    table = model.network.embeddings.word_embeddings
    table.weight = torch.nn.Parameter(table.weight.detach()[:21])
    return model


def shallow(model):
    blocks = model.network.encoder.layer
    model.network.encoder.layer = torch.nn.ModuleList([blocks[0], blocks[2]])
    return model


CHANGES = {
    "none": lambda m: m,
    "magnitude": lambda m: (prune_magnitude(m, 0.9, pareto.inner(m)), m)[1],
    "neurons": lambda m: (prune_structured(m.network, 0.5), m)[1],
    "heads": without_heads,
    "rank": lambda m: low_rank(m, 3, pareto.inner(m)),
    "rows": with_fewer_rows,
    "shallow": shallow,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("how", ["float", "csr", "channel", "channel-4"])
def test_a_file_is_read_as_it_was_written(small, change, how):
    model = CHANGES[change](small).eval()
    pareto.write(model, "a")
    found = pareto.converted(how, pareto.WORK / "a.safetensors", ids())
    with torch.no_grad():
        wanted, got = model(ids()), found(ids())
    if how in ("float", "csr"):
        assert got.allclose(wanted, atol=1e-5)
    else:
        assert got.shape == wanted.shape
        assert got.isfinite().all()
        assert not got.allclose(wanted, atol=1e-6)


def test_static_ranges_reach_their_layers(small):
    pareto.write(small, "a")
    model = pareto.converted("static", pareto.WORK / "a.safetensors", ids())
    layers = [m for m in model.modules() if hasattr(m, "input_scale")]
    assert len(layers) == 3 * 6 + 1
    assert all(layer.input_scale is not None for layer in layers)
    with torch.no_grad():
        assert model(ids()).allclose(small(ids()), atol=0.2)


def test_four_bits_are_two_to_a_byte(small):
    pareto.write(small, "a")
    path = pareto.WORK / "a.safetensors"
    eight = pareto.stored("channel", pareto.converted("channel", path, ids()))
    four = pareto.stored("channel-4", pareto.converted("channel-4", path, ids()))
    name = "network.encoder.layer.0.output.dense.values"
    assert 2 * four[name].numel() == eight[name].numel()
    q = pareto.converted("channel-4", path, ids()).state_dict()[name].flatten()
    assert ((four[name] // 16).int() - 8).tolist() == q[::2].tolist()
    assert ((four[name] % 16).int() - 8).tolist() == q[1::2].tolist()


def test_costs_by_hand(small):
    pareto.write(small, "a")
    row = pareto.Row("a", "float", "onnx")
    linear, head = 3 * (4 * 16 * 16 + 2 * 16 * 32), 16 * 9
    found = pareto.costs(row, length=10)
    done = linear * 10 + head
    between = 2 * 100 * 16 * 3
    assert found["multiply-adds"] == done + between
    assert found["arithmetic"] == pytest.approx((done + between) * 4.6e-12)
    assert found["energy"] == pytest.approx(
        found["arithmetic"] + (linear + head) * 4 * 162.5 * 1e-12
    )
    pareto.write(low_rank(copy.deepcopy(small), 2, pareto.inner(small)), "b")
    thin = pareto.costs(row._replace(name="b"), length=10)
    assert thin["multiply-adds"] == 10 * 3 * 2 * (4 * 32 + 2 * 48) + head + between
    eight = pareto.costs(row._replace(how="channel"), length=10)
    assert eight["arithmetic"] == pytest.approx((done * 0.3 + between * 4.6) * 1e-12)


def test_a_front_and_a_difference_by_hand():
    assert pareto.front([(1, 5), (2, 6), (2, 5), (3, 6)]) == [True, True, False, False]
    a, b = np.array([True, True, False, False]), np.array([True, True, True, False])
    mean, half = pareto.difference(a, b)
    assert mean == 0.25
    assert half == pytest.approx(1.96 * 0.5 / 2)
    bits = np.array([True, False, True] * 5)
    which = np.packbits(bits).tobytes().hex()
    assert pareto.bits_of(which, 15).tolist() == bits.tolist()


def test_batches_hold_every_text_once_an_epoch(monkeypatch):
    monkeypatch.setattr(pareto, "BATCH", 4)
    x = torch.arange(1, 13)[:, None].repeat(1, 5)
    batch = pareto.batches(x, torch.arange(12))
    seen = torch.cat([batch(step)[1] for step in range(3)])
    assert sorted(seen.tolist()) == list(range(12))
    assert batch(4)[1].equal(batch(4)[1])


def test_a_file_is_measured(small, tmp_path):
    pareto.write(small, "a")
    x = pareto.trimmed(ids().repeat(20, 1))
    y = small(x).argmax(1)
    np.savez(tmp_path / "data.npz", ids=x, labels=y, calibration=x[:4])
    call = measure.opened("float", tmp_path / "a.safetensors", x[:4].numpy())
    assert measure.right(call, x.numpy(), y.numpy()).all()
    assert 0 < measure.median_time(call, x.numpy()[:1]) < 5
    assert measure.resident("VmHWM") >= measure.resident("VmRSS") > 10_000_000
    assert measure.compressed(tmp_path / "a.safetensors") > 0


@pytest.fixture(scope="module")
def report():
    return json.loads(pareto.TARGET.read_text(encoding="utf-8"))


def test_the_report_was_made_with_this_recipe(report):
    recipe = report["recipe"]
    assert recipe["corpus"] == docs.EXPECTED
    assert recipe["steps"] == {"full": pareto.TEACHER_STEPS, "after": pareto.STEPS}
    assert [tuple(row[k] for k in ("name", "how", "engine")) for row in report["rows"]] == [
        tuple(row) for row in pareto.ROWS
    ]
    assert set(report["validation"]) == {"frozen", "full", *pareto.RECIPES}
    assert report["test"] == len(pareto.LIBRARIES) * pareto.PER_LIBRARY["test"]


def test_every_trained_network_tried_the_rates_and_kept_the_better(report):
    trained = {name: row for name, row in report["validation"].items() if "tried" in row}
    assert len(trained) > 10
    for name, row in trained.items():
        rates = pareto.RATES if name == "full" else pareto.RATES_AFTER
        assert list(map(float, row["tried"])) == list(rates)
        assert row["tried"][str(row["rate"])] == max(row["tried"].values())


def test_sizes_agree_with_what_was_taken_out(report):
    rows = {(r["name"], r["how"], r["engine"]): r for r in report["rows"]}
    full = rows["full", "float", "onnx"]
    pruned = rows["magnitude-90", "float", "onnx"]
    assert pruned["bytes"] == pytest.approx(full["bytes"], rel=0.01)
    assert pruned["compressed"] < 0.8 * full["compressed"]
    assert pruned["nonzero"] < 0.6 * pruned["parameters"]
    assert rows["full", "channel", "onnx"]["bytes"] < 0.27 * full["bytes"]
    assert rows["tiny", "channel", "onnx"]["bytes"] < 0.13 * full["bytes"]


def test_the_tickets_were_drawn_with_this_recipe():
    found = json.loads(tickets.TARGET.read_text(encoding="utf-8"))
    assert found["recipe"]["corpus"] == docs.EXPECTED
    assert found["recipe"]["steps"] == tickets.STEPS
    tried = found["recipe"]["tried"]
    assert f"{found['recipe']['rate']}" == max(tried, key=tried.get)
    assert len(found["seeds"]) == len(tickets.SEEDS) == 5
    for rows in found["seeds"]:
        assert [row["left"] for row in rows] == [0.5**k for k in range(tickets.ROUNDS)]


def test_a_round_of_tickets_runs(monkeypatch):
    monkeypatch.setattr(tickets, "STEPS", 3)
    monkeypatch.setattr(tickets, "WIDTHS", (6, 5, 4, 9))
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    parts = dict.fromkeys(("train", "validation", "test"), (x, torch.arange(40) % 9))
    rows = tickets.rounds(parts, 1e-3, seed=0, n=3)
    assert [row["left"] for row in rows] == [1.0, 0.5, 0.25]
    masks = prune_magnitude(tickets.network(0), 0.5, ["0"])
    other = tickets.shuffled(masks, 1)
    assert other["0"].sum() == masks["0"].sum()
    assert not other["0"].equal(masks["0"])
