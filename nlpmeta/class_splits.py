"""Classes to learn from and classes to be tested on, drawn more than once.

An interval over tasks says how well the mean over *these* test classes is known. Another draw of
the classes moves a score by more than that interval, so a method is trained and scored on several:
:func:`split_classes` and :func:`split_domains` draw them, :func:`across_splits` repeats the whole
experiment, and :func:`compare_splits` compares two methods draw by draw. The protocol of separate
training, validation and test classes is that of Vinyals et al. (2016) and of Ravi and Larochelle
(2017).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student_t
from tqdm.auto import tqdm

from nlpmeta.episodes import EpisodeSampler, Learner, Score, compare, evaluate
from nlpmeta.tables import Classes

Grouped = Mapping[str, Classes]


class Split(NamedTuple):
    """Three parts of grouped examples that share no class, or no domain.

    Parameters
    ----------
    train, validation, test : mapping of domain to mapping of class to Tensor (n_examples, ...)
        Each as :func:`nlpmeta.tables.by_class` gives it.
    """

    train: Grouped
    validation: Grouped
    test: Grouped


class SplitScore(NamedTuple):
    """How well a method does: the mean over class splits and its uncertainty.

    Parameters
    ----------
    mean : float
        Mean over the splits of the mean accuracy, between 0 and 1.
    ci95 : float
        Half width of the 95 % interval of that mean by Student's t, over splits. It covers the
        choice of the classes, of the tasks and, where the learner takes the seed, of the training
        run. Splits of the same classes overlap, so it is on the narrow side (Nadeau and Bengio,
        2003).
    per_split : tuple of Score
        The score on each split, over its tasks.
    """

    mean: float
    ci95: float
    per_split: tuple[Score, ...]

    def __str__(self) -> str:
        return f"{100 * self.mean:.1f} ± {100 * self.ci95:.1f} %"


def split_classes(data: Grouped, n_validation: int, n_test: int, seed: int) -> Split:
    """Divide the classes at random into those to learn from, to choose by and to be tested on.

    A class is the same class in every domain, so that what is tested was never learned anywhere.

    Parameters
    ----------
    data : mapping of domain to mapping of class to Tensor (n_examples, ...)
    n_validation, n_test : int
        How many classes the two parts get, at least 0 and at least 1; all others are for training.
    seed : int
        At least 0. The draw depends on the seed and on which classes there are, not on their order.

    Returns
    -------
    Split

    Raises
    ------
    ValueError
        If a number is too small, or no class is left to learn from.

    Examples
    --------
    >>> import torch
    >>> data = {"": {name: torch.arange(3) for name in "abcdef"}}
    >>> split = split_classes(data, n_validation=1, n_test=2, seed=0)
    >>> [sorted(part[""]) for part in split]
    [['a', 'b', 'e'], ['f'], ['c', 'd']]
    """
    names = {label for classes in data.values() for label in classes}
    return Split(
        *(
            {
                domain: kept
                for domain, classes in data.items()
                if (kept := {label: x for label, x in classes.items() if label in part})
            }
            for part in _parts(names, n_validation, n_test, seed, "classes")
        )
    )


def split_domains(data: Grouped, n_validation: int, n_test: int, seed: int) -> Split:
    """Divide the domains at random; their classes, which may have the same names, go with them.

    Parameters
    ----------
    data : mapping of domain to mapping of class to Tensor (n_examples, ...)
    n_validation, n_test : int
        How many domains the two parts get, at least 0 and at least 1.
    seed : int
        At least 0.

    Returns
    -------
    Split

    Raises
    ------
    ValueError
        If a number is too small, or no domain is left to learn from.

    Examples
    --------
    >>> import torch
    >>> data = {language: {"city": torch.arange(3)} for language in ("cs", "da", "et", "fi")}
    >>> [sorted(part) for part in split_domains(data, n_validation=0, n_test=1, seed=0)]
    [['cs', 'da', 'fi'], [], ['et']]
    """
    parts = _parts(data, n_validation, n_test, seed, "domains")
    return Split(*({d: c for d, c in data.items() if d in part} for part in parts))


def across_splits(
    make_learner: Callable[[Split, int], Learner],
    make_split: Callable[[int], Split],
    *,
    n_way: int,
    k_shot: int,
    n_query: int,
    seeds: Sequence[int],
    n_episodes: int = 600,
) -> SplitScore:
    """Split, train and test once for each seed, and take mean and interval over the splits.

    Parameters
    ----------
    make_learner : callable
        ``make_learner(split, seed)`` gives a new learner, trained on ``split.train`` if it is one
        that trains, with choices made on ``split.validation``.
    make_split : callable
        ``make_split(seed)`` gives a :class:`Split`, for instance by :func:`split_classes`.
    n_way, k_shot, n_query : int
        The test tasks; see :class:`nlpmeta.episodes.EpisodeSampler`.
    seeds : sequence of int
        One for each split, at least two, no two the same. The test tasks of a split depend on its
        seed only, so that every method that is given these seeds meets the same tasks.
    n_episodes : int
        Test tasks of each split.

    Returns
    -------
    SplitScore

    Raises
    ------
    ValueError
        If there are fewer than two seeds, or two are the same.

    Examples
    --------
    >>> import torch
    >>> from nlpmeta.learners import NearestCentroid
    >>> data = {"": {str(c): c + torch.arange(9.0).reshape(9, 1) / 9 for c in range(8)}}
    >>> score = across_splits(
    ...     lambda split, seed: NearestCentroid(lambda x: x),
    ...     lambda seed: split_classes(data, n_validation=0, n_test=4, seed=seed),
    ...     n_way=2, k_shot=3, n_query=3, seeds=range(3), n_episodes=20,
    ... )
    >>> score.mean > 0.9, len(score.per_split)
    (True, 3)
    """
    if len(seeds) < 2 or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds are {list(seeds)}; give at least two, each once")
    scores = []
    for seed in tqdm(seeds, desc="splits", leave=False):
        split = make_split(seed)
        sampler = EpisodeSampler(split.test, n_way, k_shot, n_query, seed)
        scores.append(evaluate(make_learner(split, seed), sampler, n_episodes))
    return over_splits(scores)


def over_splits(scores: Sequence[Score]) -> SplitScore:
    """Mean and 95 % interval over the splits' means, ``mean ± t sd / sqrt(S)`` with S - 1 degrees.

    Parameters
    ----------
    scores : sequence of Score
        One for each split, at least two.

    Returns
    -------
    SplitScore

    Raises
    ------
    ValueError
        If there are fewer than two.

    Examples
    --------
    >>> scores = [Score(mean, 0.01, np.array([mean] * 2)) for mean in (0.6, 0.7, 0.8)]
    >>> print(over_splits(scores))  # 4.30 * 0.1 / sqrt(3) is 0.248
    70.0 ± 24.8 %
    """
    means = np.array([score.mean for score in scores])
    if len(means) < 2:
        raise ValueError(f"scores has {len(means)} entry; an interval needs at least two splits")
    quantile = student_t.ppf(0.975, len(means) - 1)
    half_width = quantile * means.std(ddof=1) / np.sqrt(len(means))
    return SplitScore(float(means.mean()), float(half_width), tuple(scores))


def compare_splits(a: SplitScore, b: SplitScore) -> SplitScore:
    """The mean difference ``a - b`` on the same splits and tasks, with its interval over splits.

    Parameters
    ----------
    a, b : SplitScore
        From :func:`across_splits` with the same splits, seeds and tasks.

    Returns
    -------
    SplitScore
        Of the differences, which lie between -1 and 1.

    Raises
    ------
    ValueError
        If the two were not scored on equally many splits and tasks.

    Examples
    --------
    >>> low, high = (
    ...     over_splits([Score(m + gain, 0.01, np.full(2, m + gain)) for m in (0.5, 0.9)])
    ...     for gain in (0.0, 0.05)
    ... )
    >>> print(compare_splits(high, low))
    5.0 ± 0.0 %
    """
    if len(a.per_split) != len(b.per_split):
        raise ValueError(
            f"a was scored on {len(a.per_split)} splits, b on {len(b.per_split)}; "
            "give both the same seeds"
        )
    return over_splits([compare(x, y) for x, y in zip(a.per_split, b.per_split)])


def _parts(
    names: Collection[str], n_validation: int, n_test: int, seed: int, what: str
) -> tuple[set[str], set[str], set[str]]:
    """Names to learn from, to choose by and to be tested on."""
    for argument, value, least in (("n_validation", n_validation, 0), ("n_test", n_test, 1),
                                   ("seed", seed, 0)):  # fmt: skip
        if value < least:
            raise ValueError(f"{argument} is {value}; give at least {least}")
    if n_validation + n_test >= len(names):
        raise ValueError(
            f"n_validation + n_test is {n_validation + n_test}, and data has {len(names)} {what}; "
            "leave at least one to learn from"
        )
    ordered = sorted(names)
    order = [ordered[i] for i in np.random.default_rng(seed).permutation(len(ordered))]
    test, validation = order[:n_test], order[n_test : n_test + n_validation]
    return set(order[n_test + n_validation :]), set(validation), set(test)
