"""Temperature, top-k, top-p, drawing and beam search: laws, exact search, and transformers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nlpmeta.decoding import Beam, beam_search, draw, keep_top_k, keep_top_p, temper

seeds = st.integers(0, 2**32 - 1)


def logits_of(seed: int, *shape: int, scale: float = 2.0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(seeds, st.floats(0.05, 20))
def test_temperature_raises_probabilities_to_a_power(seed, temperature):
    logits = logits_of(seed, 3, 7).double()
    power = logits.softmax(-1) ** (1 / temperature)
    wanted = power / power.sum(-1, keepdim=True)
    torch.testing.assert_close(temper(logits, temperature).softmax(-1), wanted)


def test_temperature_one_changes_no_probability():
    logits = logits_of(0, 4, 9)
    torch.testing.assert_close(temper(logits, 1).softmax(-1), logits.softmax(-1))


def test_the_ends_of_the_scale():
    logits = torch.tensor([[1.0, 3.0, 3.0, -math.inf], [-2.0, 0.0, -1.0, -5.0]])
    assert temper(logits, 0).softmax(-1).tolist() == [[0, 1, 0, 0], [0, 1, 0, 0]]
    third = pytest.approx(1 / 3)
    assert temper(logits, math.inf).softmax(-1)[0].tolist() == [third, third, third, 0]
    assert temper(logits, math.inf).softmax(-1)[1].tolist() == [0.25] * 4


@pytest.mark.parametrize("temperature", [1e-320, 1e-50, 1e-5, 1e50, 1e308])
def test_extreme_temperatures_stay_numbers(temperature):
    logits = torch.tensor([1000.0, -1000.0, 0.0])
    p = temper(logits, temperature).softmax(-1)
    assert torch.isfinite(p).all()
    assert p.argmax() == 0


@pytest.mark.parametrize("temperature", [-1, -0.0001, -math.inf, math.nan])
def test_a_wrong_temperature(temperature):
    with pytest.raises(ValueError, match=r"temperature is .*greedy"):
        temper(torch.zeros(3), temperature)


@pytest.mark.parametrize(
    "logits",
    [torch.full((2, 3), -math.inf), torch.tensor([math.nan, 0.0]), torch.tensor([math.inf, 0.0]),
     torch.empty(2, 0)],
)  # fmt: skip
def test_logits_without_a_largest_value(logits):
    with pytest.raises(ValueError, match="logits need a finite largest value"):
        draw(logits, generator=torch.Generator())


@given(seeds, st.integers(1, 12))
def test_top_k_keeps_the_k_best(seed, k):
    logits = logits_of(seed, 5, 9)
    kept = keep_top_k(logits, k)
    assert ((kept > -math.inf).sum(-1) == min(k, 9)).all()
    torch.testing.assert_close(kept.sort(-1).values[:, -min(k, 9) :],
                               logits.sort(-1).values[:, -min(k, 9) :])  # fmt: skip


def test_top_k_takes_the_first_of_equals():
    assert keep_top_k(torch.zeros(4), 2).tolist() == [0, 0, -math.inf, -math.inf]


@given(seeds, st.floats(0.01, 1))
def test_top_p_keeps_the_fewest_with_enough(seed, p):
    logits = logits_of(seed, 9)
    share, kept = logits.double().softmax(-1), keep_top_p(logits, p) > -math.inf
    assert share[kept].sum() >= p - 1e-9
    if kept.sum() > 1:
        assert share[kept].sum() - share[kept].min() < p  # one fewer is too few
    if not kept.all():
        assert share[~kept].max() <= share[kept].min()


@pytest.mark.parametrize("k", [0, -1, 1.5, None])
def test_a_wrong_k(k):
    with pytest.raises(ValueError, match="top_k is"):
        keep_top_k(torch.zeros(3), k)


@pytest.mark.parametrize("p", [0, -0.1, 1.01, math.nan])
def test_a_wrong_p(p):
    with pytest.raises(ValueError, match="top_p is"):
        keep_top_p(torch.zeros(3), p)


@pytest.mark.parity(
    "decoding",
    "temperature, top-k and top-p",
    "the logits processors of `transformers`",
    "`1e-5`",
)
@given(seeds, st.floats(0.1, 3), st.integers(1, 20), st.floats(0.05, 0.999))
def test_the_same_as_transformers(seed, temperature, k, p):
    from transformers.generation.logits_process import (
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    logits = logits_of(seed, 3, 17)
    ours = keep_top_p(keep_top_k(temper(logits, temperature), k), p)
    theirs = TemperatureLogitsWarper(temperature)(None, logits.clone())
    theirs = TopPLogitsWarper(p)(None, TopKLogitsWarper(k)(None, theirs))
    torch.testing.assert_close(ours.softmax(-1), theirs.softmax(-1))


def test_drawing_follows_the_probabilities_and_the_seed():
    logits = torch.tensor([0.5, 0.3, 0.2, 0.0]).log()
    many = logits.expand(20_000, 4)
    drawn = draw(many, generator=torch.Generator().manual_seed(0))
    shares = np.bincount(drawn.numpy(), minlength=4) / 20_000
    assert np.abs(shares - [0.5, 0.3, 0.2, 0]).max() < 0.015
    assert draw(many, generator=torch.Generator().manual_seed(0)).equal(drawn)
    assert not draw(many, generator=torch.Generator().manual_seed(1)).equal(drawn)


@given(seeds)
def test_greedy_in_four_ways(seed):
    logits = logits_of(seed, 2, 3, 8)
    best = logits.argmax(-1)
    generator = torch.Generator().manual_seed(seed)
    assert draw(logits, temperature=0).equal(best)
    assert draw(logits, top_k=1, generator=generator).equal(best)
    assert draw(logits, top_p=1e-9, generator=generator).equal(best)
    assert draw(logits, 1e-30, generator=generator).equal(best)


def test_drawing_needs_a_generator_unless_greedy():
    with pytest.raises(ValueError, match="generator is missing"):
        draw(torch.zeros(3))


def chain(seed: int, v: int):
    """Log-probabilities of a random second-order chain, and the step that beam search takes."""
    p = logits_of(seed, v + 1, v + 1, v).double().log_softmax(-1)

    def step(beginnings):
        padded = torch.nn.functional.pad(beginnings, (2, 0), value=v)
        return p[padded[:, -2], padded[:, -1]]

    return step


@pytest.mark.parity
@given(seeds, st.integers(2, 3), st.integers(1, 4))
def test_a_wide_beam_is_exact(seed, v, length):
    step, found = chain(seed, v), {}
    for y in itertools.product(range(v), repeat=length):
        tokens = torch.tensor(y)[None]
        found[y] = sum(step(tokens[:, :i])[0, y[i]].item() for i in range(length))
    best = max(found, key=found.get)
    beams = beam_search(step, v ** (length - 1), length)
    assert beams[0].tokens == best
    for beam in beams:
        assert beam.logprob == pytest.approx(found[beam.tokens])
    scores = [beam.logprob for beam in beams]
    assert scores == sorted(scores, reverse=True)
    assert len({beam.tokens for beam in beams}) == len(beams)


@given(seeds, st.integers(2, 4), st.integers(1, 6))
def test_width_one_is_greedy(seed, v, length):
    step, tokens = chain(seed, v), torch.empty(1, 0, dtype=torch.int64)
    for _ in range(length):
        tokens = torch.cat([tokens, step(tokens).argmax(-1, keepdim=True)], dim=1)
    assert beam_search(step, 1, length)[0].tokens == tuple(tokens[0].tolist())


@pytest.mark.parity(
    "decoding",
    "`beam_search`, with an end symbol and without",
    "enumeration of all sequences",
    "the same best one; `1e-6`",
)
@given(seeds, st.integers(2, 3), st.integers(1, 4))
def test_with_an_end_a_wide_beam_is_exact(seed, v, length):
    step, end, found = chain(seed, v), 0, {}
    for n in range(1, length + 1):
        for y in itertools.product(range(v), repeat=n):
            if end in y[:-1] or (n < length and y[-1] != end):
                continue
            tokens = torch.tensor(y)[None]
            found[y] = sum(step(tokens[:, :i])[0, y[i]].item() for i in range(n))
    best = max(found, key=found.get)
    beam = beam_search(step, v**length, length, end=end)[0]
    assert (beam.tokens, beam.logprob) == (best, pytest.approx(found[best]))


def test_nothing_to_search():
    assert beam_search(chain(0, 2), 3, 0) == [Beam((), 0.0)]


def test_impossible_sequences_are_not_found():
    def step(beginnings):
        return torch.tensor([[0.0, -math.inf]]).expand(len(beginnings), 2)

    assert beam_search(step, 5, 3) == [Beam((0, 0, 0), 0.0)]


@pytest.mark.parametrize(("width", "length", "name"), [(0, 1, "width"), (1, -1, "length"),
                                                       (1.5, 2, "width")])  # fmt: skip
def test_wrong_numbers_for_beam_search(width, length, name):
    with pytest.raises(ValueError, match=f"{name} is"):
        beam_search(chain(0, 2), width, length)
