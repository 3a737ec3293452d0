"""The table of the chapter "Episodes": the file follows the script, and its parts work."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from nlpmeta.corpora import docs, names
from nlpmeta.episodes import EpisodeSampler, Score, by_class, evaluate
from nlpmeta.pretrained import SHA256
from tools import baselines


@pytest.fixture(scope="module")
def report():
    return json.loads(baselines.TARGET.read_text(encoding="utf-8"))


def test_the_file_was_made_with_this_recipe(report):
    recipe = report["recipe"]
    assert recipe["corpora"] == {"names": names.EXPECTED, "docs": docs.EXPECTED}
    assert recipe["encoder"] == SHA256
    assert (recipe["n_way"], recipe["n_query"]) == (baselines.N_WAY, baselines.N_QUERY)
    assert recipe["episodes"] == baselines.EPISODES
    assert recipe["splits"] == len(baselines.SEEDS) == 5


def test_choices_are_the_best_of_what_was_tried(report):
    for by_shot in report["results"].values():
        assert list(by_shot) == [str(k) for k in baselines.SHOTS]
        for result in by_shot.values():
            chosen, tried = result["chosen"], result["chosen"]["tried"]
            for key in ("orders", "characters", "vectors"):
                assert tried[key][str(chosen[key])] == max(tried[key].values())


def test_rows_add_up(report):
    for by_shot in report["results"].values():
        for result in by_shot.values():
            for row in result["rows"].values():
                assert row["mean"] == pytest.approx(np.mean(row["splits"]), abs=1e-4)
                assert len(row["splits"]) == 5
                assert row["over_episodes"] > 0
            assert result["rows"]["class means, n-grams"]["to_class_means"] == [0.0, 0.0]


def test_a_part_is_scored_again_as_it_was(report):
    row = report["results"]["families"]["1"]["rows"]["class means, n-grams"]
    orders = tuple(report["results"]["families"]["1"]["chosen"]["orders"])
    found = baselines.examples("families")
    vocabulary = baselines.Vocabulary.from_tokens((c for t in found.texts for c in t), min_count=20)
    rows = [vocabulary.encode(t)[: baselines.LONGEST["families"]] for t in found.texts]
    x = torch.as_tensor(baselines.pad(rows))
    data = by_class(x, found.labels, found.domains)
    part = baselines.split_domains(data, n_validation=20, n_test=30, seed=0)
    sampler = EpisodeSampler(part.test, baselines.N_WAY, 1, baselines.N_QUERY, 0)
    learner = baselines.NearestCentroid(baselines.ngrams(part, orders))
    score = evaluate(learner, sampler, baselines.EPISODES)
    # of the 10,000 queries 14 lie so evenly between two classes that rounding, which differs from
    # processor to processor, decides them
    assert score.mean == pytest.approx(row["splits"][0], abs=14e-4)


def test_guessing_guesses():
    data = by_class(torch.arange(100), [str(i // 10) for i in range(100)])
    sampler = EpisodeSampler(data, 5, 1, 5, 0)
    assert abs(evaluate(baselines.Guess(0), sampler, 400).mean - 0.2) < 0.02


def test_a_score_over_fewer_episodes_has_their_mean():
    (score,) = baselines.recounted([Score(0.0, 0.0, np.array([0.2, 0.6]))])
    assert score.mean == pytest.approx(0.4)
