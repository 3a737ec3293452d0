"""The long runs: what is stored is what was trained, and a stopped run goes on."""

from __future__ import annotations

import json

import pytest

from nlpmeta import scoreboard
from nlpmeta.information import bits_per_character
from nlpmeta.recurrent import RecurrentLM
from tools import train_lm
from tools.train_lm import CONFIGS, TARGET, Config

STORED = [name for name in CONFIGS if (TARGET / f"{name}.json").exists()]
stored = pytest.mark.parametrize("name", STORED)


def record_of(name: str) -> dict:
    return json.loads((TARGET / f"{name}.json").read_text(encoding="utf8"))


def test_the_recurrent_ones_are_stored():
    assert {"lstm", "lstm-1m", "lstm-200k"} <= set(STORED)


@stored
def test_weights_and_record_belong_together(name):
    path, record, config = TARGET / f"{name}.safetensors", record_of(name), CONFIGS[name]
    assert record["sha256"] == train_lm.sha256(path)
    assert path.stat().st_size < 5_000_000
    model = train_lm.stored(name)
    assert model.n_parameters == record["parameters"]
    assert model.vocabulary[:-1] == tuple(sorted(set(scoreboard.train_text(config.size))))
    for key in ("steps", "batch_size", "window", "lr", "seed"):
        assert record["settings"][key] == getattr(config, key) == getattr(model, key)
    assert record["train_characters"] == len(scoreboard.train_text(config.size))
    curve = record["curve"]
    assert len({len(values) for values in curve.values()}) == 1
    best = curve["validation_bits"].index(min(curve["validation_bits"]))
    assert record["best_step"] == curve["steps"][best]


@stored
@pytest.mark.slow
def test_the_scores_are_computed_again(name):
    model, record = train_lm.stored(name), record_of(name)
    for part, text in (
        ("test", scoreboard.test_text()),
        ("validation", scoreboard.validation_text()),
    ):
        assert bits_per_character(model, text) == pytest.approx(record[f"{part}_bits"], abs=1e-3)


def tiny(steps: int = 12) -> Config:
    return Config(
        model="tiny",
        build=lambda v, g: RecurrentLM("lstm", v, 4, 6, generator=g),
        steps=steps,
        batch_size=4,
        window=8,
        lr=1e-2,
        every=4,
        validation=200,
    )


@pytest.mark.slow
def test_a_stopped_run_goes_on(tmp_path, monkeypatch):
    for text in ("validation_text", "test_text"):
        beginning = getattr(scoreboard, text)()[:500]
        monkeypatch.setattr(scoreboard, text, lambda beginning=beginning: beginning)
    text = scoreboard.train_text(200_000)[:5000]

    def run(folder, checkpoints, stop_after=None):
        folder.mkdir(exist_ok=True)
        if stop_after:
            real, count = train_lm.NeuralLM._parallel, []

            def stop(self, ids):
                count.append(1)
                if len(count) > stop_after:
                    raise KeyboardInterrupt
                return real(self, ids)

            with monkeypatch.context() as patch:
                patch.setattr(train_lm.NeuralLM, "_parallel", stop)
                with pytest.raises(KeyboardInterrupt):
                    train_lm.train("tiny", tiny(), text, folder, checkpoints)
            return None
        return train_lm.train("tiny", tiny(), text, folder, checkpoints)

    run(tmp_path / "a", tmp_path / "c1", stop_after=2)
    parts, whole = run(tmp_path / "a", tmp_path / "c1"), run(tmp_path / "b", tmp_path / "c2")
    assert parts["sha256"] == whole["sha256"]
    assert parts["curve"] == whole["curve"]
    assert parts["cpu_seconds"] > 0
    assert whole == json.loads((tmp_path / "b" / "tiny.json").read_text("utf8"))
