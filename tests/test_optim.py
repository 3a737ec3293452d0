"""Losses and optimizers against torch, gradients against differences, the learned rule."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpmeta import optim


def numbers(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


# ---- losses


@pytest.mark.parity(
    "optim",
    "`cross_entropy`, `binary_cross_entropy`",
    "`torch.nn.functional`",
    "`1e-10`",
)
@pytest.mark.parity("optim", "their gradients", "PyTorch's gradients of those", "`1e-8`")
@given(seed=st.integers(0, 1000), scale=st.sampled_from([0.01, 1.0, 50.0, 1000.0]))
@settings(deadline=None)
def test_losses_and_their_gradients_equal_torch(seed, scale):
    logits = (scale * numbers(seed, 7, 4)).requires_grad_()
    labels = torch.from_numpy(np.random.default_rng(seed).integers(4, size=7))
    targets = torch.from_numpy(np.random.default_rng(seed).random((7, 4)))
    for ours, theirs in [
        (optim.cross_entropy(logits, labels), F.cross_entropy(logits, labels)),
        (
            optim.binary_cross_entropy(logits, targets).mean(),
            F.binary_cross_entropy_with_logits(logits, targets),
        ),
    ]:
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
        gradients = [torch.autograd.grad(x, logits)[0] for x in (ours, theirs)]
        torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-12)


def test_losses_keep_leading_axes():
    logits, labels = numbers(0, 3, 5, 4), torch.zeros(3, 5, dtype=torch.int64)
    per_task = optim.cross_entropy(logits, labels)
    assert per_task.shape == (3,)
    torch.testing.assert_close(per_task[1], optim.cross_entropy(logits[1], labels[1]))
    assert optim.binary_cross_entropy(numbers(0, 3, 5), torch.ones(3, 5)).shape == (3,)


@given(shift=st.floats(-1e6, 1e6))
@settings(deadline=None)
def test_cross_entropy_ignores_a_common_shift(shift):
    logits, labels = numbers(1, 6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    torch.testing.assert_close(
        optim.cross_entropy(logits + shift, labels),
        optim.cross_entropy(logits, labels),
        rtol=1e-6,
        atol=1e-8,
    )


def test_two_classes_are_one_logit():
    z, y = numbers(2, 9), (numbers(3, 9) > 0).long()
    two = torch.stack([torch.zeros_like(z), z], 1)
    torch.testing.assert_close(
        optim.cross_entropy(two, y), optim.binary_cross_entropy(z, y.double())
    )


def test_binary_gradient_is_right_at_a_zero_logit():
    zero = torch.zeros(2, dtype=torch.float64)
    targets = torch.tensor([0.0, 1.0], dtype=torch.float64)
    gradient = torch.func.grad(lambda z: optim.binary_cross_entropy(z, targets))(zero)
    assert gradient.tolist() == [0.25, -0.25]


@pytest.mark.parametrize(
    ("logits", "labels", "word"),
    [
        (torch.zeros(2, 3), torch.tensor([0, 3]), "0 to 3"),
        (torch.zeros(2, 3), torch.tensor([-1, 0]), "number the classes"),
        (torch.zeros(2, 3), torch.tensor([0]), "labels"),
        (torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), "at least 1"),
        (torch.zeros(3), torch.tensor(0), "labels"),
    ],
)
def test_cross_entropy_refuses(logits, labels, word):
    with pytest.raises(ValueError, match=word):
        optim.cross_entropy(logits, labels)


@pytest.mark.parametrize("targets", [torch.tensor([0.0, 2.0]), torch.zeros(3), torch.zeros(2, 1)])
def test_binary_cross_entropy_refuses(targets):
    with pytest.raises(ValueError, match="targets"):
        optim.binary_cross_entropy(torch.zeros(2), targets)


# ---- optimizers

PAIRS = {
    "sgd": (optim.sgd, torch.optim.SGD, {}),
    "sgd l2": (partial(optim.sgd, l2=0.1), torch.optim.SGD, {"weight_decay": 0.1}),
    "momentum": (optim.momentum, torch.optim.SGD, {"momentum": 0.9}),
    "nesterov": (
        partial(optim.momentum, nesterov=True, l2=0.1),
        torch.optim.SGD,
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    ),
    "adam": (optim.adam, torch.optim.Adam, {}),
    "adam l2": (partial(optim.adam, l2=0.1), torch.optim.Adam, {"weight_decay": 0.1}),
    "adam slow": (
        partial(optim.adam, betas=(0.8, 0.95), eps=1e-4),
        torch.optim.Adam,
        {"betas": (0.8, 0.95), "eps": 1e-4},
    ),
    "adamw": (partial(optim.adamw, decay=0.1), torch.optim.AdamW, {"weight_decay": 0.1}),
}


def rosenbrock(x: torch.Tensor) -> torch.Tensor:
    return ((1 - x[:-1]) ** 2 + 10 * (x[1:] - x[:-1] ** 2) ** 2).sum()


@pytest.mark.parity(
    "optim",
    "`sgd`, `momentum`, `adam`, `adamw`, with and without penalty, on arrays and on tensors",
    "`torch.optim.SGD`, `Adam`, `AdamW`, 200 steps in double precision",
    "`1e-10`",
)
@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("library", ["torch", "numpy"])
def test_optimizers_follow_torch(name, library):
    update, peer, options = PAIRS[name]
    start = 0.5 * numbers(0, 6)
    parameter = torch.nn.Parameter(start.clone())
    stepper = peer([parameter], lr=0.003, **options)
    theta, state = (start if library == "torch" else start.numpy()), None
    for _ in range(200):
        stepper.zero_grad()
        rosenbrock(parameter).backward()
        stepper.step()
        gradient = torch.func.grad(rosenbrock)(torch.as_tensor(theta))
        gradient = gradient if library == "torch" else gradient.numpy()
        theta, state = update(theta, gradient, state, 0.003)
    torch.testing.assert_close(torch.as_tensor(theta), parameter.detach(), rtol=1e-10, atol=1e-12)
    assert rosenbrock(parameter) < rosenbrock(start)


def test_updates_are_pure():
    for update in (optim.sgd, optim.momentum, optim.adam, optim.adamw):
        theta, grad = np.ones(3), np.full(3, 0.5)
        _, state = update(theta, grad, None, 0.1)
        before = repr(state)
        update(theta, grad, state, 0.1)
        assert repr(state) == before
        assert (theta == 1).all()
        assert (grad == 0.5).all()


@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 100))
@settings(deadline=None)
def test_adam_does_not_see_the_scale_of_the_loss(scale, seed):
    gradients = np.random.default_rng(seed).normal(size=(10, 4))
    ends = []
    for factor in (1.0, scale):
        theta, state = np.zeros(4), None
        for g in gradients:
            theta, state = optim.adam(theta, factor * g, state, 0.1, eps=0.0)
        ends.append(theta)
    np.testing.assert_allclose(*ends, rtol=1e-9)


def test_decay_equals_l2_for_sgd_and_not_for_adam():
    gradients = np.random.default_rng(0).normal(size=(50, 4)) * [0.01, 0.1, 1, 10]
    lr, decay = 0.05, 0.3
    coupled = decoupled = adam_l2 = adam_w = np.ones(4)
    a = w = None
    for g in gradients:
        coupled, _ = optim.sgd(coupled, g, None, lr, l2=decay)
        decoupled, _ = optim.sgd(decoupled * (1 - lr * decay), g, None, lr)
        adam_l2, a = optim.adam(adam_l2, g, a, lr, l2=decay)
        adam_w, w = optim.adamw(adam_w, g, w, lr, decay=decay)
    np.testing.assert_allclose(coupled, decoupled, rtol=1e-12)
    assert np.abs(adam_l2 - adam_w).max() > 0.1


# ---- gradient check


@pytest.mark.parity(
    "optim",
    "`gradient_check`",
    "a right gradient and several wrong ones",
    "below `1e-8`; above `1e-2`",
)
def test_gradient_check_tells_right_from_wrong():
    x, labels = numbers(0, 20, 5), torch.arange(20) % 3

    def f(w):
        return optim.cross_entropy(x @ w, labels)

    def gradient(w, share=1 / 20):
        errors = torch.softmax(x @ w, 1) - F.one_hot(labels, 3)
        return share * x.T @ errors

    w = numbers(1, 5, 3)
    assert optim.gradient_check(f, w) < 1e-8
    assert optim.gradient_check(f, w, gradient) < 1e-8
    assert optim.gradient_check(f, w, partial(gradient, share=1 / 19)) > 0.01
    assert optim.gradient_check(f, w, lambda w: -gradient(w)) == pytest.approx(1)
    assert optim.gradient_check(lambda w: 0 * w.sum(), w) == 0


def test_gradient_check_refuses():
    with pytest.raises(TypeError, match="double"):
        optim.gradient_check(torch.sum, torch.zeros(3))
    with pytest.raises(ValueError, match="one number per parameter"):
        optim.gradient_check(torch.sum, torch.zeros(3).double(), lambda w: w.sum())


# ---- the learned optimizer


def test_unroll_gives_the_losses_of_the_rule():
    target = numbers(0, 5, 3)

    def loss(theta, step):
        return ((theta - target) ** 2).sum(1)

    def update(theta, grad, state):
        return optim.sgd(theta, grad, state, lr=0.1)

    losses = optim.unroll(update, loss, torch.zeros_like(target), 4)
    expected = (target**2).sum(1) * torch.tensor([0.8 ** (2 * t) for t in range(5)])[:, None]
    torch.testing.assert_close(losses, expected, check_dtype=False)
    assert not losses.requires_grad
    with pytest.raises(ValueError, match="steps"):
        optim.unroll(update, loss, torch.zeros_like(target), -1)


def test_learned_optimizer_is_the_same_rule_for_every_coordinate():
    rule = optim.LearnedOptimizer(torch.Generator().manual_seed(0)).double()
    theta, grads, order = numbers(0, 4, 6), numbers(1, 5, 4, 6), torch.randperm(6)
    plain = permuted = None
    a, b = theta, theta[:, order]
    for grad in grads:
        a, plain = rule(a, grad, plain)
        b, permuted = rule(b, grad[:, order], permuted)
    torch.testing.assert_close(a[:, order], b)


def test_learned_optimizer_learns_through_the_unrolled_run():
    rule = optim.LearnedOptimizer(torch.Generator().manual_seed(0)).double()
    targets = numbers(0, 16, 3)

    def objective():
        return optim.unroll(
            rule, lambda theta, step: ((theta - targets) ** 2).sum(1), 0 * targets, 10
        ).mean()

    before = objective()
    stepper = torch.optim.Adam(rule.parameters(), lr=0.01)
    for _ in range(40):
        stepper.zero_grad()
        value = objective()
        value.backward()
        stepper.step()
    assert value < 0.5 * before
    with torch.no_grad():
        torch.testing.assert_close(objective(), objective())
