"""CRF and MEMM: gradients, sums over all labelings, invariants, bad input, parity with CRFsuite."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import numpy as np
import pycrfsuite
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from nlpmeta import lattice
from nlpmeta.corpora import benchmarks, docs
from nlpmeta.crf import MEMM, LinearChainCRF
from nlpmeta.labelings import chains, crf_objective, memm_objective
from nlpmeta.tagging import OUTSIDE, Encoder, line_features, window, word_features

MODELS = (LinearChainCRF, MEMM)
OBJECTIVES = (crf_objective, memm_objective)


def random_data(rng: np.random.Generator, lengths: list[int], a: int, k: int):
    """Features, labels and both packed; the values are not all 1."""
    n = sum(lengths)
    x = sparse.csr_array(rng.normal(size=(n, a)) * (rng.random((n, a)) < 0.7))
    labels = rng.integers(k, size=n)
    return x, labels, chains(x, labels, lattice.pack(lengths), k)


def toy(seed: int, k: int = 3, sequences: int = 8):
    """Sequences of one to five tokens with noisy labels."""
    rng = np.random.default_rng(seed)
    X, y = [], []
    for _ in range(sequences):
        labels = rng.integers(k, size=rng.integers(1, 6))
        noise = rng.integers(k, size=len(labels))
        X.append([["bias", f"own={l}", f"noise={z}"] for l, z in zip(labels, noise)])
        y.append([f"L{l if rng.random() < 0.7 else z}" for l, z in zip(labels, noise)])
    return X, y


# --- the objective


@pytest.mark.parity(
    "crf",
    "gradients of CRF and MEMM; partition function",
    "central differences; enumeration",
    "`1e-5`; `1e-8`, absolute",
)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("size", [0.1, 3.0, 200.0])
def test_gradient_is_that_of_finite_differences(objective, size: float) -> None:
    rng = np.random.default_rng(0)
    _, _, data = random_data(rng, [4, 1, 3, 3], a=5, k=3)
    state, transition = size * rng.normal(size=(5, 3)), size * rng.normal(size=(3, 3))
    _, *gradients = objective(state, transition, data)
    h = 1e-5 * size
    for weights, gradient in zip((state, transition), gradients):
        for place in np.ndindex(weights.shape):
            kept = weights[place]
            weights[place] = kept + h
            above = objective(state, transition, data)[0]
            weights[place] = kept - h
            below = objective(state, transition, data)[0]
            weights[place] = kept
            assert gradient[place] == pytest.approx((above - below) / (2 * h), abs=1e-5, rel=1e-5)


def by_enumeration(scores: np.ndarray, transition: np.ndarray):
    """Log-weights of all labelings of one sequence, the labelings, log Z and the marginals."""
    t, k = scores.shape
    paths = np.array(list(itertools.product(range(k), repeat=t)))
    weight = scores[np.arange(t), paths].sum(axis=1)
    weight += transition[paths[:, :-1], paths[:, 1:]].sum(axis=1)
    log_z = logsumexp(weight)
    one_hot = paths[:, :, None] == np.arange(k)
    return paths, weight, log_z, np.einsum("p,ptk->tk", np.exp(weight - log_z), one_hot)


@pytest.mark.parity
@pytest.mark.parametrize("size", [0.0, 1.0, 50.0, 2000.0])
def test_partition_function_and_marginals_are_those_of_enumeration(size: float) -> None:
    rng = np.random.default_rng(1)
    X, y = toy(0)
    model = LinearChainCRF(l2=1.0).fit(X, y)
    model.state_ = size * rng.normal(size=model.state_.shape)
    model.transition_ = size * rng.normal(size=model.transition_.shape)
    marginals = model.predict_marginals(X)
    likelihood, paths = model.log_likelihood(X, y), model.predict(X)
    for i, sequence in enumerate(X):
        scores = Encoder.transform(model._encoder, [sequence]) @ model.state_
        every, weight, log_z, expected = by_enumeration(scores, model.transition_)
        found = np.array([[token[label] for label in model.classes_] for token in marginals[i]])
        np.testing.assert_allclose(found, expected, atol=1e-13)
        labels = [model.classes_.index(label) for label in y[i]]
        gold = weight[(every == labels).all(axis=1)][0]
        assert likelihood[i] == pytest.approx(gold - log_z, abs=1e-8 * max(1, size))
        best = [model.classes_.index(label) for label in paths[i]]
        assert weight[(every == best).all(axis=1)][0] == pytest.approx(weight.max())


def test_memm_is_a_product_of_local_distributions() -> None:
    rng = np.random.default_rng(2)
    X, y = toy(1)
    model = MEMM(l2=1.0).fit(X, y)
    model.state_ = rng.normal(size=model.state_.shape)
    model.transition_ = rng.normal(size=model.transition_.shape)
    likelihood, paths = model.log_likelihood(X, y), model.predict(X)
    marginals = model.predict_marginals(X)
    for i, sequence in enumerate(X):
        scores = model._encoder.transform([sequence]) @ model.state_
        k = scores.shape[1]
        joint = {}
        for labels in itertools.product(range(k), repeat=len(sequence)):
            total, row = 0.0, np.zeros(k)
            for t, label in enumerate(labels):
                local = scores[t] + row
                total += local[label] - logsumexp(local)
                row = model.transition_[label]
            joint[labels] = total
        assert logsumexp(list(joint.values())) == pytest.approx(0, abs=1e-12)
        gold = tuple(model.classes_.index(label) for label in y[i])
        assert likelihood[i] == pytest.approx(joint[gold])
        best = tuple(model.classes_.index(label) for label in paths[i])
        assert joint[best] == pytest.approx(max(joint.values()))
        for t, token in enumerate(marginals[i]):
            for j, label in enumerate(model.classes_):
                share = sum(np.exp(p) for labels, p in joint.items() if labels[t] == j)
                assert token[label] == pytest.approx(share)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_order_of_the_sequences_does_not_matter(objective) -> None:
    rng = np.random.default_rng(3)
    lengths = [2, 5, 1, 3]
    x, labels, data = random_data(rng, lengths, a=4, k=3)
    state, transition = rng.normal(size=(4, 3)), rng.normal(size=(3, 3))
    total = sum(
        objective(state, transition, chains(rows, own, lattice.pack([len(own)]), 3))[0]
        for rows, own in (
            (x[end - length : end], labels[end - length : end])
            for end, length in zip(np.cumsum(lengths), lengths)
        )
    )
    assert objective(state, transition, data)[0] == pytest.approx(total)


# --- fitted models


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("l1", "l2"), [(0.0, 0.5), (0.3, 0.0), (0.2, 0.2)])
def test_no_small_change_of_a_weight_is_better(model, l1: float, l2: float) -> None:
    X, y = toy(2)
    fitted = model(l1=l1, l2=l2, unseen=True, tol=1e-13).fit(X, y)

    def value() -> float:
        weights = np.concatenate([fitted.state_.ravel(), fitted.transition_.ravel()])
        penalty = l1 * np.abs(weights).sum() + l2 / 2 * weights @ weights
        return penalty - fitted.log_likelihood(X, y).sum()

    least = value()
    assert fitted.objectives_[-1] == pytest.approx(least)
    for weights in (fitted.state_, fitted.transition_):
        for place in np.ndindex(weights.shape):
            kept = weights[place]
            for change in (-1e-3, 1e-3):
                weights[place] = kept + change
                assert value() > least - 1e-9
            weights[place] = kept


def test_expectations_are_met_at_the_optimum() -> None:
    X, y = toy(3, sequences=40)
    fitted = LinearChainCRF(l2=1e-3, unseen=True, tol=1e-14).fit(X, y)
    names = dict.fromkeys(itertools.product(fitted.features_, fitted.classes_), 0.0)
    observed, expected = names, dict(names)
    for tokens, labels, found in zip(X, y, fitted.predict_marginals(X)):
        for token, label, p in zip(tokens, labels, found):
            for name in token:
                observed[name, label] += 1
                for other in fitted.classes_:
                    expected[name, other] += p[other]
    for (name, label), count in observed.items():
        row, column = fitted.features_.index(name), fitted.classes_.index(label)
        pull = 1e-3 * fitted.state_[row, column]
        assert expected[name, label] + pull == pytest.approx(count, abs=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_l1_makes_weights_zero(model) -> None:
    X, y = toy(4)
    counts = [
        np.count_nonzero(model(l1=l1, unseen=True).fit(X, y).state_) for l1 in (0.01, 0.5, 100)
    ]
    assert counts[0] > counts[1] > counts[2] == 0


def test_only_what_was_seen_together_has_a_weight() -> None:
    X, y = [[["a"], ["b"]], [["b"], ["b"]]], [["S", "T"], ["T", "T"]]
    seen = LinearChainCRF(l2=0.1).fit(X, y)
    assert seen.features_ == ["b", "a"]
    assert (seen.state_ != 0).tolist() == [[False, True], [True, False]]
    assert (seen.transition_ != 0).tolist() == [[False, True], [False, True]]
    assert LinearChainCRF(l2=0.1, unseen=True).fit(X, y).state_.all()


def test_values_that_cancel_are_still_seen() -> None:
    X, y = [[{"a": 1.0}, {"a": -1.0}]], [["S", "S"]]
    data = [{"a": 2.0}], ["T"]
    fitted = LinearChainCRF(l2=0.1).fit([*X, data[0]], [*y, data[1]])
    assert fitted.state_.shape == (1, 2)
    assert fitted.state_.all()


@pytest.mark.parametrize("model", MODELS)
def test_a_feature_counts_as_its_value_and_as_often_as_it_stands(model) -> None:
    once = model(l2=0.1).fit([[["a", "a", "b"], ["b"]]], [["S", "T"]])
    value = model(l2=0.1).fit([[{"a": 2, "b": True}, {"b": 1.0, "c": False}]], [["S", "T"]])
    for name in ("a", "b"):
        rows = [fitted.state_[fitted.features_.index(name)] for fitted in (once, value)]
        np.testing.assert_allclose(*rows, atol=1e-3)


@pytest.mark.parametrize("model", MODELS)
def test_mappings_are_read_as_sklearn_crfsuite_reads_them(model) -> None:
    mapping = [[{"w": "dog", "upper": False, "n": 3}, {"w": "barks", "upper": True, "n": 5.0}]]
    fitted = model(l2=0.1).fit(mapping, [["N", "V"]])
    assert set(fitted.features_) == {"w:dog", "w:barks", "upper", "n"}
    assert fitted.predict(mapping) == [["N", "V"]]


@pytest.mark.parametrize("model", MODELS)
def test_settings_are_those_of_a_scikit_learn_estimator(model) -> None:
    made = clone(model(l1=0.1, l2=0.2, tol=1e-3))
    assert made.get_params() == {
        "l1": 0.1, "l2": 0.2, "tol": 1e-3, "max_iter": 1000, "unseen": False,
    }  # fmt: skip
    with pytest.raises(NotFittedError):
        made.predict([[["a"]]])


LABELS = st.lists(st.lists(st.sampled_from("xyz"), min_size=0, max_size=5), min_size=1, max_size=5)


@given(labels=LABELS, seed=st.integers(0, 2**16), l2=st.sampled_from([0.01, 1.0]))
def test_invariants(labels: list[list[str]], seed: int, l2: float) -> None:
    rng = np.random.default_rng(seed)
    X = [[[f"f{v}" for v in rng.integers(4, size=2)] for _ in sequence] for sequence in labels]
    if not any(labels):
        with pytest.raises(ValueError, match="no token"):
            LinearChainCRF(l2=l2).fit(X, labels)
        return
    for model in MODELS:
        fitted = model(l2=l2).fit(X, labels)
        predicted, marginals = fitted.predict(X), fitted.predict_marginals(X)
        assert [len(sequence) for sequence in predicted] == [len(sequence) for sequence in labels]
        assert all(label in fitted.classes_ for sequence in predicted for label in sequence)
        for sequence in marginals:
            for token in sequence:
                assert sum(token.values()) == pytest.approx(1)
        own, best = fitted.log_likelihood(X, labels), fitted.log_likelihood(X, predicted)
        assert (own <= best + 1e-9).all()
        assert (best <= 1e-9).all()
        assert 0 <= fitted.score(X, labels) <= 1
        assert (np.diff(fitted.objectives_) <= 1e-9).all()


# --- label bias


def test_label_bias() -> None:
    """Lafferty, McCallum and Pereira's rib and rob, with a state for each place in a word."""
    words = ["rib"] * 30 + ["rob"] * 10
    X = [[[character] for character in word] for word in words]
    y = [["1", "2", "3"] if word == "rib" else ["4", "5", "6"] for word in words]
    crf, memm = (model(l2=1e-3).fit(X, y) for model in MODELS)
    for fitted in (crf, memm):  # the letters of a word follow each other, as in their automaton
        fitted.transition_[fitted.transition_ == 0] = -1000
    rob = [[["r"], ["o"], ["b"]]]
    assert crf.predict(rob) == [["4", "5", "6"]]
    assert memm.predict(rob) == [["1", "2", "3"]]  # the o comes too late to be heard
    assert np.exp(memm.log_likelihood(rob, [["1", "2", "3"]])[0]) == pytest.approx(0.75, abs=0.02)


