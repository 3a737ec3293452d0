"""Factor graphs: messages against elimination, enumeration and pgmpy; sampling; bad input."""

from __future__ import annotations

import itertools
import logging
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpmeta import factor_graph, networks
from nlpmeta.elimination import LARGEST
from nlpmeta.factor_graph import FactorGraph, gibbs
from nlpmeta.message_passing import logsumexp, walk

NETWORKS = (networks.asia, networks.burglary, networks.student, networks.misconception)
SCHEDULES = ("flooding", "sequential")


def weights(rng: np.random.Generator, shape: tuple[int, ...], zeros: float) -> np.ndarray:
    """Weights over six orders of magnitude; some are zero, never all along an axis."""
    table = 10 ** rng.uniform(-3, 3, shape)
    drop = rng.random(shape) < zeros
    drop[(0,) * len(shape)] = False
    return np.where(drop, 0.0, table)


def random_tree(seed: int, zeros: float = 0.0, n: int | None = None) -> FactorGraph:
    """A forest with factors over one to three variables of one to four values.

    The first entry of every table is positive, so that not everything is impossible.
    """
    rng = np.random.default_rng(seed)
    n = n or int(rng.integers(1, 8))
    sizes = {f"v{i}": int(rng.integers(1, 5)) for i in range(n)}
    graph = FactorGraph(sizes)
    names = list(sizes)
    used = 1
    while used < n:
        k = int(min(rng.integers(1, 3), n - used))
        fresh, used = names[used : used + k], used + k
        old = [names[rng.integers(used - k)]] if rng.random() < 0.85 else []
        scope = list(rng.permutation(old + fresh))
        graph.add_factor(scope, weights(rng, tuple(sizes[v] for v in scope), zeros))
    for v in names:
        if rng.random() < 0.5:
            graph.add_factor([v], weights(rng, (sizes[v],), zeros))
    return graph


def grid(rows: int, columns: int, coupling: float, rng: np.random.Generator) -> FactorGraph:
    """Binary variables on a grid with random fields and couplings."""
    graph = FactorGraph()
    for cell in itertools.product(range(rows), range(columns)):
        graph.add_factor([cell], [0.0, rng.normal()], log=True)
    for r, c in itertools.product(range(rows), range(columns)):
        for other in ((r + 1, c), (r, c + 1)):
            if other in graph.sizes:
                j = coupling * rng.normal()
                graph.add_factor([(r, c), other], [[j, -j], [-j, j]], log=True)
    return graph


def by_hand(graph: FactorGraph) -> tuple[dict, float, float]:
    """Marginals, log Z and the highest log-weight by going through all assignments."""
    names = graph.variables
    sums = {v: np.zeros(size) for v, size in graph.sizes.items()}
    highest = 0.0
    for values in itertools.product(*map(range, graph.sizes.values())):
        weight = math.exp(graph.log_score(dict(zip(names, values))))
        highest = max(highest, weight)
        for v, value in zip(names, values):
            sums[v][value] += weight
    z = sum(next(iter(sums.values())))
    return {v: s / z for v, s in sums.items()}, math.log(z), math.log(highest)


def assert_close(ours: dict, theirs: dict, atol: float = 1e-10) -> None:
    assert list(ours) == list(theirs)
    for v in ours:
        np.testing.assert_allclose(ours[v], theirs[v], rtol=0, atol=atol)


# --- trees -----------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3]))
def test_on_forests_messages_equal_enumeration(seed, zeros):
    graph = random_tree(seed, zeros)
    truth, log_z, highest = by_hand(graph)
    found = graph.sum_product()
    assert found.converged
    assert found.sweeps == 1
    assert_close(found.marginals, truth)
    assert found.log_z == pytest.approx(log_z, abs=1e-9)
    for method in ("elimination", "enumeration"):
        exact = graph.exact(method=method)
        assert_close(exact.marginals, truth)
        assert exact.log_z == pytest.approx(log_z, abs=1e-9)
        assert exact.log_score == pytest.approx(highest, abs=1e-9)
        assert graph.log_score(exact.assignment) == exact.log_score
    best = graph.max_product()
    assert best.log_score == pytest.approx(highest, abs=1e-9)
    assert best.log_score == graph.log_score(best.assignment)


