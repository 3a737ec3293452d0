"""Sine curves as tasks."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nlpmeta.sinusoid import SinusoidSampler, sinusoid


def test_a_curve_worked_by_hand():
    x = torch.tensor([0.0, math.pi / 2, 1.5])
    y = sinusoid(x, amplitude=2.0, phase=math.pi / 2)
    assert torch.allclose(y, torch.tensor([-2.0, 0.0, -2 * math.cos(1.5)]), atol=1e-6)


@given(st.integers(0, 100), st.integers(0, 100), st.integers(1, 5), st.integers(1, 5))
def test_a_task_lies_on_one_curve_within_the_ranges(seed, index, k_shot, n_query):
    sampler = SinusoidSampler(k_shot, n_query, seed)
    task, (amplitude, phase) = sampler.task(index), sampler.curve(index)
    assert 0.1 <= amplitude <= 5
    assert 0 <= phase <= math.pi
    assert task.support_x.shape == task.support_y.shape == (k_shot, 1)
    assert task.query_x.shape == task.query_y.shape == (n_query, 1)
    for x, y in (task[:2], task[2:]):
        assert x.abs().max() <= 5
        assert torch.allclose(y, amplitude * torch.sin(x - phase))


@given(st.integers(0, 20), st.integers(1, 5))
def test_tasks_depend_on_seed_and_number_only(first, n_tasks):
    batch = SinusoidSampler(3, 4, 0).batch(first, n_tasks)
    again = SinusoidSampler(3, 4, 0).task(first + n_tasks - 1)
    other = SinusoidSampler(3, 4, 1).task(first + n_tasks - 1)
    assert all(torch.equal(part[-1], one) for part, one in zip(batch, again))
    assert not torch.equal(again.support_x, other.support_x)


def test_numbers_that_are_too_small_are_refused():
    for arguments, name in (((0, 1, 0), "k_shot"), ((1, 0, 0), "n_query"), ((1, 1, -1), "seed")):
        with pytest.raises(ValueError, match=f"{name} is {min(arguments)}"):
            SinusoidSampler(*arguments)
    sampler = SinusoidSampler(1, 1, 0)
    with pytest.raises(ValueError, match="index is -1"):
        sampler.task(-1)
    with pytest.raises(ValueError, match="n_tasks is 0"):
        sampler.batch(0, 0)
