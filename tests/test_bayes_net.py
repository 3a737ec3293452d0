"""Bayesian networks against enumeration, networkx and pgmpy's tables."""

from itertools import combinations, product

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpmeta.bayes_net import BayesNet, d_separated


def all_graphs(names):
    """Every directed graph without cycles over a few names, as parents of each."""
    n = len(names)
    pairs = list(combinations(range(n), 2))
    for arrows in product((None, 0, 1), repeat=len(pairs)):
        edges = [pair[:: 1 if a == 0 else -1] for pair, a in zip(pairs, arrows) if a is not None]
        graph = nx.DiGraph(edges)
        graph.add_nodes_from(range(n))
        if nx.is_directed_acyclic_graph(graph):
            yield graph, {names[i]: tuple(names[j] for j in graph.predecessors(i)) for i in graph}


def random_net(parents, rng, size=2):
    """Tables drawn at random for a graph, parents before children."""
    graph = nx.DiGraph([(p, child) for child, own in parents.items() for p in own])
    graph.add_nodes_from(parents)
    net = BayesNet()
    for name in nx.lexicographical_topological_sort(graph):
        shape = (size,) * len(parents[name])
        net.add(name, rng.dirichlet(np.ones(size), shape), parents[name])
    return net


def dependence(joint, i, j, others):
    """Largest |p(x, y, z) p(z) - p(x, z) p(y, z)|, zero for independence given the others."""
    rest = tuple(k for k in range(joint.ndim) if k not in {i, j, *others})
    p = joint.sum(axis=rest, keepdims=True)
    x, y = p.sum(axis=j, keepdims=True), p.sum(axis=i, keepdims=True)
    return np.abs(p * p.sum(axis=(i, j), keepdims=True) - x * y).max()


@pytest.mark.parity(
    "bayes_net",
    "`d_separated`",
    "enumeration on all directed graphs of four nodes; networkx on larger ones",
    "exact",
)
def test_separation_is_independence_in_every_graph_of_four():
    """543 graphs, random tables, all pairs and conditions: both directions of the theorem."""
    rng = np.random.default_rng(0)
    graphs = [parents for _, parents in all_graphs("abcd")]
    assert len(graphs) == 543
    for parents in graphs:
        net = random_net(parents, rng)
        names, joint = list(net.parents), net.joint()
        for i, j in combinations(range(4), 2):
            rest = [k for k in range(4) if k not in {i, j}]
            for others in [(), rest[:1], rest[1:], rest]:
                separated = d_separated(parents, names[i], names[j], [names[k] for k in others])
                assert separated == (dependence(joint, i, j, others) < 1e-12)


@pytest.mark.parity
def test_equal_to_networkx_on_larger_graphs():
    rng = np.random.default_rng(0)
    for _ in range(60):
        n = 9
        edges = [(i, j) for i in range(n) for j in range(i + 1, n) if rng.random() < 0.25]
        graph = nx.DiGraph(edges)
        graph.add_nodes_from(range(n))
        parents = {str(i): tuple(str(p) for p in graph.predecessors(i)) for i in range(n)}
        for _ in range(20):
            x, y, *given = rng.permutation(n)[: rng.integers(2, 6)].tolist()
            wanted = nx.is_d_separator(graph, {x}, {y}, set(given))
            assert d_separated(parents, str(x), str(y), [str(z) for z in given]) == wanted


def test_an_ngram_model_forgets_what_lies_further_back():
    chain = {str(t): tuple(str(s) for s in range(max(0, t - 2), t)) for t in range(8)}
    assert d_separated(chain, "5", "0", given=["3", "4"])
    assert not d_separated(chain, "5", "0", given=["4"])


@given(st.integers(0, 2**32 - 1))
def test_the_joint_is_a_distribution_and_equals_the_product(seed):
    rng = np.random.default_rng(seed)
    net = random_net({"a": (), "b": ("a",), "c": ("a", "b"), "d": ("b",)}, rng, size=3)
    joint = net.joint()
    assert joint.sum() == pytest.approx(1)
    values = rng.integers(0, 3, 4)
    named = dict(zip(net.parents, values.tolist()))
    assert np.exp(net.logprob(named)) == pytest.approx(joint[tuple(values)])


def test_sampling_follows_the_joint():
    rng = np.random.default_rng(0)
    net = random_net({"a": (), "b": ("a",), "c": ("a", "b")}, rng)
    drawn = net.sample(200_000, rng)
    seen = np.zeros((2, 2, 2))
    np.add.at(seen, tuple(drawn[name] for name in net.parents), 1 / 200_000)
    np.testing.assert_allclose(seen, net.joint(), atol=0.005)


def test_an_impossible_value_has_log_probability_minus_infinity():
    net = BayesNet()
    net.add("a", [1.0, 0.0])
    assert net.logprob({"a": 1}) == -np.inf
    assert net.sample(50, np.random.default_rng(0))["a"].tolist() == [0] * 50


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", [0.5, 0.5]), "name is 'a', which the network has"),
        (("b", [0.5, 0.5], ["z"]), "name variables added before"),
        (("b", [[0.5, 0.5]] * 2, ["a", "a"]), "each once"),
        (("b", [0.5, 0.5], ["a"]), r"table has shape \(2,\); give \(2, 'size of b'\)"),
        (("b", []), "table has shape"),
        (("b", [0.5, 0.6]), "holds no distributions"),
        (("b", [1.5, -0.5]), "holds no distributions"),
        (("b", [np.nan, 0.5]), "holds no distributions"),
        (("b", [np.inf, 0.5]), "holds no distributions"),
        (("b", [[0.5, 0.5]] * 2, ["b"]), "name variables added before"),  # a cycle of one
    ],
)
def test_bad_tables(arguments, message):
    net = BayesNet()
    net.add("a", [0.5, 0.5])
    with pytest.raises(ValueError, match=message):
        net.add(*arguments)


@pytest.mark.parametrize(
    ("x", "y", "given"), [("a", "a", []), ("a", "z", []), ("a", "b", ["a"]), ("a", "b", ["z"])]
)
def test_bad_questions(x, y, given):
    with pytest.raises(ValueError, match="name different variables of the graph"):
        d_separated({"a": (), "b": ("a",)}, x, y, given)


@pytest.mark.parametrize(
    ("parents", "message"),
    [
        ({"a": ("a",), "b": ()}, "parents has the cycle a -> a; take out an arrow"),
        ({"a": ("b",), "b": ("a",)}, "parents has the cycle"),
        ({"a": (), "b": ("e",), "c": ("b",), "d": ("c",), "e": ("d",)}, "b -> c -> d -> e"),
        ({"a": (), "b": ("z",)}, r"parents\['b'\] has 'z', which is no key of parents"),
    ],
)
def test_bad_graphs(parents, message):
    with pytest.raises(ValueError, match=message):
        d_separated(parents, "a", "b")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"a": 0}, r"values\['b'\] is None; give a number from 0 to 1"),
        ({"a": 0, "b": 2}, r"values\['b'\] is 2"),
        ({"a": -1, "b": 0}, r"values\['a'\] is -1"),
        ({"a": np.nan, "b": 0}, r"values\['a'\] is nan"),
    ],
)
def test_bad_values(values, message):
    net = BayesNet()
    net.add("a", [0.5, 0.5])
    net.add("b", [[0.5, 0.5]] * 2, ["a"])
    with pytest.raises(ValueError, match=message):
        net.logprob(values)
