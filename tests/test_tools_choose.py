"""The settings of the first chapter: every combination tried, the best one used."""

from __future__ import annotations

import json

import pytest

from nlpmeta.episodes import evaluate
from tools import choose


@pytest.fixture(scope="module")
def recorded() -> dict[str, list[dict]]:
    return json.loads(choose.TARGET.read_text(encoding="utf8"))


@pytest.mark.parametrize("method", choose.GRIDS)
def test_every_combination_was_tried_once(recorded, method):
    tried = [{name: row[name] for name in choose.GRIDS[method]} for row in recorded[method]]
    wanted = choose.combinations(choose.GRIDS[method])
    assert len(tried) == len(wanted)
    assert all(setting in tried for setting in wanted)


@pytest.mark.parametrize("method", choose.METHODS)
def test_the_best_comes_first(recorded, method):
    totals = [sum(row[f"{k}-shot"] for k in choose.SHOTS) for row in recorded[method]]
    assert totals == sorted(totals, reverse=True)


def test_a_recorded_score_is_computed_again(recorded):
    row = recorded["centroids"][0]
    corpus = choose.Names(row["capitals"])
    score = evaluate(choose.centroids(corpus, row), corpus.tasks("validation", 1), choose.EPISODES)
    assert 100 * score.mean == pytest.approx(row["1-shot"], abs=0.1)


def test_only_training_and_validation_names_are_read():
    assert set(choose.Names(capitals=True).data) == {"train", "validation"}
