"""The study of names in other scripts: things and scripts keep apart, scores are what they say."""

from __future__ import annotations

from nlpmeta.corpora import names
from tools import translation_study


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
