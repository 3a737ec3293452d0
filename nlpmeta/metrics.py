"""Scores of predictions, and how far to trust them.

Counting right and wrong (``accuracy``, ``confusion_matrix``, ``precision_recall_f1``), ranking
(``roc_curve``, ``auc``), confidence (``reliability``, ``expected_calibration_error``) and intervals
(``normal_interval``, ``bootstrap_interval``). The scores of language models come from
``nlpmeta.information`` and those of strings from ``nlpmeta.overlap``; both are handed on here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, rankdata

from nlpmeta.information import (
    LanguageModel,
    bits_per_character,
    cross_entropy,
    entropy,
    kl_divergence,
    perplexity,
)
from nlpmeta.overlap import bleu, chrf, edit_distance, rouge

__all__ = [
    "Interval",
    "LanguageModel",
    "PrecisionRecallF1",
    "Reliability",
    "RocCurve",
    "accuracy",
    "auc",
    "bits_per_character",
    "bleu",
    "bootstrap_interval",
    "chrf",
    "confusion_matrix",
    "cross_entropy",
    "edit_distance",
    "entropy",
    "expected_calibration_error",
    "kl_divergence",
    "normal_interval",
    "perplexity",
    "precision_recall_f1",
    "reliability",
    "roc_curve",
    "rouge",
]


class PrecisionRecallF1(NamedTuple):
    """Precision, recall and F1: floats, or arrays with one entry per class."""

    precision: np.ndarray | float
    recall: np.ndarray | float
    f1: np.ndarray | float


class RocCurve(NamedTuple):
    """Points of a receiver operating characteristic, from (0, 0) to (1, 1)."""

    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray
    threshold: np.ndarray


class Reliability(NamedTuple):
    """Mean confidence, accuracy and number of predictions in each bin of confidence."""

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray


class Interval(NamedTuple):
    """An estimate and the ends of its confidence interval."""

    estimate: float
    low: float
    high: float


def accuracy(true: ArrayLike, predicted: ArrayLike) -> float:
    """The share of predictions that are right.

    Parameters
    ----------
    true, predicted : array-like of labels, shape (n,)

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there is no example, or the two differ in length.

    Examples
    --------
    >>> accuracy(["spam", "ham", "ham", "ham"], ["ham", "ham", "ham", "ham"])
    0.75
    """
    true, predicted = _labels(true, predicted)
    return float((true == predicted).mean())


def confusion_matrix(
    true: ArrayLike, predicted: ArrayLike, labels: Sequence | None = None
) -> np.ndarray:
    """How often each class was taken for each other.

    Parameters
    ----------
    true, predicted : array-like of labels, shape (n,)
    labels : sequence of labels, optional
        The classes in the order wanted; by default all that occur, sorted.

    Returns
    -------
    numpy.ndarray of int64, shape (classes, classes)
        Entry (i, j) counts the examples of class i that were predicted as class j.

    Raises
    ------
    ValueError
        If there is no example, the two differ in length, or a label is not among ``labels``.

    Examples
    --------
    >>> confusion_matrix(["spam", "ham", "ham"], ["ham", "ham", "spam"], labels=["ham", "spam"])
    array([[1, 1],
           [1, 0]])
    """
    true, predicted = _labels(true, predicted)
    classes = np.union1d(true, predicted).tolist() if labels is None else list(labels)
    place = {label: i for i, label in enumerate(classes)}
    if len(place) != len(classes):
        raise ValueError(f"labels is {classes}; name each class once")
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    try:
        rows, columns = ([place[label] for label in side.tolist()] for side in (true, predicted))
    except KeyError as error:
        raise ValueError(
            f"true or predicted holds {error.args[0]!r}, which is not among labels {classes}; "
            "add it to labels or leave labels out"
        ) from None
    np.add.at(counts, (rows, columns), 1)
    return counts


def precision_recall_f1(
    true: ArrayLike,
    predicted: ArrayLike,
    labels: Sequence | None = None,
    average: Literal["macro", "micro"] | None = None,
) -> PrecisionRecallF1:
    """Precision, recall and their harmonic mean F1, per class or averaged.

    Of a class with TP true positives, FP false positives and FN false negatives:
    precision TP / (TP + FP), recall TP / (TP + FN), F1 2 TP / (2 TP + FP + FN) (van Rijsbergen
    1979); 0 where the denominator is 0.

    Parameters
    ----------
    true, predicted : array-like of labels, shape (n,)
    labels : sequence of labels, optional
        The classes in the order wanted; by default all that occur, sorted.
    average : {None, "macro", "micro"}
        None: an array with one entry per class. ``"macro"``: the mean over classes, each counting
        the same. ``"micro"``: from the counts summed over classes, each example counting the same;
        with one label per example all three then equal the accuracy.

    Returns
    -------
    PrecisionRecallF1

    Raises
    ------
    ValueError
        As for :func:`confusion_matrix`, or if ``average`` is unknown.

    Examples
    --------
    >>> scores = precision_recall_f1([1, 1, 1, 0, 0], [1, 1, 0, 1, 0])
    >>> scores.precision.round(2), scores.recall.round(2), scores.f1.round(2)
    (array([0.5 , 0.67]), array([0.5 , 0.67]), array([0.5 , 0.67]))
    """
    if average not in (None, "macro", "micro"):
        raise ValueError(f"average is {average!r}; choose 'macro', 'micro' or None")
    counts = confusion_matrix(true, predicted, labels)
    hit = counts.diagonal()
    said, meant = counts.sum(axis=0), counts.sum(axis=1)
    if average == "micro":
        hit, said, meant = hit.sum(), said.sum(), meant.sum()
    precision, recall = _ratio(hit, said), _ratio(hit, meant)
    f1 = _ratio(2 * hit, said + meant)
    if average is None:
        return PrecisionRecallF1(precision, recall, f1)
    return PrecisionRecallF1(*(float(s.mean()) for s in (precision, recall, f1)))


def roc_curve(true: ArrayLike, score: ArrayLike) -> RocCurve:
    """True positive rate against false positive rate as the threshold falls.

    Parameters
    ----------
    true : array-like of bool or of 0 and 1, shape (n,)
    score : array-like of float, shape (n,)
        Higher means more likely positive.

    Returns
    -------
    RocCurve
        One point per distinct score, highest first, after the point (0, 0) at threshold infinity.

    Raises
    ------
    ValueError
        If the two differ in length, a score is NaN, or one of the two classes does not occur.

    Examples
    --------
    >>> curve = roc_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> curve.false_positive_rate, curve.true_positive_rate
    (array([0. , 0. , 0.5, 0.5, 1. ]), array([0. , 0.5, 0.5, 1. , 1. ]))
    """
    true, score = _ranking(true, score)
    order = np.argsort(-score, kind="stable")
    true, score = true[order], score[order]
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)  # the last of each tie
    hits = np.cumsum(true)[last]
    false_alarms = last + 1 - hits
    return RocCurve(
        np.append(0, false_alarms / false_alarms[-1]),
        np.append(0, hits / hits[-1]),
        np.append(np.inf, score[last]),
    )


def auc(true: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve: how often a positive outscores a negative, a tie counting half.

    (R - p (p + 1) / 2) / (p n), with R the sum of the ranks of the p positives among the scores of
    these and n negatives (Mann and Whitney 1947; Hanley and McNeil 1982).

    Parameters
    ----------
    true : array-like of bool or of 0 and 1, shape (n,)
    score : array-like of float, shape (n,)

    Returns
    -------
    float

    Raises
    ------
    ValueError
        As for :func:`roc_curve`.

    Examples
    --------
    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    true, score = _ranking(true, score)
    positives = int(true.sum())
    rank_sum = rankdata(score)[true].sum()
    pairs = positives * (len(true) - positives)
    return float((rank_sum - positives * (positives + 1) / 2) / pairs)


def reliability(confidence: ArrayLike, correct: ArrayLike, n_bins: int = 10) -> Reliability:
    """Sort predictions into bins of equal width by their confidence and see how many came true.

    Parameters
    ----------
    confidence : array-like of float, shape (n,)
        The probability given to what was predicted.
    correct : array-like of bool or of 0 and 1, shape (n,)
        Whether it came true.
    n_bins : int
        Bin b holds the confidences in (b / n_bins, (b + 1) / n_bins]; zero goes to the first.

    Returns
    -------
    Reliability
        Three arrays of shape (n_bins,); NaN for the confidence and accuracy of an empty bin.

    Raises
    ------
    ValueError
        If there is no example, the two differ in length, a confidence is outside [0, 1], a value
        of ``correct`` is neither true nor false, or ``n_bins`` is below one.

    Examples
    --------
    >>> reliability([0.1, 0.2, 0.9, 1.0], [0, 0, 1, 0], n_bins=2).accuracy
    array([0. , 0.5])
    """
    confidence, correct = _numbers(confidence, "confidence"), _truth(correct, "correct")
    _same_length(confidence, correct, "confidence", "correct")
    if (confidence < 0).any() or (confidence > 1).any():
        wrong = confidence[(confidence < 0) | (confidence > 1)][0]
        raise ValueError(f"confidence holds {wrong}; give probabilities, from 0 to 1")
    if n_bins < 1:
        raise ValueError(f"n_bins is {n_bins}; give 1 or more")
    edges = np.linspace(0, 1, n_bins + 1)[1:-1]
    which = np.searchsorted(edges, confidence)
    count = np.bincount(which, minlength=n_bins)
    empty_is_nan = np.where(count > 0, count, np.nan)
    return Reliability(
        np.bincount(which, confidence, n_bins) / empty_is_nan,
        np.bincount(which, correct, n_bins) / empty_is_nan,
        count,
    )


def expected_calibration_error(
    confidence: ArrayLike, correct: ArrayLike, n_bins: int = 10
) -> float:
    """The gap between confidence and accuracy, averaged over bins of confidence.

    sum_b (n_b / n) abs(accuracy_b - confidence_b) (Naeini, Cooper and Hauskrecht 2015; Guo, Pleiss,
    Sun and Weinberger 2017).

    Parameters
    ----------
    confidence : array-like of float, shape (n,)
    correct : array-like of bool or of 0 and 1, shape (n,)
    n_bins : int

    Returns
    -------
    float
        From 0 to 1. With few predictions per bin even a perfectly calibrated model is above 0.

    Raises
    ------
    ValueError
        As for :func:`reliability`.

    Examples
    --------
    >>> expected_calibration_error([0.75, 0.75, 0.75, 0.75], [1, 1, 0, 0])
    0.25
    """
    bins = reliability(confidence, correct, n_bins)
    filled = bins.count > 0
    gap = np.abs(bins.accuracy - bins.confidence)[filled]
    return float(np.average(gap, weights=bins.count[filled]))


def normal_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Confidence interval of a mean from the central limit theorem.

    mean ± z sd / sqrt(n), with sd the standard deviation (divisor n - 1) and z the normal quantile.

    Parameters
    ----------
    values : array-like of float, shape (n,)
        Independent measurements.
    level : float
        The share of such intervals that should cover the true mean.

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If there are fewer than two values, one is not finite, or ``level`` is not in (0, 1).

    Examples
    --------
    >>> mean, low, high = normal_interval([1, 2, 3, 4, 5])
    >>> round(mean, 2), round(low, 2), round(high, 2)
    (3.0, 1.61, 4.39)
    """
    values = _numbers(values, "values")
    if len(values) < 2:
        raise ValueError(f"values has {len(values)} entry; an interval needs at least two")
    half = norm.ppf(0.5 + _level(level) / 2) * values.std(ddof=1) / np.sqrt(len(values))
    return Interval(
        *(float(x) for x in (values.mean(), values.mean() - half, values.mean() + half))
    )


