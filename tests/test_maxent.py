"""Maximum entropy: the classifier against scikit-learn, iterative scaling, the language model."""

import subprocess
import sys
import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, sparse
from scipy.special import log_softmax, logsumexp
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import Lasso, LogisticRegression
from sklearn.utils.estimator_checks import check_estimator

from nlpmeta import maxent_lm
from nlpmeta.information import bits_per_character
from nlpmeta.lbfgs import minimize
from nlpmeta.loglinear import gis_step, iis_step, objective, softmax
from nlpmeta.maxent import MaxEntClassifier, MaxEntLM

SOLVERS = ("lbfgs", "gis", "iis")


def counts(seed=0, n=120, d=6, k=3):
    """Features that count something, and labels that no plane parts."""
    rng = np.random.default_rng(seed)
    x = rng.poisson(0.8, (n, d)).astype(float)
    scores = x @ rng.normal(0, 0.7, (d, k)) + rng.gumbel(size=(n, k))
    y = scores.argmax(axis=1)
    y[:k] = np.arange(k)
    return x, y


def expectations(model, x, y):
    """Mean features by class, under the model and in the data; the bias counts as a feature."""
    features = np.column_stack([x, np.ones(len(x))])
    one_hot = (np.asarray(y)[:, None] == model.classes_).astype(float)
    return features.T @ model.predict_proba(x) / len(x), features.T @ one_hot / len(x)


def summed(weights, bias, x, y, l1=0.0, l2=0.0):
    """The objective, written the long way."""
    scores = x @ weights.T + bias
    nll = (logsumexp(scores, axis=1) - scores[np.arange(len(y)), y]).sum()
    return nll + l1 * np.abs(weights).sum() + l2 / 2 * (weights**2).sum()


# --- formulas ----------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.floats(0.1, 800))
def test_softmax_is_that_of_scipy_and_does_not_overflow(seed, spread):
    scores = np.random.default_rng(seed).normal(0, spread, (5, 4))
    p, log_z = softmax(scores)
    assert np.allclose(p.sum(axis=1), 1)
    assert np.allclose(log_z, logsumexp(scores, axis=1))


@given(st.integers(0, 10_000))
def test_the_gradient_is_that_of_finite_differences(seed):
    rng = np.random.default_rng(seed)
    x, y = counts(seed, n=15, d=4)
    one_hot, l2 = np.eye(3)[y], np.array([[0.3], [0.3], [0.3], [0.0]])
    theta, step = rng.normal(size=(4, 3)), 1e-5
    _, gradient = objective(theta, x, x.T @ one_hot, l2)
    for j, k in np.ndindex(theta.shape):
        nudge = np.zeros_like(theta)
        nudge[j, k] = step
        above, below = (objective(theta + s * nudge, x, x.T @ one_hot, l2)[0] for s in (1, -1))
        assert (above - below) / (2 * step) == pytest.approx(gradient[j, k], abs=1e-5)


def test_one_round_of_scaling_where_all_examples_sum_to_the_same_is_one_algorithm():
    x = np.random.default_rng(1).multinomial(5, [0.2, 0.3, 0.5], size=40).astype(float)
    one_hot = np.eye(2)[np.random.default_rng(2).integers(0, 2, 40)]
    p, _ = softmax(x @ np.array([[0.1, 0.3], [0.0, -0.2], [0.2, 0.0]]))
    observed = x.T @ one_hot
    assert np.allclose(gis_step(observed, x.T @ p, 5.0), iis_step(sparse.csr_array(x), p, observed))


@pytest.mark.parity(
    "lbfgs",
    "`minimize` with L1",
    "`sklearn.linear_model.Lasso`",
    "`1e-8`, absolute",
)
def test_orthantwise_search_solves_the_lasso():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 20))
    y = x[:, 0] - 2 * x[:, 3] + rng.normal(size=60)

    def function(w):
        return 0.5 * ((x @ w - y) ** 2).sum(), x.T @ (x @ w - y)

    found = minimize(function, np.zeros(20), np.full(20, 12.0), tol=np.full(20, 1e-9), max_iter=500)
    reference = Lasso(alpha=12 / 60, fit_intercept=False, tol=1e-14, max_iter=100_000).fit(x, y)
    assert found.slope <= 1
    assert np.allclose(found.x, reference.coef_, atol=1e-8)
    assert set(np.flatnonzero(found.x)) == set(np.flatnonzero(reference.coef_))
    assert np.all(np.diff(found.values) <= 0)