@given(st.integers(0, 10_000), st.sampled_from(SCHEDULES), st.sampled_from([0.0, 0.5]))
def test_on_forests_every_schedule_arrives_at_the_same(seed, schedule, damping):
    graph = random_tree(seed, zeros=0.2)
    two = graph.sum_product(schedule="two-pass")
    found = graph.sum_product(schedule=schedule, damping=damping, tolerance=1e-13)
    assert found.converged
    assert_close(found.marginals, two.marginals)
    assert found.log_z == pytest.approx(two.log_z, abs=1e-8)
    best = graph.max_product(schedule=schedule, damping=damping, tolerance=1e-13)
    assert best.log_score == pytest.approx(graph.max_product().log_score, abs=1e-8)


@given(st.integers(0, 10_000))
def test_factor_beliefs_agree_with_the_marginals(seed):
    graph = random_tree(seed, zeros=0.2)
    found = graph.sum_product()
    for (scope, _), belief in zip(graph.factors, found.factors):
        for axis, v in enumerate(scope):
            others = tuple(i for i in range(len(scope)) if i != axis)
            np.testing.assert_allclose(belief.sum(axis=others), found.marginals[v], atol=1e-12)


@given(st.integers(0, 10_000))
def test_max_marginals_are_ratios_of_best_weights(seed):
    graph = random_tree(seed)
    top = graph.exact(method="enumeration").log_score
    for v, ratios in graph.max_product().max_marginals.items():
        for value, ratio in enumerate(ratios):
            constrained = graph.exact({v: value}, method="enumeration").log_score
            assert ratio == pytest.approx(math.exp(constrained - top), rel=1e-8)


def test_ties_are_broken_together():
    """Equal or unequal with equal weight on a ring cut open: value by value would mix the two."""
    graph = FactorGraph()
    differ = [[0.0, 1.0], [1.0, 0.0]]
    for pair in ("ab", "bc", "cd"):
        graph.add_factor(list(pair), differ)
    best = graph.max_product()
    assert all((ratios == 1).all() for ratios in best.max_marginals.values())
    assert best.log_score == 0.0
    graph.add_factor(["d", "a"], differ)
    assert graph.max_product().log_score == 0.0  # with a loop, thanks to the walk


# --- evidence --------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.data())
def test_evidence_is_conditioning(seed, data):
    graph = random_tree(seed)
    v = data.draw(st.sampled_from(graph.variables))
    value = data.draw(st.integers(0, graph.sizes[v] - 1))
    whole = graph.sum_product()
    part = graph.sum_product({v: value})
    assert part.log_z - whole.log_z == pytest.approx(math.log(whole.marginals[v][value]), abs=1e-8)
    assert_close(part.marginals, graph.exact({v: value}).marginals)
    assert_close(part.marginals, graph.exact({v: value}, method="enumeration").marginals)
    assert part.marginals[v][value] == 1.0
    assert graph.max_product({v: value}).assignment[v] == value
    held = graph.add_factor(
        [v], np.eye(graph.sizes[v])[value]
    ).sum_product()  # the same, as a table
    assert_close(held.marginals, part.marginals)


def test_everything_observed():
    graph = networks.student()
    seen = {"difficulty": 1, "intelligence": 0, "grade": 2, "sat": 0, "letter": 1}
    log_p = math.log(0.4 * 0.7 * 0.7 * 0.95 * 0.01)
    assert graph.sum_product(seen).log_z == pytest.approx(log_p)
    assert graph.exact(seen).log_z == pytest.approx(log_p)
    assert graph.max_product(seen).assignment == seen
    assert graph.exact(seen).assignment == seen


def test_evidence_cuts_a_loop():
    graph = networks.misconception()
    found = graph.sum_product({"alice": 0})
    assert found.sweeps == 1
    assert_close(found.marginals, graph.exact({"alice": 0}).marginals)


# --- loops -----------------------------------------------------------------------------------


