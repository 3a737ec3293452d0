"""The hidden Markov model against enumeration, against hmmlearn and against hard input."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpmeta import lattice, long_chain
from nlpmeta.hmm import HMM
from nlpmeta.hmm_lm import HMMLanguageModel
from nlpmeta.information import bits_per_character

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from hmmlearn.hmm import CategoricalHMM


def random_hmm(k: int, v: int, rng: np.random.Generator, zeros: float = 0.0) -> HMM:
    """Parameters drawn at random, a share of them zero."""
    model = HMM(k, v)

    def rows(shape):
        p = rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])
        p *= rng.random(p.shape) >= zeros
        p = p.reshape(-1, shape[-1])
        p[p.sum(axis=1) == 0, 0] = 1
        return (p / p.sum(axis=1, keepdims=True)).reshape(shape)

    model.start, model.transition, model.emission = rows((k,)), rows((k, k)), rows((k, v))
    return model


def enumerated(model: HMM, x) -> tuple[list, np.ndarray]:
    """All paths and the probability of each together with x."""
    paths = list(itertools.product(range(model.n_states), repeat=len(x)))
    with np.errstate(divide="ignore"):
        return paths, np.exp([model.log_joint(x, path) for path in paths])


def hmmlearn_twin(model: HMM, iterations: int = 1, implementation: str = "log") -> CategoricalHMM:
    """The same parameters in hmmlearn, which fits from there for exactly so many steps."""
    twin = CategoricalHMM(
        model.n_states,
        n_features=model.n_symbols,
        init_params="",
        n_iter=iterations,
        tol=-np.inf,
        implementation=implementation,
    )
    twin.startprob_ = model.start.copy()
    twin.transmat_ = model.transition.copy()
    twin.emissionprob_ = model.emission.copy()
    return twin


def draw_sequences(v: int, lengths, rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.integers(0, v, size=length) for length in lengths]


models = st.builds(
    lambda k, v, seed, zeros: random_hmm(k, v, np.random.default_rng(seed), zeros),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.0, 0.3]),
)


@st.composite
def model_and_sequence(draw, longest: int = 5):
    model = draw(models)
    x = draw(st.lists(st.integers(0, model.n_symbols - 1), min_size=1, max_size=longest))
    return model, x


# --- enumeration


def test_a_case_by_hand():
    """Worked in the chapter: the best path is not made of the best states."""
    model = HMM(2, 2)
    model.start = np.array([0.6, 0.4])
    model.transition = np.array([[0.5, 0.5], [0.0, 1.0]])
    model.emission = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert model.viterbi([0, 0]).tolist() == [1, 1]
    assert model.posterior([0, 0])[0].argmax() == 0


@given(model_and_sequence())
def test_sums_and_maxima_equal_enumeration(case):
    model, x = case
    paths, p = enumerated(model, x)
    assert np.isclose(np.exp(model.score(x)), p.sum(), rtol=1e-10, atol=1e-300)
    if p.sum() == 0:
        for method in (model.viterbi, model.posterior):
            with pytest.raises(ValueError, match="probability zero"):
                method(x)
        return
    assert np.isclose(np.exp(model.log_joint(x, model.viterbi(x))), p.max(), rtol=1e-10)
    weight = p / p.sum()
    marginal = np.zeros((len(x), model.n_states))
    for path, share in zip(paths, weight):
        marginal[np.arange(len(x)), path] += share
    assert np.allclose(model.posterior(x), marginal, atol=1e-12)
    assert np.allclose(model.filter(x)[-1], marginal[-1], atol=1e-12)


@given(model_and_sequence())
def test_logarithms_and_scaling_agree(case):
    model, x = case
    layout = lattice.pack([len(x)])
    likelihood = model.emission[:, x]
    scaled = lattice.posteriors(model.start, model.transition, likelihood, layout.offsets)
    logs = lattice.log_posteriors(
        *map(lattice.log, (model.start, model.transition, likelihood)), layout.offsets
    )
    if np.isfinite(logs.logprobs).all():
        assert np.allclose(scaled.logprobs, logs.logprobs, atol=1e-10)
        assert np.allclose(scaled.states, logs.states, atol=1e-10)
        assert np.allclose(scaled.pairs, logs.pairs, atol=1e-10)
    else:
        assert np.array_equal(np.isneginf(scaled.logprobs), np.isneginf(logs.logprobs))


# --- invariants


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 60))
def test_viterbi_beats_any_sampled_path(seed, k, length):
    rng = np.random.default_rng(seed)
    model = random_hmm(k, 5, rng)
    x, _ = model.sample(length, rng)
    best = model.log_joint(x, model.viterbi(x))
    others = rng.integers(0, k, size=(20, length))
    assert all(best >= model.log_joint(x, path) - 1e-9 for path in others)
    assert best <= model.score(x) + 1e-9


@given(st.integers(0, 10**6), st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_many_sequences_are_as_one_by_one(seed, lengths):
    rng = np.random.default_rng(seed)
    model = random_hmm(3, 6, rng, zeros=0.1)
    model.emission = 0.9 * model.emission + 0.1 / 6
    model.transition, model.start = 0.9 * model.transition + 0.1 / 3, np.full(3, 1 / 3)
    sequences = draw_sequences(6, lengths, rng)
    assert np.allclose(model.score(sequences), [model.score(x) for x in sequences])
    for method in (model.posterior, model.viterbi, model.logprobs, model.filter):
        for together, x in zip(method(sequences), sequences):
            assert np.allclose(together, method(x))


def test_blocks_do_not_change_the_answer(monkeypatch):
    rng = np.random.default_rng(0)
    model = random_hmm(4, 9, rng)
    sequences = draw_sequences(9, rng.integers(1, 20, size=50), rng)
    whole = model.score(sequences), model.viterbi(sequences)
    monkeypatch.setattr("nlpmeta.sequences.BLOCK", 16 * 7)
    assert np.allclose(model.score(sequences), whole[0])
    for a, b in zip(model.viterbi(sequences), whole[1]):
        assert np.array_equal(a, b)


@given(st.integers(0, 10**6), st.integers(1, 5))
def test_posteriors_sum_to_one(seed, k):
    rng = np.random.default_rng(seed)
    model = random_hmm(k, 7, rng)
    for states in model.posterior(draw_sequences(7, [1, 40, 7], rng)):
        assert np.allclose(states.sum(axis=1), 1, atol=1e-12)
        assert (states >= 0).all()


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 4), st.sampled_from([0.0, 0.2]))
def test_em_never_lowers_the_likelihood(seed, k, zeros):
    rng = np.random.default_rng(seed)
    model = random_hmm(k, 5, rng, zeros)
    truth = random_hmm(3, 5, rng)
    sequences = [truth.sample(int(n), rng)[0] for n in rng.integers(1, 40, size=6)]
    if np.isneginf(model.score(sequences)).any() or (k > 1 and model._states_alike()):
        return
    model.fit(sequences, iterations=12, tolerance=0)
    history = [*model.history, model.score(sequences).sum()]
    assert (np.diff(history) >= -1e-9 * abs(history[0])).all()
    model._check()


def test_smoothed_em_never_lowers_the_penalized_likelihood():
    rng = np.random.default_rng(0)
    sequences = draw_sequences(6, [30, 40], rng)
    model, found = random_hmm(3, 6, rng), []
    for _ in range(15):
        arrays = (model.start, model.transition, model.emission)
        found.append(model.score(sequences).sum() + 0.5 * sum(np.log(a).sum() for a in arrays))
        model.fit(sequences, iterations=1, smoothing=0.5)
    assert (np.diff(found) >= -1e-9).all()


def test_restarts_keep_the_best_run():
    rng = np.random.default_rng(3)
    truth = random_hmm(3, 8, rng)
    sequences = [truth.sample(60, rng)[0] for _ in range(5)]
    generator = np.random.default_rng(7)
    single = [HMM(3, 8).fit(sequences, generator, iterations=15).history[-1] for _ in range(6)]
    best = HMM(3, 8).fit(sequences, np.random.default_rng(7), restarts=6, iterations=15)
    assert best.history[-1] == pytest.approx(max(single), rel=1e-12)
    assert len(set(single)) > 1


def test_baum_welch_finds_hidden_structure():
    """Vowels and consonants of a made-up language are told apart without a label."""
    rng = np.random.default_rng(0)
    truth = HMM(2, 6)
    truth.transition = np.array([[0.1, 0.9], [0.8, 0.2]])
    truth.emission = np.array([[0.5, 0.3, 0.2, 0, 0, 0], [0, 0, 0, 0.4, 0.4, 0.2]])
    x, z = truth.sample(3000, rng)
    model = HMM(2, 6).fit(x, rng, restarts=3, iterations=60)
    same = (model.viterbi(x) == z).mean()
    assert max(same, 1 - same) > 0.99


def test_samples_follow_the_model():
    rng = np.random.default_rng(0)
    model = random_hmm(3, 4, rng)
    x, z = model.sample(60_000, rng)
    fitted = HMM(3, 4).fit_supervised([x], [z])
    assert np.allclose(fitted.transition, model.transition, atol=0.02)
    assert np.allclose(fitted.emission, model.emission, atol=0.02)


# --- parity with hmmlearn


@pytest.mark.parity(
    "hmm",
    "`score`, `viterbi`, `posterior`, Baum-Welch step by step",
    "`hmmlearn.hmm.CategoricalHMM`",
    "`1e-8`, absolute; the same paths",
)
@pytest.mark.parametrize("implementation", ["log", "scaling"])
@pytest.mark.parametrize(("k", "v"), [(1, 3), (2, 2), (5, 20), (12, 50)])
def test_scores_paths_and_posteriors_equal_hmmlearn(k, v, implementation):
    rng = np.random.default_rng(k)
    model = random_hmm(k, v, rng)
    twin = hmmlearn_twin(model, implementation=implementation)
    lengths = rng.integers(1, 80, size=40)
    sequences = draw_sequences(v, lengths, rng)
    for x, path, states, score in zip(
        sequences, model.viterbi(sequences), model.posterior(sequences), model.score(sequences)
    ):
        best, theirs = twin.decode(x[:, None])
        assert abs(score - twin.score(x[:, None])) < 1e-8
        assert abs(model.log_joint(x, path) - best) < 1e-8
        assert np.array_equal(path, theirs)
        assert np.allclose(states, twin.predict_proba(x[:, None]), atol=1e-8)


@pytest.mark.parity
def test_baum_welch_equals_hmmlearn_step_by_step():
    rng = np.random.default_rng(0)
    lengths = [3, 50, 1, 17, 29]
    sequences = draw_sequences(7, lengths, rng)
    flat = np.concatenate(sequences)[:, None]
    model = random_hmm(4, 7, rng)
    begin = model.start, model.transition, model.emission
    for steps in range(1, 9):
        model.start, model.transition, model.emission = begin
        twin = hmmlearn_twin(model, steps).fit(flat, lengths)
        model.fit(sequences, iterations=steps, tolerance=-np.inf)
        assert len(model.history) == steps
        assert np.allclose(model.history, list(twin.monitor_.history), atol=1e-8)
        assert np.allclose(model.start, twin.startprob_, atol=1e-8)
        assert np.allclose(model.transition, twin.transmat_, atol=1e-8)
        assert np.allclose(model.emission, twin.emissionprob_, atol=1e-8)


# --- one long chain, cut into pieces


@settings(max_examples=100)
@given(
    st.integers(0, 10**6),
    st.integers(1, 5),
    st.integers(2, 80),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from([1.0, 1e-3, 1e-30]),
)
def test_a_long_chain_in_pieces_is_the_same(seed, k, length, zeros, small):
    """Any chain may be cut, so short ones are here; zeros among start and emissions."""
    rng = np.random.default_rng(seed)
    model = random_hmm(k, 4, rng, zeros)
    transition = rng.dirichlet(np.ones(k), size=k) + small * 1e-3
    transition /= transition.sum(axis=1, keepdims=True)
    likelihood = model.emission[:, rng.integers(0, 4, size=length)]
    likelihood = likelihood * small ** rng.integers(0, 2, size=likelihood.shape)
    offsets = np.arange(length + 1)
    given = model.start, transition, likelihood, offsets
    shortest, long_chain.SHORTEST = long_chain.SHORTEST, 1
    try:
        alpha, logprobs = long_chain.filtered(*given)
        found = long_chain.posteriors(*given)
    finally:
        long_chain.SHORTEST = shortest
    whole_alpha, whole_logprobs = lattice.filtered(*given)
    whole = lattice.posteriors(*given)
    if np.isneginf(whole_logprobs).any():
        assert np.array_equal(np.isneginf(logprobs), np.isneginf(whole_logprobs))
        assert np.isneginf(found.logprobs).any()
        return
    assert np.allclose(alpha, whole_alpha, atol=1e-9)
    assert np.allclose(logprobs, whole_logprobs, rtol=1e-9, atol=1e-9)
    assert np.allclose(found.states, whole.states, atol=1e-9)
    assert np.allclose(found.pairs, whole.pairs, atol=1e-9)


def test_long_and_short_sequences_together():
    rng = np.random.default_rng(0)
    model = random_hmm(3, 6, rng)
    sequences = draw_sequences(6, [10, 5000, 1, 2500, 300], rng)
    for states, x in zip(model.posterior(sequences), sequences):
        assert np.allclose(states, model.posterior(x), atol=1e-12)
    twin = hmmlearn_twin(model, 3).fit(
        np.concatenate(sequences)[:, None], list(map(len, sequences))
    )
    model.fit(sequences, iterations=3, tolerance=-np.inf)
    assert np.allclose(model.transition, twin.transmat_, atol=1e-8)
    assert np.allclose(model.emission, twin.emissionprob_, atol=1e-8)


# --- hard input: long, improbable, impossible


def test_nothing_underflows_on_a_hundred_thousand_symbols():
    rng = np.random.default_rng(0)
    model = random_hmm(3, 30, rng)
    x, _ = model.sample(100_000, rng)
    score = model.score(x)
    twin = hmmlearn_twin(model, implementation="scaling")
    assert np.isfinite(score)
    assert abs(score - twin.score(x[:, None])) < 1e-8 * abs(score)
    assert np.allclose(model.posterior(x), twin.predict_proba(x[:, None]), atol=1e-8)
    assert np.array_equal(model.viterbi(x), twin.decode(x[:, None])[1])


def two_islands() -> HMM:
    """Two states that never meet: a state out of favor for long may come back in the end."""
    model = HMM(2, 2)
    model.transition = np.eye(2)
    model.emission = np.array([[0.9, 0.1], [0.1, 0.9]])
    return model


def test_a_state_out_of_favor_is_not_forgotten():
    """Scaling alone would round the second state to zero after four hundred symbols."""
    model, x = two_islands(), np.repeat([0, 1], [1000, 3000])
    one = np.log(0.5) + 1000 * np.log(0.1) + 3000 * np.log(0.9)
    other = np.log(0.5) + 1000 * np.log(0.9) + 3000 * np.log(0.1)
    assert model.score(x) == pytest.approx(np.logaddexp(one, other), rel=1e-12)
    assert np.allclose(model.posterior(x), [[0, 1]])
    assert (model.viterbi(x) == 1).all()
    model.start = np.array([1.0, 0.0])  # now it cannot come back
    assert model.score(x) == pytest.approx(other - np.log(0.5), rel=1e-12)
    assert np.allclose(model.posterior(x), [[1, 0]])
    model.fit([x], iterations=2)
    assert np.allclose(model.transition, np.eye(2))


def test_tiny_probabilities_do_not_vanish():
    model = two_islands()
    model.emission = np.array([[1 - 1e-300, 1e-300], [1.0, 0.0]])
    x = [0, 1, 1, 1]
    assert model.score(x) == pytest.approx(np.log(0.5) + 3 * np.log(1e-300))
    assert np.allclose(model.posterior(x), [[1, 0]] * 4)


def test_an_impossible_sequence():
    model = two_islands()
    model.emission = np.eye(2)
    assert np.isneginf(model.score([0, 1]))
    assert np.array_equal(np.isneginf(model.score([[0, 0], [0, 1]])), [False, True])
    for method in (model.viterbi, model.posterior, model.fit):
        with pytest.raises(ValueError, match=r"probability zero under the model; see which"):
            method([[0, 0], [0, 1]])


def test_a_state_never_visited_keeps_its_rows():
    model = random_hmm(3, 4, np.random.default_rng(0))
    model.start = np.array([0.5, 0.5, 0.0])
    model.transition = np.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])
    before = model.transition[2].copy(), model.emission[2].copy()
    model.fit([[0, 1, 2, 3, 1, 0]], iterations=3)
    assert np.array_equal(model.transition[2], before[0])
    assert np.array_equal(model.emission[2], before[1])


def test_counting():
    model = HMM(3, 3).fit_supervised([[0, 1, 1], [2, 0]], [[0, 1, 1], [0, 0]])
    assert np.allclose(model.start, [1, 0, 0])
    assert np.allclose(model.transition, [[1 / 2, 1 / 2, 0], [0, 1, 0], [1 / 3, 1 / 3, 1 / 3]])
    assert np.allclose(model.emission, [[2 / 3, 0, 1 / 3], [0, 1, 0], [1 / 3, 1 / 3, 1 / 3]])
    smooth = HMM(3, 3).fit_supervised([[0, 1, 1]], [[0, 1, 1]], smoothing=1)
    assert np.allclose(smooth.start, [2 / 4, 1 / 4, 1 / 4])
    assert np.allclose(smooth.emission[1], [1 / 5, 3 / 5, 1 / 5])


# --- bad input


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([], "sequences is empty"),
        ([[0], []], r"sequences\[1\] is empty"),
        ([0, 3], "sequences holds 3; it must be from 0 to 1"),
        ([0, -1], "sequences holds -1"),
        ([0, float("nan")], "sequences holds .*nan; give integers from 0 to 1"),
        ([0, float("inf")], "sequences holds .*inf; give integers from 0 to 1"),
        ([0.5, 1.0], "sequences holds 0.5; give integers"),
        (["a", "b"], "sequences holds 'a'; give integers"),
        ("ab", "sequences is 'ab'; give a sequence of integers"),
        (3, "sequences is 3; give a sequence of integers"),
        ([[0, 1], [[0, 1]]], r"sequences\[1\] is of shape \(1, 2\)"),
    ],
)
def test_bad_sequences(sequences, message):
    for method in ("score", "viterbi", "posterior", "filter", "logprobs"):
        with pytest.raises(ValueError, match=message):
            getattr(HMM(2, 2), method)(sequences)
    with pytest.raises(ValueError, match=message):
        HMM(2, 2).fit(sequences, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("start", [0.5, 0.4], "start sums to 0.9, not 1"),
        ("start", [0.5, np.nan], "start holds nan"),
        ("transition", [[1, 0], [2, -1]], "transition holds -1"),
        ("transition", [[1, 0], [0.3, 0.3]], r"transition\[1\] sums to 0.6"),
        ("emission", [[np.inf, 0], [1, 0]], "emission holds inf"),
        ("emission", [[1, 0]], r"emission has shape \(1, 2\); it must have \(2, 2\)"),
    ],
)
def test_bad_parameters(name, value, message):
    model = HMM(2, 2)
    setattr(model, name, np.array(value, dtype=float))
    with pytest.raises(ValueError, match=message):
        model.score([0, 1])


@pytest.mark.parametrize(
    ("sequences", "states", "message"),
    [
        ([[0, 1]], [[0]], r"states\[0\] has 1 states for 2 symbols"),
        ([[0], [0, 1]], [[0], [0, 1, 1]], r"states\[1\] has 3 states for 2 symbols"),
        ([[0]], [[0], [1]], "there are 1 sequences and 2 paths"),
        ([[0]], [[2]], "states holds 2; it must be from 0 to 1"),
        ([[5]], [[1]], "sequences holds 5"),
        ([], [], "sequences is empty"),
        ([[]], [[]], r"sequences\[0\] is empty"),
    ],
)
def test_bad_labels(sequences, states, message):
    with pytest.raises(ValueError, match=message):
        HMM(2, 2).fit_supervised(sequences, states)


@pytest.mark.parametrize("arguments", [(0, 2), (2, 0), (2.5, 2), ("2", 2)])
def test_bad_sizes(arguments):
    with pytest.raises(ValueError, match=r"n_(states|symbols) is .*; give an integer"):
        HMM(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"restarts": 0}, "restarts is 0"),
        ({"iterations": 0}, "iterations 0"),
        ({"restarts": 2}, "restarts is 2 without rng"),
        ({"smoothing": -1.0}, "smoothing is -1.0"),
        ({"smoothing": float("nan")}, "smoothing is nan"),
        ({}, "the states do not differ"),
    ],
)
def test_bad_fits(arguments, message):
    with pytest.raises(ValueError, match=message):
        HMM(2, 2).fit([0, 1, 0], **arguments)


def test_a_path_of_another_length():
    with pytest.raises(ValueError, match="has 1 states for 2 symbols"):
        HMM(2, 2).log_joint([0, 1], [0])
    with pytest.raises(ValueError, match="length is 0"):
        HMM(2, 2).sample(0, np.random.default_rng(0))


# --- the language model


TEXT = "the state must carry all that the model knows of the past. " * 20


@pytest.fixture(scope="module")
def language_model() -> HMMLanguageModel:
    return HMMLanguageModel(6, iterations=25, window=100).fit(TEXT)


@given(st.text(alphabet="the stmodl.X", max_size=12))
def test_next_distributions_sum_to_one(language_model, context):
    logprobs = language_model.next_logprobs(context)
    assert logprobs.shape == (len(language_model.vocabulary),)
    assert np.isclose(np.exp(logprobs).sum(), 1)


@given(st.text(alphabet="the stX", min_size=1, max_size=12))
def test_logprobs_are_those_of_the_next_distribution(language_model, text):
    index = {token: i for i, token in enumerate(language_model.vocabulary)}
    stepwise = [
        language_model.next_logprobs(text[:t])[index.get(token, index["<unk>"])]
        for t, token in enumerate(text)
    ]
    assert np.allclose(language_model.logprobs(text), stepwise)


def test_the_language_model_learns(language_model):
    few = HMMLanguageModel(1, iterations=5).fit(TEXT)
    assert bits_per_character(language_model, TEXT) < bits_per_character(few, TEXT) - 0.5
    assert language_model.n_parameters == 6 + 36 + 6 * len(language_model.vocabulary)
    assert language_model.logprobs("").shape == (0,)
    again = HMMLanguageModel(6, iterations=25, window=100).fit(TEXT)
    assert np.array_equal(again.hmm.emission, language_model.hmm.emission)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HMMLanguageModel(2).fit(""), "tokens is empty"),
        (lambda: HMMLanguageModel(2, smoothing=0.0), "smoothing is 0.0"),
        (lambda: HMMLanguageModel(2, window=0), "window is 0"),
    ],
)
def test_bad_language_models(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_another_start_tells_states_with_equal_rows_apart():
    model = HMM(2, 2)
    model.start = np.array([0.9, 0.1])
    model.transition = model.emission = np.full((2, 2), 0.5)
    model.fit([0, 1, 1], iterations=1)
    assert np.allclose(model.emission, [[9 / 19, 10 / 19], [1 / 11, 10 / 11]])
