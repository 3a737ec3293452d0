"""The figures of the treebank in the chapter "Sequence models": recipe, data, cheap part."""

from __future__ import annotations

import json

import pytest

from nlpmeta.corpora import benchmarks
from tools import treebank


@pytest.fixture(scope="module")
def report() -> dict:
    return json.loads(treebank.TARGET.read_text(encoding="utf-8"))


@pytest.fixture
def parts(mirror, monkeypatch) -> dict:
    monkeypatch.setenv("NLPMETA_MIRROR", str(mirror))
    return {part: treebank.read(part) for part in ("train", "validation", "test")}


def test_the_file_was_made_with_this_recipe(report):
    assert report["data"]["sha256"] == benchmarks.SOURCES[treebank.DATA].files
    assert report["recipe"]["steps"] == treebank.STEPS
    assert set(report["models"]) == set(treebank.MODELS)
    for name, row in report["models"].items():
        assert [float(value) for value in row["validation"]] == treebank.MODELS[name][1]
        best = max(row["validation"].values())
        assert row["validation"][str(row["setting"])] == best
        assert 0.9 < row["test"] < 1
        assert row["test_unknown"] < row["test"]


def test_the_cheap_part_is_reproduced(report, parts):
    train, validation, test = parts.values()
    assert sum(map(len, train[0])) == report["data"]["tokens"]["train"]
    baseline = treebank.most_frequent(*train)
    assert round(treebank.accuracy(baseline(test[0]), test[1]), 4) == report["baseline"]["test"]
    row = report["models"]["HMM"]
    tag = treebank.hidden_markov(*train, row["setting"])
    assert round(treebank.accuracy(tag(test[0]), test[1]), 4) == row["test"]
    expected = row["validation"][str(row["setting"])]
    assert round(treebank.accuracy(tag(validation[0]), validation[1]), 4) == expected


def test_signatures():
    words = ("Running", "1990s", "e-mail", "...", "B", "")
    assert list(map(treebank.signature, words)) == [
        "<Ang>",
        "<00s>",
        "<-il>",
        "<.>",
        "<Ab>",
        "<>",
    ]
