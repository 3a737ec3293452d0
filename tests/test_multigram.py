"""Pairs of chunks: probabilities, expectation and maximization, the best cut."""

from __future__ import annotations

import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpmeta.multigram import Multigrams

SHORT = st.text("ab", min_size=1, max_size=5)


def cuts(x: str, y: str, longest: tuple[int, int]) -> list[list[tuple[str, str]]]:
    """All ways to cut two strings into pairs of chunks, by recursion."""
    if not x:
        return [[]] if not y else []
    return [
        [(x[:m], y[:n]), *rest]
        for m, n in product(range(1, longest[0] + 1), range(longest[1] + 1))
        if m <= len(x) and n <= len(y)
        for rest in cuts(x[m:], y[n:], longest)
    ]


def test_expected_counts_are_those_of_all_cuts():
    model = Multigrams(
        {("a", "x"): 0.4, ("b", "y"): 0.3, ("ab", "xy"): 0.2, ("b", ""): 0.1}, (2, 2)
    )
    found = model.expected("ab", "xy")
    whole = 0.4 * 0.3 + 0.2
    assert found[("ab", "xy")] == pytest.approx(0.2 / whole)
    assert found[("a", "x")] == pytest.approx(0.12 / whole)
    assert ("b", "") not in found


@given(SHORT, SHORT)
def test_expected_counts_equal_enumeration(x, y):
    longest = (2, 2)
    keys = {pair for cut in cuts(x, y, longest) for pair in cut}
    p = {pair: 1 / (1 + len(pair[0]) + 2 * len(pair[1])) for pair in keys}
    weights = [math.prod(p[pair] for pair in cut) for cut in cuts(x, y, longest)]
    found = Multigrams(p, longest).expected(x, y)
    assert set(found) == keys
    for pair in keys:
        by_hand = sum(w * cut.count(pair) for w, cut in zip(weights, cuts(x, y, longest)))
        assert found[pair] == pytest.approx(by_hand / sum(weights))


def test_probabilities_sum_to_one_and_the_likelihood_never_falls():
    pairs = [("anna", "анна"), ("nina", "нина"), ("ian", "иан"), ("max", "макс")]

    def likelihood(model):
        total = 0.0
        for x, y in pairs:
            total += math.log(
                sum(math.prod(model.p.get(c, 0.0) for c in cut) for cut in cuts(x, y, (1, 2)))
            )
        return total

    models = [Multigrams.fit(pairs, (1, 2), rounds) for rounds in (1, 2, 3, 6, 12)]
    assert all(sum(m.p.values()) == pytest.approx(1) for m in models)
    values = [likelihood(m) for m in models]
    assert values == sorted(values)
    assert models[-1].translate("anna") == "анна"
    assert models[-1].translate("max") == "макс"


def test_the_best_cut_is_the_best_of_all():
    model = Multigrams.fit([("abc", "xyz"), ("ab", "xy"), ("c", "z"), ("bc", "w")], (2, 2))
    best = model.best()
    for x in ("abc", "cab", "bcbc", "aabbc"):
        parts = [
            [a for a, _ in cut]
            for cut in cuts(x, "", (2, 0))
            if all(a in best for a, _ in cut)
        ]  # fmt: skip
        most = max(sum(best[a][1] for a in part) for part in parts)
        assert sum(best[a][1] for a, _ in model.align(x)) == pytest.approx(most)


def test_what_is_unknown_stays():
    model = Multigrams.fit([("a", "x")], (1, 1))
    assert model.translate("a?a") == "x?x"


@pytest.mark.parametrize(
    ("pairs", "options", "what"),
    [
        ([("a", "x")], {"longest": (0, 1)}, "longest"),
        ([("a", "x")], {"rounds": 0}, "rounds"),
        ([("", "x")], {}, "empty"),
        ([("a", "xyz")], {"longest": (1, 2)}, "raise longest"),
        ([], {}, "raise longest"),
    ],
)
def test_bad_input_is_named(pairs, options, what):
    with pytest.raises(ValueError, match=what):
        Multigrams.fit(pairs, **options)
