"""The runs of the chapter "Fine-tuning": recipe, choice of settings, parts that share nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nlpmeta.corpora import docs, reviews
from nlpmeta.pretrained import SHA256
from nlpmeta.transfer import n_trainable
from tools import transfer_curves as curves


@pytest.fixture(scope="module")
def report() -> dict:
    return json.loads(curves.TARGET.read_text(encoding="utf-8"))


def test_the_file_was_made_with_this_recipe(report):
    recipe = report["recipe"]
    assert (recipe["corpus"], recipe["reviews"]) == (docs.EXPECTED, reviews.EXPECTED)
    assert recipe["encoder"] == SHA256
    assert recipe["parts"] == curves.fingerprint(curves.area_parts())
    assert recipe["steps"] == {str(k): n for k, n in curves.STEPS.items()}
    assert recipe["head rate"] == curves.HEAD_RATE
    assert list(report["runs"]) == [*curves.tuning(), *curves.runs()]


def test_every_setting_of_the_grid_was_tried(report):
    for name in curves.tuning():
        row = report["runs"][name]
        method, k = row["method"], row["k"]
        grid = curves.RATES.get(method, curves.STRENGTHS)
        grid = [*grid, *([curves.BEYOND[method, k]] if (method, k) in curves.BEYOND else [])]
        assert [float(setting) for setting in row["validation"]] == list(grid)


def test_five_draws_at_every_size(report):
    for method in ("frozen", "tf-idf", *curves.CURVES):
        for k in curves.STEPS:
            rows = [report["runs"][f"curve {method} {k} {s}"] for s in range(curves.SEEDS)]
            assert [row["seed"] for row in rows] == list(range(curves.SEEDS))
            drawn = k < max(curves.STEPS) or method not in ("frozen", "tf-idf")  # else all of them
            assert (len({row["test"] for row in rows}) > 1) == drawn


def test_parts_share_no_module_and_no_eight_words(report):
    parts = curves.area_parts()
    runs = [{r for text in p.texts for r in docs.shingles(text)} for p in parts.values()]
    assert not any(runs[i] & runs[j] for i in range(3) for j in range(i))
    home = {
        text: module
        for area in curves.AREAS
        for module, texts in curves.area_modules()[area].items()
        for text in texts
    }
    modules = [{home[text] for text in p.texts} for p in parts.values()]
    assert not any(modules[i] & modules[j] for i in range(3) for j in range(i))
    for part, own in parts.items():
        counts = np.bincount(own.labels)
        assert set(counts) == {curves.CAPS[part]}
        assert report["sizes"][part] == len(own.texts)


def test_draws_are_balanced_and_repeat():
    data = curves.Texts([f"t{i}" for i in range(20)], [i % 2 for i in range(20)])
    one, again = curves.draw(data, 3, seed=1), curves.draw(data, 3, seed=1)
    assert one == again != curves.draw(data, 3, seed=2)
    assert one.labels == [0, 0, 0, 1, 1, 1]
    assert len(set(one.texts)) == 6


def test_a_recorded_score_is_computed_again(report, monkeypatch):
    """Logistic regression on frozen vectors, the part that takes seconds."""
    monkeypatch.setattr(curves, "read", lambda name: report["runs"][name])
    for method in ("frozen", "tf-idf"):
        row = report["runs"][f"curve {method} 4 0"]
        assert curves.curve(method, 4, 0)["test"] == pytest.approx(row["test"], abs=0.0101)


@pytest.mark.parametrize("method", ["lora", "adapters", "top block", "soft prompt", "full"])
def test_what_is_trained_is_what_the_file_says(report, method):
    k = curves.EXTRA_SIZE
    assert (
        n_trainable(curves.build(method, 8, 0))
        == report["runs"][f"curve {method} {k} 0"]["trained"]
    )


def test_other_tasks_are_learned_without_the_pooler():
    model = curves.build("full", 8, 0)
    pooler = list(model.encoder.network.pooler.parameters())
    assert pooler
    assert not any(p.requires_grad for p in pooler)