@pytest.mark.parity
@given(st.integers(0, 10_000))
def test_elimination_equals_enumeration_with_loops(seed):
    graph = grid(3, 3, 1.0, np.random.default_rng(seed))
    one, two = graph.exact(), graph.exact(method="enumeration")
    assert_close(one.marginals, two.marginals)
    assert one.log_z == pytest.approx(two.log_z, abs=1e-10)
    assert one.log_score == pytest.approx(two.log_score, abs=1e-10)
    assert one.assignment == two.assignment


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_loopy_messages_are_close_where_couplings_are_weak(schedule):
    graph = grid(4, 4, 0.1, np.random.default_rng(0))
    found, exact = graph.sum_product(schedule=schedule), graph.exact()
    assert found.converged
    assert found.sweeps < 50
    assert_close(found.marginals, exact.marginals, atol=1e-3)
    assert found.log_z == pytest.approx(exact.log_z, abs=1e-3)


def test_schedules_share_their_fixed_point_and_sequential_is_faster():
    graph = grid(4, 4, 0.5, np.random.default_rng(0))
    flood, one_by_one = (graph.sum_product(schedule=s) for s in SCHEDULES)
    assert_close(flood.marginals, one_by_one.marginals, atol=1e-8)
    assert one_by_one.sweeps < flood.sweeps


def test_damping_settles_what_swings():
    """Four variables that all repel each other: flooding swings forever, damped it settles."""
    graph = FactorGraph()
    for i in range(4):
        for j in range(i):
            graph.add_factor([j, i], [[-1.0, 1.0], [1.0, -1.0]], log=True)
        graph.add_factor([i], [0.0, 0.2 * i], log=True)
    swinging = graph.sum_product(max_sweeps=500)
    damped = graph.sum_product(damping=0.5, max_sweeps=500)
    assert not swinging.converged
    assert swinging.sweeps == 500
    assert swinging.change > 0.1
    assert damped.converged
    assert damped.change <= 1e-10


def test_one_loop_gives_the_right_sign_and_too_much_confidence():
    """On a ring of attractive pairs beliefs err to the side of certainty (Weiss 2000)."""
    graph = FactorGraph()
    graph.add_factor([0], [0.4, 0.6])
    for i in range(4):
        graph.add_factor([i, (i + 1) % 4], [[3.0, 1.0], [1.0, 3.0]])
    loopy, exact = graph.sum_product(), graph.exact()
    assert loopy.converged
    for v in graph.variables:
        assert loopy.marginals[v][1] > exact.marginals[v][1] > 0.5


# --- an HMM is a chain -----------------------------------------------------------------------


def hmm(rng, k, t, n_symbols):
    start = rng.dirichlet(np.ones(k))
    transition = rng.dirichlet(np.ones(k), size=k)
    emission = rng.dirichlet(np.ones(n_symbols), size=k)
    symbols = rng.integers(n_symbols, size=t)
    graph = FactorGraph().add_factor([0], start)
    for i in range(t):
        graph.add_factor([i], emission[:, symbols[i]])
        if i:
            graph.add_factor([i - 1, i], transition)
    return start, transition, emission, symbols, graph


def test_forward_backward_is_sum_product_on_the_chain():
    start, transition, emission, symbols, graph = hmm(np.random.default_rng(0), 3, 40, 5)
    likelihood = emission[:, symbols].T  # (t, k)
    alpha, beta = np.empty((40, 3)), np.ones((40, 3))
    alpha[0] = start * likelihood[0]
    for t in range(1, 40):
        alpha[t] = alpha[t - 1] @ transition * likelihood[t]
    for t in range(38, -1, -1):
        beta[t] = transition @ (likelihood[t + 1] * beta[t + 1])
    gamma = alpha * beta / (alpha * beta).sum(axis=1, keepdims=True)
    found = graph.sum_product()
    np.testing.assert_allclose([found.marginals[t] for t in range(40)], gamma, atol=1e-12)
    assert found.log_z == pytest.approx(math.log(alpha[-1].sum()), abs=1e-10)


def test_the_hmm_of_the_package_agrees():
    hmm_module = pytest.importorskip("nlpmeta.hmm")
    start, transition, emission, symbols, graph = hmm(np.random.default_rng(1), 4, 30, 6)
    model = hmm_module.HMM(4, 6)
    model.start, model.transition, model.emission = start, transition, emission
    found, best = graph.sum_product(), graph.max_product()
    posterior = np.asarray(model.posterior(symbols)).reshape(30, 4)
    path = np.asarray(model.viterbi(symbols)).reshape(30)
    assert best.assignment == dict(enumerate(path))
    np.testing.assert_allclose([found.marginals[t] for t in range(30)], posterior, atol=1e-10)
    assert found.log_z == pytest.approx(float(np.sum(model.score(symbols))), abs=1e-9)


