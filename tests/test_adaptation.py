"""Descent that is differentiated, against closed forms, finite differences, a loop and `higher`."""

from functools import partial

import higher
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from nlpmeta import meta
from nlpmeta.adaptation import adapt, first_bad_step, implicit_gradient, meta_loss
from nlpmeta.neural import initialize
from nlpmeta.sinusoid import SinusoidSampler
from nlpmeta.training import fit
from nlpmeta.transformer import attention, fused_attention

ALPHA = 0.1


def network(seed=0, n_way=3, d=4):
    net = nn.Sequential(nn.Linear(d, 6), nn.Tanh(), nn.Linear(6, n_way)).double()
    initialize(net, torch.Generator().manual_seed(seed))
    return net


def tasks(n_tasks=4, n_way=3, k_shot=2, n_query=3, d=4, seed=0):
    """Random examples (support, query) with a leading task axis, float64."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for k in (k_shot, n_query):
        x = torch.randn(n_tasks, n_way * k, d, generator=generator, dtype=torch.float64)
        parts.append((x, torch.arange(n_way).repeat(k).expand(n_tasks, -1)))
    return parts


def cross_entropy(net, params, x, y):
    return nn.functional.cross_entropy(functional_call(net, params, (x,)), y)


def gradient(value, params):
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(params.values()))])


def of_meta_loss(net, support, query, **inner):
    params = dict(net.named_parameters())
    return gradient(meta_loss(partial(cross_entropy, net), params, support, query, **inner), params)


def of_loop(net, support, query, **inner):
    """The same, one task after the other, the steps written out with autograd."""
    steps, lr = inner["steps"], inner["lr"]
    total = 0.0
    for i in range(len(support[0])):
        phi = dict(net.named_parameters())
        for _ in range(steps):
            value = cross_entropy(net, phi, support[0][i], support[1][i])
            slopes = torch.autograd.grad(value, list(phi.values()), create_graph=True)
            if inner.get("first_order"):
                slopes = [slope.detach() for slope in slopes]
            phi = {name: p - lr * slope for (name, p), slope in zip(phi.items(), slopes)}
        total = total + cross_entropy(net, phi, query[0][i], query[1][i])
    return gradient(total / len(support[0]), dict(net.named_parameters()))


def of_higher(net, support, query, **inner):
    """The same by `higher`."""
    total = 0.0
    stepper = torch.optim.SGD(net.parameters(), lr=inner["lr"])
    for i in range(len(support[0])):
        with higher.innerloop_ctx(net, stepper, copy_initial_weights=False) as (copy, descent):
            for _ in range(inner["steps"]):
                descent.step(nn.functional.cross_entropy(copy(support[0][i]), support[1][i]))
            total = total + nn.functional.cross_entropy(copy(query[0][i]), query[1][i])
    return gradient(total / len(support[0]), dict(net.named_parameters()))


# --- against others -------------------------------------------------------------------------------


@pytest.mark.parity(
    "adaptation",
    "`meta_loss`, gradient of second order",
    "`higher`; a loop written out; central differences",
    "`1e-10`; `1e-10`; `1e-6`",
)
@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_meta_gradient_equals_that_of_higher(steps, seed):
    net, (support, query) = network(seed), tasks(seed=seed)
    ours = of_meta_loss(net, support, query, lr=ALPHA, steps=steps)
    theirs = of_higher(net, support, query, lr=ALPHA, steps=steps)
    assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parity
@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_the_gradient_of_all_tasks_at_once_equals_that_of_a_loop(steps, first_order):
    net, (support, query) = network(), tasks()
    inner = {"lr": ALPHA, "steps": steps, "first_order": first_order}
    ours = of_meta_loss(net, support, query, **inner)
    assert torch.allclose(ours, of_loop(net, support, query, **inner), rtol=1e-10, atol=1e-12)


@pytest.mark.parity
@pytest.mark.parametrize("steps", [1, 3])
def test_the_meta_gradient_equals_finite_differences(steps):
    net, (support, query) = network(), tasks()
    params = dict(net.named_parameters())
    ours = of_meta_loss(net, support, query, lr=0.5, steps=steps)
    first = of_meta_loss(net, support, query, lr=0.5, steps=steps, first_order=True)
    flat = nn.utils.parameters_to_vector(params.values()).detach()

    def value(vector):
        pieces = vector.split([p.numel() for p in params.values()])
        moved = {name: v.view_as(p) for (name, p), v in zip(params.items(), pieces)}
        loss = partial(cross_entropy, net)
        return meta_loss(loss, moved, support, query, lr=0.5, steps=steps).item()

    h = 1e-5
    unit = torch.eye(len(flat), dtype=torch.float64)
    differences = torch.tensor(
        [(value(flat + h * e) - value(flat - h * e)) / (2 * h) for e in unit]
    ).double()
    assert torch.allclose(ours, differences, rtol=1e-6, atol=1e-9)
    assert (first - differences).abs().max() > 1e-3  # the second derivatives are no small change


# --- closed forms ---------------------------------------------------------------------------------


def quadratic(params, center, curvature):
    offset = params["theta"] - center
    return offset @ curvature @ offset / 2


def random_quadratic(rng, d=3):
    m = rng.normal(size=(d, d))
    return torch.tensor(rng.normal(size=d)), torch.tensor(m @ m.T / d + 0.1 * np.eye(d))


@pytest.mark.parity(
    "adaptation",
    "`adapt`, `meta_loss` of both orders, gradient by the rates",
    "closed forms on quadratic losses",
    "`1e-9`",
)
@given(st.integers(0, 1000), st.integers(0, 4))
def test_both_orders_equal_their_closed_forms_on_quadratics(seed, steps):
    """phi = a + M (theta - a) with M = (I - alpha A)^steps; the gradient is M' B (phi - b)."""
    rng = np.random.default_rng(seed)
    (a, curve), (b, query_curve) = random_quadratic(rng), random_quadratic(rng)
    theta = torch.tensor(rng.normal(size=3), requires_grad=True)
    shrink = torch.linalg.matrix_power(torch.eye(3) - ALPHA * curve, steps)
    at_end = query_curve @ (a + shrink @ (theta - a) - b)
    for first_order, expected in ((False, shrink.T @ at_end), (True, at_end)):
        value = meta_loss(
            quadratic,
            {"theta": theta},
            (a[None], curve[None]),
            (b[None], query_curve[None]),
            lr=ALPHA,
            steps=steps,
            first_order=first_order,
        )
        (ours,) = torch.autograd.grad(value, theta)
        assert torch.allclose(ours, expected, rtol=1e-9, atol=1e-11)


