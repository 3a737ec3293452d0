"""The loop: it trains, resumes to the letter, stops early, and says what went wrong."""

import math
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch import nn

from nlpmeta import training
from nlpmeta.optim import adam, adamw, cross_entropy, momentum, sgd
from nlpmeta.training import fit, minibatches

GENERATOR = np.random.default_rng(0)
X = torch.from_numpy(GENERATOR.normal(size=(60, 5))).float()
Y = (X[:, 0] + 0.3 * X[:, 1] > 0).long()


def network(dropout: float = 0.0) -> nn.Module:
    layers = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 2))
    generator = torch.Generator().manual_seed(0)
    for parameter in layers.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return layers


def loss(model, batch):
    x, y = batch
    return cross_entropy(model(x), y)


def score(model):
    return loss(model, (X, Y)).item()


BATCH = minibatches(X, Y, size=16)


def linear_loss(w, x, y):
    return nn.functional.cross_entropy(x @ w.T, y)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


# ---- what it computes


@pytest.mark.parity(
    "training",
    "`fit` with SGD, momentum, Adam, AdamW and a schedule",
    "our `optim` functions written out step by step: losses, weights",
    "`1e-10` absolute, `1e-9`",
)
@pytest.mark.parametrize(
    ("optimizer", "update"),
    [
        (torch.optim.SGD, sgd),
        (partial(torch.optim.SGD, momentum=0.9), momentum),
        (torch.optim.Adam, adam),
        (torch.optim.AdamW, adamw),
    ],
)
def test_fit_is_the_written_out_optimizer_with_a_schedule(optimizer, update):
    model = nn.Linear(5, 2, bias=False).double()
    nn.init.zeros_(model.weight)
    schedule = training.cosine(40, warmup=10)
    batch = minibatches(X.double(), Y, size=16)
    history = fit(
        model, loss, batch, steps=40, lr=0.05, optimizer=optimizer, schedule=schedule, clip=1e9
    )
    theta, state = torch.zeros(2, 5, dtype=torch.float64), None
    for step in range(40):
        x, y = batch(step)
        gradient, value = torch.func.grad_and_value(linear_loss)(theta, x, y)
        assert history.losses[step] == pytest.approx(value.item(), abs=1e-10)
        theta, state = update(theta, gradient, state, 0.05 * schedule(step))
    torch.testing.assert_close(model.weight.detach(), theta, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(history.rates, [0.05 * schedule(s) for s in range(40)])


def test_fit_learns_and_ends_in_evaluation_mode():
    model = network(dropout=0.2)
    history = fit(model, loss, BATCH, steps=200, lr=0.02)
    assert score(model) < 0.2 < history.losses[0]
    assert not model.training
    assert len(history.losses) == 200 == history.best


def test_clipping_bounds_the_update():
    model = network()
    before = weights(model)
    fit(model, loss, BATCH, steps=1, lr=1.0, optimizer=torch.optim.SGD, clip=0.01)
    assert (weights(model) - before).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_frozen_parameters_stay():
    model = network()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    fit(model, loss, BATCH, steps=5)
    assert model[0].weight.equal(before)


def test_groups_keep_their_own_rates():
    model = network()

    def two_rates(parameters, lr):
        head = list(model[3].parameters())
        return torch.optim.SGD([{"params": head}, {"params": model[0].parameters(), "lr": 0.0}], lr)

    body, head = model[0].weight.clone(), model[3].weight.clone()
    fit(model, loss, BATCH, steps=5, lr=0.1, optimizer=two_rates)
    assert model[0].weight.equal(body)
    assert not model[3].weight.equal(head)


def test_the_noise_of_dropout_depends_on_the_seed_alone():
    model, state = network(0.5), torch.get_rng_state()
    first = fit(model, loss, BATCH, steps=10)
    assert torch.get_rng_state().equal(state)  # the caller's generator is untouched
    torch.rand(3)
    assert np.array_equal(fit(network(0.5), loss, BATCH, steps=10).losses, first.losses)
    assert not np.array_equal(fit(network(0.5), loss, BATCH, steps=10, seed=1).losses, first.losses)


class Nested(NamedTuple):
    x: torch.Tensor
    rest: dict


def test_batches_of_any_shape_follow_the_device():
    moved = training._to([Nested(X, {"y": (Y, "name")})], torch.device("meta"))
    assert moved[0].x.device.type == moved[0].rest["y"][0].device.type == "meta"
    assert moved[0].rest["y"][1] == "name"
    assert isinstance(moved[0], Nested)


# ---- early stopping


def scripted(values):
    iterator = iter(values)
    return lambda model: next(iterator)


def test_patience_stops_and_keeps_the_best_weights():
    kept = []

    def evaluate(model):
        kept.append(weights(model))
        return [3.0, 1.0, 2.0, 1.0, 2.0, 0.0][len(kept) - 1]

    model = network()
    history = fit(model, loss, BATCH, steps=100, every=5, evaluate=evaluate, patience=3)
    assert history.evaluated.tolist() == [5, 10, 15, 20, 25]
    assert history.scores.tolist() == [3, 1, 2, 1, 2]
    assert history.best == 10
    assert len(history.losses) == 25
    assert weights(model).equal(kept[1])


def test_without_patience_every_step_is_taken_and_the_best_weights_kept():
    model, other = network(), network()
    history = fit(model, loss, BATCH, steps=12, every=5, evaluate=scripted([1.0, 2.0, 3.0]))
    assert history.evaluated.tolist() == [5, 10, 12]
    assert len(history.losses) == 12
    fit(other, loss, BATCH, steps=5)
    assert weights(model).equal(weights(other))


def test_evaluation_happens_without_dropout_and_without_gradients():
    def evaluate(model):
        assert not model.training
        assert not torch.is_grad_enabled()
        return 0.0

    model = network(0.5)
    fit(model, loss, BATCH, steps=3, every=1, evaluate=evaluate)


# ---- checkpoints


class KilledError(Exception):
    pass


def killed_at(batch, death):
    def until(step):
        if step == death:
            raise KilledError
        return batch(step)

    return until


@pytest.mark.parity(
    "training",
    "a run that was killed and continued",
    "the same run, uninterrupted",
    "exact",
)
@pytest.mark.parametrize("death", [0, 1, 7, 14, 15, 16, 29, 39])
@pytest.mark.parametrize(
    "optimizer", [torch.optim.AdamW, torch.optim.SGD, partial(torch.optim.SGD, momentum=0.9)]
)
def test_a_killed_run_resumes_to_the_letter(tmp_path, death, optimizer):
    def run(batch, checkpoint=None):
        model = network(dropout=0.3)
        history = fit(
            model,
            loss,
            batch,
            steps=40,
            lr=0.05,
            optimizer=optimizer,
            schedule=training.cosine(40, 5),
            clip=1.0,
            evaluate=score,
            every=5,
            checkpoint=checkpoint,
        )
        return model, history

    path = tmp_path / "runs" / "run.safetensors"
    with pytest.raises(KilledError):
        run(killed_at(BATCH, death), path)
    torch.rand(7)  # whatever the new process drew before
    model, history = run(BATCH, path)
    whole_model, whole = run(BATCH)
    for ours, theirs in zip(history, whole):
        np.testing.assert_array_equal(ours, theirs)
    assert weights(model).equal(weights(whole_model))
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # no draft left behind


def test_resuming_a_finished_run_trains_no_more(tmp_path):
    path = tmp_path / "run"
    options = {"steps": 50, "every": 5, "patience": 1, "checkpoint": path}
    first = network()
    scores = [2.0, 1.0, 3.0]
    history = fit(first, loss, BATCH, evaluate=scripted(scores), **options)
    second = network()
    again = fit(second, loss, killed_at(BATCH, 15), evaluate=scripted([]), **options)
    assert again.best == history.best == 10
    assert weights(first).equal(weights(second))
    longer = network()
    fit(longer, loss, BATCH, steps=20, checkpoint=tmp_path / "other")
    assert len(fit(longer, loss, BATCH, steps=30, checkpoint=tmp_path / "other").losses) == 30


def test_a_checkpoint_interrupted_while_writing_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "run"
    fit(network(), loss, BATCH, steps=10, every=5, checkpoint=path)
    before = path.read_bytes()

    def half(tensors, name, metadata):
        name.write_bytes(b"half")
        raise KilledError

    monkeypatch.setattr(training, "save_file", half)
    with pytest.raises(KilledError):
        fit(network(), loss, BATCH, steps=20, every=5, checkpoint=path)
    assert path.read_bytes() == before


def test_tied_weights_can_be_checkpointed(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(5, 5), nn.Linear(5, 5)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(self.a(x))

    model = Tied()
    fit(model, loss, BATCH, steps=4, every=2, checkpoint=tmp_path / "run")
    fit(Tied(), loss, BATCH, steps=6, every=2, checkpoint=tmp_path / "run")


def test_the_file_is_safetensors_with_a_json_header(tmp_path):
    fit(network(), loss, BATCH, steps=2, checkpoint=tmp_path / "run")
    with safe_open(tmp_path / "run", "pt") as file:
        assert "model.0.weight" in file.keys()  # noqa: SIM118
        assert "settings" in file.metadata()["fit"]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", bytes(200)])
def test_a_damaged_checkpoint_is_named(tmp_path, content):
    (tmp_path / "run").write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged.*delete"):
        fit(network(), loss, BATCH, steps=2, checkpoint=tmp_path / "run")


def test_a_truncated_or_foreign_checkpoint_is_named(tmp_path):
    path = tmp_path / "run"
    fit(network(), loss, BATCH, steps=2, checkpoint=path)
    with pytest.raises(ValueError, match="another model"):
        fit(nn.Linear(5, 2), loss, BATCH, steps=4, checkpoint=path)
    with pytest.raises(ValueError, match=r"lr.*delete"):
        fit(network(), loss, BATCH, steps=4, lr=0.5, checkpoint=path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="damaged"):
        fit(network(), loss, BATCH, steps=4, checkpoint=path)


# ---- what it refuses


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_step_and_remedy(bad):
    def broken(model, batch):
        return loss(model, batch) * (bad if batch is None else 1)

    def batch(step):
        return BATCH(step) if step < 3 else None

    def explode(model, batch):
        return model[0].weight.sum() * bad if batch is None else loss(model, batch)

    with pytest.raises(FloatingPointError, match=r"step 3 .*lower lr.*clip"):
        fit(network(), explode, batch, steps=9)


@pytest.mark.parametrize("death", ["loss", "gradient"])
def test_a_run_that_diverges_keeps_its_last_good_checkpoint(tmp_path, death):
    path = tmp_path / "run"

    def explode(model, batch):
        value = loss(model, batch[0])
        if batch[1] == 12 and death == "loss":
            return value * math.nan
        # at 0 the root is finite and its gradient is not
        return value + (0 * weights_of(model).sum()).abs().sqrt() if batch[1] == 12 else value

    def weights_of(model):
        return model[0].weight

    def numbered(step):
        return BATCH(step), step

    with pytest.raises(FloatingPointError, match=rf"the .*{death} is nan at step 12 .*lower lr"):
        fit(network(), explode, numbered, steps=20, every=5, checkpoint=path)
    model, other = network(), network()
    assert len(fit(model, loss, BATCH, steps=10, every=5, checkpoint=path).losses) == 10
    fit(other, loss, BATCH, steps=10)
    assert weights(model).equal(weights(other))


def test_a_score_that_is_nan_is_an_error():
    with pytest.raises(FloatingPointError, match="evaluate"):
        fit(network(), loss, BATCH, steps=1, evaluate=lambda model: math.nan)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"steps": 0}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"lr": 0.0}, "lr"),
        ({"lr": math.nan}, "lr"),
        ({"clip": -1.0}, "clip"),
        ({"every": 0}, "every"),
        ({"patience": 2}, "evaluate"),
        ({"patience": 0, "evaluate": score}, "patience"),
    ],
)
def test_arguments_out_of_range(options, word):
    with pytest.raises(ValueError, match=word):
        fit(network(), loss, BATCH, **({"steps": 2} | options))


