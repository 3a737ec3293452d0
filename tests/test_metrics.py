"""Scores against the field's implementations, and the laws they obey."""

import itertools
import math

import nltk
import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.calibration import calibration_curve

from nlpmeta import metrics

positive = st.floats(1e-3, 1e3)
short = st.text(alphabet="abc我", max_size=12)


@st.composite
def distribution_pairs(draw):
    v = draw(st.integers(1, 8))
    p, q = (draw(arrays(float, v, elements=positive)) for _ in range(2))
    return p / p.sum(), q / q.sum()


@st.composite
def rankings(draw):
    n = draw(st.integers(2, 40))
    true = draw(
        st.lists(st.integers(0, 1), min_size=n, max_size=n).filter(lambda x: 0 < sum(x) < n)
    )
    score = draw(st.lists(st.integers(0, 9), min_size=n, max_size=n))  # small range: many ties
    return np.array(true), np.array(score) / 10


@st.composite
def labelings(draw):
    n = draw(st.integers(1, 40))
    return [draw(st.lists(st.sampled_from("abcd"), min_size=n, max_size=n)) for _ in range(2)]


# --- information -----------------------------------------------------------------------------


@pytest.mark.parity(
    "information",
    "`entropy`, `kl_divergence`",
    "`scipy.stats.entropy`",
    "`1e-9`, absolute",
)
@given(distribution_pairs())
def test_information_parity_with_scipy(pair):
    p, q = pair
    assert metrics.entropy(p) == pytest.approx(scipy.stats.entropy(p), abs=1e-9)
    assert metrics.kl_divergence(p, q) == pytest.approx(scipy.stats.entropy(p, q), abs=1e-9)
    assert metrics.entropy(p, base=2) == pytest.approx(scipy.stats.entropy(p, base=2), abs=1e-9)


@given(distribution_pairs())
def test_laws_of_information(pair):
    p, q = pair
    assert -1e-9 <= metrics.entropy(p) <= math.log(len(p)) + 1e-9
    assert metrics.kl_divergence(p, q) >= -1e-9
    assert metrics.kl_divergence(p, p) == pytest.approx(0, abs=1e-9)
    split = metrics.entropy(p) + metrics.kl_divergence(p, q)
    assert metrics.cross_entropy(p, q) == pytest.approx(split, abs=1e-9)
    mixed = metrics.entropy((p + q) / 2)
    assert mixed >= (metrics.entropy(p) + metrics.entropy(q)) / 2 - 1e-9


def test_information_at_the_edges():
    assert metrics.entropy([0, 1]) == 0
    assert metrics.entropy([1]) == 0
    assert metrics.kl_divergence([0.5, 0.5], [1, 0]) == math.inf
    assert metrics.cross_entropy([0.5, 0.5], [1, 0]) == math.inf
    assert metrics.cross_entropy([1, 0], [1, 0]) == 0
    assert metrics.entropy(np.full((2, 3, 4), 0.25), base=2).tolist() == [[2.0] * 3] * 2


@pytest.mark.parametrize(
    ("p", "message"),
    [
        ([], "p has shape"),
        (0.5, "p has shape"),
        ([0.5, 0.6], "p sums to 1.1, not 1; divide it by its sum"),
        ([1.5, -0.5], "p holds -0.5"),
        ([np.nan, 0.5], "p holds nan"),
        ([np.inf, 0.5], "p holds inf"),
    ],
)
def test_not_a_distribution(p, message):
    with pytest.raises(ValueError, match=message):
        metrics.entropy(p)


def test_bad_information_arguments():
    with pytest.raises(ValueError, match="p has 2 outcomes and q 1"):
        metrics.kl_divergence([0.5, 0.5], [1.0])
    with pytest.raises(ValueError, match=r"q sums to 0\.9"):
        metrics.cross_entropy([0.5, 0.5], [0.5, 0.4])
    with pytest.raises(ValueError, match="base is 1"):
        metrics.entropy([1.0], base=1)


def test_perplexity():
    assert metrics.perplexity(np.log([1 / 8] * 5)) == pytest.approx(8)
    assert metrics.perplexity([0.0]) == 1
    assert metrics.perplexity([-math.inf, -1.0]) == math.inf
    for bad, message in (([], "shape"), ([[-1.0]], "shape"), ([0.5], "0.5"), ([np.nan], "nan")):
        with pytest.raises(ValueError, match=message):
            metrics.perplexity(bad)


class Uniform:
    """A model that finds each of v tokens equally likely."""

    def __init__(self, v: int):
        self.v = v

    def logprobs(self, tokens):
        return np.full(len(tokens), -math.log(self.v))


