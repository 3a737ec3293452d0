"""The tables of the chapter "Multi-task learning": recipe, a row made again, the small models."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from nlpmeta.corpora import names
from tools import sharing
from tools.sharing import COUPLINGS, GROUPS, SEEDS, SHOTS, WAYS, Names
from tools.task_pairs import task, train


@pytest.fixture(scope="module")
def report() -> dict:
    return json.loads(sharing.TARGET.read_text(encoding="utf-8"))


def test_the_file_was_made_with_this_recipe(report):
    assert report["recipe"]["corpora"]["names"] == names.EXPECTED
    coupled, grouped = report["linear"]["coupled"], report["linear"]["grouped"]
    assert len(coupled) == len(SHOTS) * SEEDS * len(COUPLINGS)
    assert len(grouped) == len(SHOTS) * SEEDS * len(GROUPS) * 2
    assert {row["way"] for row in report["networks"]} == set(WAYS)
    assert len(report["networks"]) == 2 * SEEDS * len(WAYS)
    for row in report["weighing"]:
        assert len(row["runs"]) == SEEDS
        assert row["weight"] in sharing.WEIGHTS


def test_a_recorded_row_is_computed_again(report):
    row = next(r for r in report["linear"]["coupled"] if r["k"] == 5 and r["coupling"] == 0.25)
    everyone = [list(range(12))]
    again = sharing.best_penalty(Names(5, row["seed"]), everyone, row["coupling"])
    assert again["test"] == pytest.approx(row["test"], abs=0.5)


def test_one_language_alone_is_coupling_zero(report):
    rows = report["linear"]["grouped"]
    for k in SHOTS:
        alone = [r["test"] for r in rows if r["k"] == k and r["size"] == 1]
        zero = [r["test"] for r in report["linear"]["coupled"] if r["k"] == k and not r["coupling"]]
        assert np.mean(alone) == pytest.approx(np.mean(zero), abs=0.05)


def test_heads_on_a_frozen_encoder_do_not_meet(report):
    for table in ("encoder", "intents"):
        scores = {
            way: [r["test"] for r in report[table] if r["way"] == way]
            for way in ("own head", "joint head")
        }
        assert scores["own head"] == scores["joint head"]


def test_ways_to_share():
    tasks = [task(f"family {code}", 0, 5) for code in ("es", "pt")]
    numbers = {
        way: sum(p.numel() for p in sharing.shared_network(tasks, way, 0).parameters())
        for way in WAYS
    }
    head = 64 * 5 + 5
    assert numbers["trunk"] == numbers["everything"] + head
    assert numbers["trunk and head"] == numbers["trunk"] + head


@pytest.mark.parametrize("way", ["equal", "static", "uncertainty", "pcgrad"])
def test_ways_to_weigh(way, monkeypatch):
    monkeypatch.setattr(
        sharing, "train", lambda *a, **options: train(*a[:5], 3, **options)
    )  # three steps
    row = sharing.weighed(("family es", "length es"), way, 3.0, 1e-3, 0)
    assert len(row["test"]) == 2
    assert len(row["validation"]) == 2
    assert row["seconds"] >= 0


def test_weights_count():
    model = nn.Linear(1, 1)
    losses = [torch.tensor(2.0), torch.tensor(5.0)]
    assert sharing.static(3.0)(losses, model) == 11
    model.s = nn.Parameter(torch.tensor([2.0, 5.0]).log())
    assert sharing.uncertain(losses, model).item() == pytest.approx(2 + np.log(10))
