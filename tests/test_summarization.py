"""TextRank: worked cases, the laws of PageRank, networkx, and bad input."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nlpmeta.summarization import lead, oracle, rank, similarity, split, textrank

GRAPHS = st.integers(1, 7).flatmap(
    lambda n: arrays(float, (n, n), elements=st.floats(0, 10).map(lambda x: round(x, 2)))
)


def test_a_chain_by_hand():
    # the ends give all they have to the middle, the middle halves: m = 0.05 + 0.85 (2 e),
    # e = 0.05 + 0.425 m
    m = (0.05 + 1.7 * 0.05) / (1 - 1.7 * 0.425)
    e = 0.05 + 0.425 * m
    assert rank([[0, 1, 0], [1, 0, 1], [0, 1, 0]]) == pytest.approx([e, m, e], abs=1e-9)


def test_similarity_by_hand():
    s = similarity(["Sort the list.", "The list is sorted."])
    assert s[0, 1] == pytest.approx(2 / (math.log(3) + math.log(4)))
    assert s[0, 0] == 0
    assert similarity(["Yes.", "Yes."]).tolist() == [[0, 0], [0, 0]]
    assert similarity(["...", "a b"]).tolist() == [[0, 0], [0, 0]]


@given(GRAPHS, st.sampled_from([0.0, 0.5, 0.85]))
def test_rank_is_a_distribution_that_its_equation_leaves_alone(w, damping):
    r, n = rank(w, damping), len(w)
    assert r.sum() == pytest.approx(1)
    assert (r >= (1 - damping) / n - 1e-9).all()
    total = w.sum(1, keepdims=True)
    steps = np.where(total > 0, w / np.where(total > 0, total, 1), 1 / n)
    assert r == pytest.approx((1 - damping) / n + damping * r @ steps, abs=1e-8)


@given(GRAPHS)
def test_order_of_places_and_scale_do_not_matter(w):
    order = np.arange(len(w))[::-1]
    assert rank(w[np.ix_(order, order)]) == pytest.approx(rank(w)[order], abs=1e-8)
    assert rank(3 * w) == pytest.approx(rank(w), abs=1e-8)


@pytest.mark.parity("summarization", "`rank`", "networkx, `pagerank`", "`1e-7`")
@pytest.mark.parametrize("seed", range(5))
def test_rank_is_that_of_networkx(seed):
    rng = np.random.default_rng(seed)
    w = rng.integers(0, 4, (6, 6)) * rng.random((6, 6))
    if seed == 0:
        w[2] = 0  # a place without edges
    graph = nx.from_numpy_array(w, create_using=nx.DiGraph)
    theirs = nx.pagerank(graph, alpha=0.85, tol=1e-12, max_iter=1000)
    assert rank(w) == pytest.approx([theirs[i] for i in range(6)], abs=1e-7)


def test_choices():
    sentences = ["Names help.", "Sort the list of names.", "The list is not copied."]
    assert textrank(sentences) == sentences[1]
    assert textrank(["One.", "Two."]) == "One."  # no edge: the first of equals
    assert lead(sentences) == sentences[0]
    assert oracle(sentences, len) == sentences[1]
    assert split("See e.g. sort. Done.") == ["See e.g. sort.", "Done."]


@pytest.mark.parametrize("function", [similarity, lead, textrank, lambda s: oracle(s, len)])
@pytest.mark.parametrize("sentences", [[], "One."])
def test_sentences_are_a_list(function, sentences):
    with pytest.raises(ValueError, match="sentences"):
        function(sentences)


def test_bad_input():
    with pytest.raises(ValueError, match="text"):
        split("  ")
    for weights in ([], [[1, 2]], [[-1.0]], [[np.nan]], [[np.inf]]):
        with pytest.raises(ValueError, match="weights"):
            rank(weights)
    for damping in (1.0, -0.1, np.nan):
        with pytest.raises(ValueError, match="damping"):
            rank([[1.0]], damping)
    with pytest.raises(ValueError, match="max_iter"):
        rank([[0, 1, 0], [1, 0, 1], [0, 1, 0]], max_iter=1)
