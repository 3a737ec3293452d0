"""The CTC loss against enumeration, PyTorch and the forward-backward algorithm of chains."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from nlpmeta import lattice
from nlpmeta.ctc import Recognizer, collapse, ctc_loss, frames_needed, greedy

small = settings(max_examples=40, deadline=None)


def drawn(t: int, v: int, seed: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(t, v, generator=g, dtype=torch.float64).log_softmax(-1)


@given(st.integers(1, 6), st.integers(2, 4), st.integers(0, 10**6))
@small
def test_the_loss_sums_all_alignments(t, v, seed):
    log_probs = drawn(t, v, seed)
    by_labeling: dict[tuple, float] = {}
    for path in itertools.product(range(v), repeat=t):
        p = float(log_probs[range(t), path].sum().exp())
        key = tuple(collapse(path))
        by_labeling[key] = by_labeling.get(key, 0.0) + p
    assert sum(by_labeling.values()) == pytest.approx(1.0)
    for labeling, p in by_labeling.items():
        assert float(ctc_loss(log_probs, labeling).neg().exp()) == pytest.approx(p, rel=1e-9)


@pytest.mark.parity(
    "ctc",
    "`ctc_loss` and its gradient",
    "`torch.nn.functional.ctc_loss`",
    "`1e-9`; `1e-8`, absolute",
)
@given(st.integers(1, 30), st.integers(0, 8), st.integers(2, 6), st.integers(0, 10**6))
@small
def test_loss_and_gradient_are_those_of_pytorch(t, u, v, seed):
    rng = np.random.default_rng(seed)
    target = rng.integers(1, v, u).tolist()
    if frames_needed(target) > t:
        with pytest.raises(ValueError, match="no path fits"):
            ctc_loss(drawn(t, v, seed), target)
        return
    ours, theirs = (drawn(t, v, seed).requires_grad_() for _ in range(2))
    a = ctc_loss(ours, target)
    b = F.ctc_loss(theirs[:, None], torch.tensor([target], dtype=torch.long).reshape(1, u),
                   torch.tensor([t]), torch.tensor([u]), reduction="sum")  # fmt: skip
    assert a.item() == pytest.approx(b.item(), rel=1e-9, abs=1e-9)
    a.backward()
    # PyTorch's gradient assumes that a softmax stands before: compare behind one.
    logits = torch.randn(t, v, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    one, two = (logits.clone().requires_grad_() for _ in range(2))
    ctc_loss(one.log_softmax(-1), target).backward()
    F.ctc_loss(two.log_softmax(-1)[:, None], torch.tensor([target]).long().reshape(1, u),
               torch.tensor([t]), torch.tensor([u]), reduction="sum").backward()  # fmt: skip
    assert torch.allclose(one.grad, two.grad, atol=1e-8)


def chain(log_probs: np.ndarray, target: list[int]) -> lattice.Posteriors:
    """The states of a labeling as a chain with one state more, in which every path ends."""
    labels = [0, *itertools.chain(*([y, 0] for y in target))]
    n = len(labels)
    step = np.full((n + 1, n + 1), -np.inf)
    for s in range(n):
        step[s, s] = 0
        if s + 1 < n:
            step[s, s + 1] = 0
        if s + 2 < n and labels[s + 2] not in (0, labels[s]):
            step[s, s + 2] = 0
    step[max(0, n - 2) : n, n] = 0
    emitted = np.full((n + 1, len(log_probs) + 1), -np.inf)
    emitted[:n, :-1] = log_probs[:, labels].T
    emitted[n, -1] = 0
    start = np.full(n + 1, -np.inf)
    start[: min(2, n)] = 0
    return lattice.log_posteriors(start, step, emitted, np.arange(len(log_probs) + 2))


@pytest.mark.parametrize("target", [[1], [1, 2], [2, 2, 1], []])
def test_it_is_the_forward_algorithm_of_a_chain_and_its_gradient_the_posterior(target):
    log_probs = drawn(8, 4, 0).requires_grad_()
    loss = ctc_loss(log_probs, target)
    loss.backward()
    found = chain(log_probs.detach().numpy(), target)
    assert -found.logprobs.sum() == pytest.approx(loss.item())
    labels = [0, *itertools.chain(*([y, 0] for y in target))]
    share = np.zeros((8, 4))
    for s, label in enumerate(labels):
        share[:, label] += found.states[s, :-1]
    assert np.allclose(-log_probs.grad.numpy(), share, atol=1e-9)


def test_it_can_be_differentiated_twice():
    x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradgradcheck(
        lambda z: ctc_loss(z.log_softmax(-1), [1, 2]), x.requires_grad_()
    )


@given(st.lists(st.integers(0, 3), max_size=12))
def test_collapsing_leaves_no_blank_and_needs_no_more_frames(path):
    found = collapse(path)
    assert 0 not in found
    assert frames_needed(found) <= len(path)
    assert collapse(list(itertools.chain(*([a, 0] for a in found)))) == found


def test_the_best_path_need_not_be_the_best_labeling():
    log_probs = torch.tensor([[0.6, 0.4], [0.6, 0.4]], dtype=torch.float64).log()
    assert greedy(log_probs) == []
    assert float(ctc_loss(log_probs, []).neg().exp()) == pytest.approx(0.36)
    assert float(ctc_loss(log_probs, [1]).neg().exp()) == pytest.approx(0.64)


def test_the_network_learns_one_utterance_and_padding_does_not_reach_far():
    g = torch.Generator().manual_seed(0)
    model = Recognizer(6, 4, 16, 2, g)
    x = torch.randn(1, 40, 6, generator=g)
    stepper = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        stepper.zero_grad()
        ctc_loss(model(x)[0], [1, 3, 3]).backward()
        stepper.step()
    assert greedy(model(x)[0]) == [1, 3, 3]
    longer = torch.cat([x, torch.zeros(1, 30, 6)], dim=1)
    assert torch.allclose(model(x)[0, :10], model(longer)[0, :10], atol=1e-5)


@pytest.mark.parametrize(
    ("log_probs", "target", "message"),
    [
        (torch.zeros(3, 4), [0], "target holds 0"),
        (torch.zeros(3, 4), [4], "target holds 4"),
        (torch.zeros(2, 4), [1, 1], "3: no path fits and the loss is infinite"),
        (torch.full((3, 4), torch.nan), [1], "holds NaN"),
        (torch.zeros(0, 4), [1], "a row for each frame"),
        (torch.zeros(4), [1], "a row for each frame"),
    ],
)
def test_bad_input_is_named(log_probs, target, message):
    with pytest.raises(ValueError, match=message):
        ctc_loss(log_probs, target)


def test_a_blank_that_is_no_label_is_named():
    with pytest.raises(ValueError, match="blank is 9"):
        ctc_loss(torch.zeros(3, 4), [1], blank=9)
