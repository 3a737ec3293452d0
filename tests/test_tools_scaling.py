"""The scaling grids and the larger GPT: what is committed is what the tools make."""

import json
import math

import pytest

from nlpmeta import scoreboard
from nlpmeta.information import bits_per_character
from tools import scaling, train_lm


@pytest.fixture(scope="module")
def record():
    return json.loads(scaling.TARGET.read_text(encoding="utf8"))


def test_the_committed_grids_are_of_this_text_and_these_settings(record):
    text = scaling.digest(scoreboard.train_text())
    assert record["parameters"]["text"] == record["data"]["text"] == text
    assert [row["width"] for row in record["parameters"]["rows"]] == list(scaling.WIDTHS)
    assert [row["characters"] for row in record["data"]["rows"]] == list(scaling.SIZES)
    chosen = {row["width"]: row["lr"] for row in record["parameters"]["rows"]}
    assert record["data"]["lr"] == scaling.DATA_RATE == chosen[scaling.DATA_WIDTH]
    assert record["data"]["steps"] == scaling.DATA_STEPS
    assert record["parameters"]["tokens"] == scaling.STEPS * scaling.BATCH * scaling.WINDOW
    for row in record["parameters"]["rows"]:
        assert min(row["tried"], key=row["tried"].get) == f"{row['lr']:g}"


def test_an_n_gram_of_the_grid_can_be_counted_again(record):
    row = record["data"]["rows"][0]
    train, _, score = scaling.texts()
    model = scaling.NGramLM(7, "modified-kneser-ney").fit(train[: row["characters"]])
    assert bits_per_character(model, score) == pytest.approx(row["ngram_bits"], abs=1e-4)


def test_small_grids_run(monkeypatch, tmp_path):
    for name, value in {"STEPS": 2, "DATA_STEPS": 2, "WIDTHS": (16,), "SIZES": (3000,)}.items():
        monkeypatch.setattr(scaling, name, value)
    monkeypatch.setattr(scaling, "texts", lambda: ("to learn " * 500, "to earn " * 30, "a " * 90))
    monkeypatch.setattr(scaling, "TARGET", tmp_path / "scaling.json")
    for name in ("parameters", "data"):
        scaling.write(name, scaling.PARTS[name]())
    found = json.loads((tmp_path / "scaling.json").read_text())
    assert found["parameters"]["rows"][0]["bits"] > 0
    assert found["data"]["rows"][0]["best_step"] == 2
    assert list(found) == ["command", "parameters", "data"]


def test_shakespeare_is_scored_by_every_kind_of_model(record):
    table = {row["model"]: row["nats"] for row in record["shakespeare"]["rows"]}
    assert len(table) == 6
    assert min(table, key=table.get).endswith("gram, modified-kneser-ney")
    assert table["unigram"] == max(table.values()) < math.log(66)


def test_the_larger_gpt_is_the_one_that_was_scored():
    record = json.loads((train_lm.TARGET / "gpt.json").read_text(encoding="utf8"))
    assert train_lm.sha256(train_lm.TARGET / "gpt.safetensors") == record["sha256"]
    model = train_lm.stored("gpt")
    assert model.n_parameters == record["parameters"]
    assert record["settings"]["steps"] == train_lm.CONFIGS["gpt"].steps
    bits = bits_per_character(model, scoreboard.validation_text()[:3000])
    assert bits == pytest.approx(record["validation_bits"], abs=0.3)
