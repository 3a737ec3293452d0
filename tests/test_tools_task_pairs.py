"""The pairs of tasks in the chapter "Multi-task learning": recipe, tasks, one run made again."""

from __future__ import annotations

import json

import pytest
import torch

from nlpmeta.corpora import docs, names, reviews
from tools import task_pairs
from tools.task_pairs import PAIRS, SETTINGS, network, task, train


@pytest.fixture(scope="module")
def report() -> dict:
    return json.loads(task_pairs.TARGET.read_text(encoding="utf-8"))


def test_the_file_was_made_with_this_recipe(report):
    recipe = report["recipe"]
    assert recipe["corpora"] == {
        "names": names.EXPECTED,
        "docs": docs.EXPECTED,
        "reviews": reviews.EXPECTED,
    }
    assert recipe["early"] == task_pairs.EARLY
    assert len(report["settings"]) == len(SETTINGS)
    for setting, found in zip(SETTINGS, report["settings"]):
        assert {key: found[key] for key in setting._fields} == setting._asdict()
        pairs = [tuple(pair[key] for key in PAIRS[0]._fields) for pair in found["pairs"]]
        assert pairs == [tuple(pair) for pair in PAIRS]
        for pair in found["pairs"]:
            assert [run["seed"] for run in pair["runs"]] == list(range(setting.seeds))


def test_every_rate_was_tried(report):
    for found in report["settings"]:
        for tried in found["rates"].values():
            assert list(tried) == [str(rate) for rate in task_pairs.RATES]


def test_a_recorded_run_is_made_again(report):
    setting, found = SETTINGS[0], report["settings"][0]
    run = found["pairs"][0]["runs"][0]
    lr = float(max(found["rates"]["single"], key=found["rates"]["single"].get))
    own = task(PAIRS[0].first, 0, setting.k)
    again = train([own], False, setting.width, lr, 0, setting.steps)["scores"][own.name]
    assert again["test"] == pytest.approx(run["first"]["single"], abs=4)


@pytest.mark.parametrize(
    "name", ["family es", "shifted es", "random es", "initial fi", "length fi"]
)
def test_tasks_of_names(name):
    own = task(name, 0, 20)
    assert torch.bincount(own.train[1]).tolist() == [20] * own.n_classes
    assert own.scored == (name != "random es")
    texts = {
        part: {tuple(row) for row in getattr(own, part)[0].tolist()} for part in ("train", "test")
    }
    assert len(texts["train"] & texts["test"]) <= 3  # two things may share a name, as Luxemburgo
    assert task(name, 0, 20) is own
    assert not torch.equal(task(name, 1, 20).train[0], own.train[0])
    assert torch.equal(task(name, 1, 20).test[0], own.test[0])


def test_opposed_labels_are_shifted_by_one():
    a, b = task("family es", 0, 500), task("shifted es", 0, 500)
    labels = dict(zip(map(tuple, a.train[0].tolist()), a.train[1].tolist()))
    pairs = [(labels[tuple(x)], y) for x, y in zip(b.train[0].tolist(), b.train[1].tolist())]
    shifted = sum(y == (x + 1) % 5 for x, y in pairs)
    assert shifted > 0.95 * len(pairs)  # a name may be of two families


def test_a_network_shares_what_it_should():
    tasks = [task("family es", 0, 5), task("family pt", 0, 5)]
    apart, together = (network(tasks, one, 8, 0) for one in (False, True))
    assert (len(apart.heads), len(together.heads)) == (2, 1)
    assert set(together.shared_parameters()) - set(apart.shared_parameters()) == {
        "heads.0.weight",
        "heads.0.bias",
    }


def test_what_is_foretold_has_the_right_signs():
    a, b = task("family es", 0, 20), task("family es", 0, 20)._replace(name="again")
    opposed = b._replace(train=(b.train[0], (b.train[1] + 1) % 5))
    same = task_pairs.foretell(network([a, b], True, 8, 0), a, b)
    assert same["cosine"] == pytest.approx(1, abs=1e-5)
    assert same["ab"] == pytest.approx(same["ba"], abs=1e-3)
    assert same["ab"] > 0
    assert task_pairs.foretell(network([a, opposed], True, 8, 0), a, opposed)["cosine"] < 1