def test_a_long_chain_does_not_underflow():
    *_, graph = hmm(np.random.default_rng(0), 2, 5000, 50)
    found = graph.sum_product()
    assert -30_000 < found.log_z < -10_000
    assert graph.max_product().log_score < found.log_z


# --- pgmpy -----------------------------------------------------------------------------------


def peer(graph: FactorGraph):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        from pgmpy.factors.discrete import DiscreteFactor
        from pgmpy.inference import VariableElimination
        from pgmpy.models import DiscreteMarkovNetwork
    model = DiscreteMarkovNetwork()
    model.add_nodes_from(graph.variables)
    for scope, table in graph.factors:
        model.add_edges_from(itertools.combinations(scope, 2))
        model.add_factors(DiscreteFactor(list(scope), table.shape, np.exp(table)))
    return VariableElimination(model)


EVIDENCE = {
    "asia": ({}, {"asia": 1, "dyspnea": 1}, {"xray": 1}, {"smoking": 0, "xray": 1, "dyspnea": 0}),
    "burglary": ({}, {"john": 1, "mary": 1}, {"alarm": 1, "earthquake": 1}),
    "student": ({}, {"grade": 2}, {"letter": 0, "sat": 1}, {"grade": 1, "difficulty": 0}),
    "misconception": ({}, {"bob": 1}, {"alice": 0, "charles": 1}),
}


@pytest.mark.parity(
    "factor_graph",
    "marginals, on four published networks and on random trees",
    "pgmpy's variable elimination; enumeration",
    "`1e-12`, `1e-10`, absolute",
)
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.__name__)
def test_published_networks_equal_pgmpy(network):
    graph = network()
    theirs = peer(graph)
    for evidence in EVIDENCE[network.__name__]:
        ours = graph.exact(evidence)
        free = [v for v in graph.variables if v not in evidence]
        for v in free:
            factor = theirs.query([v], evidence=evidence, show_progress=False)
            factor.normalize()
            np.testing.assert_allclose(ours.marginals[v], factor.values, rtol=0, atol=1e-12)
        assignment = theirs.map_query(free, evidence=evidence, show_progress=False)
        assert graph.log_score({**assignment, **evidence}) == pytest.approx(ours.log_score)


@pytest.mark.parametrize(
    ("network", "evidence", "variable", "published"),
    [
        (networks.burglary, {"john": 1, "mary": 1}, "burglary", 0.284),  # Russell and Norvig
        # Koller and Friedman, section 3.2.1.2
        (networks.student, {}, "letter", 0.502),
        (networks.student, {"intelligence": 0}, "letter", 0.389),
        (networks.student, {"intelligence": 0, "difficulty": 0}, "letter", 0.513),
        (networks.student, {"grade": 2}, "intelligence", 0.079),
        (networks.student, {"grade": 2}, "difficulty", 0.629),
        (networks.student, {"grade": 2, "sat": 1}, "intelligence", 0.578),
        # BUGS Examples, volume 2, "Asia", exact values to two digits
        (networks.asia, {"asia": 1, "dyspnea": 1}, "bronchitis", 0.81),
        (networks.asia, {"asia": 1, "dyspnea": 1}, "either", 0.18),
        (networks.asia, {"asia": 1, "dyspnea": 1}, "lung", 0.10),
        (networks.asia, {"asia": 1, "dyspnea": 1}, "smoking", 0.63),
        (networks.asia, {"asia": 1, "dyspnea": 1}, "tuberculosis", 0.09),
        (networks.asia, {"asia": 1, "dyspnea": 1}, "xray", 0.22),
    ],
)
def test_answers_in_print(network, evidence, variable, published):
    digits = len(str(published).split(".")[1])
    found = network().exact(evidence).marginals[variable][1]
    assert found == pytest.approx(published, abs=0.51 * 10**-digits)


def test_bayesian_networks_are_normalized():
    for network in (networks.asia, networks.burglary, networks.student):
        assert network().exact().log_z == pytest.approx(0, abs=1e-12)
    assert networks.misconception().exact().log_z == pytest.approx(math.log(7_201_840))