def test_one_step_worked_by_hand():
    """theta = 1, a = 3, c = 2, alpha = 0.25: phi = 1 + 0.25 * 2 * 2 = 2, dphi/dtheta = 0.5."""
    theta = torch.tensor([1.0], requires_grad=True)
    task = torch.tensor([3.0]), torch.tensor([[2.0]])
    phi = adapt(quadratic, {"theta": theta}, task, lr=0.25, steps=1)["theta"]
    assert phi.item() == 2.0
    assert torch.autograd.grad(phi, theta)[0].item() == 0.5
    phi = adapt(quadratic, {"theta": theta}, task, lr=0.25, steps=1, first_order=True)["theta"]
    assert torch.autograd.grad(phi, theta)[0].item() == 1.0


@pytest.mark.parity
@given(st.integers(0, 1000))
def test_the_gradient_by_the_rates_equals_its_closed_form(seed):
    """phi = theta - r * g with g = A (theta - a): the gradient by r is -g * B (phi - b)."""
    rng = np.random.default_rng(seed)
    (a, curve), (b, query_curve) = random_quadratic(rng), random_quadratic(rng)
    theta, rate = (torch.tensor(rng.normal(size=3), requires_grad=True) for _ in range(2))
    slope = curve @ (theta - a)
    expected = -slope * (query_curve @ (theta - rate * slope - b))
    for first_order in (False, True):
        phi = adapt(
            quadratic, {"theta": theta}, (a, curve), {"theta": rate}, 1, first_order=first_order
        )
        (ours,) = torch.autograd.grad(quadratic(phi, b, query_curve), rate)
        assert torch.allclose(ours, expected, rtol=1e-9, atol=1e-11)


def test_equal_rates_are_one_rate_and_the_order_of_names_is_kept():
    net, (support, _) = network(), tasks()
    params = dict(net.named_parameters())
    task = support[0][0], support[1][0]
    loss = partial(cross_entropy, net)
    one = adapt(loss, params, task, ALPHA, 3)
    many = adapt(loss, params, task, {k: torch.full_like(v, ALPHA) for k, v in params.items()}, 3)
    head = adapt(loss, params, task, ALPHA, 3, only=["2.bias", "2.weight"])
    assert list(one) == list(many) == list(head) == list(params)
    assert all(torch.allclose(one[k], many[k], rtol=1e-12) for k in params)


