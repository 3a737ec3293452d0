"""The field of all models on two texts: what is committed is what the tool makes."""

import json

import pytest

from tools import field


@pytest.fixture(scope="module")
def record():
    return json.loads(field.TARGET.read_text(encoding="utf8"))


def test_every_model_is_there_at_every_size(record):
    names = set(field.models(dict.fromkeys(field.NETWORKS, 1e-3)))
    texts = {row["text"] for row in record["rows"]}
    assert texts == set(field.TEXTS)
    for text in texts:
        rows = [row for row in record["rows"] if row["text"] == text]
        sizes = {row["characters"] for row in rows}
        assert len(sizes) == 3
        assert sorted((row["model"], row["characters"]) for row in rows) == sorted(
            (name, size) for name in names for size in sizes
        )


def test_the_settings_are_those_of_the_tool(record):
    assert record["settings"] == {
        "steps": field.STEPS, "batch_size": field.BATCH, "window": field.WINDOW,
    }  # fmt: skip
    assert set(record["rates"]) == set(field.NETWORKS)
    assert all(
        set(tried) == {f"{lr:g}" for lr in field.RATES} for tried in record["rates"].values()
    )


def test_the_text_is_this_text_and_counts_can_be_counted_again(record):
    text = field.docs()
    assert record["texts"]["docs"] == field.digest(text)
    smallest = text.sizes[0]
    for name in ("unigram", "n-gram, modified Kneser-Ney"):
        model, extra = field.models(dict.fromkeys(field.NETWORKS, 1e-3))[name](
            text.train[:smallest], text
        )
        (row,) = (
            row
            for row in record["rows"]
            if (row["text"], row["characters"], row["model"]) == ("docs", smallest, name)
        )
        assert row["bits"] == pytest.approx(field.bits_per_character(model, text.test), abs=1e-4)
        assert row.get("order") == extra.get("order")


def test_networks_are_of_like_size(record):
    sizes = [row["parameters"] for row in record["rows"] if row["model"] in field.NETWORKS]
    assert max(sizes) < 1.2 * min(sizes)


def test_a_small_field_is_measured_once(monkeypatch, tmp_path):
    for name, value in {"STEPS": 2, "PILOT_STEPS": 1, "EVERY": 1, "ORDERS": range(2, 4)}.items():
        monkeypatch.setattr(field, name, value)
    few = {"GRU": field.NETWORKS["GRU"]}
    monkeypatch.setattr(field, "NETWORKS", few)
    text = field.Text("to learn " * 60, "to earn " * 30, "a tale " * 9, (100, 500))
    target = tmp_path / "field.json"
    found = field.measure({"docs": text}, target)
    assert len(found["rows"]) == 2 * 8
    assert all(row["bits"] > 0 and row["parameters"] > 0 for row in found["rows"])
    before = target.read_bytes()
    assert field.measure({"docs": text}, target) == json.loads(before)
    assert target.read_bytes() == before