@pytest.mark.parity
@pytest.mark.parametrize("seed", range(3))
def test_random_trees_equal_pgmpy(seed):
    graph = random_tree(seed, n=8)
    if any(not any(v in scope for scope, _ in graph.factors) for v in graph.variables):
        graph = random_tree(seed + 100, n=8)
    for v in graph.variables:  # pgmpy wants a factor for every variable
        graph.add_factor([v], np.ones(graph.sizes[v]))
    theirs = peer(graph)
    ours = graph.sum_product()
    for v in graph.variables:
        factor = theirs.query([v], show_progress=False)
        factor.normalize()
        np.testing.assert_allclose(ours.marginals[v], factor.values, rtol=0, atol=1e-10)


# --- sampling --------------------------------------------------------------------------------


@pytest.mark.parametrize("evidence", [{}, {(0, 0): 1}])
def test_gibbs_converges_to_the_exact_marginals(evidence):
    graph = grid(3, 3, 0.5, np.random.default_rng(0))
    draws = gibbs(graph, np.random.default_rng(0), 400, n_chains=100, evidence=evidence)
    assert draws.shape == (400, 100, 9)
    truth = graph.exact(evidence).marginals
    for i, v in enumerate(graph.variables):
        assert draws[100:, :, i].mean() == pytest.approx(truth[v][1], abs=0.02)


def test_gibbs_starts_from_the_model_when_parents_come_first():
    graph = networks.asia()
    draws = gibbs(graph, np.random.default_rng(0), 1, n_chains=20_000)
    truth = graph.exact().marginals
    for i, v in enumerate(graph.variables):
        assert draws[0, :, i].mean() == pytest.approx(truth[v][1], abs=0.015)


def test_gibbs_cannot_leave_its_corner():
    """Two variables that must be equal: single changes never lead from 00 to 11."""
    graph = FactorGraph().add_factor(["a", "b"], [[1.0, 0.0], [0.0, 1.0]])
    draws = gibbs(graph, np.random.default_rng(0), 100, start={"a": 1, "b": 1})
    assert (draws == 1).all()


def test_gibbs_takes_observed_values_and_is_reproducible():
    graph = networks.student()
    one, two = (
        gibbs(graph, np.random.default_rng(3), 20, n_chains=5, evidence={"grade": 2})
        for _ in range(2)
    )
    assert (one == two).all()
    assert (one[..., graph.variables.index("grade")] == 2).all()


def test_gibbs_needs_a_possible_start():
    graph = FactorGraph().add_factor(["a", "b"], np.eye(2)).add_factor(["b"], [0.0, 1.0])
    with pytest.raises(ValueError, match="start has weight zero"):
        gibbs(graph, np.random.default_rng(0), 5, n_chains=50)
    start = graph.max_product().assignment
    assert (gibbs(graph, np.random.default_rng(0), 5, start=start) == 1).all()
    with pytest.raises(ValueError, match="start"):
        gibbs(graph, np.random.default_rng(0), 5, start={"a": 0, "b": 1})
    with pytest.raises(ValueError, match="must be at least 1"):
        gibbs(graph, np.random.default_rng(0), 0)


# --- disconnected, contradictory, degenerate -------------------------------------------------


def test_components_are_independent_and_z_multiplies():
    one, two, both = networks.student(), networks.misconception(), networks.student()
    for scope, table in two.factors:
        both.add_factor(scope, table, log=True)
    for method in ("elimination", "enumeration"):
        found = both.exact(method=method)
        assert found.log_z == pytest.approx(one.exact().log_z + two.exact().log_z)
        assert_close(found.marginals, one.exact().marginals | two.exact().marginals)
    loopy = both.sum_product()
    assert loopy.log_z == pytest.approx(one.sum_product().log_z + two.sum_product().log_z)
    assert_close(
        loopy.marginals, one.sum_product().marginals | two.sum_product().marginals, atol=1e-8
    )


def test_a_variable_without_factors_is_uniform():
    graph = FactorGraph({"a": 3, "b": 2}).add_factor(["b"], [1.0, 3.0])
    for found in (graph.sum_product(), graph.exact(), graph.exact(method="enumeration")):
        np.testing.assert_allclose(found.marginals["a"], 1 / 3)
        assert found.log_z == pytest.approx(math.log(12))
    assert graph.max_product().assignment == {"a": 0, "b": 1}


