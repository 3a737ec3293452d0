"""The language of known entropy."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpmeta.metrics import bits_per_character, entropy
from nlpmeta.synthetic import MarkovSource


def random_source(seed: int, v: int = 3, order: int = 2) -> MarkovSource:
    rng = np.random.default_rng(seed)
    return MarkovSource(rng.dirichlet(np.ones(v), (v,) * order), "abcdef"[:v])


def test_two_states_by_hand():
    """pi = (b, a) / (a + b) for a chain that leaves its states with probabilities a and b."""
    a, b = 0.1, 0.4
    source = MarkovSource([[1 - a, a], [b, 1 - b]], "xy")
    assert source.stationary == pytest.approx([b / (a + b), a / (a + b)])
    rate = (b * entropy([a, 1 - a]) + a * entropy([b, 1 - b])) / (a + b)
    assert source.entropy_rate == pytest.approx(rate)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.integers(2, 4), st.integers(1, 3))
def test_stationarity_and_order_of_entropies(seed, v, order):
    source = random_source(seed, v, order)
    moved = (source.stationary[..., None] * source.transition).sum(axis=0)
    assert source.stationary.sum() == pytest.approx(1)
    np.testing.assert_allclose(moved, source.stationary, atol=1e-12)
    ladder = [source.conditional_entropy(k) for k in range(order + 2)]
    assert all(high >= low - 1e-12 for high, low in itertools.pairwise(ladder))
    assert ladder[order] == ladder[order + 1] == source.entropy_rate
    assert ladder[0] <= np.log(v) + 1e-12


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99), st.integers(1, 4))
def test_probabilities_of_all_strings_sum_to_one(seed, length):
    source = random_source(seed)
    total = sum(
        np.exp(source.logprobs(string).sum()) for string in itertools.product("abc", repeat=length)
    )
    assert total == pytest.approx(1)


@pytest.mark.parity(
    "synthetic",
    "`MarkovSource.entropy_rate`",
    "block entropies by enumeration of all strings",
    "`1e-6`",
)
def test_block_entropies_grow_by_the_rate():
    """H(X_1..X_n) by enumeration: each character past the order adds exactly the rate."""
    source = random_source(1)

    def block(n):
        logs = [source.logprobs(s).sum() for s in itertools.product("abc", repeat=n)]
        return -np.sum(np.exp(logs) * logs)

    assert block(5) - block(4) == pytest.approx(source.entropy_rate)
    assert block(2) - block(1) == pytest.approx(source.conditional_entropy(1))


def test_next_logprobs_agree_with_logprobs():
    source = random_source(2)
    written = source.sample(50, np.random.default_rng(0))
    steps = [source.next_logprobs(written[:t])["abc".index(c)] for t, c in enumerate(written)]
    np.testing.assert_allclose(source.logprobs(written), steps)
    np.testing.assert_allclose(np.exp(source.next_logprobs("ab")).sum(), 1)


@pytest.mark.parity(
    "synthetic",
    "`MarkovSource.logprobs`",
    "entropy of a long sample against the exact rate, in bits",
    "`0.01`, absolute",
)
def test_sample_matches_its_law_and_its_entropy():
    source = random_source(3)
    sample = source.sample(100_000, np.random.default_rng(0))
    ids = np.array(["abc".index(c) for c in sample])
    seen = np.zeros((3, 3, 3))
    np.add.at(seen, (ids[:-2], ids[1:-1], ids[2:]), 1)
    np.testing.assert_allclose(
        seen / seen.sum(axis=-1, keepdims=True), source.transition, atol=0.02
    )
    bits = bits_per_character(source.fit(list(sample)), sample)
    assert bits == pytest.approx(source.entropy_rate / np.log(2), abs=0.01)
    assert source.sample(100, np.random.default_rng(0)) == sample[:100]
    assert source.sample(1, np.random.default_rng(0)) == sample[:1]
    assert source.sample(0, np.random.default_rng(0)) == ""


def test_periodic_and_transient_chains_are_fine():
    assert MarkovSource([[0, 1], [1, 0]], "xy").stationary == pytest.approx([0.5, 0.5])
    absorbed = MarkovSource([[0.5, 0.5], [0, 1]], "xy")
    assert absorbed.stationary == pytest.approx([0, 1])
    assert absorbed.entropy_rate == pytest.approx(0)


def test_from_text_counts_transitions():
    source = MarkovSource.from_text("Aab, a!", order=1, alphabet=" ab")
    # "aab a": a-a, a-b, b-space, space-a, plus one each
    assert source.transition[1] == pytest.approx(np.array([1, 2, 2]) / 5)
    assert source.transition[2] == pytest.approx(np.array([2, 1, 1]) / 4)


@pytest.mark.parametrize(
    ("transition", "alphabet", "message"),
    [
        ([[1.0]], "a", "two or more distinct"),
        ([[0.5, 0.5], [0.5, 0.5]], "aa", "two or more distinct"),
        ([0.5, 0.5], "ab", "transition has shape"),
        ([[0.5, 0.5]], "ab", "transition has shape"),
        ([[0.5, 0.6], [0.5, 0.5]], "ab", "no distribution"),
        ([[1.5, -0.5], [0.5, 0.5]], "ab", "no distribution"),
        ([[np.nan, 0.5], [0.5, 0.5]], "ab", "no distribution"),
        (np.eye(2), "ab", "cannot be left"),
        (np.ones((20,) * 4) / 20, "abcdefghijklmnopqrst", "8000 contexts"),
    ],
)
def test_bad_sources(transition, alphabet, message):
    with pytest.raises(ValueError, match=message):
        MarkovSource(transition, alphabet)


def test_bad_use():
    source = random_source(0)
    with pytest.raises(ValueError, match="tokens holds 'z'"):
        source.logprobs("abz")
    with pytest.raises(ValueError, match="n is -1"):
        source.sample(-1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="context is -1"):
        source.conditional_entropy(-1)
    with pytest.raises(ValueError, match="usable characters"):
        MarkovSource.from_text("42", order=1)
    with pytest.raises(ValueError, match="needs a space"):
        MarkovSource.from_text("ab", order=1, alphabet="ab")
