"""The study of the chapter "Gradient-based meta-learning": its file follows its script."""

from __future__ import annotations

import json

import pytest
import torch

from nlpmeta.corpora import names
from nlpmeta.learners import ProtoNet
from tools import gradient_study, metric_study


@pytest.fixture(scope="module")
def report():
    return json.loads(gradient_study.TARGET.read_text(encoding="utf-8"))


def test_the_file_was_made_with_this_recipe(report):
    assert report["recipe"] == gradient_study.recipe()
    assert report["recipe"]["corpus"] == names.EXPECTED


def test_every_rate_was_tried(report):
    for kind in gradient_study.LEARNERS:
        tried = report["tried"][kind]
        inner, outer = (set(part) for part in zip(*(key.split() for key in tried)))
        assert inner == {f"{rate:g}" for rate in gradient_study.INNER}
        assert outer == {f"{rate:g}" for rate in gradient_study.OUTER}


def test_every_draw_is_there(report):
    for rows in [*report["board"].values(), *report["baselines"].values()]:
        assert len(rows["1"]) == len(rows["5"]) == len(metric_study.SEEDS)
    for runs in report["steps"].values():
        assert set(runs) == {str(n) for n in gradient_study.TRAIN_STEPS}
        assert all(len(run["1"]) == len(metric_study.SEEDS) for run in runs.values())


def test_representations_are_as_alike_as_kernels_say():
    g = torch.Generator().manual_seed(0)
    a = torch.randn(20, 3, generator=g)
    turned = a @ torch.linalg.qr(torch.randn(3, 3, generator=g))[0]
    assert gradient_study.cka(a, 2 * turned + 1) == pytest.approx(1, abs=1e-6)
    assert gradient_study.cka(a, torch.randn(20, 3, generator=g)) < 0.6


def test_fixed_labels_are_fixed():
    data = {"one": {c: torch.full((9, 2), i) for i, c in enumerate("abcde")}}
    fixed = gradient_study.FixedLabels(data, 1, 0, shuffled=False).task(3)
    assert fixed.support_x[:, 0].tolist() == [0, 1, 2, 3, 4]
    orders = {
        tuple(
            gradient_study.FixedLabels(data, 1, 0, shuffled=True).task(i).support_x[:, 0].tolist()
        )
        for i in range(5)
    }
    assert len(orders) > 1


def test_a_start_that_does_not_adapt_ignores_the_support_set():
    model = gradient_study.network(0)
    x = torch.randint(1, 9, (5, 20), generator=torch.Generator().manual_seed(0))
    predict = gradient_study.after(model, 0.1, 0).adapt(x, torch.arange(5))
    assert torch.equal(predict(x), model(x))


def test_a_baseline_is_scored_again_as_it_was(report):
    rate, steps = gradient_study.best_of(report["descents"]["scratch"]).split()
    model = gradient_study.MAML(gradient_study.start("scratch", 0), float(rate), int(steps))
    part = metric_study.split("families", 0)
    sampler = metric_study.EpisodeSampler(part.test, 5, 1, 5, 0)
    found = metric_study.evaluate(model, sampler, 60)
    assert abs(found.mean - report["baselines"]["scratch"]["1"][0]) < 3 * found.ci95


def test_the_features_of_an_untrained_start_are_those_of_the_last_chapter(report):
    untrained = ProtoNet(gradient_study.network(0).encoder)
    theirs = ProtoNet(metric_study.network("families", 0))
    x = torch.randint(1, 9, (5, 20), generator=torch.Generator().manual_seed(0))
    assert torch.equal(untrained.adapt(x, torch.arange(5))(x), theirs.adapt(x, torch.arange(5))(x))
