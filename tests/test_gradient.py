"""Learners that adapt by gradient descent, against their definitions, `higher` and each other."""

import higher
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from nlpmeta import meta
from nlpmeta.episodes import EpisodeSampler, by_class, evaluate
from nlpmeta.learners import (
    ANIL,
    MAML,
    Classifier,
    FineTune,
    MetaSGD,
    ProtoMAML,
    ProtoNet,
    Reptile,
)
from nlpmeta.neural import CharacterCNN, initialize
from nlpmeta.training import fit

N_WAY, D = 3, 5


def blobs(n_classes=8, n=12, seed=0):
    """Points around centers of classes, float64."""
    generator = torch.Generator().manual_seed(seed)
    centers = 2 * torch.randn(n_classes, D, generator=generator).double()
    x = centers.repeat_interleave(n, 0)
    x = x + torch.randn(n_classes * n, D, generator=generator).double()
    return by_class(x, [str(c) for c in range(n_classes) for _ in range(n)])


def sampler(seed=0):
    return EpisodeSampler(blobs(), N_WAY, k_shot=2, n_query=4, seed=seed)


def encoder(seed=0):
    net = nn.Sequential(nn.Linear(D, 6), nn.Tanh(), nn.Linear(6, 4)).double()
    initialize(net, torch.Generator().manual_seed(seed))
    return net


def classifier(seed=0, rows=N_WAY):
    """Encoder and head, the head moved away from zero so that no derivative vanishes."""
    model = Classifier(encoder(seed), 4, rows).double()
    initialize(model.head, torch.Generator().manual_seed(seed + 1))
    return model


LEARNERS = {
    "MAML": lambda: MAML(classifier(), 0.1, 3),
    "first order": lambda: MAML(classifier(), 0.1, 3, first_order=True),
    "ANIL": lambda: ANIL(classifier(), 0.1, 3),
    "MetaSGD": lambda: MetaSGD(classifier(), 0.1, 3),
    "ProtoMAML": lambda: ProtoMAML(encoder(), 0.02, 3),
    "Reptile": lambda: Reptile(classifier(), 0.1, 3),
}
every_learner = pytest.mark.parametrize("make", LEARNERS.values(), ids=list(LEARNERS))


def gradient(value, learner):
    return torch.autograd.grad(value, list(learner.parameters()))


def close(a, b, rtol=1e-10, atol=1e-12):
    return all(torch.allclose(x, y, rtol=rtol, atol=atol) for x, y in zip(a, b, strict=True))


def query_loss(learner, task):
    predict = learner.adapt(task.support_x, task.support_y)
    return nn.functional.cross_entropy(predict(task.query_x), task.query_y)


# --- the interface --------------------------------------------------------------------------------


@every_learner
def test_predictions_do_not_depend_on_how_they_are_asked_for(make):
    learner, task = make(), sampler().task(0)
    predict = learner.adapt(task.support_x, task.support_y)
    logits = predict(task.query_x)
    assert logits.shape == (4 * N_WAY, N_WAY)
    assert torch.allclose(logits, learner(*task[:3], N_WAY), rtol=1e-12)
    assert torch.allclose(logits[:2], predict(task.query_x[:2]), rtol=1e-12)
    with torch.no_grad():
        frozen = learner.adapt(task.support_x, task.support_y)(task.query_x)
    assert torch.allclose(logits, frozen, rtol=1e-12)


@every_learner
def test_adapting_leaves_the_learner_as_it_was(make):
    learner, task = make(), sampler().task(0)
    kept = {k: v.clone() for k, v in learner.state_dict().items()}
    learner.adapt(task.support_x, task.support_y)
    assert all(torch.equal(v, kept[k]) for k, v in learner.state_dict().items())


@every_learner
def test_the_gradient_of_tasks_at_once_equals_that_of_one_after_the_other(make):
    learner, tasks = make(), sampler().batch(0, 4)
    together = gradient(meta.episode_loss(learner, tasks, N_WAY), learner)
    losses = [query_loss(learner, meta.Task(*(part[i] for part in tasks))) for i in range(4)]
    one_by_one = gradient(torch.stack(losses).mean(), learner)
    assert close(together, one_by_one)


@every_learner
def test_meta_training_helps_on_new_classes(make):
    learner = make()
    tasks = EpisodeSampler(blobs(30), N_WAY, k_shot=2, n_query=4, seed=0)
    unseen = EpisodeSampler(blobs(10, seed=7), N_WAY, k_shot=2, n_query=4, seed=1)

    def loss():
        return sum(query_loss(learner, unseen.task(i)).item() for i in range(40)) / 40

    before = loss()
    meta.meta_train(learner, tasks, steps=60, tasks_per_step=4, lr=1e-2)
    assert loss() < before - 0.05
    assert evaluate(learner, unseen, 40).mean > 0.6


