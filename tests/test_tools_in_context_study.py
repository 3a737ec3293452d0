"""The study of the chapter "In context": file follows script, and small parts come out again."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from nlpmeta.corpora import names
from tools import in_context_study as study


@pytest.fixture(scope="module")
def report():
    return json.loads(study.TARGET.read_text(encoding="utf-8"))


def test_the_file_was_made_with_this_recipe(report):
    assert report["recipe"] == json.loads(json.dumps(study.recipe()))
    assert report["recipe"]["corpora"] == {"names": names.EXPECTED}


def test_every_run_is_there(report):
    n = len(study.SEEDS)
    regression = report["regression"]
    assert all(len(regression[kind]) == n for kind in ("sequence", "set", "recurrent"))
    assert set(regression["functions"]) == {str(m) for m in study.FUNCTIONS}
    assert set(report["names"]) == set(study.NAME_RUNS)
    assert set(report["rules"]["learned"]) == set(study.RULES)
    assert all(len(runs) == len(study.NAME_SEEDS) for runs in report["names"].values())
    groups = (regression["functions"], report["language-models"])
    for runs in (own for group in (*groups, report["rules"]["learned"]) for own in group.values()):
        assert len(runs) == n


def test_the_formulas_come_out_again(report):
    for name, errors in study.formulas().items():
        stored = report["regression"]["formulas"][name]
        calm = [k for k in range(study.LENGTH) if stored[k] < 50]  # least squares explodes once
        assert np.allclose(np.array(errors)[calm], np.array(stored)[calm], rtol=2e-3)


def test_the_rulers_come_out_again(report):
    found = study.rulers(1, 8)
    for label, own in report["regression"]["rulers"]["8"][1].items():
        assert found[label] == pytest.approx(own, rel=1e-3)
    assert found["known"]["knows them"] < found["known"]["ridge"]
    assert found["new"]["ridge"] < found["new"]["knows them"]
    assert study.at_the_start() == pytest.approx(report["rules"]["start"], rel=1e-3)


@pytest.mark.parametrize("kind", ["sequence", "set"])
def test_the_stored_weights_are_those_that_were_scored(report, kind):
    model = study.load_reader(kind)
    errors = report["regression"][kind][0]["errors"]
    if kind == "sequence":
        assert np.allclose(study.sequence_errors(model), errors, atol=2e-3)
    else:
        found = study.set_errors(model, study.held_out(40))
        assert found == pytest.approx(errors, abs=2e-3)


def test_functions_of_a_pool_are_few_and_their_queries_belong_to_them():
    batch = study.tasks(0, 0, functions=2)
    w = torch.linalg.lstsq(
        torch.cat([batch.support_x, batch.query_x], 1),
        torch.cat([batch.support_y, batch.query_y], 1),
    ).solution[..., 0]
    pool = torch.randn(2, study.D, 1, generator=torch.Generator().manual_seed(0))[..., 0]
    near = torch.cdist(w, pool).amin(-1)
    assert near.mean() < 0.5
    again = study.tasks(0, 0, functions=2)
    assert torch.equal(batch.support_y, again.support_y)


def test_a_recurrent_answer_does_not_see_its_own_number():
    model, batch = study.Recurrent(0), study.tasks(0, 0)
    y = batch.support_y.clone()
    y[:, 5] += 1
    with torch.no_grad():
        before, after = (
            model.along(batch.support_x, batch.support_y),
            model.along(batch.support_x, y),
        )
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


def test_both_orders_have_the_same_names():
    found = {"a": ["aa", "ab", "ac"], "b": ["ba", "bb"]}
    texts = {order: study.text_of(found, order, 0) for order in ("by language", "mixed")}
    lines = {order: text.splitlines() for order, text in texts.items()}
    assert sorted(lines["by language"]) == sorted(lines["mixed"])
    first = "".join(line[0] for line in lines["by language"][:5])
    assert first in ("aaabb", "bbaaa")


def test_a_decaying_rate_starts_whole_and_is_half_after_the_horizon():
    rates = []

    def update(w, grad, state, lr):
        rates.append(lr)
        return w, study.optim.AdamState(w, w, (state.t if state else 0) + 1)

    state = None
    for _ in range(study.HORIZON + 1):
        _, state = study.decaying(update, 1.0)(torch.zeros(1), torch.zeros(1), state)
    assert rates[0] == 1.0
    assert rates[-1] == pytest.approx(0.5)