def test_bits_per_character():
    assert metrics.bits_per_character(Uniform(8), "我爱你") == pytest.approx(3)
    # half as many tokens, each twice as surprising: the same bits per character
    pairs = metrics.bits_per_character(Uniform(64), "abcd", lambda t: [t[:2], t[2:]])
    assert pairs == pytest.approx(3)


def test_bad_bits_per_character():
    class Short(Uniform):
        def logprobs(self, tokens):
            return super().logprobs(tokens)[:-1]

    class Broken(Uniform):
        def logprobs(self, tokens):
            return super().logprobs(tokens) * np.nan

    with pytest.raises(ValueError, match="text is empty"):
        metrics.bits_per_character(Uniform(2), "")
    with pytest.raises(ValueError, match="2 log-probabilities for 3 tokens"):
        metrics.bits_per_character(Short(2), "abc")
    with pytest.raises(ValueError, match="nan"):
        metrics.bits_per_character(Broken(2), "abc")


# --- decisions -------------------------------------------------------------------------------


@pytest.mark.parity("metrics", "`accuracy`, `confusion_matrix`", "`sklearn.metrics`", "exact")
@pytest.mark.parity(
    "metrics",
    "`precision_recall_f1`: per class, macro, micro",
    "`sklearn.metrics.precision_recall_fscore_support`",
    "`1e-7`",
)
@pytest.mark.filterwarnings("ignore:A single label was found")
@given(labelings())
def test_decisions_parity_with_scikit_learn(pair):
    true, predicted = pair
    assert metrics.accuracy(true, predicted) == sklearn.metrics.accuracy_score(true, predicted)
    np.testing.assert_array_equal(
        metrics.confusion_matrix(true, predicted), sklearn.metrics.confusion_matrix(true, predicted)
    )
    for average in (None, "macro", "micro"):
        expected = sklearn.metrics.precision_recall_fscore_support(
            true, predicted, average=average, zero_division=0
        )
        for ours, theirs in zip(
            metrics.precision_recall_f1(true, predicted, None, average), expected
        ):
            np.testing.assert_allclose(ours, theirs)


@given(labelings())
def test_micro_average_is_accuracy(pair):
    micro = metrics.precision_recall_f1(*pair, average="micro")
    assert set(np.round(micro, 12)) == {round(metrics.accuracy(*pair), 12)}


def test_labels_choose_the_order_and_may_be_absent():
    counts = metrics.confusion_matrix([0, 1, 1], [1, 1, 0], labels=[1, 0, 7])
    assert counts.tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 0]]
    assert metrics.precision_recall_f1([0], [0], labels=[0, 7]).f1.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("true", "predicted", "message"),
    [
        ([], [], "true has shape"),
        ([[0, 1]], [[0, 1]], "true has shape"),
        ([0, 1], [0], "true has 2 entries and predicted 1"),
        ([0.0, np.nan], [0.0, 1.0], "true holds nan"),
        (["a", "b"], [0, 1], "use the same labels"),
    ],
)
@pytest.mark.parametrize(
    "function", [metrics.accuracy, metrics.confusion_matrix, metrics.precision_recall_f1]
)
def test_bad_labels(function, true, predicted, message):
    with pytest.raises(ValueError, match=message):
        function(true, predicted)


def test_bad_choices():
    with pytest.raises(ValueError, match="holds 'c', which is not among labels"):
        metrics.confusion_matrix(["a", "c"], ["a", "a"], labels=["a", "b"])
    with pytest.raises(ValueError, match="name each class once"):
        metrics.confusion_matrix(["a"], ["a"], labels=["a", "a"])
    with pytest.raises(ValueError, match="average is 'weighted'"):
        metrics.precision_recall_f1(["a"], ["a"], average="weighted")


# --- ranking ---------------------------------------------------------------------------------


@pytest.mark.parity("metrics", "`roc_curve`", "`sklearn.metrics.roc_curve`", "`1e-7`")
@pytest.mark.parity(
    "metrics",
    "`auc`",
    "`sklearn.metrics.roc_auc_score`; the area under our own curve; counting all pairs",
    "`1e-6`",
)
@given(rankings())
def test_ranking_parity_with_scikit_learn(ranking):
    true, score = ranking
    expected = sklearn.metrics.roc_curve(true, score, drop_intermediate=False)
    for ours, theirs in zip(metrics.roc_curve(true, score), expected):
        np.testing.assert_allclose(ours, theirs)
    assert metrics.auc(true, score) == pytest.approx(sklearn.metrics.roc_auc_score(true, score))


@pytest.mark.parity
@given(rankings())
def test_auc_is_the_area_and_the_chance_of_ranking_right(ranking):
    true, score = ranking
    curve = metrics.roc_curve(true, score)
    area = np.trapezoid(curve.true_positive_rate, curve.false_positive_rate)
    pairs = itertools.product(score[true == 1], score[true == 0])
    chance = np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs])
    assert metrics.auc(true, score) == pytest.approx(area) == pytest.approx(chance)
    assert metrics.auc(true, np.exp(3 * score)) == pytest.approx(area)  # only the order counts
    assert metrics.auc(true, -score) == pytest.approx(1 - area)


