"""Word models against enumeration and hmmlearn, warping against the recursion written plainly."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpmeta.word_models import WordHMM, WordLoop, warped_distance

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from hmmlearn.hmm import GaussianHMM


def plainly(a: np.ndarray, b: np.ndarray) -> float:
    """Dynamic time warping, cell by cell."""
    d = np.full((len(a) + 1, len(b) + 1), np.inf)
    d[0, 0] = 0
    for i, j in itertools.product(range(1, len(a) + 1), range(1, len(b) + 1)):
        before = min(d[i - 1, j], d[i, j - 1], d[i - 1, j - 1])
        d[i, j] = np.linalg.norm(a[i - 1] - b[j - 1]) + before
    return d[-1, -1] / (len(a) + len(b))


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_warping_is_the_recursion_and_a_semimetric(n, m, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((n, 3)), rng.standard_normal((m, 3))
    assert warped_distance(a, b) == pytest.approx(plainly(a, b), abs=1e-7)
    assert warped_distance(a, b) == pytest.approx(warped_distance(b, a), abs=1e-7)
    assert warped_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_slower_is_the_same():
    a = np.random.default_rng(0).standard_normal((5, 2))
    assert warped_distance(a, np.repeat(a, 3, axis=0)) == pytest.approx(0, abs=1e-6)


@pytest.fixture
def utterances():
    rng = np.random.default_rng(0)
    levels = np.array([[0.0, 1.0], [3.0, -1.0], [-2.0, 0.5]])
    return [
        np.repeat(levels, rng.integers(2, 6, 3), axis=0) + 0 * rng.standard_normal(2)
        for _ in range(12)
    ]


def noisy(utterances):
    rng = np.random.default_rng(1)
    return [x + 0.3 * rng.standard_normal(x.shape) for x in utterances]


def twin(model: WordHMM) -> GaussianHMM:
    """The same parameters in hmmlearn, without its priors, for one step of training."""
    other = GaussianHMM(
        model.n_states, "diag", init_params="", params="mct", n_iter=1, tol=-np.inf,
        covars_prior=0.0, covars_weight=1.0, min_covar=0.0, implementation="log",
    )  # fmt: skip
    other.startprob_ = np.eye(model.n_states)[0]
    other.transmat_ = model.transition.copy()
    other.means_, other.covars_ = model.means.copy(), model.variances.copy()
    return other


@pytest.mark.parity(
    "word_models",
    "`WordHMM.score`, a step of Baum-Welch",
    "`hmmlearn.hmm.GaussianHMM`",
    "`1e-9`; `1e-4`, absolute",
)
def test_the_likelihood_and_a_step_of_training_are_those_of_hmmlearn(utterances):
    data = noisy(utterances)
    model = WordHMM(3).fit(data, iterations=2)
    other = twin(model)
    for x in data:
        assert model.score(x) == pytest.approx(other.score(x), rel=1e-9)
    longer = WordHMM(3).fit(data, iterations=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other.fit(np.concatenate(data), [len(x) for x in data])
    assert np.allclose(longer.means, other.means_, atol=1e-5)
    assert np.allclose(longer.variances, other._covars_, atol=1e-4)
    assert np.allclose(longer.transition, other.transmat_, atol=1e-5)


def test_the_score_is_the_sum_over_all_paths(utterances):
    model = WordHMM(3).fit(noisy(utterances), iterations=2)
    x = noisy(utterances)[0][:5]
    densities = model.log_densities(x)
    total = -np.inf
    with np.errstate(divide="ignore"):
        log_a = np.log(model.transition)
    for path in itertools.product(range(3), repeat=len(x)):
        if path[0] == 0:
            steps = sum(log_a[i, j] for i, j in itertools.pairwise(path))
            total = np.logaddexp(total, steps + sum(densities[s, t] for t, s in enumerate(path)))
    assert model.score(x) == pytest.approx(total)


def test_training_never_loses_likelihood(utterances):
    history = WordHMM(3).fit(noisy(utterances), iterations=8).history
    assert len(history) == 8
    assert np.all(np.diff(history) > -1e-3)


def test_a_string_of_words_is_taken_apart():
    rng = np.random.default_rng(0)

    def say(*words):
        levels = {"up": [1.0, 3.0], "down": [3.0, 1.0], "-": [0.0]}
        track = np.concatenate([np.repeat(levels[w], rng.integers(4, 8)) for w in words])
        return (track + 0.2 * rng.standard_normal(len(track)))[:, None]

    models = {w: WordHMM(2).fit([say(w) for _ in range(20)]) for w in ("up", "down")}
    loop = WordLoop(models, WordHMM(1).fit([say("-") for _ in range(20)]), penalty=5)
    for words in (["up"], ["up", "up"], ["down", "up", "down", "down"]):
        said = say("-", *itertools.chain(*zip(words, ["-"] * len(words))))
        assert loop.decode(said) == words
    assert loop.decode(say("down", "down")) == ["down", "down"]  # no silence between


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: WordHMM(0), "n_states is 0"),
        (lambda: WordHMM(2).fit([]), "sequences is empty"),
        (lambda: WordHMM(3).fit([np.zeros((2, 1))]), r"sequences\[0\] has shape \(2, 1\)"),
        (lambda: WordHMM(1).fit([np.full((2, 1), np.nan)]), "holds NaN"),
        (lambda: warped_distance(np.zeros((0, 2)), np.zeros((3, 2))), "shapes"),
        (lambda: warped_distance(np.zeros((2, 1)), np.zeros((3, 2))), "shapes"),
        (lambda: WordLoop({}, WordHMM(1)), "0 words"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