def test_a_loss_must_be_a_scalar_with_a_gradient():
    for wrong in (
        lambda model, batch: model(batch[0]),
        lambda model, batch: torch.tensor(1.0),
        lambda model, batch: 1.0,
    ):
        with pytest.raises(ValueError, match="scalar"):
            fit(network(), wrong, BATCH, steps=1)
    with pytest.raises(ValueError, match="unfreeze"):
        fit(network().requires_grad_(False), loss, BATCH, steps=1)


# ---- schedules and batches


@given(steps=st.integers(1, 500), warmup=st.integers(0, 100))
@settings(deadline=None)
def test_schedules_stay_between_zero_and_one(steps, warmup):
    total = steps + warmup
    for schedule in (
        training.constant,
        training.step_decay(steps, 0.5),
        training.linear_warmup(warmup),
        training.cosine(total, warmup),
        training.trapezoid(total, warmup, steps),
    ):
        values = np.array([schedule(step) for step in range(total)])
        assert ((values > 0) & (values <= 1)).all()
    rising = np.diff([training.cosine(total, warmup)(s) for s in range(total)])
    assert (rising[: max(0, warmup - 1)] > 0).all()
    assert (rising[warmup:] < 0).all()


def test_the_length_of_a_trapezoid_can_be_decided_late():
    short, long = training.trapezoid(60, 5, 20), training.trapezoid(90, 5, 20)
    assert [short(step) for step in range(41)] == [long(step) for step in range(41)]
    assert short(60) == long(90) == 0


