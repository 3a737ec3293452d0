"""The study of the chapter "Sentiment analysis": file follows script, and folds keep apart."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nlpmeta.corpora import reviews
from nlpmeta.pretrained import SHA256
from tools import sentiment_study


@pytest.fixture(scope="module")
def report():
    return json.loads(sentiment_study.TARGET.read_text(encoding="utf-8"))


def test_the_file_was_made_with_this_recipe(report):
    recipe = report["recipe"]
    assert recipe == sentiment_study.recipe()
    assert recipe["corpus"] == reviews.EXPECTED
    assert recipe["encoder"] == SHA256
    assert [tuple(pair) for pair in report["pairs"]] == list(sentiment_study.PAIRS)
    assert report["lexicon"] == {k: list(v) for k, v in sentiment_study.LEXICON.items()}


def test_every_guess_is_there(report):
    for language, own in report["guesses"].items():
        n = len(reviews.load(language))
        for name, rows in own.items():
            assert all(len(row) == n and set(row) <= set("012") for row in rows), name
    for name in sentiment_study.METHODS["en"]:
        assert len(report["guesses"]["en"][name]) == len(sentiment_study.DIVISIONS)
    fine = report["guesses"]["en"]["fine-tuned encoder"]
    assert len(fine) == len(report["fine"]) == len(sentiment_study.FINE_DIVISIONS)
    for trials in report["fine"].values():
        assert len(trials) == len(sentiment_study.FINE)
        assert all(0 <= f1 <= 1 for f1 in trials)
    assert {len(answers) for answers in report["negations"].values()} == {len(report["pairs"])}


def test_folds_do_not_overlap_and_hold_every_class():
    _, y, _ = sentiment_study.data("en")
    for division in sentiment_study.DIVISIONS:
        tested = [test for _, test in sentiment_study.folds(y, division)]
        assert sorted(np.concatenate(tested).tolist()) == list(range(len(y)))
        assert all(set(y[test]) == {0, 1, 2} for test in tested)


def test_what_may_be_labeled_is_never_asked():
    _, y, domains, _ = sentiment_study.clear()
    for target in reviews.DOMAINS:
        pool, asked = sentiment_study.drawn(target, 0)
        assert not set(pool.ravel()) & set(asked)
        assert set(domains[pool.ravel()]) == set(domains[asked]) == {target}
        assert y[pool].tolist() == [[0] * sentiment_study.POOL, [1] * sentiment_study.POOL]


def test_every_way_was_tried_in_every_domain_with_a_setting_of_its_grid(report):
    assert list(report["few"]) == list(sentiment_study.WAYS)
    for way, own in report["few"].items():
        grid = [list(s) if isinstance(s, tuple) else s for s in sentiment_study.SETTINGS[way]]
        assert list(own) == list(reviews.DOMAINS)
        for found in own.values():
            assert found["setting"] in grid
            assert [len(v) for v in found["f1"].values()] == [sentiment_study.DRAWS] * 3


def test_cheap_runs_come_out_again(report):
    name = "naive Bayes, words"
    again = sentiment_study.as_text(sentiment_study.guesses(name, "en", 0))
    assert again == report["guesses"]["en"][name][0]
    way, target = "class means, alone", "book"
    again = sentiment_study.few(way, target)["f1"]
    for k, values in report["few"][way][target]["f1"].items():
        assert again[k] == pytest.approx(values, abs=0.04)


def test_the_word_list_follows_its_rule():
    texts = ["Great soup.", "Awful soup.", "Great soup, awful bill.", "Soup."]
    assert sentiment_study.lexicon(texts, "en").tolist() == [0, 1, 2, 0]
    assert sentiment_study.lexicon(["好吃", "难吃"], "zh").tolist() == [0, 1]


def test_dividing_by_the_shares_moves_decisions_to_the_rare_class():
    scores = np.log([[0.5, 0.3, 0.2]])
    y = np.array([0] * 5 + [1] * 4 + [2])
    assert sentiment_study.most_probable(scores, y).tolist() == [0]
    assert sentiment_study.shares_out(scores, y).tolist() == [2]