# --- bad input


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("X", "y", "error", "message"),
    [
        ([[["a"], ["b"]]], [["S"]], ValueError, r"X\[0\] has 2 tokens and y\[0\] has 1 labels"),
        ([[["a"]]], [["S"], ["T"]], ValueError, "X has 1 sequences and y has 2"),
        ([], [], ValueError, "no token"),
        ([[], []], [[], []], ValueError, "no token"),
        ([[{"a": np.nan}]], [["S"]], ValueError, "nan for the feature 'a'"),
        ([[{"a": np.inf}]], [["S"]], ValueError, "inf for the feature 'a'"),
        ([[["a"]]], [[np.nan]], ValueError, "NaN"),
        ([[["a"], ["b"]]], [["S", 1]], TypeError, "cannot be sorted"),
        ([["ab", "c"]], [["S", "T"]], TypeError, "the token 'ab'"),
        ([[["a", 1]]], [["S"]], TypeError, r"the token \['a', 1\]"),
        ([[{"a": None}]], [["S"]], TypeError, "the token {'a': None}"),
        ([[3]], [["S"]], TypeError, "the token 3"),
    ],
)
def test_bad_input(model, X, y, error, message: str) -> None:
    with pytest.raises(error, match=message):
        model().fit(X, y)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("l1", -1), ("l2", np.nan), ("l2", "1"), ("tol", np.inf), ("max_iter", 0), ("max_iter", 1.5)],
)
def test_settings_out_of_range(setting: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{setting} is {value!r}"):
        LinearChainCRF(**{setting: value}).fit([[["a"]]], [["S"]])


@pytest.mark.parametrize("model", MODELS)
def test_one_class_is_certain(model) -> None:
    fitted = model().fit([[["a"], ["b"]]], [["S", "S"]])
    assert fitted.predict([[["c"]] * 3, []]) == [["S"] * 3, []]
    assert fitted.log_likelihood([[["a"]]], [["S"]]).tolist() == [0.0]


@pytest.mark.parametrize("model", MODELS)
def test_features_and_labels_never_seen(model) -> None:
    X, y = toy(5)
    fitted = model(l2=0.1).fit(X, y)
    new = [[["never"], ["seen"]], [[]]]
    assert [len(labels) for labels in fitted.predict(new)] == [2, 1]
    for token in fitted.predict_marginals(new)[1]:  # nothing is known of it
        np.testing.assert_allclose(list(token.values()), 1 / 3)
    assert fitted.score([[["bias"]]], [["never"]]) == 0
    assert fitted.log_likelihood([[["bias"]], []], [["never"], []]).tolist() == [-np.inf, 0.0]
    assert fitted.predict([]) == []
    with pytest.raises(ValueError, match="nothing to score"):
        fitted.score([[]], [[]])
    with pytest.raises(ValueError, match="2 labels"):
        fitted.score([[["a"]]], [["S", "T"]])


def test_labels_that_features_tell_apart_do_not_break_it() -> None:
    X, y = [[["a"], ["b"]] * 5], [["S", "T"] * 5]
    fitted = LinearChainCRF().fit(X, y)  # without a penalty the weights grow until tol is met
    assert np.isfinite(fitted.state_).all()
    assert fitted.log_likelihood(X, y)[0] > -1e-3


def test_it_says_when_it_has_not_converged() -> None:
    X, y = toy(6)
    with pytest.warns(ConvergenceWarning, match=r"after 2 steps .* raise max_iter"):
        LinearChainCRF(l2=0.1, max_iter=2).fit(X, y)


@pytest.mark.parametrize("model", MODELS)
def test_a_long_sequence_does_not_underflow(model) -> None:
    X, y = toy(7, sequences=40)
    fitted = model(l2=0.1).fit(X, y)
    long = [[token for sequence in X for token in sequence] * 1000]
    assert len(long[0]) > 100_000
    gold = [[label for labels in y for label in labels] * 1000]
    assert np.isfinite(fitted.log_likelihood(long, gold)).all()
    assert fitted.score(long, gold) > 0.5


# --- templates


@given(st.text("ab ", max_size=8))
def test_windows_look_at_their_offsets(text: str) -> None:
    found = window(text, [(0,), (-2,), (1, 2)])
    padded = [OUTSIDE] * 2 + list(text) + [OUTSIDE] * 2
    for i, features in enumerate(found):
        pair = f"{padded[i + 3]}|{padded[i + 4]}"
        assert features == ["bias", f"0={padded[i + 2]}", f"-2={padded[i]}", f"1,2={pair}"]
    assert len(found) == len(text)


def test_templates_of_words_and_lines() -> None:
    assert {"capital first", "capitals", "digit", "hyphen"} <= set(word_features(["A-1"])[0])
    assert "capital" in word_features(["the", "Dog"])[1]
    assert word_features([]) == line_features([]) == []
    found = line_features(["", "    a b", "  c.", "d"])
    assert "turn=first" in found[0]
    assert {"turn=>", "indent=4", "1,2=a|b", "has=b", "end=b"} <= set(found[1])
    assert {"turn=<", "after=word"} <= set(found[2])
    assert {"turn=<", "after=."} <= set(found[3])


# --- parity with CRFsuite


def crfsuite(X, y, c1: float, c2: float, path: Path) -> tuple[pycrfsuite.Tagger, float, float]:
    """A model of CRFsuite trained until it stops, its loss and its number of features."""
    trainer = pycrfsuite.Trainer(verbose=False)
    trainer.select("lbfgs")
    trainer.set_params({"c1": c1, "c2": c2})
    for tokens, labels in zip(X, y):
        trainer.append(tokens, labels)
    trainer.train(str(path))
    tagger = pycrfsuite.Tagger()
    tagger.open(str(path))
    last = trainer.logparser.last_iteration
    return tagger, last["loss"], last["active_features"]


def accuracy(tagger: pycrfsuite.Tagger, X, y) -> float:
    found = [label for tokens in X for label in tagger.tag(tokens)]
    gold = [label for labels in y for label in labels]
    return float(np.mean([a == b for a, b in zip(found, gold)]))


@pytest.mark.parity(
    "crf",
    "`LinearChainCRF`: objective, marginals",
    "python-crfsuite on the same features and penalties",
    "objective `1e-6`; `1e-3`, absolute",
)
@pytest.mark.parametrize(("c1", "c2"), [(0.0, 0.1), (0.5, 0.0), (0.2, 0.05)])
def test_weights_and_marginals_are_crfsuite_s(tmp_path: Path, c1: float, c2: float) -> None:
    X, y = toy(8, sequences=60)
    trainer = pycrfsuite.Trainer(verbose=False)
    trainer.select("lbfgs")
    trainer.set_params({"c1": c1, "c2": c2, "epsilon": 1e-12, "delta": 1e-12})
    for tokens, labels in zip(X, y):
        trainer.append(tokens, labels)
    trainer.train(str(tmp_path / "model"))
    tagger = pycrfsuite.Tagger()
    tagger.open(str(tmp_path / "model"))
    fitted = LinearChainCRF(l1=c1, l2=2 * c2, tol=1e-13).fit(X, y)
    assert fitted.objectives_[-1] == pytest.approx(
        trainer.logparser.last_iteration["loss"], rel=1e-6
    )
    for tokens, marginals in zip(X, fitted.predict_marginals(X)):
        tagger.set(tokens)
        for t, token in enumerate(marginals):
            for label, p in token.items():
                assert tagger.marginal(label, t) == pytest.approx(p, abs=1e-3)
    if not c2:  # then more than one choice of weights is best
        return
    info = tagger.info()
    for (name, label), weight in info.state_features.items():
        row, column = fitted.features_.index(name), fitted.classes_.index(label)
        assert fitted.state_[row, column] == pytest.approx(weight, abs=5e-3)
    for (before, after), weight in info.transitions.items():
        row, column = fitted.classes_.index(before), fitted.classes_.index(after)
        assert fitted.transition_[row, column] == pytest.approx(weight, abs=5e-3)


def tagged(part: str, size: int | None):
    sentences = benchmarks.load("ud_english_ewt", part)[:size]
    words = [[word for word, _ in sentence] for sentence in sentences]
    return [word_features(w) for w in words], [[tag for _, tag in s] for s in sentences]


def bmes(sentence: str) -> str:
    """A tag for each letter of a sentence without its spaces."""
    return "".join(
        "S" if len(word) == 1 else "B" + "M" * (len(word) - 2) + "E" for word in sentence.split()
    )


def segmentation(part: str, size: int):
    templates = [(0,), (-1,), (1,), (-2,), (2,), (-1, 0), (0, 1), (-1, 0, 1), (-2, -1), (1, 2)]
    sentences = [sentence.text for sentence in docs.load(part)][:: max(1, 5000 // size)][:size]
    X = [window("".join(sentence.split()), templates) for sentence in sentences]
    return X, [list(bmes(sentence)) for sentence in sentences]


def check_parity(train, test, tmp_path: Path, c1: float, c2: float) -> None:
    """At most 0.2 points between the two, and the objectives within a thousandth."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        fitted = LinearChainCRF(l1=c1, l2=2 * c2).fit(*train)
    tagger, loss, active = crfsuite(*train, c1, c2, tmp_path / "model")
    assert fitted.objectives_[-1] == pytest.approx(loss, rel=1e-3)
    assert abs(fitted.score(*test) - accuracy(tagger, *test)) <= 0.002
    if not c1:
        assert np.count_nonzero(fitted.state_) + np.count_nonzero(fitted.transition_) == active


@pytest.mark.parity(
    "crf",
    "`LinearChainCRF`: accuracy on the English treebank and on word segmentation",
    "python-crfsuite with the same features and penalties",
    "`2e-3`, absolute; objective `1e-3`",
)
def test_part_of_speech_tags_as_well_as_crfsuite(
    mirror: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On the first 1,000 training sentences; the slow test takes all."""
    monkeypatch.setenv("NLPMETA_MIRROR", str(mirror))
    check_parity(tagged("train", 1000), tagged("test", None), tmp_path, 0.0, 0.5)


@pytest.mark.parity
@pytest.mark.slow
def test_all_of_the_treebank_as_well_as_crfsuite(
    mirror: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NLPMETA_MIRROR", str(mirror))
    check_parity(tagged("train", None), tagged("test", None), tmp_path, 0.0, 0.5)


@pytest.mark.parity
@pytest.mark.parametrize(("size", "c1", "c2"), [(500, 0.0, 0.5), (100, 0.5, 0.5)])
def test_segments_words_as_well_as_crfsuite(
    tmp_path: Path, size: int, c1: float, c2: float
) -> None:
    """On sentences of the docs corpus without their spaces."""
    check_parity(segmentation("train", size), segmentation("test", 500), tmp_path, c1, c2)