@pytest.mark.parity(
    "training",
    "`cosine`",
    "`torch.optim.lr_scheduler.CosineAnnealingLR`",
    "`1e-9`, absolute",
)
def test_cosine_equals_torch():
    parameter = nn.Parameter(torch.zeros(1))
    stepper = torch.optim.SGD([parameter], lr=1.0)
    peer = torch.optim.lr_scheduler.CosineAnnealingLR(stepper, T_max=50)
    for step in range(50):
        assert training.cosine(50)(step) == pytest.approx(stepper.param_groups[0]["lr"], abs=1e-9)
        stepper.step()
        peer.step()


@pytest.mark.parametrize(
    "make",
    [
        partial(training.cosine, 5, 5),
        partial(training.step_decay, 0),
        partial(training.trapezoid, 5, 3, 3),
    ],
)
def test_schedules_refuse(make):
    with pytest.raises(ValueError, match="at least"):
        make()


@given(n=st.integers(1, 40), size=st.integers(1, 50), seed=st.integers(0, 5))
@settings(deadline=None)
def test_an_epoch_sees_each_example_at_most_once(n, size, seed):
    batch = minibatches(torch.arange(n), size=size, seed=seed)
    per_epoch = max(1, n // size)
    for epoch in (0, 3):
        rows = torch.cat([batch(epoch * per_epoch + i)[0] for i in range(per_epoch)])
        assert len(set(rows.tolist())) == len(rows) == min(n, per_epoch * size)
    assert batch(per_epoch)[0].equal(batch(per_epoch)[0])


def test_minibatches_refuse():
    for data in ([X, Y[:-1]], [X[:0]], []):
        with pytest.raises(ValueError, match="data"):
            minibatches(*data, size=2)
    with pytest.raises(ValueError, match="size"):
        minibatches(X, size=0)
