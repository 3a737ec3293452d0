"""The study of the chapter "Frontiers": file follows script, classes and queries keep apart."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from nlpmeta.corpora import benchmarks
from nlpmeta.pretrained import SHA256
from tools import frontiers_study as study


@pytest.fixture(scope="module")
def report():
    return json.loads(study.TARGET.read_text(encoding="utf-8"))


def test_the_file_was_made_with_this_recipe(report):
    recipe = report["recipe"]
    assert recipe["corpus"] == benchmarks.SOURCES[study.DATA].files
    assert recipe["encoder"] == SHA256
    assert recipe["queries"] == study.TEST_CLASSES * study.N_TEST
    assert recipe["tuned steps"] == {str(k): n for k, n in study.TUNED_STEPS.items()}
    assert sum(recipe["classes"].values()) == 77


def test_every_setting_was_tried(report):
    tried = report["tried"]
    assert set(tried["maximum entropy"]) == {f"{p:g}" for p in study.PENALTIES}
    assert set(tried["network from scratch"]) == {f"{r:g}" for r in study.CNN_RATES}
    assert set(tried["tuned encoder"]) == {f"{r:g}" for r in study.TUNED_RATES}
    for layer in range(7):
        assert set(tried[f"layer {layer}"]) == {f"{c:g}" for c in study.STRENGTHS}
    for how in ("episodes", "classifier"):
        assert set(tried[f"map, {how}"]) == {f"{r:g}" for r in study.MAP_RATES}


def test_every_draw_is_there(report):
    for name, curve in report["labels"].items():
        wanted = list(study.TUNED_STEPS if name == "tuned encoder" else study.LABELS)
        assert curve["labels"] == wanted
        draws = study.TUNED_SEEDS if name == "tuned encoder" else study.SEEDS
        assert np.shape(curve["accuracy"]) == (len(draws), len(wanted))
    layers = report["parameters"]["layers"]["accuracy"]
    assert np.shape(layers) == (len(study.SEEDS), 7, len(study.LABELS))
    for how in ("episodes", "classifier"):
        rows = report["compute"]["map"][how]
        assert np.shape(rows["1"]) == (len(study.SEEDS), len(study.MAP_BUDGETS))


def test_one_run_is_told_in_two_places(report):
    """A map of no steps is the frozen encoder; the last layer is what the regression reads."""
    frozen = np.array(report["labels"]["frozen, means"]["accuracy"])
    start = np.array(report["compute"]["map"]["episodes"]["1"])
    assert np.array_equal(start[:, 0], frozen[:, 0])
    last = np.array(report["parameters"]["layers"]["accuracy"])[:, 6]
    assert np.array_equal(last, report["labels"]["frozen, regression"]["accuracy"])


def test_classes_are_divided():
    counts = {f"class {i}": 60 + 5 * i for i in range(77)}
    for seed in (0, 1):
        parts = study.divide(counts, seed)
        assert sorted(c for own in parts.values() for c in own) == sorted(counts)
        assert len(parts["test"]) == study.TEST_CLASSES
        assert all(counts[c] >= study.N_TEST + max(study.LABELS) for c in parts["test"])
    assert study.divide(counts, 0)["test"] != study.divide(counts, 1)["test"]


@pytest.mark.slow
def test_a_run_is_repeated_as_it_was(report):
    try:
        counts = Counter(study.labels())
    except RuntimeError as why:
        pytest.skip(str(why))
    assert len(counts) == 77
    pool, queries = study.rows(0)
    assert not set(pool.ravel()) & set(queries.ravel())
    found = [study.counted(0, k)["accuracy"] for k in (1, 4)]
    told = report["labels"]["counting"]["accuracy"][0]
    assert found == pytest.approx([told[0], told[2]], abs=0.002)
    penalty = study.maxent(0, 4, 0.01)["accuracy"]
    assert penalty == pytest.approx(report["labels"]["maximum entropy"]["accuracy"][0][2], abs=0.05)
