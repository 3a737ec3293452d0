"""Pretext tasks and probes of the chapter "Self-supervision": recipe, cheap parts, one score."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch

from nlpmeta.corpora import docs
from nlpmeta.masking import IGNORED, token_loss
from tools import pretext, probes


@pytest.fixture(scope="module")
def recipe() -> dict:
    return json.loads((pretext.DATA / "encoder.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def report() -> dict:
    return json.loads(probes.TARGET.read_text(encoding="utf-8"))


def tokens(b=6, t=9, seed=0):
    x = torch.randint(2, pretext.N_SYMBOLS, (b, t), generator=torch.Generator().manual_seed(seed))
    x[0, 4:], x[1, 6:] = 0, 0
    return x


def test_the_weights_are_those_of_the_recipe(recipe):
    path = pretext.DATA / "encoder.safetensors"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == recipe["sha256"]
    assert path.stat().st_size < 1_500_000
    assert recipe["corpus"] == docs.EXPECTED
    assert recipe["vocabulary"] == pretext.N_SYMBOLS
    settings = {name: recipe["settings"][name] for name in pretext.ENCODER}
    assert settings == pretext.ENCODER


def test_the_committed_encoder_has_its_score(recipe):
    task = pretext.TASKS["masked"]
    found = pretext.mean_loss(task, pretext.held_out(task, "test"), pretext.load_encoder())
    assert found == pytest.approx(recipe["test"], abs=0.01)


def test_a_text_comes_back_from_its_numbers():
    text = "Return the eigenvalues of a matrix."
    assert "".join(pretext.decode(pretext.encode([text])[0].tolist())).strip() == text.lower()
    assert pretext.decode([1]) == ["[mask]"]


def test_batches_hold_texts_of_like_length_and_all_of_them():
    lengths = np.random.default_rng(0).integers(1, 48, 960)
    rows = pretext.similar_lengths(lengths, 48, seed=0)
    epoch = [rows(step) for step in range(20)]
    assert sorted(np.concatenate(epoch)) == list(range(960))
    assert np.mean([np.ptp(lengths[r]) for r in epoch]) < 8
    assert not np.array_equal(rows(0), rows(20))
    assert np.array_equal(rows(3), rows(3))


@pytest.mark.parametrize("name", pretext.TASKS)
def test_every_task_has_a_finite_loss_with_a_gradient(name):
    task, x = pretext.TASKS[name], tokens()
    model = pretext.network(pretext.SMALL, 0, task.causal)
    loss = task.loss(model, *task.make(x, torch.Generator().manual_seed(0)))
    loss.backward()
    assert loss.isfinite()
    assert model.network.blocks[0].attention.qkv.weight.grad.norm() > 0


def test_the_loss_of_asked_places_is_the_loss_of_all_logits():
    model = pretext.network(pretext.SMALL, 0).eval()
    made = pretext.TASKS["masked"].make(tokens(), torch.Generator().manual_seed(1))
    inputs, targets = made
    assert torch.allclose(
        pretext.asked_loss(model, *made), token_loss(model(inputs), targets), atol=1e-5
    )


def test_the_bag_by_hand():
    model, x = pretext.network(pretext.SMALL, 0).eval(), tokens()
    logits = model.encode(x) @ model.network.tokens.weight.T
    slow = [logits[i].log_softmax(-1)[t] for i in range(len(x)) for t in x[i] if t != 0]
    assert torch.allclose(pretext.bag_loss(model, x, x), -torch.stack(slow).mean(), atol=1e-5)


def test_copying_asks_for_everything_but_padding():
    inputs, targets = pretext.copied(tokens(), torch.Generator())
    assert torch.equal(targets == IGNORED, inputs == 0)


def test_neighbors_stand_side_by_side_in_one_module():
    own = docs.load("validation")
    for i in pretext.successors("validation")[::500]:
        assert own[i].module == own[i + 1].module


def test_nothing_that_is_scored_lent_its_labels():
    for name, question in probes.questions().items():
        pool, scored = question.test
        assert not set(pool) & set(scored)
        assert len(set(question.labels[pool])) == len(set(question.labels[scored]))
        rows = probes.draw(question, pool, question.counts[0], 0)
        assert all(np.unique(question.labels[rows], return_counts=True)[1] == question.counts[0])
        if name != "sentiment":
            assert not any(map(probes.named, question.texts))
            assert not set(question.validation[1]) & set(scored)


def test_pooling_by_hand():
    model, x = pretext.network(pretext.SMALL, 0).eval(), tokens()
    assert np.allclose(probes.pooled(model, x), model.encode(x).detach().numpy(), atol=1e-5)
    last = model.states(x[:1])[0, 3].detach().numpy()
    assert np.allclose(probes.pooled(model, x, how="last")[0], last, atol=1e-5)
    entered = model.network.tokens(x) + model.network.places.weight[: x.shape[1]]
    mean = entered[2].mean(0).detach().numpy()
    assert np.allclose(probes.pooled(model, x, layer=0)[2], mean, atol=1e-5)


def test_the_file_holds_every_question_for_every_method(report):
    asked = probes.questions()
    assert report["recipe"]["corpus"] == docs.EXPECTED
    assert {"counts", "tfidf", "svd", "none", "skip-gram", "encoder", "minilm"} <= set(
        report["scores"]
    )
    assert set(pretext.TASKS) <= set(report["scores"])
    for method, of in report["scores"].items():
        for name, rows in of.items():
            assert [row["k"] for row in rows] == list(asked[name].counts), method
            assert all(len(draws) == probes.DRAWS for row in rows for draws in row["scores"])


def test_a_recorded_score_is_computed_again(report):
    question = probes.questions()["library"]
    z = probes.pooled(pretext.load_encoder(), pretext.encode(question.texts))
    row = report["scores"]["encoder"]["library"][0]
    again = probes.score(z, question, "test", row["k"], 0, row["c"], row["standardize"])
    assert again == pytest.approx(row["scores"][0][0], abs=0.01)
