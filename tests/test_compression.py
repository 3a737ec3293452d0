"""Distillation and factors of low rank: gradients, limits, the theorem of Eckart and Young."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from nlpmeta import compression
from nlpmeta.compression import distill, distillation_loss, low_rank
from nlpmeta.layers import size
from nlpmeta.training import minibatches


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labels(b, n, seed=0):
    return torch.randint(n, (b,), generator=torch.Generator().manual_seed(seed))


def network(*widths, seed=0):
    layers = []
    for i, o in itertools.pairwise(widths):
        layers += [nn.Linear(i, o), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(0.5 * random(*p.shape, seed=seed))
    return model


def test_the_public_names():
    for name in ("prune_magnitude", "prune_structured", "quantize_int8", "distill", "low_rank"):
        assert callable(getattr(compression, name))


def test_the_loss_by_hand():
    # T = 2: teacher (3/4, 1/4), student (1/2, 1/2); label 0 has probability 1/2
    teacher = torch.tensor([[2 * math.log(3), 0.0]])
    student = torch.zeros(1, 2)
    divergence = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    wanted = 0.3 * 4 * divergence + 0.7 * math.log(2)
    found = distillation_loss(student, teacher, torch.tensor([0]), temperature=2.0, weight=0.3)
    assert found.item() == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parity(
    "compression",
    "`distillation_loss`; `low_rank`",
    "`torch.nn.functional.kl_div`; `torch.linalg.svd`",
    "`1e-10`; `1e-9`",
)
@given(st.integers(0, 100), st.floats(0.5, 20), st.floats(0, 1))
def test_parity_with_kl_div(seed, temperature, weight):
    student, teacher, y = random(4, 5, seed=seed), random(4, 5, seed=seed + 1), labels(4, 5, seed)
    soft = F.kl_div(
        F.log_softmax(student / temperature, -1),
        F.softmax(teacher / temperature, -1),
        reduction="batchmean",
    )
    wanted = weight * temperature**2 * soft + (1 - weight) * F.cross_entropy(student, y)
    found = distillation_loss(student, teacher, y, temperature, weight)
    torch.testing.assert_close(found, wanted, atol=1e-10, rtol=1e-10)
    assert found >= -1e-12


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_the_gradient_by_finite_differences(weight):
    student, teacher = random(3, 4).requires_grad_(), random(3, 4, seed=1)
    y = labels(3, 4)
    assert torch.autograd.gradcheck(
        lambda z: distillation_loss(z, teacher, y, 3.0, weight), (student,)
    )


def test_the_gradient_is_the_difference_of_probabilities():
    """``d/dz = T (q - p) / b`` for the soft part (Hinton, Vinyals and Dean, 2015, equation 2)."""
    student, teacher = random(3, 4).requires_grad_(), random(3, 4, seed=1).requires_grad_()
    distillation_loss(student, teacher, labels(3, 4), 5.0, 1.0).backward()
    wanted = 5.0 * (F.softmax(student / 5, -1) - F.softmax(teacher / 5, -1)) / 3
    torch.testing.assert_close(student.grad, wanted.detach())
    assert teacher.grad is None


def test_a_high_temperature_matches_logits():
    student, teacher = random(6, 5).requires_grad_(), random(6, 5, seed=1)
    loss = distillation_loss(student, teacher, labels(6, 5), 1e4, 1.0)
    loss.backward()
    apart = (student - student.mean(-1, keepdim=True)) - (teacher - teacher.mean(-1, keepdim=True))
    half_mean_square = (apart.square().mean(-1) / 2).mean()
    torch.testing.assert_close(loss, half_mean_square, rtol=1e-3, atol=0)
    torch.testing.assert_close(student.grad, (apart / 5 / 6).detach(), rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"teacher_logits": torch.zeros(2, 4)}, r"teacher_logits: \(2, 4\), but student_logits"),
        ({"temperature": 0.0}, "temperature: 0.0"),
        ({"temperature": math.inf}, "temperature: inf"),
        ({"weight": 1.5}, "weight: 1.5"),
    ],
)
def test_a_loss_that_cannot_be(change, match):
    arguments = {
        "student_logits": torch.zeros(2, 3),
        "teacher_logits": torch.zeros(2, 3),
        "labels": torch.tensor([0, 1]),
    }
    with pytest.raises(ValueError, match=match):
        distillation_loss(**(arguments | change))


def test_a_student_learns_what_labels_do_not_say():
    """With the teacher alone, labels that are all wrong do no harm."""
    x = random(200, 4).float()
    teacher, student = network(4, 16, 3, seed=1), network(4, 6, 3, seed=2)
    wrong = (teacher(x).argmax(-1) + 1) % 3
    teacher[1].eval()
    history = distill(
        student, teacher, minibatches(x, wrong, size=50), steps=300, weight=1.0, lr=0.02
    )
    agreement = (student(x).argmax(-1) == teacher(x).argmax(-1)).float().mean()
    assert agreement > 0.9
    assert history.losses[-1] < 0.1 * history.losses[0]
    assert (teacher.training, teacher[0].training, teacher[1].training) == (True, True, False)
    assert all(p.grad is None for p in teacher.parameters())


def test_a_student_of_other_classes_or_of_itself():
    x, y = torch.zeros(2, 4), torch.tensor([0, 1])
    with pytest.raises(ValueError, match="need the same classes"):
        distill(network(4, 3), network(4, 2), lambda step: (x, y), steps=1)
    teacher = network(4, 3)
    with pytest.raises(ValueError, match="it is the teacher itself"):
        distill(teacher, teacher, lambda step: (x, y), steps=1)


@pytest.mark.parity
@given(st.integers(0, 100), st.integers(1, 7), st.integers(1, 7), st.data())
def test_eckart_and_young(seed, o, i, data):
    rank = data.draw(st.integers(1, min(o, i)))
    weight = random(o, i, seed=seed)
    left, right = low_rank(weight, rank)
    s = torch.linalg.svdvals(weight)
    assert (left.shape, right.shape) == ((o, rank), (rank, i))
    error = weight - left @ right
    torch.testing.assert_close(error.square().sum(), s[rank:].square().sum(), atol=1e-9, rtol=0)
    following = s[rank] if rank < len(s) else s.new_zeros(())
    torch.testing.assert_close(torch.linalg.matrix_norm(error, 2), following, atol=1e-9, rtol=0)
    other = random(o, rank, seed=seed + 1) @ random(rank, i, seed=seed + 2)
    assert (weight - other).square().sum() >= error.square().sum() - 1e-9


def test_parity_with_linalg():
    weight = random(6, 9)
    u, s, vh = torch.linalg.svd(weight, full_matrices=False)
    left, right = low_rank(weight, 4)
    torch.testing.assert_close(left @ right, u[:, :4] @ torch.diag(s[:4]) @ vh[:4])


def test_full_rank_is_the_layer_itself():
    layer = network(9, 6)[0]
    x = random(5, 9).float()
    torch.testing.assert_close(low_rank(layer, 6)(x), layer(x), atol=1e-5, rtol=1e-5)


def test_a_network_in_place(tmp_path):
    model, x = network(40, 30, 20, 2), random(5, 40).float()
    plain = model(x)
    before, state = size(model).numbers, torch.get_rng_state()
    assert low_rank(model, 5, ["0", "2"]) is model
    assert torch.equal(torch.get_rng_state(), state)
    assert before - size(model).numbers == 40 * 30 - 5 * 70 + 30 * 20 - 5 * 50
    assert isinstance(model[4], nn.Linear)
    save_file(model.state_dict(), tmp_path / "a.safetensors")
    assert size(model).bytes == (tmp_path / "a.safetensors").stat().st_size
    assert model(x).shape == plain.shape
    model(x).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    ("rank", "names", "match"),
    [
        (0, None, "rank: 0 for weight of layer '0'"),
        (-1, None, "rank: -1"),
        (2.5, None, "rank: 2.5"),
        (3, None, r"rank: 3 for weight of layer '4', a matrix \(2, 4\); give an integer from 1"),
        (1, ["1"], "'1' is no layer of kind Linear; near it are"),
    ],
)
def test_a_rank_that_no_matrix_has(rank, names, match):
    model = network(6, 5, 4, 2)
    with pytest.raises(ValueError, match=match):
        low_rank(model, rank, names)
    assert isinstance(model[0], nn.Linear)


def test_matrices_that_are_none():
    with pytest.raises(ValueError, match=r"weight: shape \(2, 3, 4\); give a matrix"):
        low_rank(torch.ones(2, 3, 4), 1)
    with pytest.raises(ValueError, match="weight: 1 of 4 entries are not finite"):
        low_rank(torch.tensor([[1.0, 2.0], [3.0, float("nan")]]), 1)