def bootstrap_interval(
    values: ArrayLike,
    rng: np.random.Generator,
    statistic: Callable[[np.ndarray], float] = np.mean,
    level: float = 0.95,
    n_resamples: int = 1000,
) -> Interval:
    """Confidence interval of any statistic, by drawing the data again from itself.

    Draw n rows with replacement, compute the statistic, repeat; the interval runs between the
    (1 - level) / 2 and (1 + level) / 2 quantiles of what comes out (Efron 1979, the percentile
    method).

    Parameters
    ----------
    values : array-like, shape (n,) or (n, ...)
        One row per independent observation. If observations come in groups that resemble each
        other (sentences of one document), a row should be a group.
    rng : numpy.random.Generator
    statistic : callable
        Takes an array of rows, gives a number.
    level : float
    n_resamples : int

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If there are fewer than two rows, a value is NaN, ``level`` is not in (0, 1), or
        ``n_resamples`` is below one.

    Examples
    --------
    >>> median, low, high = bootstrap_interval([1, 2, 3, 4, 5], np.random.default_rng(0), np.median)
    >>> low <= median <= high
    True
    """
    values = np.asarray(values)
    if values.ndim == 0 or len(values) < 2:
        raise ValueError(f"values has shape {values.shape}; an interval needs at least two rows")
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise ValueError("values holds nan; drop or repair missing values first")
    if n_resamples < 1:
        raise ValueError(f"n_resamples is {n_resamples}; give 1 or more, such as 1000")
    tail = (1 - _level(level)) / 2
    draws = rng.integers(0, len(values), (n_resamples, len(values)))
    resampled = [statistic(values[draw]) for draw in draws]
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(float(statistic(values)), float(low), float(high))


