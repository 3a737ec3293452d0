"""The study of names in other scripts: things and scripts keep apart, scores are what they say."""

from __future__ import annotations

import json

import pytest

from nlpmeta.corpora import names
from tools import translation_study


@pytest.fixture(scope="module")
def report():
    return json.loads(translation_study.TARGET.read_text(encoding="utf-8"))


def test_the_file_was_made_with_this_recipe(report):
    assert report["recipe"] == translation_study.recipe()
    assert report["recipe"]["corpus"] == names.EXPECTED


def test_every_draw_of_every_way_is_there(report):
    assert list(report["few"]) == list(translation_study.WAYS)
    for runs in report["few"].values():
        assert len(runs) == len(translation_study.SEEDS)
        assert all(list(run) == list(translation_study.TARGETS) for run in runs)


def test_every_setting_was_tried(report):
    for way, grid in translation_study.GRIDS.items():
        assert list(report["tried"][way]) == [json.dumps(setting) for setting in grid]


def test_longer_runs_are_there(report):
    longer = report["recipe"]["longer"]
    assert list(report["longer"]) == longer["ways"]
    assert all(len(runs) == len(longer["seeds"]) for runs in report["longer"].values())


def test_no_thing_that_is_asked_for_is_in_a_pair_to_learn_from():
    corpus = translation_study.corpus()
    learned = {x for parts in corpus.values() for x, _ in parts["train"]}
    for language in translation_study.TARGETS:
        asked = {x for x, _ in translation_study.asked(language)}
        assert len(asked) == translation_study.ASKED
        assert not asked & learned
        own = {x for x, _ in translation_study.few(language, 0)}
        assert len(own) == translation_study.FEW
        assert own <= learned


def test_sources_have_the_scripts_that_they_should():
    scripts = names.main_scripts(names.load(near_copies=False))
    known = {scripts[k] for k in translation_study.SOURCES}
    for language in translation_study.TARGETS:
        assert (scripts[language] in known) == (language in translation_study.SHARED)
        assert language not in translation_study.SOURCES


def test_scores_tell_exact_from_near():
    right = ["анна", "нина"]
    exact = translation_study.scores(right, right)
    near = translation_study.scores(["ана", "нина"], right)
    assert exact["chrf"] == exact["exact"] == 100
    assert near["exact"] == 50
    assert near["exact"] < near["chrf"] < 100


def test_chunks_beat_copying_and_the_most_similar_name():
    found = {
        way: translation_study.judged(translation_study.low(way, "el", 0, (1, 2)), "el")["chrf"]
        for way in ("copy", "most similar name", "pairs of chunks")
    }
    assert found["copy"] < 5
    assert found["pairs of chunks"] > found["most similar name"] + 5


def test_a_baseline_is_scored_again_as_it_was(report):
    way = "most similar name"
    found = translation_study.low(way, "el", 0, None)
    assert translation_study.judged(found, "el") == pytest.approx(
        report["few"][way][0]["el"], abs=0.01
    )