def test_only_what_is_named_moves():
    net, (support, query) = network(), tasks()
    params = dict(net.named_parameters())
    task = support[0][0], support[1][0]
    phi = adapt(partial(cross_entropy, net), params, task, ALPHA, 3, only=["2.weight"])
    assert [k for k in params if not torch.equal(phi[k], params[k])] == ["2.weight"]
    assert phi["0.weight"] is params["0.weight"]
    stay = of_meta_loss(net, support, query, lr=ALPHA, steps=3, only=[])
    assert torch.allclose(stay, of_meta_loss(net, support, query, lr=ALPHA, steps=0))


# --- implicit gradients ---------------------------------------------------------------------------


@pytest.mark.parity(
    "adaptation",
    "`implicit_gradient`",
    "the exact solve on a quadratic; differentiating a long descent of a network",
    "`1e-8`; `1e-8`, absolute",
)
@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(0.2, 5))
def test_the_implicit_gradient_equals_the_exact_solve(seed, strength):
    """phi = (A + s I)^-1 (A a + s theta) for a quadratic, and dphi/dtheta = s (A + s I)^-1."""
    rng = np.random.default_rng(seed)
    (a, curve), (b, query_curve) = random_quadratic(rng), random_quadratic(rng)
    theta = torch.tensor(rng.normal(size=3), requires_grad=True)
    system = curve + strength * torch.eye(3, dtype=torch.float64)
    phi = torch.linalg.solve(system, curve @ a + strength * theta)
    (exact,) = torch.autograd.grad(quadratic({"theta": phi}, b, query_curve), theta)
    ours = implicit_gradient(
        quadratic, {"theta": phi.detach()}, (a, curve), (b, query_curve), strength, steps=10
    )
    assert torch.allclose(ours["theta"], exact, rtol=1e-8, atol=1e-10)


@pytest.mark.parity
def test_the_implicit_gradient_equals_that_of_a_long_descent():
    net, (support, query) = network(), tasks(n_tasks=1)
    loss, strength = partial(cross_entropy, net), 0.5
    theta = dict(net.named_parameters())
    support, query = ((x[0], y[0]) for x, y in (support, query))

    def held(params, x, y):
        distance = sum((params[k] - theta[k]).square().sum() for k in theta)
        return loss(params, x, y) + strength / 2 * distance

    phi = adapt(held, theta, support, lr=0.5, steps=120)
    long = gradient(loss(phi, *query), theta)
    ours = implicit_gradient(
        loss, {k: v.detach() for k, v in phi.items()}, support, query, strength, steps=60
    )
    assert torch.allclose(torch.cat([v.flatten() for v in ours.values()]), long, atol=1e-8)