def test_an_empty_graph_and_a_constant():
    graph = FactorGraph()
    assert graph.sum_product().log_z == graph.exact().log_z == 0.0
    graph.add_factor([], 5.0)
    for found in (graph.sum_product(), graph.exact(), graph.exact(method="enumeration")):
        assert found.log_z == pytest.approx(math.log(5))
    assert graph.max_product().log_score == pytest.approx(math.log(5))


def contradictions():
    equal, differ = np.eye(2), 1 - np.eye(2)
    tree = FactorGraph().add_factor(["a", "b"], equal).add_factor(["a"], [1, 0])
    tree.add_factor(["b"], [0, 1])
    apart = FactorGraph().add_factor(["a"], [1, 1]).add_factor(["b"], [0, 0])
    constant = FactorGraph().add_factor(["a"], [1, 1]).add_factor([], 0.0)
    ring = FactorGraph().add_factor(["a", "b"], equal).add_factor(["b", "c"], equal)
    ring.add_factor(["c", "a"], differ)
    return {"tree": tree, "apart": apart, "constant": constant, "ring": ring}


@pytest.mark.parametrize("name", ["tree", "apart", "constant", "ring"])
@pytest.mark.parametrize("method", ["elimination", "enumeration"])
def test_a_contradiction_is_an_error_where_inference_is_exact(name, method):
    with pytest.raises(ValueError, match="contradict"):
        contradictions()[name].exact(method=method)


@pytest.mark.parametrize("name", ["tree", "apart", "constant"])
@pytest.mark.parametrize("schedule", [None, *SCHEDULES])
def test_a_contradiction_is_an_error_on_forests(name, schedule):
    graph = contradictions()[name]
    with pytest.raises(ValueError, match="contradict"):
        graph.sum_product(schedule=schedule)
    with pytest.raises(ValueError, match="contradict"):
        graph.max_product(schedule=schedule)


def test_messages_may_miss_a_contradiction_on_a_ring_but_max_product_shows_it():
    ring = contradictions()["ring"]
    assert ring.sum_product().converged
    assert ring.max_product().log_score == -math.inf


def test_contradictory_evidence():
    graph = networks.asia()
    impossible = {"tuberculosis": 1, "either": 0}
    for ask in (graph.sum_product, graph.max_product, graph.exact):
        with pytest.raises(ValueError, match="contradict"):
            ask(impossible)


def test_weights_far_beyond_floating_point():
    graph = FactorGraph()
    for i in range(100):
        graph.add_factor([i], [-1000.0, -1001.0], log=True)
    found = graph.sum_product()
    assert found.log_z == pytest.approx(100 * (-1000 + math.log1p(math.exp(-1))))
    assert graph.exact().log_z == pytest.approx(found.log_z)
    assert graph.max_product().log_score == -100_000


@given(st.integers(0, 1000))
def test_a_scaled_factor_scales_z_only(seed):
    graph, scaled = random_tree(seed), random_tree(seed)
    scaled.add_factor([], 7.0)
    assert_close(graph.sum_product().marginals, scaled.sum_product().marginals, atol=1e-12)
    difference = scaled.sum_product().log_z - graph.sum_product().log_z
    assert difference == pytest.approx(math.log(7), abs=1e-9)


# --- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "table", "message"),
    [
        (["a", "a"], np.ones((2, 2)), "repeats"),
        (["a"], np.ones((2, 2)), "one axis"),
        (["a", "b"], np.ones(2), "one axis"),
        (["a"], np.ones(0), "one axis"),
        (["a"], [1.0, -1.0], "holds -1.0"),
        (["a"], [1.0, math.nan], "holds nan"),
        (["a"], [1.0, math.inf], "holds inf"),
        (["known"], np.ones(3), "has 2 values"),
    ],
)
def test_bad_factors(variables, table, message):
    graph = FactorGraph().add_factor(["known"], [1.0, 1.0])
    with pytest.raises(ValueError, match=message):
        graph.add_factor(variables, table)
    assert graph.variables == ("known",)
    assert len(graph.factors) == 1


