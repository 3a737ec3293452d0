"""The study of the chapter "Meta-learning for language": file follows script, splits keep apart."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nlpmeta.corpora import benchmarks, docs, names
from nlpmeta.pretrained import SHA256
from tools import meta_nlp_small as small
from tools import meta_nlp_study as study

DRAWS, FEW = len(study.SEEDS), len(study.FEWER)


def need(name):
    if not benchmarks.is_present(name):
        pytest.skip(f"{name} is not on this machine")


@pytest.fixture(scope="module")
def report():
    return json.loads(study.TARGET.read_text(encoding="utf-8"))


def test_the_file_was_made_with_this_recipe(report):
    assert report["recipe"] == json.loads(json.dumps(study.recipe()))
    assert report["recipe"]["encoder"] == SHA256
    assert report["recipe"]["corpora"]["names"] == names.EXPECTED
    assert report["recipe"]["corpora"]["docs"] == docs.EXPECTED


def test_splits_are_those_of_the_literature(report):
    need("intent_splits")
    for name, sizes in (("clinc150", (50, 50)), ("banking77", (25, 27))):
        splits = study.class_splits(name)
        assert report["classes"][name] == [list(sizes)] * 5
        assert len(splits) == 5
        for split in splits:
            assert (len(split.train), len(split.test)) == sizes
            assert not split.train & split.test


def test_a_thousand_episodes_and_every_cell(report):
    assert DRAWS * study.EPISODES >= 1000
    cells = {f"{n}-{k}" for n, k in study.CELLS}
    for rows in report["board"].values():
        for learner in ("class means, encoder", "supervised map", "tuned encoder"):
            assert cells <= set(rows[learner])
            assert all(len(rows[learner][c]["means"]) == DRAWS for c in cells)


def test_gains_are_differences_of_means(report):
    for rows in report["board"].values():
        base = rows["class means, encoder"]
        for learner in ("prototypical map", "supervised map", "tuned encoder"):
            for cell in ("5-1", "5-5"):
                own = rows[learner][cell]
                expected = np.subtract(own["means"], base[cell]["means"])
                np.testing.assert_allclose(own["gains"], expected, atol=3e-5)


def test_the_pieces_that_have_three_draws_have_them(report):
    for runs in (*report["words"].values(), report["blanks"], report["shift"]):
        assert len(runs) == FEW
    for runs in report["whitened"].values():
        assert len(runs) == DRAWS
    held = report["translation"]["held"]
    assert all(len(v) == len(held) for v in report["translation"]["chrf"].values())


def test_all_classes_at_once(report):
    assert set(report["full ways"]) == set(study.NAMES)
    for rows in report["full ways"].values():
        assert len(rows) == 5 * len(study.ALL_SHOTS)  # means of four encoders, one regression
        assert all(len(row) == DRAWS and 0.5 < min(row) <= max(row) < 1 for row in rows.values())
        for learner, row in rows.items():  # more labels, better in every draw
            if learner.endswith(", 5"):
                assert (np.array(rows[learner[:-1] + "10"]) > row).all()


@pytest.mark.parametrize(
    ("name", "n_ways", "n_test"), [("banking77", 77, 3080), ("clinc150", 150, 4500)]
)
def test_the_published_parts_keep_every_query(name, n_ways, n_test):
    need(name)
    labels = np.array(study.examples(name).labels)
    train, test = (study.official(name, part) for part in ("train", "test"))
    assert len(test) == n_test
    assert len(set(labels[test])) == len(set(labels[train])) == n_ways
    for row, query in zip(test[::500], benchmarks.load(name, "test")[::500]):
        assert study.examples(name).texts[row] == query.text.strip()


def test_whitening_makes_classes_round():
    import torch

    g = torch.Generator().manual_seed(0)
    spread = torch.tensor([4.0, 1.0, 0.25])
    classes = {str(k): k + spread * torch.randn(4000, 3, generator=g) for k in range(3)}
    w = study.whitening(study.Split({"": classes}, {}, {}), 0.0)
    torch.testing.assert_close(w @ w, torch.diag(spread**-2), rtol=0.1, atol=0.1)
    round_ = study.whitening(study.Split({"": classes}, {}, {}), 1e6)
    torch.testing.assert_close(round_ / round_[0, 0], torch.eye(3), rtol=1e-3, atol=1e-3)


def test_vectors_of_words_see_what_occurs_together():
    import torch

    counts = torch.tensor([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1], [1, 0, 0, 1]])
    e = torch.nn.functional.normalize(small.vectors(counts, width=2), dim=-1)
    assert e[0] @ e[1] > e[0] @ e[2]


def test_a_baseline_is_scored_again_as_it_was(report):
    need("banking77")
    need("intent_splits")
    counted = study.ngram_split("banking77", 0)
    learner = study.NearestCentroid(study.same)
    found = study.scores(learner, counted.test, 0, ((5, 1),))["5-1"]
    expected = report["board"]["banking77"]["class means, n-grams"]["5-1"]["means"][0]
    assert np.mean(found["accuracy"]) == pytest.approx(expected, abs=2e-3)