def _labels(true: ArrayLike, predicted: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    sides = np.asarray(true), np.asarray(predicted)
    for name, side in zip(("true", "predicted"), sides):
        if side.ndim != 1 or side.size == 0:
            raise ValueError(f"{name} has shape {side.shape}; give one label per example")
        if side.dtype.kind == "f" and np.isnan(side).any():
            raise ValueError(f"{name} holds nan; a label is a string or an integer")
    _same_length(*sides, "true", "predicted")
    if (sides[0].dtype.kind in "US") != (sides[1].dtype.kind in "US"):
        raise ValueError(
            f"true holds {sides[0].dtype} and predicted {sides[1].dtype}; use the same labels"
        )
    return sides


def _ranking(true: ArrayLike, score: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    true, score = _truth(true, "true"), _numbers(score, "score")
    _same_length(true, score, "true", "score")
    if true.all() or not true.any():
        raise ValueError(f"true holds only {bool(true[0])}; give examples of both classes")
    return true, score


def _truth(values: ArrayLike, name: str) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"{name} has shape {values.shape}; give one value per example")
    if not np.isin(values, (0, 1)).all():
        wrong = values[~np.isin(values, (0, 1))][0]
        raise ValueError(f"{name} holds {wrong!r}; give 0 and 1 or False and True")
    return values.astype(bool)


def _numbers(values: ArrayLike, name: str) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"{name} has shape {values.shape}; give one number per example")
    if not np.isfinite(values).all():
        wrong = values[~np.isfinite(values)][0]
        raise ValueError(f"{name} holds {wrong}; drop or repair missing values first")
    return values


def _same_length(a: np.ndarray, b: np.ndarray, a_name: str, b_name: str) -> None:
    if len(a) != len(b):
        raise ValueError(
            f"{a_name} has {len(a)} entries and {b_name} {len(b)}; give one of each per example"
        )


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 0 where whole is 0."""
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=np.asarray(whole) > 0)


def _level(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; give a share between 0 and 1, such as 0.95")
    return level