def test_bad_log_tables():
    graph = FactorGraph().add_factor(["a"], [-1.0, -math.inf], log=True)
    assert graph.exact().marginals["a"].tolist() == [1.0, 0.0]
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="weights are finite"):
            graph.add_factor(["a"], [0.0, bad], log=True)


def test_a_name_as_a_string_is_one_variable():
    assert FactorGraph().add_factor("rain", [0.8, 0.2]).variables == ("rain",)


def test_unknown_variables():
    graph = FactorGraph({"a": 2})
    with pytest.raises(ValueError, match="'b' is no variable"):
        graph.add_factor(["a", "b"], np.ones((2, 2)))
    for ask in (graph.sum_product, graph.max_product, graph.exact, graph.condition):
        with pytest.raises(ValueError, match="'b' is no variable"):
            ask({"b": 0})
    with pytest.raises(ValueError, match="'b' is no variable"):
        gibbs(graph, np.random.default_rng(0), 3, evidence={"b": 0})
    with pytest.raises(ValueError, match="needs at least one"):
        FactorGraph({"a": 0})


@pytest.mark.parametrize("value", [-1, 2, 10])
def test_values_out_of_range(value):
    graph = FactorGraph({"a": 2})
    for ask in (graph.sum_product, graph.max_product, graph.exact, graph.log_score):
        with pytest.raises(ValueError, match="from 0 to 1"):
            ask({"a": value})


def test_values_of_the_wrong_type():
    with pytest.raises(TypeError):
        FactorGraph({"a": 2}).sum_product({"a": 0.5})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schedule": "random"}, "flooding"),
        ({"damping": 1.0}, "damping"),
        ({"damping": -0.1}, "damping"),
        ({"damping": math.nan}, "damping"),
        ({"max_sweeps": 0}, "max_sweeps"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"schedule": "two-pass"}, "loops"),
    ],
)
def test_bad_settings(settings, message):
    graph = networks.misconception()
    for ask in (graph.sum_product, graph.max_product):
        with pytest.raises(ValueError, match=message):
            ask(**settings)


def test_bad_method_and_incomplete_assignment():
    graph = networks.student()
    with pytest.raises(ValueError, match="'elimination' or 'enumeration'"):
        graph.exact(method="magic")
    with pytest.raises(ValueError, match="lacks 'difficulty'"):
        graph.log_score({"grade": 0})


def test_what_is_too_large_says_so():
    graph = FactorGraph(dict.fromkeys(range(26), 2))
    with pytest.raises(ValueError, match=f"{2**26:,} entries, above {LARGEST:,}"):
        graph.exact(method="enumeration")
    assert graph.exact().log_z == pytest.approx(26 * math.log(2))


def test_a_graph_is_not_changed_by_questions():
    graph = networks.asia()
    before = [table.copy() for _, table in graph.factors]
    graph.sum_product({"xray": 1})
    graph.exact()
    graph.max_product()
    gibbs(graph, np.random.default_rng(0), 2)
    for table, (_, after) in zip(before, graph.factors):
        assert (table == after).all()


def test_a_table_is_copied():
    table = np.ones(2)
    graph = FactorGraph().add_factor(["a"], table)
    table[0] = 5
    assert graph.exact().marginals["a"].tolist() == [0.5, 0.5]


# --- the parts -------------------------------------------------------------------------------


@given(st.lists(st.lists(st.floats(-800, 800), min_size=2, max_size=2), min_size=1, max_size=5))
def test_logsumexp_equals_scipy(rows):
    from scipy.special import logsumexp as theirs

    ours = logsumexp(np.array(rows), (1,))
    np.testing.assert_allclose(ours, theirs(rows, axis=1), rtol=1e-12, atol=1e-12)


def test_a_walk_reaches_every_component_and_finds_loops():
    pair = np.zeros((2, 2))
    visits = walk([((0, 1), pair), ((2, 3), pair), ((3, 4), pair), ((4, 2), pair)], 6)
    assert sorted(visit.factor for visit in visits) == [0, 1, 2, 3]
    assert [visit.factor for visit in visits if len(visit.known) > 1] == [2]


def test_public_names():
    for name in ("FactorGraph", "Marginals", "Best", "Exact", "Factor", "gibbs"):
        assert getattr(factor_graph, name).__doc__