# --- the classifier ------------------------------------------------------------------------------


@pytest.mark.parity(
    "maxent",
    "`MaxEntClassifier` as an estimator",
    "scikit-learn's `check_estimator`, every check",
    "passes",
)
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_checks_of_scikit_learn(solver):
    rounds = 1000 if solver == "lbfgs" else 50
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        results = check_estimator(MaxEntClassifier(solver, max_iter=rounds), on_skip=None)
    states = Counter(result["status"] for result in results)
    assert states["failed"] == states["xfail"] == 0
    assert states["passed"] > 50


@pytest.mark.parity(
    "maxent",
    "expectations at the optimum without penalty",
    "counts of the data",
    "`1e-6`, absolute",
)
@pytest.mark.parametrize("as_sparse", [False, True])
@pytest.mark.parametrize("solver", SOLVERS)
def test_without_penalty_the_model_expects_what_the_data_show(solver, as_sparse):
    x, y = counts(n=300, d=4)
    given_x = sparse.csr_array(x) if as_sparse else x
    model = MaxEntClassifier(solver=solver, max_iter=20_000).fit(given_x, y)
    expected, observed = expectations(model, x, y)
    assert np.abs(expected - observed).max() <= 1e-6


@pytest.mark.parity("maxent", "GIS and IIS", "L-BFGS on the same data: objective", "`1e-9`")
@pytest.mark.parametrize("solver", ["gis", "iis"])
@pytest.mark.parametrize("l2", [0.0, 0.5])
def test_scaling_never_goes_down_and_ends_where_lbfgs_does(solver, l2):
    for seed in range(3):
        x, y = counts(seed, n=200, d=4)
        best = MaxEntClassifier(l2=l2).fit(x, y)
        model = MaxEntClassifier(solver=solver, l2=l2, max_iter=20_000).fit(x, y)
        assert np.all(np.diff(model.objectives_) <= 1e-9 * model.objectives_[0])
        assert model.objectives_[-1] == pytest.approx(best.objectives_[-1], rel=1e-9)
        assert np.allclose(model.coef_, best.coef_, atol=1e-4)
        assert np.allclose(model.predict_proba(x), best.predict_proba(x), atol=1e-5)


@pytest.mark.parametrize("as_sparse", [False, True])
@pytest.mark.parametrize("solver", ["gis", "iis"])
@pytest.mark.parametrize("l2", [0.0, 0.5])
def test_scaling_of_negative_features_ends_where_lbfgs_does(solver, l2, as_sparse):
    rng = np.random.default_rng(4)
    x = np.column_stack([rng.uniform(-2, 1, 90), rng.poisson(0.8, 90), -rng.poisson(0.5, 90)])
    y = (x @ rng.normal(0, 0.5, (3, 3)) + rng.gumbel(size=(90, 3))).argmax(axis=1)
    given_x = sparse.csc_array(x) if as_sparse else x
    best = MaxEntClassifier(l2=l2).fit(x, y)
    model = MaxEntClassifier(solver, l2=l2, tol=1e-6, max_iter=20_000).fit(given_x, y)
    assert np.all(np.diff(model.objectives_) <= 1e-9 * model.objectives_[0])
    assert model.objectives_[-1] == pytest.approx(best.objectives_[-1], rel=1e-8)
    assert np.allclose(model.coef_, best.coef_, atol=1e-3)
    assert np.allclose(model.intercept_, best.intercept_, atol=1e-3)
    assert np.allclose(model.predict_proba(given_x), best.predict_proba(x), atol=1e-4)


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from(["gis", "iis"]), st.sampled_from([0.0, 0.5]))
def test_a_constant_taken_off_a_feature_changes_biases_only(seed, solver, l2):
    x, y = counts(seed, n=30, d=3)
    x[0] = 0  # the lowest value of every feature
    down = np.random.default_rng(seed).uniform(0, 5, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        plain, moved = (MaxEntClassifier(solver, l2=l2, max_iter=20) for _ in range(2))
        plain.fit(x, y)
        moved.fit(x - down, y)
    assert np.allclose(moved.coef_, plain.coef_)
    assert np.allclose(moved.intercept_, plain.intercept_ + plain.coef_ @ down)
    assert np.allclose(moved.objectives_, plain.objectives_)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from(["gis", "iis"]), st.sampled_from([0.0, 0.01, 2.0]))
