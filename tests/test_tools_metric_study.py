"""The study of the chapter "Metric learning": file follows script, and splits keep apart."""

from __future__ import annotations

import json

import pytest
import torch

from nlpmeta.corpora import docs, names
from nlpmeta.pretrained import SHA256
from tools import metric_study


@pytest.fixture(scope="module")
def report():
    return json.loads(metric_study.TARGET.read_text(encoding="utf-8"))


def test_the_file_was_made_with_this_recipe(report):
    recipe = report["recipe"]
    assert recipe == metric_study.recipe()
    assert recipe["corpora"] == {"names": names.EXPECTED, "docs": docs.EXPECTED}
    assert recipe["encoder"] == SHA256


def test_every_rate_was_tried(report):
    assert set(report["tried"]) == set(metric_study.LEARNERS)
    for kind, tried in report["tried"].items():
        warm = metric_study.TEMPERATURES if kind == "matching" else (0.1,)
        assert set(tried) == {f"{lr:g} {t:g}" for lr in metric_study.RATES for t in warm}


def test_every_draw_is_there(report):
    for rows in report["board"].values():
        assert len(rows["1"]) == len(rows["5"]) == len(metric_study.SEEDS)
    for key in ("cosine", "shots", "languages"):
        for by_shot in report[key].values():
            assert all(len(v) == len(metric_study.FEWER) for v in by_shot.values())


def test_languages_and_things_are_divided():
    part = metric_study.split("families", 0)
    languages = [set(own) for own in part]
    assert not languages[0] & languages[1]
    assert not languages[0] & languages[2]
    assert not languages[1] & languages[2]
    known = {
        tuple(row)
        for own in part.train.values()
        for x in own.values()
        for row in x.tolist()
    }  # fmt: skip
    tested = [tuple(row) for own in part.test.values() for x in own.values() for row in x.tolist()]
    assert sum(row in known for row in tested) < 0.02 * len(tested)


def test_a_baseline_is_scored_again_as_it_was(report):
    part = metric_study.split("families", 0)
    model = metric_study.ProtoNet(metric_study.network("families", 0))
    found = metric_study.scores(model, part, 0, (1,))
    mean = sum(found["1"]) / len(found["1"])
    assert mean == pytest.approx(report["board"]["untrained network"]["1"][0], abs=2e-3)


def test_the_pooled_encoder_does_not_hang_on_the_global_generator(monkeypatch):
    monkeypatch.setattr(metric_study, "NAMES_READ", 480)
    part = metric_study.split("families", 0)
    found = []
    for state in (0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(state)
            found.append(metric_study.pooled_encoder(part, 0, 0.01).state_dict())
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())