@pytest.mark.parametrize(
    ("true", "score", "message"),
    [
        ([], [], "true has shape"),
        ([0, 1], [0.5], "true has 2 entries and score 1"),
        ([0, 2], [0.1, 0.2], "true holds .*2"),
        ([1, 1], [0.1, 0.2], "true holds only True"),
        ([0, 1], [0.1, np.nan], "score holds nan"),
    ],
)
@pytest.mark.parametrize("function", [metrics.roc_curve, metrics.auc])
def test_bad_rankings(function, true, score, message):
    with pytest.raises(ValueError, match=message):
        function(true, score)


# --- calibration -----------------------------------------------------------------------------


@pytest.mark.parity(
    "metrics",
    "`reliability`, `expected_calibration_error`",
    "`sklearn.calibration.calibration_curve`",
    "`1e-7`, `1e-6`",
)
@given(rankings(), st.integers(1, 12))
def test_reliability_parity_with_scikit_learn(ranking, n_bins):
    correct, confidence = ranking
    bins = metrics.reliability(confidence, correct, n_bins)
    filled = bins.count > 0
    accuracy, mean_confidence = calibration_curve(correct, confidence, n_bins=n_bins)
    np.testing.assert_allclose(bins.accuracy[filled], accuracy)
    np.testing.assert_allclose(bins.confidence[filled], mean_confidence)
    assert bins.count.sum() == len(correct)
    gap = np.abs(accuracy - mean_confidence) * bins.count[filled] / len(correct)
    error = metrics.expected_calibration_error(confidence, correct, n_bins)
    assert error == pytest.approx(gap.sum())
    assert 0 <= error <= 1


def test_one_bin_compares_the_means():
    confidence, correct = [0.9, 0.7, 0.8], [True, False, True]
    error = metrics.expected_calibration_error(confidence, correct, n_bins=1)
    assert error == pytest.approx(abs(0.8 - 2 / 3))


@pytest.mark.parametrize(
    ("confidence", "correct", "n_bins", "message"),
    [
        ([], [], 10, "confidence has shape"),
        ([0.5], [1, 0], 10, "confidence has 1 entries and correct 2"),
        ([1.2], [1], 10, "confidence holds 1.2"),
        ([np.nan], [1], 10, "confidence holds nan"),
        ([0.5], [3], 10, "correct holds .*3"),
        ([0.5], [1], 0, "n_bins is 0"),
    ],
)
def test_bad_calibration(confidence, correct, n_bins, message):
    with pytest.raises(ValueError, match=message):
        metrics.expected_calibration_error(confidence, correct, n_bins)


# --- intervals -------------------------------------------------------------------------------


@pytest.mark.parity("metrics", "`normal_interval`", "`scipy.stats.norm.interval`", "`1e-6`")
def test_normal_interval_parity_with_scipy():
    values = np.random.default_rng(0).normal(3, 2, 50)
    for level in (0.5, 0.95):
        expected = scipy.stats.norm.interval(level, values.mean(), scipy.stats.sem(values))
        interval = metrics.normal_interval(values, level)
        assert interval == pytest.approx((values.mean(), *expected))


@pytest.mark.parity(
    "metrics",
    "`bootstrap_interval`",
    "`scipy.stats.bootstrap`, percentile method, same generator",
    "`1e-6`",
)
@pytest.mark.parametrize("statistic", [np.mean, np.median])
def test_bootstrap_interval_parity_with_scipy(statistic):
    """The same generator draws the same resamples, so the intervals are equal, not just close."""
    values = np.random.default_rng(0).exponential(size=60)
    interval = metrics.bootstrap_interval(
        values, np.random.default_rng(1), statistic, n_resamples=500
    )
    expected = scipy.stats.bootstrap(
        (values,), statistic, n_resamples=500, method="percentile", rng=np.random.default_rng(1)
    )
    assert interval.estimate == statistic(values)
    assert (interval.low, interval.high) == pytest.approx(tuple(expected.confidence_interval))


def test_bootstrap_of_rows():
    """A statistic of several columns: the F1 of a class, resampling pairs of labels."""
    rng = np.random.default_rng(0)
    rows = np.stack([rng.integers(0, 2, 80), rng.integers(0, 2, 80)], axis=1)

    def f1(rows):
        return metrics.precision_recall_f1(rows[:, 0], rows[:, 1], labels=[0, 1]).f1[1]

    interval = metrics.bootstrap_interval(rows, rng, f1, n_resamples=200)
    assert interval.low < interval.estimate == f1(rows) < interval.high


