"""The settings and scores of the topics in the chapter "Inference": recipe, choice, cheap part."""

from __future__ import annotations

import itertools
import json

import pytest

from nlpmeta.corpora import docs
from nlpmeta.topics import METHODS
from tools import topics


@pytest.fixture(scope="module")
def report() -> dict:
    return json.loads(topics.TARGET.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def parts() -> dict[str, topics.Part]:
    count = topics.counter()
    return {part: topics.read(count, part) for part in docs.PARTS}


def test_the_file_was_made_with_this_recipe(report):
    assert report["recipe"]["corpus"] == docs.EXPECTED
    assert report["recipe"]["passes"] == topics.PASSES
    fitted = [(row["method"], row["cut"]) for row in report["models"]]
    assert fitted == list(itertools.product(METHODS, topics.CUTS))
    assert [row["topics"] for row in report["numbers"]] == [*topics.NUMBERS, *topics.NUMBERS]
    assert all(len(row["test"]) == topics.STARTS for row in report["models"])


def test_every_pair_of_priors_was_tried_and_the_best_one_used(report):
    for row in report["models"]:
        tried = [(pair["alpha"], pair["beta"]) for pair in row["grid"]]
        assert sorted(tried) == sorted(itertools.product(topics.ALPHAS, topics.BETAS))
        assert row["grid"][0]["perplexity"] == min(pair["perplexity"] for pair in row["grid"])
        assert (row["alpha"], row["beta"]) == tried[0]


def test_a_recorded_score_is_computed_again(report, parts):
    row = report["models"][0]
    model = topics.fit(
        parts["train"], row["cut"], row["method"], row["alpha"], row["beta"], topics.TOPICS, 0
    )
    again = topics.completion(model, parts["test"], "module")
    assert again == pytest.approx(row["test"][0]["module"]["perplexity"], rel=0.01)


def test_both_cuts_hold_the_same_tokens(report, parts):
    for part in parts.values():
        assert part["module"][0].sum() == part["docstring"][0].sum()
    assert parts["train"]["module"][0].sum() == report["tokens"]


def test_purity_by_hand():
    assert topics.purity([0, 0, 0, 1], ["a", "a", "b", "b"]) == 3 / 4
    assert topics.purity([0, 1, 2, 3], ["a", "a", "b", "b"]) == 1