# --- MAML -----------------------------------------------------------------------------------------


@pytest.mark.parity(
    "learners",
    "`MAML`; `Reptile`",
    "`higher`; its definition with `torch.optim.SGD`",
    "`1e-10`",
)
def test_maml_equals_higher():
    learner, task = MAML(classifier(), 0.1, 4), sampler().task(0)
    ours = gradient(query_loss(learner, task), learner)
    stepper = torch.optim.SGD(learner.model.parameters(), lr=0.1)
    with higher.innerloop_ctx(learner.model, stepper, copy_initial_weights=False) as (net, descent):
        for _ in range(4):
            descent.step(nn.functional.cross_entropy(net(task.support_x), task.support_y))
        value = nn.functional.cross_entropy(net(task.query_x), task.query_y)
    assert close(ours, gradient(value, learner))


def test_mamls_gradient_equals_finite_differences_and_the_first_order_does_not():
    learner, task, h = MAML(classifier(), 0.3, 3), sampler().task(0), 1e-5
    ours = gradient(query_loss(learner, task), learner)
    learner.first_order = True
    first = gradient(query_loss(learner, task), learner)
    learner.first_order = False
    largest = 0.0
    for p, slope, rough in zip(learner.parameters(), ours, first):
        for index in range(p.numel()):
            place, values = p.detach().view(-1), []
            for sign in (1, -1):
                place[index] += sign * h
                values.append(query_loss(learner, task).item())
                place[index] -= sign * h
            difference = (values[0] - values[1]) / (2 * h)
            assert slope.view(-1)[index].item() == pytest.approx(difference, rel=1e-6, abs=1e-9)
            largest = max(largest, abs(rough.view(-1)[index].item() - difference))
    assert largest > 1e-3


def test_first_order_takes_the_gradient_at_the_adapted_parameters():
    learner, task = MAML(classifier(), 0.1, 3, first_order=True), sampler().task(0)
    ours = gradient(query_loss(learner, task), learner)
    phi = learner.adapted(task.support_x, task.support_y, N_WAY)
    phi = {name: value.detach().requires_grad_() for name, value in phi.items()}
    logits = functional_call(learner.model, phi, (task.query_x,))
    value = nn.functional.cross_entropy(logits, task.query_y)
    assert close(ours, torch.autograd.grad(value, list(phi.values())))


def test_a_head_at_zero_is_fine_tuning_and_does_not_know_the_numbers_of_labels():
    task = sampler().task(0)
    learner = MAML(Classifier(encoder(), 4, N_WAY).double(), 0.1, 5)
    logits = learner.adapt(task.support_x, task.support_y)(task.query_x)
    with torch.no_grad():
        single = FineTune(encoder().float(), 4, lr=0.1, steps=5)
        peer = single.adapt(task.support_x.float(), task.support_y)(task.query_x.float())
    assert torch.allclose(logits.float(), peer, atol=1e-4)
    other = torch.tensor([2, 0, 1])
    moved = learner.adapt(task.support_x, other[task.support_y])(task.query_x)
    assert torch.allclose(moved[:, other], logits, rtol=1e-10)


def test_a_task_may_have_fewer_classes_than_the_model_has_rows():
    """The other rows are no answers: they neither move nor take probability."""
    task = sampler().task(0)
    wide, narrow = classifier(rows=7), classifier()
    narrow.head.load_state_dict({k: v[:N_WAY] for k, v in wide.head.state_dict().items()})
    learners = MAML(wide, 0.1, 3), MAML(narrow, 0.1, 3)
    a, b = (learner.adapt(*task[:2])(task.query_x) for learner in learners)
    assert torch.allclose(a, b, rtol=1e-12)
    phi = learners[0].adapted(*task[:2], N_WAY)
    assert torch.equal(phi["head.weight"][N_WAY:], wide.head.weight[N_WAY:])


# --- the variants ---------------------------------------------------------------------------------


def test_anil_moves_only_the_head():
    task = sampler().task(0)
    learner = ANIL(classifier(), 0.1, 3)
    start = dict(learner.model.named_parameters())
    phi = learner.adapted(*task[:2], N_WAY)
    moved = [name for name in start if not torch.equal(phi[name], start[name])]
    assert moved == ["head.weight", "head.bias"]
    assert all(slope.abs().sum() > 0 for slope in gradient(query_loss(learner, task), learner))


