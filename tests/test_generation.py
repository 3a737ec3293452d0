"""Repetition, variety and loops of texts: worked cases, laws, and bad input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpmeta.generation import distinct, loop, repetition

TEXTS = st.lists(st.sampled_from("abc"), min_size=3, max_size=20)


def test_repetition_by_hand():
    assert repetition("ababcab", 2) == pytest.approx(2 / 6)
    assert repetition("aaaa", 1) == pytest.approx(3 / 4)
    assert repetition("abcd") == 0


def test_distinct_by_hand():
    assert distinct(["aba", "abc"]) == pytest.approx(3 / 4)


@pytest.mark.parametrize(
    ("text", "copies", "period"),
    [
        ("", 2, 0),
        ("ab", 2, 0),
        ("xaa", 2, 1),
        ("xabab", 2, 2),
        ("xabab", 3, 0),
        ("ababab", 3, 2),
        ("ababx", 2, 0),
        ("aabaab", 2, 3),
    ],
)
def test_loop_by_hand(text, copies, period):
    assert loop(text, copies) == period


@given(TEXTS, st.integers(1, 3))
def test_repetition_is_what_one_text_lacks_in_variety(text, n):
    assert repetition(text, n) == pytest.approx(1 - distinct([text], n))
    assert 0 <= repetition(text, n) < 1


@given(TEXTS, st.integers(1, 3))
def test_names_of_tokens_do_not_matter(text, n):
    renamed = [{"a": 7, "b": (), "c": "a"}[t] for t in text]
    assert repetition(renamed, n) == repetition(text, n)
    assert loop(renamed) == loop(text)


@given(st.lists(TEXTS, min_size=1, max_size=4), st.integers(1, 3))
def test_a_copy_of_every_text_halves_the_variety(texts, n):
    assert distinct(texts + texts, n) == pytest.approx(distinct(texts, n) / 2)
    assert distinct(texts[::-1], n) == distinct(texts, n)


@given(TEXTS, st.integers(2, 4))
def test_a_text_repeated_loops_with_a_period_that_divides_it(text, copies):
    period = loop(text * copies, copies)
    assert 1 <= period <= len(text)
    end = (text * copies)[-period:]
    assert (text * copies)[-period * copies :] == end * copies


@given(TEXTS, TEXTS, st.integers(2, 3))
def test_the_loop_is_the_smallest(before, text, copies):
    whole = before + text * copies
    tried = [
        p
        for p in range(1, len(whole) // copies + 1)
        if whole[len(whole) - p * copies :] == whole[len(whole) - p :] * copies
    ]
    assert loop(whole, copies) == min(tried)


@given(st.integers(1, 3), st.data())
def test_a_rule_with_a_finite_window_loops_within_its_number_of_windows(m, data):
    """The theorem of the chapter, on every rule over two letters that hypothesis draws."""
    rule = data.draw(st.lists(st.sampled_from("ab"), min_size=2**m, max_size=2**m))
    text = "a" * m
    for _ in range(4 * 2**m):
        window = text[-m:].replace("a", "0").replace("b", "1")
        text += rule[int(window, 2)]
    assert 1 <= loop(text) <= 2**m


@pytest.mark.parametrize("n", [0, -1, 1.5, "2"])
def test_bad_n_raises(n):
    with pytest.raises(ValueError, match=r"n is .*; give an integer of at least 1"):
        repetition("abc", n)
    with pytest.raises(ValueError, match=r"n is .*; give an integer of at least 1"):
        distinct(["abc"], n)


def test_short_and_missing_texts_raise():
    with pytest.raises(ValueError, match="tokens has 3 entries, fewer than n = 4"):
        repetition("abc", 4)
    with pytest.raises(ValueError, match="tokens has 1 entries, fewer than n = 2"):
        distinct(["abc", "a"], 2)
    with pytest.raises(ValueError, match="texts is empty"):
        distinct([], 2)


@pytest.mark.parametrize("copies", [1, 0, 2.0])
def test_bad_copies_raise(copies):
    with pytest.raises(ValueError, match=r"copies is .*; give an integer of at least 2"):
        loop("abc", copies)
