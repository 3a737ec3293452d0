"""Class splits share nothing; the interval over them covers; tasks are the same for all workers."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from nlpmeta import meta
from nlpmeta.class_splits import (
    across_splits,
    compare_splits,
    over_splits,
    split_classes,
    split_domains,
)
from nlpmeta.episodes import EpisodeSampler, Score, by_class
from nlpmeta.learners import NearestCentroid, ProtoNet
from nlpmeta.neural import initialize


def grouped(n_classes, n_domains=1, size=6):
    """Examples whose value is 1,000 times their class plus a number of their own."""
    return {
        f"domain {d}": {
            f"class {c:02}": torch.arange(size) + 10 * d + 1000 * c for c in range(n_classes)
        }
        for d in range(n_domains)
    }


def names(part):
    return {label for classes in part.values() for label in classes}


sizes = st.tuples(st.integers(1, 5), st.integers(0, 5), st.integers(1, 5))


@given(sizes, st.integers(0, 10_000), st.integers(1, 3))
def test_no_class_of_one_part_is_in_another_and_none_is_lost(sizes, seed, n_domains):
    n_train, n_validation, n_test = sizes
    data = grouped(sum(sizes), n_domains)
    split = split_classes(data, n_validation, n_test, seed)
    assert [len(names(part)) for part in split] == [n_train, n_validation, n_test]
    assert set.union(*map(names, split)) == names(data)
    for part in split:
        for domain, classes in part.items():
            assert all(x is data[domain][label] for label, x in classes.items())


@given(sizes, st.integers(0, 10_000))
def test_tasks_of_two_parts_share_no_class(sizes, seed):
    split = split_classes(grouped(sum(sizes) + 2, 2), sizes[1], sizes[2] + 1, seed)
    seen = [
        {
            int(value) // 1000
            for i in range(5)
            for value in EpisodeSampler(part, 1, 2, 2, seed).task(i).support_x
        }
        for part in split
        if part
    ]
    assert sum(map(len, seen)) == len(set.union(*seen))


@given(st.integers(0, 10_000), st.permutations(range(9)))
def test_a_split_depends_on_the_seed_and_not_on_the_order_of_the_classes(seed, order):
    data = grouped(9)
    labels = list(data["domain 0"])
    mixed = {"domain 0": {labels[i]: data["domain 0"][labels[i]] for i in order}}
    straight, other = (split_classes(d, 2, 3, seed) for d in (data, mixed))
    assert [names(part) for part in straight] == [names(part) for part in other]


def test_seeds_differ_and_every_class_is_tested_about_equally_often():
    counts = np.zeros(6)
    for seed in range(300):
        for label in names(split_classes(grouped(6), 1, 2, seed).test):
            counts[int(label.split()[1])] += 1
    assert counts.sum() == 600
    assert stats.chisquare(counts).pvalue > 0.001


@given(sizes, st.integers(0, 10_000))
def test_domains_are_kept_whole(sizes, seed):
    data = grouped(3, sum(sizes))
    split = split_domains(data, sizes[1], sizes[2], seed)
    assert [len(part) for part in split] == list(sizes)
    assert sorted(domain for part in split for domain in part) == sorted(data)
    assert all(part[domain] is data[domain] for part in split for domain in part)


@pytest.mark.parametrize(
    ("n_validation", "n_test", "seed", "named"),
    [
        (-1, 1, 0, "n_validation is -1"),
        (0, 0, 0, "n_test is 0"),
        (0, 1, -1, "seed is -1"),
        (2, 2, 0, "n_validation \\+ n_test is 4, and data has 4"),
    ],
)
@pytest.mark.parametrize("split", [split_classes, split_domains])
def test_impossible_splits_are_refused(split, n_validation, n_test, seed, named):
    with pytest.raises(ValueError, match=named):
        split(grouped(4, 4), n_validation, n_test, seed)


@pytest.fixture(scope="module")
def sampler():
    return EpisodeSampler(grouped(7, 3), 3, 2, 3, seed=5)


def drawn(sampler, index):
    return [part.tolist() for part in sampler.task(index)]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_threads_draw_the_same_tasks_whatever_their_number(sampler, workers):
    order = np.random.default_rng(workers).permutation(40).tolist()
    with ThreadPoolExecutor(workers) as pool:
        tasks = dict(zip(order, pool.map(lambda i: drawn(sampler, i), order)))
    assert [tasks[i] for i in range(40)] == [drawn(sampler, i) for i in range(40)]


def drawn_elsewhere(index):
    return drawn(EpisodeSampler(grouped(7, 3), 3, 2, 3, seed=5), index)


def test_another_process_draws_the_same_tasks(sampler):
    """A fresh one, with hashes of strings of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(drawn_elsewhere, (3, 0, 7))) == [drawn(sampler, i) for i in (3, 0, 7)]