def test_scaling_never_goes_down_on_any_data(seed, solver, l2):
    rng = np.random.default_rng(seed)
    x = rng.poisson(0.4, (25, 8)) * rng.choice([0.01, 1.0, 3.0], 8)
    y = np.append([0, 1, 2], rng.integers(0, 3, 22))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = MaxEntClassifier(solver=solver, l2=l2, max_iter=40).fit(x, y)
    values = np.append(25 * np.log(3), model.objectives_)
    assert np.all(np.diff(values) <= 1e-9 * values[0])


@pytest.mark.parity(
    "maxent",
    "`MaxEntClassifier`: objective and probabilities, with L1, L2 and both",
    "`sklearn.linear_model.LogisticRegression` (`lbfgs`, `saga`)",
    "objective `1e-6`; `1e-6` to `1e-5`, absolute",
)
@pytest.mark.parametrize("k", [2, 3, 5])
def test_l2_is_that_of_scikit_learn(k):
    x, y = counts(k, k=k)
    l2 = 0.7
    model = MaxEntClassifier(l2=l2, tol=1e-8).fit(x, y)
    c = 1 / l2 if k > 2 else 2 / l2
    reference = LogisticRegression(C=c, tol=1e-10, max_iter=10_000).fit(x, y)
    assert np.allclose(model.predict_proba(x), reference.predict_proba(x), atol=1e-6)
    weights, bias = reference.coef_, reference.intercept_
    if k == 2:
        weights, bias = np.vstack([-weights, weights]) / 2, np.append(-bias, bias) / 2
    theirs = summed(weights, bias, x, y, l2=l2)
    ours = summed(model.coef_, model.intercept_, x, y, l2=l2)
    assert ours == pytest.approx(theirs, rel=1e-6)
    assert ours == pytest.approx(model.objectives_[-1], rel=1e-9)
    assert np.allclose(model.coef_, weights, atol=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("l2", [0.0, 0.5])
def test_l1_is_that_of_scikit_learn(k, l2):
    x, y = counts(k, k=k, d=10)
    l1 = 6.0
    model = MaxEntClassifier(l1=l1, l2=l2, tol=1e-8).fit(x, y)
    total = l1 + (l2 if k > 2 else l2 / 2)
    reference = LogisticRegression(
        solver="saga", C=1 / total, l1_ratio=l1 / total, tol=1e-12, max_iter=200_000
    ).fit(x, y)
    assert np.allclose(model.predict_proba(x), reference.predict_proba(x), atol=1e-5)
    ours = summed(model.coef_, model.intercept_, x, y, l1, l2)
    assert ours == pytest.approx(model.objectives_[-1], rel=1e-9)
    if k > 2:
        theirs = summed(reference.coef_, reference.intercept_, x, y, l1, l2)
        assert ours == pytest.approx(theirs, rel=1e-6)
        assert np.array_equal(model.coef_ == 0, reference.coef_ == 0)
    assert 0 < np.mean(model.coef_ == 0) < 1


def test_l1_relaxes_the_constraints_into_boxes():
    x, y = counts(3, d=12)
    l1 = 5.0
    model = MaxEntClassifier(l1=l1, tol=1e-8).fit(x, y)
    expected, observed = expectations(model, x, y)
    gap = len(x) * (observed - expected)[:-1].T  # (k, d), the bias left out
    on = model.coef_ != 0
    assert np.all(np.abs(gap) <= l1 + 1e-5)
    assert np.allclose(gap[on], l1 * np.sign(model.coef_[on]), atol=1e-5)
    assert on.any()
    assert not on.all()


@given(st.integers(0, 1000))
def test_equal_columns_share_their_weight(seed):
    x, y = counts(seed, n=40, d=3)
    x = x[:, [0, 1, 2, 1, 1]]
    dense = MaxEntClassifier(l2=0.5).fit(x, y)
    merged = MaxEntClassifier(l2=0.5).fit(sparse.csr_matrix(x), y)
    assert np.allclose(merged.coef_, dense.coef_, atol=1e-5)
    assert np.array_equal(merged.coef_[:, 1], merged.coef_[:, 3])
    lasso = MaxEntClassifier(l1=1.0).fit(sparse.csr_matrix(x), y)
    assert lasso.objectives_[-1] == pytest.approx(
        MaxEntClassifier(l1=1.0).fit(x, y).objectives_[-1], rel=1e-8
    )


@pytest.mark.parametrize("as_sparse", [False, True])
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_feature_that_never_occurs_has_weight_zero(solver, as_sparse):
    x, y = counts(n=80, d=4)
    x[:, 2] = 0
    given_x = sparse.csr_array(x) if as_sparse else x
    model = MaxEntClassifier(solver=solver, max_iter=20_000, tol=1e-5).fit(given_x, y)
    assert np.array_equal(model.coef_[:, 2], np.zeros(3))
    raised = x.copy()
    raised[:, 2] = 9
    assert np.allclose(model.predict_proba(raised), model.predict_proba(x))


@pytest.mark.parametrize("solver", SOLVERS)
def test_features_without_any_content_leave_the_frequencies(solver):
    model = MaxEntClassifier(solver=solver).fit(np.zeros((8, 3)), list("aaaaabbc"))
    assert np.allclose(model.predict_proba(np.zeros((1, 3))), [[5 / 8, 2 / 8, 1 / 8]])
    assert not model.coef_.any()
    assert model.n_iter_ >= 1


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_pair_never_seen_loses_its_probability(solver):
    x, y = np.array([[1, 0], [1, 0], [1, 1], [0, 1], [1, 1]] * 4), [0, 1, 0, 1, 1] * 4
    y[3::5] = [2] * 4  # class 2 never has feature 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = MaxEntClassifier(solver=solver, max_iter=5000, tol=1e-6).fit(x, y)
    expected, observed = expectations(model, x, y)
    assert np.isfinite(model.coef_).all()
    assert np.abs(expected - observed).max() < 1e-4
    assert model.predict_proba([[1, 0]])[0, 2] < 1e-4


def test_parted_classes_without_penalty_end_certain_and_finite():
    model = MaxEntClassifier().fit([[0.0], [1.0], [2.0], [3.0]], list("aabb"))
    assert np.isfinite(model.coef_).all()
    assert model.score([[0.0], [1.0], [2.0], [3.0]], list("aabb")) == 1
    assert model.objectives_[-1] < 1e-4


def test_probabilities_too_small_for_a_float_have_logarithms():
    x, y = counts(d=2, k=2)
    model = MaxEntClassifier(l2=1.0).fit(x, y)
    log_p = model.predict_log_proba(1e6 * np.eye(2))
    assert np.isfinite(log_p).all()
    assert log_p.min() < -1000
    assert np.allclose(log_p.max(axis=1), 0)


def test_sparse_dense_and_lists_are_one():
    x, y = counts()
    models = [
        MaxEntClassifier(l2=0.1).fit(form, y) for form in (x, x.tolist(), sparse.csc_array(x))
    ]
    for model in models[1:]:
        assert np.allclose(model.coef_, models[0].coef_, atol=1e-5)
    assert np.allclose(
        models[0].decision_function(sparse.coo_array(x)), models[0].decision_function(x)
    )


def test_labels_keep_their_names_and_order():
    x, y = counts()
    model = MaxEntClassifier(l2=1.0).fit(x, np.array(["wren", "owl", "kite"])[y])
    assert model.classes_.tolist() == ["kite", "owl", "wren"]
    other = MaxEntClassifier(l2=1.0).fit(x, y)
    assert np.allclose(model.coef_[::-1], other.coef_)


@pytest.mark.parametrize(
    ("x", "y", "settings_", "message"),
    [
        ([[1.0], [2.0]], [1, 1], {}, "one class, 1"),
        (np.zeros((0, 2)), [], {}, "0 sample"),
        (np.zeros((2, 0)), [0, 1], {}, "0 feature"),
        ([[np.nan], [1.0]], [0, 1], {}, "NaN"),
        ([[np.inf], [1.0]], [0, 1], {}, "infinity"),
        ([[1.0], [2.0]], [0, np.nan], {}, "NaN"),
        ([[1.0], [2.0]], [0, 1, 1], {}, "inconsistent numbers of samples"),
        ([1.0, 2.0], [0, 1], {}, "Expected 2D array"),
        ([[1.0], [2.0]], [0.5, 1.5], {}, "continuous"),
        ([[-np.inf], [1.0]], [0, 1], {"solver": "gis"}, "infinity"),
        (sparse.csr_array([[np.nan], [1.0]]), [0, 1], {}, "NaN"),
        ([[1.0], [2.0]], [0, 1], {"solver": "sgd"}, "solver is 'sgd'"),
        ([[1.0], [2.0]], [0, 1], {"solver": "gis", "l1": 1.0}, "l1 is 1.0"),
        ([[1.0], [2.0]], [0, 1], {"l1": -1.0}, "l1 is -1.0"),
        ([[1.0], [2.0]], [0, 1], {"l2": np.nan}, "l2 is nan"),
        ([[1.0], [2.0]], [0, 1], {"l2": "much"}, "l2 is 'much'"),
        ([[1.0], [2.0]], [0, 1], {"tol": 0}, "tol is 0"),
        ([[1.0], [2.0]], [0, 1], {"max_iter": 0}, "max_iter is 0"),
    ],
)
def test_bad_input_is_named(x, y, settings_, message):
    with pytest.raises(ValueError, match=message):
        MaxEntClassifier(**settings_).fit(x, y)


def test_using_an_unfitted_model_or_other_features_is_an_error():
    with pytest.raises(NotFittedError):
        MaxEntClassifier().predict_proba([[1.0]])
    model = MaxEntClassifier(l2=1.0).fit([[1.0], [2.0]], [0, 1])
    with pytest.raises(ValueError, match="features"):
        model.predict([[1.0, 2.0]])
    with pytest.raises(ValueError, match="NaN"):
        model.predict_proba([[np.nan]])
    with pytest.raises(ValueError, match="infinity"):
        model.predict_log_proba([[np.inf]])


def test_stopping_early_is_said():
    x, y = counts()
    with pytest.warns(ConvergenceWarning, match="after 2 rounds of gis"):
        MaxEntClassifier(solver="gis", max_iter=2).fit(x, y)


def test_importing_it_does_not_import_torch():
    code = "import sys, nlpmeta.maxent; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# --- the language model ------------------------------------------------------------------------

TEXT = "a rose is a rose is a rose, said Ann; 12 or 13 roses are a bunch. " * 3
FORMS = st.fixed_dictionaries(
    {"order": st.integers(1, 4), "skip": st.integers(1, 4), "classes": st.integers(0, 3)}
)


def forms_of(history, order, skip, classes):
    """The forms of a history, spelled out; histories begin with a start mark."""
    width = max(order - 1, skip, classes)
    padded = ["<s>"] * width + list(history)
    kinds = [maxent_lm.unicodedata.category(c) if c != "<s>" else c for c in padded]
    yield "empty"
    for n in range(1, order):
        yield ("gram", *padded[-n:])
    for distance in range(2, skip + 1):
        yield ("skip", distance, padded[-distance])
    for n in range(1, classes + 1):
        yield ("class", *kinds[-n:])


def by_the_book(text, l2, vocabulary, **kinds):
    """The same model with dictionaries and loops: weights by (form, token)."""
    pairs = [(list(forms_of(text[:t], **kinds)), text[t]) for t in range(len(text))]
    pairs.append((["empty"], "<unk>"))
    names = sorted({(f, w) for forms, w in pairs for f in forms}, key=repr)
    number = {name: i for i, name in enumerate(names)}

    def scores(theta, forms):
        return np.array(
            [sum(theta[number[f, w]] for f in forms if (f, w) in number) for w in vocabulary]
        )

    def value_and_gradient(theta):
        value, gradient = l2 / 2 * theta @ theta, l2 * theta
        for forms, token in pairs:
            log_p = log_softmax(scores(theta, forms))
            value -= log_p[vocabulary.index(token)]
            for f in forms:
                for w, p in zip(vocabulary, np.exp(log_p)):
                    if (f, w) in number:
                        gradient[number[f, w]] += p - (w == token)
        return value, gradient

    found = optimize.minimize(
        value_and_gradient, np.zeros(len(names)), jac=True, options={"gtol": 1e-7}
    )
    return found.fun, lambda history: log_softmax(scores(found.x, list(forms_of(history, **kinds))))


@pytest.mark.parametrize("kinds", [(3, 1, 0), (1, 1, 0), (2, 3, 0), (2, 1, 2), (2, 3, 2)])
def test_it_is_the_model_by_the_book(kinds):
    kinds = dict(zip(("order", "skip", "classes"), kinds))
    text = "Ab, ab1 ba"
    model = MaxEntLM(**kinds, l2=0.3, tol=1e-9, max_iter=500).fit(text)
    value, log_p = by_the_book(text, 0.3, list(model.vocabulary), **kinds)
    assert model.objectives[-1] == pytest.approx(value, rel=1e-8)
    for context in ("", "A", "Ab, a", "1b", " bbA"):
        assert np.allclose(model.next_logprobs(context), log_p(context), atol=1e-5)


@settings(max_examples=15)
@given(FORMS, st.lists(st.sampled_from("abc ,1X"), max_size=40), st.text(max_size=6))
def test_every_distribution_sums_to_one(kinds, text, context):
    model = MaxEntLM(**kinds, max_iter=15).fit(["a", *text])
    log_p = model.next_logprobs(context)
    assert log_p.shape == (len(model.vocabulary),)
    assert np.exp(log_p).sum() == pytest.approx(1)
    assert np.isfinite(log_p).all()


@settings(max_examples=10)
@given(FORMS, st.text(alphabet="a rose,1Ω", max_size=12))
def test_logprobs_are_those_of_each_next_token(kinds, text):
    model = MaxEntLM(**kinds, max_iter=10).fit(TEXT[:70])
    place = {token: i for i, token in enumerate(model.vocabulary)}
    one_by_one = [
        model.next_logprobs(text[:t])[place.get(text[t], place["<unk>"])] for t in range(len(text))
    ]
    assert np.allclose(model.logprobs(text), one_by_one)


def test_scores_do_not_depend_on_the_block(monkeypatch):
    model = MaxEntLM(order=3, max_iter=10).fit(TEXT)
    whole = model.logprobs(TEXT)
    monkeypatch.setattr(maxent_lm, "BLOCK", 7)
    assert np.allclose(model.logprobs(TEXT), whole)


def test_expected_counts_are_the_observed_ones_up_to_the_penalty():
    tokens = ["to", "be", "or", "not", "to", "be", "that", "is", "to", "ask"]
    model = MaxEntLM(order=2, l2=1e-4, tol=1e-8, max_iter=1000).fit(tokens)
    p = np.exp([model.next_logprobs(tokens[:t]) for t in range(len(tokens))])
    for token, expected in zip(model.vocabulary, p.sum(axis=0)):
        assert expected == pytest.approx(tokens.count(token), abs=0.02)


def test_more_features_fit_the_training_text_better():
    bits = [bits_per_character(MaxEntLM(order=n, l2=0.1).fit(TEXT), TEXT) for n in (1, 2, 3)]
    assert bits[0] > bits[1] > bits[2]


def test_parameters_are_the_pairs_that_occur():
    model = MaxEntLM(order=2).fit("aab")
    assert model.vocabulary == ("a", "b", "<unk>")
    assert model.n_parameters == 3 + 3  # a, b, <unk>; start-a, a-a, a-b


def test_words_and_unknown_tokens():
    model = MaxEntLM(order=2, classes=1).fit(["the", "cat", "<unk>", "", "the", "dog"])
    assert model.vocabulary == ("", "cat", "dog", "the", "<unk>")
    assert np.allclose(model.logprobs(["emu"]), model.logprobs(["<unk>"]))
    assert model.logprobs([]).shape == (0,)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"order": 0}, "order is 0"),
        ({"order": 2.5}, "order is 2.5"),
        ({"skip": 0}, "skip is 0"),
        ({"classes": -1}, "classes is -1"),
        ({"l2": 0}, "l2 is 0"),
        ({"l2": np.inf}, "l2 is inf"),
        ({"tol": 0.0}, "tol is 0.0"),
        ({"max_iter": 0}, "max_iter is 0"),
    ],
)
def test_bad_settings_of_the_language_model_are_named(settings_, message):
    with pytest.raises(ValueError, match=message):
        MaxEntLM(**settings_)


def test_a_language_model_needs_a_text():
    with pytest.raises(ValueError, match="tokens is empty"):
        MaxEntLM().fit([])
    with pytest.raises(ValueError, match="call fit"):
        MaxEntLM().logprobs("a")
    with pytest.raises(ValueError, match="call fit"):
        MaxEntLM().next_logprobs("a")