@pytest.mark.parametrize(
    ("model", "head", "only"),
    [
        (nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)), None, ["2.weight", "2.bias"]),
        (nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)), "0", ["0.weight", "0.bias"]),
        (nn.Linear(5, 3), None, ["weight", "bias"]),
        (Classifier(nn.Linear(5, 4), 4, 3), "encoder", ["encoder.weight", "encoder.bias"]),
    ],
)
def test_anil_finds_its_head(model, head, only):
    assert ANIL(model, 0.1, 1, head=head).only == only


def test_meta_sgd_starts_as_maml_and_its_rates_get_gradients():
    task = sampler().task(0)
    learner, maml = MetaSGD(classifier(), 0.1, 3), MAML(classifier(), 0.1, 3)
    value = query_loss(learner, task)
    assert value.item() == pytest.approx(query_loss(maml, task).item(), rel=1e-12)
    slopes = torch.autograd.grad(value, [*learner.model.parameters(), *learner.rates])
    n = len(list(learner.model.parameters()))
    assert close(slopes[:n], gradient(query_loss(maml, task), maml))
    assert all(slope.abs().sum() > 0 for slope in slopes[n:])
    h, place = 1e-5, learner.rates[0].detach()
    values = []
    for sign in (1, -1):
        place[0, 0] += sign * h
        values.append(query_loss(learner, task).item())
        place[0, 0] -= sign * h
    difference = (values[0] - values[1]) / (2 * h)
    assert slopes[n][0, 0].item() == pytest.approx(difference, rel=1e-6)


def test_meta_training_changes_the_rates():
    learner = MetaSGD(classifier(), 0.1, 1)
    meta.meta_train(learner, sampler(), steps=2, tasks_per_step=2)
    assert all((rate != 0.1).any() for rate in learner.rates)
    assert set(learner.state_dict()) > {"rates.0", "model.head.weight"}


@pytest.mark.parity(
    "learners",
    "`ProtoMAML` before its first step",
    "`ProtoNet` plus the squared length of the query's vector",
    "`1e-10`",
)
@given(st.integers(0, 200))
def test_protomaml_starts_with_the_logits_of_a_prototypical_network(seed):
    """They differ by |f(x)|^2, one number for each query."""
    task = sampler(seed).task(0)
    learner, peer = ProtoMAML(encoder(seed), 0.1, 1), ProtoNet(encoder(seed))
    start = learner.start(task.support_x, task.support_y, N_WAY)
    ours = learner.scores(start, task.query_x, N_WAY)
    theirs = peer.adapt(task.support_x, task.support_y)(task.query_x)
    squares = encoder(seed)(task.query_x).square().sum(-1, keepdim=True)
    assert torch.allclose(ours, theirs + squares, rtol=1e-10, atol=1e-10)


def test_protomaml_adapts_encoder_and_head_to_any_number_of_classes():
    for n_way in (1, 2, 5):
        task = EpisodeSampler(blobs(), n_way, 2, 3, seed=0).task(0)
        learner = ProtoMAML(encoder(), 0.05, 2)
        assert learner.adapt(*task[:2])(task.query_x).shape == (3 * n_way, n_way)
    start, phi = learner.start(*task[:2], 5), learner.adapted(*task[:2], 5)
    assert all(not torch.equal(phi[name], start[name]) for name in start)


@pytest.mark.parity
def test_reptile_equals_its_definition():
    """theta + epsilon * mean (phi - theta), phi by descent written out with torch.optim."""
    learner, tasks, epsilon = Reptile(classifier(), 0.1, 4), sampler().batch(0, 3), 0.5
    ends = []
    for support_x, support_y, query_x, query_y in zip(*tasks):
        model = classifier()
        stepper = torch.optim.SGD(model.parameters(), lr=0.1)
        x, y = torch.cat([support_x, query_x]), torch.cat([support_y, query_y])
        for _ in range(4):
            stepper.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            stepper.step()
        ends.append([p.detach() for p in model.parameters()])
    start = [p.detach().clone() for p in learner.parameters()]
    expected = [
        theta + epsilon * (torch.stack(phi) - theta).mean(0)
        for theta, phi in zip(start, zip(*ends))
    ]
    history = fit(
        learner,
        lambda model, batch: meta.training_loss(model, batch, N_WAY),
        lambda step: tasks,
        steps=1,
        lr=epsilon,
        optimizer=torch.optim.SGD,
    )
    assert close([p.detach() for p in learner.parameters()], expected)
    squares = [
        (torch.stack(phi) - theta).square().sum() / 3 for theta, phi in zip(start, zip(*ends))
    ]
    assert history.losses[0] == pytest.approx(sum(squares).item() / 2, rel=1e-10)