def scores(means):
    return [Score(mean, 0.01, np.array([mean, mean])) for mean in means]


def test_the_interval_is_students():
    means = [0.61, 0.70, 0.64, 0.66]
    score = over_splits(scores(means))
    low, high = stats.t.interval(0.95, 3, loc=np.mean(means), scale=stats.sem(means))
    assert score.mean - score.ci95 == pytest.approx(low, abs=1e-12)
    assert score.mean + score.ci95 == pytest.approx(high, abs=1e-12)
    assert str(over_splits(scores([0.5, 0.5]))) == "50.0 ± 0.0 %"


def test_the_interval_over_five_splits_covers_and_that_over_tasks_does_not():
    """Independent splits whose difficulty differs: the tasks of one split know nothing of it."""
    rng = np.random.default_rng(0)
    covered = np.zeros(2)
    for _ in range(400):
        runs = []
        for difficulty in rng.normal(0.7, 0.03, 5):
            values = rng.normal(difficulty, 0.1, 200)
            half_width = 1.96 * values.std(ddof=1) / np.sqrt(200)
            runs.append(Score(values.mean(), half_width, values))
        score = over_splits(runs)
        covered += abs(score.mean - 0.7) < score.ci95, abs(runs[0].mean - 0.7) < runs[0].ci95
    assert 0.92 < covered[0] / 400 < 0.98
    assert covered[1] / 400 < 0.6


def learned(split, seed):
    learner = ProtoNet(nn.Linear(4, 4))
    initialize(learner, torch.Generator().manual_seed(seed))
    meta.meta_train(learner, EpisodeSampler(split.train, 3, 2, 2, seed), steps=5, tasks_per_step=2)
    return learner


def test_training_and_testing_are_repeated_on_each_split_and_paired():
    g = torch.Generator().manual_seed(0)
    centers = torch.randn(12, 4, generator=g).repeat_interleave(8, 0)
    x = centers + 0.7 * torch.randn(96, 4, generator=g)
    data = by_class(x, [f"{i // 8}" for i in range(96)])

    def run(make_learner, seeds=(0, 1, 2)):
        return across_splits(
            make_learner,
            lambda seed: split_classes(data, n_validation=2, n_test=4, seed=seed),
            **{"n_way": 3, "k_shot": 2, "n_query": 3, "seeds": seeds, "n_episodes": 12},
        )

    a, again = run(learned), run(learned)
    assert a.mean == again.mean
    assert [s.per_episode.tolist() for s in a.per_split] == [
        s.per_episode.tolist() for s in again.per_split
    ]
    assert len({s.mean for s in a.per_split}) == 3, "the splits differ"
    b = run(lambda split, seed: NearestCentroid(nn.Identity()))
    difference = compare_splits(a, b)
    assert difference.mean == pytest.approx(a.mean - b.mean, abs=1e-12)
    by_hand = np.array([x.mean - y.mean for x, y in zip(a.per_split, b.per_split)])
    assert difference.ci95 == pytest.approx(
        stats.t.ppf(0.975, 2) * by_hand.std(ddof=1) / 3**0.5, abs=1e-12
    )
    with pytest.raises(ValueError, match="3 splits, b on 2"):
        compare_splits(a, run(learned, (0, 1)))


@pytest.mark.parametrize("seeds", [(), (3,), (1, 1)])
def test_too_few_seeds_and_the_same_seed_twice_are_refused(seeds):
    with pytest.raises(ValueError, match="at least two, each once"):
        across_splits(
            lambda split, seed: NearestCentroid(nn.Identity()),
            lambda seed: split_classes(grouped(4), 0, 2, seed),
            **{"n_way": 2, "k_shot": 1, "n_query": 1, "seeds": seeds},
        )
    with pytest.raises(ValueError, match="1 entry"):
        over_splits(scores([0.5]))