def test_implicit_gradients_refuse_what_has_no_minimum():
    task = torch.zeros(2, dtype=torch.float64), -3 * torch.eye(2, dtype=torch.float64)
    query = torch.ones(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
    start = {"theta": torch.zeros(2, dtype=torch.float64)}
    with pytest.raises(ValueError, match=r"strength is 1\.0, but the support loss curves down"):
        implicit_gradient(quadratic, start, task, query, 1.0, steps=5)
    for strength, steps in ((0.0, 1), (1.0, 0)):
        with pytest.raises(ValueError, match=f"strength is {strength} and steps is {steps}"):
            implicit_gradient(quadratic, start, task, query, strength, steps)


# --- networks -------------------------------------------------------------------------------------


class Attending(nn.Module):
    """One head of causal attention and the mean over positions."""

    def __init__(self, attend, d=4, n_way=3):
        super().__init__()
        self.qkv, self.out, self.attend = nn.Linear(d, 3 * d), nn.Linear(d, n_way), attend

    def forward(self, x):  # (b, t, d)
        q, k, v = self.qkv(x).unsqueeze(-3).chunk(3, -1)  # (b, 1, t, d)
        mixed = self.attend(q, k, v)
        mixed = mixed[0] if isinstance(mixed, tuple) else mixed
        return self.out(mixed.squeeze(-3).mean(-2))


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_attention_that_is_written_out_has_second_derivatives():
    net = Attending(attention).double()
    initialize(net, torch.Generator().manual_seed(0))
    (x, y), (query_x, query_y) = tasks(d=5 * 4)
    support, query = (x.unflatten(-1, (5, 4)), y), (query_x.unflatten(-1, (5, 4)), query_y)
    inner = {"lr": 0.5, "steps": 3}
    ours = of_meta_loss(net, support, query, **inner)
    assert torch.allclose(ours, of_loop(net, support, query, **inner), rtol=1e-9, atol=1e-12)
    net.attend = fused_attention
    with pytest.raises(RuntimeError, match="not implemented"):
        of_meta_loss(net, support, query, **inner)
    fused = of_meta_loss(net, support, query, **inner, first_order=True)
    net.attend = attention
    written = of_meta_loss(net, support, query, **inner, first_order=True)
    assert torch.allclose(fused, written, rtol=1e-8, atol=1e-10)


def test_dropout_differs_between_tasks():
    """Were the noise the same, the mean over equal tasks of one unit would be 0 or 2."""

    def loss(params, x, y):
        return nn.functional.dropout(params["w"] * x, 0.5).sum() + 0 * y.sum()

    task = torch.ones(1000, 1), torch.ones(1000, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        value = meta_loss(loss, {"w": torch.ones(1)}, task, task, lr=0.0, steps=1)
    assert 0.8 < value < 1.2


def test_few_steps_of_maml_on_sinusoids_lower_the_error_after_adaptation():
    net = nn.Sequential(nn.Linear(1, 40), nn.Tanh(), nn.Linear(40, 40), nn.Tanh(), nn.Linear(40, 1))
    initialize(net, torch.Generator().manual_seed(0))

    def squared(params, x, y):
        return (functional_call(net, params, (x,)) - y).square().mean()

    def loss(net, task, steps=1):
        params = dict(net.named_parameters())
        return meta_loss(squared, params, task[:2], task[2:], lr=0.02, steps=steps)

    unseen = SinusoidSampler(10, 50, seed=1).batch(0, 100)
    before = [loss(net, unseen, steps).item() for steps in (0, 1, 5)]
    sampler = SinusoidSampler(10, 10, seed=0)
    fit(net, loss, lambda step: sampler.batch(16 * step, 16), steps=400, lr=1e-2)
    after = [loss(net, unseen, steps).item() for steps in (0, 1, 5)]
    assert after[1] < 0.5 * before[1]
    assert after[2] < 0.5 * before[2]
    assert after[2] < 0.3 * after[0]  # it is the steps that help, not the start


# --- bad input ------------------------------------------------------------------------------------


def test_what_cannot_be_is_refused():
    start, task = {"theta": torch.zeros(1)}, (torch.ones(1), torch.ones(1, 1))
    with pytest.raises(ValueError, match="steps is -1"):
        adapt(quadratic, start, task, lr=0.1, steps=-1)
    with pytest.raises(ValueError, match=r"only names \['phi'\].*\['theta'\]"):
        adapt(quadratic, start, task, lr=0.1, steps=1, only=["phi"])
    with pytest.raises(ValueError, match=r"lr names \['phi'\]"):
        adapt(quadratic, start, task, lr={"phi": torch.ones(1)}, steps=1)
    with pytest.raises(ValueError, match=r"no step size for \['theta'\]"):
        adapt(quadratic, start, task, lr={}, steps=1)


def test_a_descent_that_overflows_names_task_and_step():
    start = {"theta": torch.ones(1)}
    center, curve = torch.zeros(3, 1), torch.tensor([1.0, 1e20, 1.0]).view(3, 1, 1)
    assert first_bad_step(quadratic, start, (center[1], curve[1]), lr=1.0, steps=5) == 2
    assert first_bad_step(quadratic, start, (center[0], curve[0]), lr=1.0, steps=5) is None
    with pytest.raises(FloatingPointError, match=r"task 1 is (nan|inf) because of inner step 2"):
        meta_loss(quadratic, start, (center, curve), (center, curve), lr=1.0, steps=3)
    tame, query = torch.ones(3, 1, 1), torch.tensor([[0.0], [0.0], [torch.nan]])
    with pytest.raises(FloatingPointError, match="task 2 is nan after adaptation"):
        meta_loss(quadratic, start, (center, tame), (query, tame), lr=0.1, steps=1)


def test_the_functions_are_found_where_meta_learning_is():
    assert meta.adapt is adapt
    assert meta.meta_loss is meta_loss