# --- text, noise ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [MAML, ANIL, MetaSGD])
def test_strings_are_adapted_to_under_vmap(kind):
    x = torch.randint(1, 20, (80, 8), generator=torch.Generator().manual_seed(0))
    tasks = EpisodeSampler(by_class(x, [str(i % 5) for i in range(80)]), 5, 2, 3, seed=1)
    cnn = CharacterCNN(20, 4, 6, 3, torch.Generator().manual_seed(0))
    learner = kind(Classifier(cnn, 3, 5), 0.1, 2)
    initialize(learner.model.head, torch.Generator().manual_seed(1))
    batch = tasks.batch(0, 3)
    together = gradient(meta.episode_loss(learner, batch, 5), learner)
    losses = [query_loss(learner, meta.Task(*(part[i] for part in batch))) for i in range(3)]
    assert close(together, gradient(torch.stack(losses).mean(), learner), 1e-3, 1e-5)


def test_equal_seeds_give_equal_runs_with_dropout():
    def run():
        net = nn.Sequential(encoder(), nn.Dropout(0.5))
        learner = MAML(Classifier(net, 4, N_WAY).double(), 0.1, 2)
        history = meta.meta_train(learner, sampler(), steps=3, tasks_per_step=2)
        return history.losses, learner.adapt(*sampler().task(0)[:2])(sampler().task(0).query_x)

    (a, x), (b, y) = run(), run()
    assert (a == b).all()
    assert torch.equal(x, y)  # evaluation mode: adaptation without noise


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [MAML, ANIL, MetaSGD, ProtoMAML, Reptile])
def test_impossible_settings_are_refused(kind):
    for inner_lr, inner_steps in ((0.0, 1), (float("nan"), 1), (0.1, 0)):
        with pytest.raises(ValueError, match=f"inner_lr is {inner_lr} and inner_steps"):
            kind(nn.Linear(5, 3), inner_lr, inner_steps)


def test_what_does_not_fit_is_refused():
    task = sampler().task(0)
    with pytest.raises(ValueError, match=r"head is 'top', but the parameters are \['weight'"):
        ANIL(nn.Linear(5, 3), 0.1, 1, head="top")
    with pytest.raises(ValueError, match="d is 0 and n_way is 2"):
        Classifier(nn.Identity(), 0, 2)
    with pytest.raises(ValueError, match="3 classes, but the model gives 2 logits"):
        MAML(classifier(rows=2), 0.1, 1).adapt(*task[:2])
    with pytest.raises(ValueError, match="3 classes, but the model gives 2 logits"):
        meta.meta_train(MAML(classifier(rows=2), 0.1, 1), sampler(), steps=1)
    with pytest.raises(ValueError, match="labels have no 1, but 2"):
        MAML(classifier(), 0.1, 1).adapt(task.support_x[:4], torch.tensor([0, 0, 2, 2]))
    with pytest.raises(ValueError, match="at least one label"):
        MAML(classifier(), 0.1, 1).adapt(task.support_x[:0], task.support_y[:0])
    for learner in (MAML(classifier(), 0.1, 1), ProtoMAML(encoder(), 0.1, 1)):
        with pytest.raises(ValueError, match=r"support_x is torch.float32, but .* torch.float64"):
            learner.adapt(task.support_x.float(), task.support_y)


def overflowing():
    """A learner whose second inner step overflows, and tasks."""
    learner = MAML(nn.Linear(D, N_WAY).double(), 1e308, 3)
    initialize(learner, torch.Generator().manual_seed(0))
    return learner, sampler()


def test_a_step_that_overflows_is_named():
    learner, tasks = overflowing()
    with pytest.raises(FloatingPointError, match=r"inner step \d leaves .* lower inner_lr"):
        learner.adapt(*tasks.task(0)[:2])
    with pytest.raises(FloatingPointError, match=r"task 0 of the batch: inner step \d"):
        meta.meta_train(learner, tasks, steps=1)


def test_a_loss_that_is_infinite_without_a_bad_step_is_left_to_fit():
    class Odd(ProtoNet):
        def forward(self, support_x, support_y, query_x, n_way):
            return super().forward(support_x, support_y, query_x, n_way) * torch.nan

    with pytest.raises(FloatingPointError, match="the loss is nan at step 0"):
        meta.meta_train(Odd(encoder()), sampler(), steps=1)
