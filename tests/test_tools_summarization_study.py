"""The study of the chapter "Summarization": its file follows the script, references the corpus."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

import pytest

from nlpmeta.corpora import docs
from tools import summarization_study as study


@pytest.fixture(scope="module")
def report():
    return json.loads(study.TARGET.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def references():
    return json.loads((study.TARGET.parent / "summaries.json").read_text(encoding="utf-8"))


def test_the_file_was_made_with_this_recipe(report):
    assert report["recipe"] == study.recipe()
    assert report["recipe"]["corpus"] == docs.EXPECTED
    assert set(report["tried"]) == {f"{lr:g}" for lr in study.RATES}
    assert f"{report['rate']:g}" == min(report["tried"], key=lambda k: min(report["tried"][k]))


def test_every_description_has_its_lines(report):
    pairs = docs.pairs("test")
    assert len(report["written"]) == len(report["scorer"]["picks"]) == len(pairs)
    for pick, pair in zip(report["scorer"]["picks"], pairs):
        assert 0 <= pick < len(study.split(pair.description))
    assert report["vocabulary"] == len(study.vocabulary())
    assert report["parameters"] == sum(p.numel() for p in study.model().parameters())


def test_the_references_belong_to_test_descriptions(references):
    known = Counter(
        hashlib.sha256(p.description.encode()).hexdigest()[:16] for p in docs.pairs("test")
    )
    assert references["corpus"] == docs.EXPECTED
    rows = references["references"]
    assert len(rows) == len({row["sha256"] for row in rows}) >= 25
    for row in rows:
        assert known[row["sha256"]] == 1
        assert row["reference"].endswith(".")
        assert row["written"] in ("faithful", "empty", "false")


def test_features_do_not_need_the_summary():
    found = study.features(["Return the list.", "It is sorted.", "Names are kept."])
    assert found.shape == (3, 9 + len(study.openings()))
    assert found[:, 0].tolist() == [1, 0, 0]
