"""What many generators draw side by side is what each of NumPy's draws alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpmeta.streams import Streams

words = st.integers(0, 2**32 - 1)


@pytest.mark.parity(
    "streams, episodes",
    "`Streams`",
    "`numpy.random.default_rng`",
    "equal",
)
@given(
    words,
    st.lists(words, min_size=1, max_size=4),
    st.integers(1, 5),
    st.lists(st.integers(1, 40), min_size=4, max_size=4),
    st.integers(1, 12),
)
def test_each_stream_draws_what_its_generator_draws(seed, indices, high, counts, n):
    counts = np.array(counts[: len(indices)])
    sizes = n + np.arange(3 * len(indices)).reshape(-1, 3) ** 3 % 50
    streams = Streams(seed, np.array(indices))
    first, orders = streams.integers(high), streams.permutations(counts)
    chosen = [streams.choices(sizes, n), streams.choices(sizes + 1000, n)]
    for i, index in enumerate(indices):
        rng = np.random.default_rng([seed, index])
        assert first[i] == rng.integers(high)
        assert orders[i, : counts[i]].tolist() == rng.permutation(counts[i]).tolist()
        for own, below in zip(chosen, (sizes, sizes + 1000)):
            for c in range(3):
                assert own[i, c].tolist() == rng.choice(below[i, c], n, replace=False).tolist()


def test_long_draws_go_on_where_short_ones_end():
    streams = Streams(1, np.arange(3))
    orders, chosen = (
        streams.permutations(np.array([300, 2, 150])),
        streams.choices(np.full((3, 2), 400), 150),
    )
    for i, count in enumerate((300, 2, 150)):
        rng = np.random.default_rng([1, i])
        assert orders[i, :count].tolist() == rng.permutation(count).tolist()
        for c in range(2):
            assert chosen[i, c].tolist() == rng.choice(400, 150, replace=False).tolist()


def test_what_numpy_would_draw_otherwise_is_told():
    high = 3 * 2**30  # a word in four is rejected
    streams = Streams(0, np.arange(20))
    drawn = streams.integers(high)
    alone = np.array([np.random.default_rng([0, i]).integers(high) for i in range(20)])
    assert (drawn != alone).any()
    assert not streams.exact
    for i in range(20):
        one = Streams(0, np.array([i]))
        assert (one.integers(high) == alone[i]) == one.exact
    streams = Streams(0, np.arange(2))
    streams.choices(np.full((2, 1), 10_000), 300)
    assert streams.exact
    streams.choices(np.full((2, 1), 10_001), 300)
    assert not streams.exact


@given(st.integers(1, 30), st.integers(0, 20), st.integers(0, 99))
def test_choices_differ_and_stay_below_their_size(n, more, seed):
    chosen = Streams(seed, np.arange(7)).choices(np.full((7, 2), n + more), n)
    assert chosen.min() >= 0
    assert chosen.max() < n + more
    assert all(len(set(row)) == n for row in chosen.reshape(-1, n).tolist())


@pytest.mark.parametrize(
    ("seed", "index", "named"),
    [(-1, 0, "seed is -1"), (2**32, 0, "seed is"), (0, -1, "index is -1"), (0, 2**32, "index is")],
)
def test_what_does_not_fit_in_32_bits_is_refused(seed, index, named):
    with pytest.raises(ValueError, match=named):
        Streams(seed, np.array([5, index]))
