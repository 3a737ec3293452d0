"""Several tasks: what is shared, weights of losses, gradients in conflict, affinities."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nlpmeta.multitask import (
    SharedTrunk,
    gradient_cosines,
    losses_at,
    pcgrad,
    pcgrad_loss,
    task_affinity,
    task_gradients,
    task_losses,
    uncertainty_weighting,
)
from nlpmeta.neural import initialize
from nlpmeta.training import fit


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


gradients = st.builds(
    lambda n, p, seed, scale: normal(n, p, seed=seed) * 10.0**scale,
    st.integers(1, 5),
    st.integers(1, 6),
    st.integers(0, 10_000),
    st.integers(-6, 6),
)


# Sharing


def model_of(kind, seed=0):
    """Two tasks of three classes on four numbers."""
    trunk = nn.Linear(4, 5)
    heads = {"a": nn.Linear(5, 3), "b": nn.Linear(5, 3)}
    if kind == "pooled":
        heads = dict.fromkeys(heads, heads["a"])
    model = SharedTrunk(trunk, heads, nn.Linear(5, 3) if kind == "additive" else None)
    initialize(model, generator(seed))
    return model


def test_logits_by_hand():
    trunk, head, own = (nn.Linear(1, 1) for _ in range(3))
    for layer, weight in ((trunk, 2.0), (head, 3.0), (own, -1.0)):
        nn.init.constant_(layer.weight, weight)
        nn.init.zeros_(layer.bias)
    x = torch.tensor([[5.0]])
    assert SharedTrunk(trunk, {"t": own})(x, "t").item() == 2 * 5 * -1
    assert SharedTrunk(trunk, {"t": own}, head)(x, "t").item() == 2 * 5 * (-1 + 3)


@pytest.mark.parametrize(
    ("kind", "shared"),
    [
        ("per task", {"trunk.weight", "trunk.bias"}),
        ("pooled", {"trunk.weight", "trunk.bias", "heads.0.weight", "heads.0.bias"}),
        ("additive", {"trunk.weight", "trunk.bias", "shared.weight", "shared.bias"}),
    ],
)
def test_what_is_shared(kind, shared):
    model = model_of(kind)
    assert model.shared_parameters().keys() == shared
    x = torch.randn(2, 4, generator=generator(1))
    assert torch.equal(model(x, "a"), model(x, "b")) == (kind == "pooled")
    model(x, "a").sum().backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None}
    assert moved == shared | {"heads.0.weight", "heads.0.bias"}
    model.trunk.requires_grad_(False)
    assert model.shared_parameters().keys() == {n for n in shared if not n.startswith("trunk")}


def test_any_string_names_a_task():
    heads = {name: nn.Linear(2, 1) for name in ("keys", "zh-Hant", "a.b", "我", "")}
    model = SharedTrunk(nn.Identity(), heads)
    x = torch.ones(1, 2)
    for name, head in heads.items():
        assert torch.equal(model(x, name), head(x))


def test_losses_are_cross_entropies_in_the_order_of_the_batch():
    model = model_of("per task")
    x, y = torch.randn(6, 4, generator=generator(1)), torch.tensor([0, 1, 2, 2, 1, 0])
    losses = task_losses(model, {"b": (x, y), "a": (x[:2], y[:2])})
    wanted = [
        -model(inputs, t).log_softmax(-1)[torch.arange(len(labels)), labels].mean()
        for t, inputs, labels in (("b", x, y), ("a", x[:2], y[:2]))
    ]
    torch.testing.assert_close(losses, wanted)
    at = losses_at(model, {"b": (x, y), "a": (x[:2], y[:2])})
    torch.testing.assert_close(at({}), losses)
    zero = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    torch.testing.assert_close(at(zero), [torch.tensor(math.log(3))] * 2)


def test_tasks_that_are_unknown():
    model, pair = model_of("per task"), (torch.ones(1, 4), torch.tensor([0]))
    with pytest.raises(ValueError, match=r"task: 'c' is unknown; give one of \['a', 'b'\]"):
        model(pair[0], "c")
    with pytest.raises(ValueError, match="task: 'c' is unknown"):
        task_losses(model, {"a": pair, "c": pair})
    with pytest.raises(ValueError, match="heads: no task"):
        SharedTrunk(nn.Identity(), {})
    with pytest.raises(ValueError, match="batch: no task"):
        task_losses(model, {})


# Weights of losses


@given(
    st.lists(st.tuples(st.floats(0, 1e3), st.floats(-5, 5)), min_size=1, max_size=5),
)
def test_uncertainty_weighting_is_least_at_the_logarithms(pairs):
    losses, s = torch.tensor(pairs, dtype=torch.float64).T
    value = uncertainty_weighting(losses, s)
    assert value.item() == pytest.approx(sum(math.exp(-b) * a + b for a, b in pairs), abs=1e-9)
    losses = losses + 1e-3
    best = uncertainty_weighting(losses, losses.log())
    assert best.item() == pytest.approx((1 + losses.log()).sum().item(), abs=1e-9)
    assert uncertainty_weighting(losses, s) >= best - 1e-9


def test_the_weights_are_learned():
    model = nn.Module()
    model.s = nn.Parameter(torch.zeros(3))
    losses = torch.tensor([0.25, 1.0, 8.0])
    fit(model, lambda m, x: uncertainty_weighting(x, m.s), lambda step: losses, steps=200, lr=0.1)
    torch.testing.assert_close(model.s.detach(), losses.log(), atol=1e-3, rtol=0)


def test_at_the_optimum_gradients_are_relative():
    w = torch.tensor([2.0, 3.0], requires_grad=True)
    losses = w**2
    uncertainty_weighting(losses, losses.detach().log()).backward()
    torch.testing.assert_close(w.grad, 2 / w.detach())  # of log w^2


@pytest.mark.parametrize(
    ("losses", "s", "message"),
    [
        ([1.0, 2.0], [0.0], r"s: shape \(1,\); .* 2 losses"),
        ([1.0, -2.0], [0.0, 0.0], "losses: .*; a negative one"),
        ([1.0, float("nan")], [0.0, 0.0], "losses: .*nan.*finite"),
        ([1.0, float("inf")], [0.0, 0.0], "losses: .*inf.*finite"),
        ([], [], r"losses: shapes \[\]; give scalars"),
        (1.0, 0.0, r"losses: shapes \[\]; give scalars"),
        ([[1.0]], [0.0], r"losses: shapes \[\(1,\)\]; give scalars"),
    ],
)
def test_losses_that_have_no_weights(losses, s, message):
    with pytest.raises(ValueError, match=message):
        uncertainty_weighting(torch.tensor(losses), torch.tensor(s))


# Gradients


def test_gradients_are_those_of_autograd():
    model = model_of("additive").double()
    batch = {
        task: (normal(5, 4, seed=seed), torch.tensor([0, 1, 2, 0, 1]))
        for seed, task in enumerate(("a", "b"))
    }
    shared = model.shared_parameters()
    g = task_gradients(task_losses(model, batch), shared)
    for i, task in enumerate(batch):
        model.zero_grad()
        task_losses(model, {task: batch[task]})[0].backward()
        wanted = torch.cat([p.grad.flatten() for p in shared.values()])
        torch.testing.assert_close(g[i], wanted)


def test_gradients_of_different_parameter_sets():
    model = model_of("per task")
    pair = (torch.ones(1, 4), torch.tensor([0]))
    losses = task_losses(model, {"a": pair, "b": pair})
    with pytest.raises(ValueError, match=r"the loss of task 0 does not depend on 'heads\.1"):
        task_gradients(losses, dict(model.named_parameters()))
    with pytest.raises(ValueError, match="params: none; the tasks share nothing"):
        task_gradients(losses, {})
    with pytest.raises(ValueError, match=r"losses: .*nan"):
        task_gradients([losses[0], losses[1] * float("nan")], model.shared_parameters())
    for function in (gradient_cosines, lambda g: pcgrad(g, generator())):
        with pytest.raises(ValueError, match=r"shapes \[\(3,\), \(2,\)\]; give vectors of one"):
            function([torch.ones(3), torch.ones(2)])
        with pytest.raises(ValueError, match="give vectors of one length"):
            function([torch.ones(3, 2), torch.ones(3, 2)])
        with pytest.raises(ValueError, match="give vectors of one length"):
            function([])
        with pytest.raises(ValueError, match="that of task 1 is not finite"):
            function(torch.tensor([[1.0, 2.0], [float("nan"), 0.0]]))


def test_cosines_by_hand():
    cosines = gradient_cosines(torch.tensor([[3.0, 4.0], [4.0, 3.0], [-1.0, 0.0]]))
    wanted = torch.tensor([[1.0, 0.96, -0.6], [0.96, 1.0, -0.8], [-0.6, -0.8, 1.0]])
    torch.testing.assert_close(cosines, wanted)


@pytest.mark.parity
@given(gradients, st.integers(-12, 12))
def test_laws_of_cosines(g, power):
    cosines = gradient_cosines(g)
    assert torch.equal(cosines, cosines.T)
    assert cosines.abs().max() <= 1
    torch.testing.assert_close(cosines.diagonal(), torch.ones(len(g), dtype=torch.float64))
    scales = torch.arange(1, len(g) + 1, dtype=torch.float64).unsqueeze(1) * 10.0**power
    torch.testing.assert_close(gradient_cosines(scales * g), cosines)
    theirs = nn.functional.cosine_similarity(g.unsqueeze(0), g.unsqueeze(1), dim=-1, eps=1e-300)
    torch.testing.assert_close(cosines, theirs)


def test_cosines_of_tiny_gradients():
    tiny = torch.tensor([[3e-30, 4e-30], [4e-30, 3e-30]])  # their squares are 0 in float32
    assert gradient_cosines(tiny)[0, 1].item() == pytest.approx(0.96)
    assert pcgrad(torch.tensor([[1e-30, 0.0], [-1.0, 1.0]]), generator()).isfinite().all()


def test_a_zero_gradient():
    g = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    with pytest.raises(ValueError, match="that of task 1 is zero and has no direction"):
        gradient_cosines(g)
    assert pcgrad(g, generator()).tolist() == [1.0, 2.0]  # it conflicts with none


# PCGrad


def test_pcgrad_by_hand():
    # g1 . g2 = -2, so g1 - (-2 / 2) g2 = (1, 1) and g2 - (-2 / 4) g1 = (0, 1)
    g = torch.tensor([[2.0, 0.0], [-1.0, 1.0]])
    torch.testing.assert_close(pcgrad(g, generator()), torch.tensor([1.0, 2.0]))
    opposed = torch.tensor([[1.0, 2.0], [-2.0, -4.0]])
    torch.testing.assert_close(pcgrad(opposed, generator()), torch.zeros(2))


def plain_pcgrad(gradients, orders):
    """Algorithm 1 of Yu et al. (2020), on lists of floats."""
    result = [0.0] * len(gradients[0])
    for i, order in enumerate(orders):
        g = list(gradients[i])
        for j in order:
            if j == i:
                continue
            other = gradients[j]
            dot = sum(a * b for a, b in zip(g, other))
            if dot < 0:
                square = sum(b * b for b in other)
                g = [a - dot / square * b for a, b in zip(g, other)]
        result = [a + b for a, b in zip(result, g)]
    return result


@pytest.mark.parity(
    "conflict",
    "`pcgrad`; `gradient_cosines`",
    "a plain loop; `torch.nn.functional.cosine_similarity`",
    "`1e-9`; `1e-6`",
)
@given(gradients, st.integers(0, 1000))
def test_parity_with_a_plain_loop(g, seed):
    same = generator(seed)
    orders = [torch.randperm(len(g), generator=same).tolist() for _ in g]
    wanted = torch.tensor(plain_pcgrad(g.tolist(), orders), dtype=torch.float64)
    scale = g.abs().max().item()
    torch.testing.assert_close(pcgrad(g, generator(seed)), wanted, atol=1e-9 * scale, rtol=0)
    torch.testing.assert_close(pcgrad(list(g), generator(seed)), wanted, atol=1e-9 * scale, rtol=0)


@given(st.integers(1, 6), st.integers(0, 10_000), st.integers(-6, 6))
def test_for_two_tasks_the_sum_opposes_neither(p, seed, power):
    g = normal(2, p, seed=seed) * torch.tensor([[1.0], [10.0**power]], dtype=torch.float64)
    result = pcgrad(g, generator())
    size = g.norm(dim=1) * g.norm(dim=1).max()
    assert (g @ result >= -1e-12 * size).all()
    torch.testing.assert_close(pcgrad(g, generator(1)), result)  # whatever the order
    torch.testing.assert_close(pcgrad(g.flip(0), generator()), result)


@given(gradients)
def test_without_conflict_it_is_the_sum(g):
    g = g.abs()
    torch.testing.assert_close(pcgrad(g, generator()), g.sum(0))


def test_for_three_tasks_the_order_matters():
    g = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 1.0, 0.3], [-1.0, -1.0, 0.5]])
    results = {tuple(pcgrad(g, generator(seed)).tolist()) for seed in range(20)}
    assert len(results) > 1
    assert pcgrad(g, generator(3)).equal(pcgrad(g, generator(3)))


def test_the_loss_has_the_gradient_of_pcgrad_and_heads_have_their_own():
    model = model_of("per task").double()
    model.heads[1].load_state_dict(model.heads[0].state_dict())
    nn.init.zeros_(model.trunk.weight)  # so that all classes are as probable
    x = normal(6, 4, seed=1)
    batch = {"a": (x, torch.tensor([0] * 6)), "b": (x, torch.tensor([1] * 6))}
    shared = model.shared_parameters()
    losses = task_losses(model, batch)
    g = task_gradients(losses, shared)
    assert gradient_cosines(g)[0, 1] < 0
    value = pcgrad_loss(losses, shared, generator())
    assert value.item() == sum(losses).item()
    value.backward()
    found = torch.cat([p.grad.flatten() for p in shared.values()])
    torch.testing.assert_close(found, pcgrad(g, generator()))
    head = model.heads[1].weight
    (wanted,) = torch.autograd.grad(task_losses(model, batch)[1], head)
    torch.testing.assert_close(head.grad, wanted)


# Affinity


@given(st.integers(0, 1000), st.floats(0.01, 0.5))
def test_affinity_of_quadratics(seed, lr):
    """L_j = |theta - c_j|^2: a step on i leads to theta - 2 lr (theta - c_i)."""
    theta, c = normal(3, seed=seed), normal(2, 3, seed=seed + 1)

    def losses(params):
        whole = torch.cat([params["a"].flatten(), params["b"]])
        return (whole - c).square().sum(1)

    shared = {"a": theta[:2].view(1, 2).clone(), "b": theta[2:].clone()}
    affinity = task_affinity(losses, shared, lr)
    for i in range(2):
        stepped = theta - 2 * lr * (theta - c[i])
        for j in range(2):
            wanted = 1 - (stepped - c[j]).square().sum() / (theta - c[j]).square().sum()
            torch.testing.assert_close(affinity[i, j], wanted)
        own = 1 - (1 - 2 * lr) ** 2
        assert affinity[i, i].item() == pytest.approx(own)
    assert torch.equal(shared["b"], theta[2:])


@pytest.mark.parametrize("kind", ["per task", "pooled", "additive"])
def test_affinity_agrees_with_the_cosine_for_small_steps(kind):
    model = model_of(kind).double()
    y = torch.tensor([0, 0, 1, 2, 0, 0])
    x = normal(6, 4, seed=1)
    batch = {"a": (x, y), "b": (x, (y + 1) % 3)}
    shared = model.shared_parameters()
    before = {name: p.clone() for name, p in model.named_parameters()}
    losses = task_losses(model, batch)
    g = task_gradients(losses, shared)
    affinity = task_affinity(losses_at(model, batch), shared, lr=1e-6)
    wanted = 1e-6 * g @ g.T / torch.stack(losses).detach()  # the first term of the expansion
    torch.testing.assert_close(affinity, wanted, atol=1e-9, rtol=1e-3)
    assert torch.equal(affinity.sign(), gradient_cosines(g).sign())
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


@pytest.mark.parametrize("lr", [0.0, -1.0, float("nan"), float("inf")])
def test_affinity_needs_a_step(lr):
    with pytest.raises(ValueError, match=r"lr: .*positive"):
        task_affinity(lambda p: p["a"] ** 2, {"a": torch.ones(2)}, lr)


def test_affinity_of_losses_that_are_no_measure():
    theta = {"a": torch.ones(2)}
    with pytest.raises(ValueError, match=r"losses: .*nan"):
        task_affinity(lambda p: p["a"] * float("nan"), theta, 0.1)
    with pytest.raises(ValueError, match=r"losses: \[0.0, 0.0\]; .*solved"):
        task_affinity(lambda p: list(p["a"] - 1), theta, 0.1)


# Training


N, D = 24, 6


def pair(agree):
    """Task a with few examples; task b with many, of the same rule or of the opposite one."""
    w = torch.randn(D, generator=generator(10))
    x = {"a": torch.randn(8, D, generator=generator(11)),
         "b": torch.randn(200, D, generator=generator(12))}  # fmt: skip
    y = {"a": (x["a"] @ w > 0).long(), "b": ((x["b"] @ w > 0) == agree).long()}
    test = torch.randn(500, D, generator=generator(13))
    return {task: (x[task], y[task]) for task in x}, (test, (test @ w > 0).long())


def train(kind, batch, loss=None, seed=0):
    trunk = nn.Identity() if kind != "per task" else nn.Linear(D, D)
    heads = {task: nn.Linear(D, 2) for task in ("a", "b")}
    if kind == "pooled":
        heads = dict.fromkeys(heads, heads["a"])
    model = SharedTrunk(trunk, heads, nn.Linear(D, 2) if kind == "additive" else None)
    initialize(model, generator(seed))
    model.s = nn.Parameter(torch.zeros(len(batch)))
    loss = loss or (lambda model, batch: sum(task_losses(model, batch)) + 0 * model.s.sum())
    history = fit(model, loss, lambda step: batch, steps=60, lr=0.05)
    return model, history


def accuracy(model, test):
    return (model(test[0], "a").argmax(-1) == test[1]).double().mean().item()


def test_a_second_task_helps_or_hurts():
    scores = {}
    for agree in (True, False):
        batch, test = pair(agree)
        alone = train("pooled", {"a": batch["a"]})[0]
        scores[agree] = [accuracy(m, test) for m in (alone, train("pooled", batch)[0])]
    assert scores[True][1] > scores[True][0] + 0.05
    assert scores[False][1] < scores[False][0] - 0.2
    batch, test = pair(agree=False)
    assert accuracy(train("additive", batch)[0], test) > scores[False][1] + 0.2


@pytest.mark.parametrize("agree", [True, False])
def test_the_cosine_says_which(agree):
    batch, _ = pair(agree)
    model = SharedTrunk(nn.Identity(), dict.fromkeys(["a", "b"], nn.Linear(D, 2)))
    initialize(model, generator(1))
    for p in model.parameters():
        nn.init.zeros_(p)
    shared = model.shared_parameters()
    cosine = gradient_cosines(task_gradients(task_losses(model, batch), shared))[0, 1]
    affinity = task_affinity(losses_at(model, batch), shared, lr=0.1)
    assert (cosine > 0.2) == agree
    assert (cosine < -0.2) != agree
    assert (affinity[0, 1] > 0) == (affinity[1, 0] > 0) == agree


LOSSES = {
    "uncertainty": lambda model, batch: uncertainty_weighting(task_losses(model, batch), model.s),
    "pcgrad": lambda model, batch: pcgrad_loss(
        task_losses(model, batch), model.shared_parameters(), generator()
    ),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_training_is_deterministic_and_learns(kind):
    batch, _ = pair(agree=False)
    runs = [train("per task", batch, LOSSES[kind]) for _ in range(2)]
    (one, first), (two, second) = runs
    assert first.losses.tolist() == second.losses.tolist()
    assert all(map(torch.equal, one.parameters(), two.parameters()))
    assert max(task_losses(one, batch)) < 0.4