def test_intervals_cover_the_mean_as_often_as_they_say():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(1000, 60))
    normal = [metrics.normal_interval(sample) for sample in samples]
    assert np.mean([low <= 0 <= high for _, low, high in normal]) == pytest.approx(0.95, abs=0.02)
    few = [metrics.bootstrap_interval(sample, rng, n_resamples=200) for sample in samples[:400]]
    assert np.mean([low <= 0 <= high for _, low, high in few]) == pytest.approx(0.94, abs=0.03)


@pytest.mark.parametrize(
    ("values", "level", "message"),
    [
        ([1.0], 0.95, "at least two"),
        ([], 0.95, "values has shape"),
        ([1.0, np.nan], 0.95, "nan"),
        ([1.0, 2.0], 1.0, "level is 1.0"),
        ([1.0, 2.0], 95, "level is 95"),
    ],
)
def test_bad_intervals(values, level, message):
    with pytest.raises(ValueError, match=message):
        metrics.normal_interval(values, level)
    with pytest.raises(ValueError, match=message):
        metrics.bootstrap_interval(values, np.random.default_rng(0), level=level)
    with pytest.raises(ValueError, match="n_resamples is 0"):
        metrics.bootstrap_interval([1, 2], np.random.default_rng(0), n_resamples=0)


# --- strings ---------------------------------------------------------------------------------


@pytest.mark.parity("overlap", "`edit_distance`", "`nltk.edit_distance`", "exact")
@given(short, short, short)
def test_edit_distance_is_a_metric(a, b, c):
    d = metrics.edit_distance
    assert d(a, b) == nltk.edit_distance(a, b)
    assert (d(a, b) == 0) == (a == b)
    assert d(a, b) == d(b, a)
    assert d(a, c) <= d(a, b) + d(b, c)
    assert abs(len(a) - len(b)) <= d(a, b) <= max(len(a), len(b))


@settings(max_examples=20)
@given(st.lists(st.sampled_from(["to", "learn", "earn"]), max_size=8), st.lists(st.just("learn")))
def test_edit_distance_of_token_lists(a, b):
    assert metrics.edit_distance(a, b) == nltk.edit_distance(a, b)


HYPOTHESES = ["The cat sat on a mat .", "Return the number of nodes in the graph.", "我爱自然语言"]
REFERENCES = ["A cat sat on the mat .", "Returns the number of nodes.", "我爱语言"]


@pytest.mark.parity(
    "overlap",
    "`bleu`, `chrf`, `rouge` (wrappers)",
    "`sacrebleu`, `rouge_score` called directly",
    "`1e-6`",
)
def test_wrappers_give_the_reference_scores():
    import sacrebleu
    from rouge_score.rouge_scorer import RougeScorer

    expected = sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES]).score
    assert metrics.bleu(HYPOTHESES, REFERENCES) == pytest.approx(expected)
    expected = sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES], tokenize="zh").score
    assert metrics.bleu(HYPOTHESES, REFERENCES, tokenize="zh") == pytest.approx(expected)
    expected = sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES]).score
    assert metrics.chrf(HYPOTHESES, REFERENCES) == pytest.approx(expected)
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    scores = [scorer.score(r, h) for h, r in zip(HYPOTHESES, REFERENCES)]
    ours = metrics.rouge(HYPOTHESES, REFERENCES)
    for name in ours:
        assert ours[name] == pytest.approx(100 * np.mean([s[name].fmeasure for s in scores]))


def test_several_references_and_another_tokenizer():
    import sacrebleu

    several = [[r, h] for h, r in zip(HYPOTHESES, REFERENCES)]
    assert metrics.chrf(HYPOTHESES, several) == pytest.approx(100)
    uneven = [["a b c d"], ["a b c e", "a b c d"]]
    expected = sacrebleu.corpus_bleu(["a b c d"] * 2, [["a b c d", "a b c e"], [None, "a b c d"]])
    assert metrics.bleu(["a b c d"] * 2, uneven) == pytest.approx(expected.score)
    assert metrics.rouge(["我爱你"], ["我爱你"])["rouge1"] == 0  # no letter a to z
    assert metrics.rouge(["我爱你"], ["我爱你"], tokenize=list)["rougeL"] == 100


@pytest.mark.parametrize("score", [metrics.bleu, metrics.chrf, metrics.rouge])
def test_bad_strings(score):
    with pytest.raises(ValueError, match="hypotheses is empty"):
        score([], [])
    with pytest.raises(ValueError, match="references has 2 entries for 1 hypotheses"):
        score(["a"], ["a", "b"])
    with pytest.raises(TypeError, match="hypotheses is one string; give a list"):
        score("a", ["a"])
    with pytest.raises(ValueError, match="empty entry"):
        score(["a"], [[]])
