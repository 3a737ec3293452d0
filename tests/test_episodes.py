"""The sampler's promises, as properties; the score and its interval; bad input."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nlpmeta.episodes import (
    EpisodeSampler,
    Score,
    across_domains,
    by_class,
    compare,
    evaluate,
    n_ways,
)


def made_data(sizes_by_domain):
    """Examples whose value names domain, class and number, so that any mix-up shows."""
    x, labels, domains = [], [], []
    for d, sizes in enumerate(sizes_by_domain):
        for c, size in enumerate(sizes):
            for i in range(size):
                x.append(10_000 * d + 100 * c + i)
                labels.append(f"class {c}")
                domains.append(f"domain {d}")
    return by_class(torch.tensor(x), labels, domains)


shapes = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 99))


@given(shapes, st.integers(0, 10_000))
def test_a_task_keeps_every_promise(shape, index):
    n_way, k_shot, n_query, seed = shape
    data = made_data([[6, 7, 8, 9], [6, 6, 6, 6, 6]])
    task = EpisodeSampler(data, n_way, k_shot, n_query, seed).task(index)
    assert task.support_x.shape == (n_way * k_shot,)
    assert task.query_x.shape == (n_way * n_query,)
    support, query = set(task.support_x.tolist()), set(task.query_x.tolist())
    assert len(support) == n_way * k_shot, "a support example is drawn twice"
    assert len(query) == n_way * n_query, "a query is drawn twice"
    assert not support & query, "support and query overlap"
    assert len({value // 10_000 for value in support | query}) == 1, "one domain per task"
    class_of = {}
    for value, label in zip(
        torch.cat([task.support_x, task.query_x]).tolist(),
        torch.cat([task.support_y, task.query_y]).tolist(),
    ):
        assert class_of.setdefault(label, value // 100) == value // 100, "one class per label"
    assert sorted(class_of) == list(range(n_way)), "labels are 0 to n_way - 1"
    assert len(set(class_of.values())) == n_way, "a class is drawn twice"
    for y, per_class in ((task.support_y, k_shot), (task.query_y, n_query)):
        assert torch.bincount(y).tolist() == [per_class] * n_way


@given(st.integers(0, 50), st.permutations(range(6)))
def test_a_task_depends_on_seed_and_index_only(seed, order):
    data = made_data([[5, 5, 5], [5, 5, 5]])
    straight = [EpisodeSampler(data, 2, 1, 2, seed).task(i) for i in range(6)]
    another = EpisodeSampler(data, 2, 1, 2, seed)
    for i in order:
        assert all(map(torch.equal, another.task(i), straight[i]))
    batch = another.batch(2, 3)
    for i in range(3):
        assert all(torch.equal(part[i], own) for part, own in zip(batch, straight[2 + i]))


def test_a_batch_goes_on_from_one_block_of_tasks_to_the_next():
    sampler = EpisodeSampler(made_data([[90] * 12, [90] * 11]), 10, 20, 60, seed=0)
    batch, domains = sampler.batch(30, 60), [sampler.domain(i) for i in range(30, 90)]
    assert sampler._together < 45
    for i in reversed(range(60)):
        assert all(torch.equal(part[i], own) for part, own in zip(batch, sampler.task(30 + i)))
        assert f"domain {batch.support_x[i, 0] // 10_000}" == domains[i]


@pytest.mark.parametrize("many", [4, 130])
def test_tasks_are_those_of_a_loop_that_takes_one_example_at_a_time(many):
    data = made_data([[5, 6, 7], [8, 5, 9, 6] + [5] * (many - 4)])
    sampler = EpisodeSampler(data, n_way=3, k_shot=2, n_query=3, seed=4)
    for index in range(50):
        rng = np.random.default_rng([4, index])
        classes = list(data[list(data)[rng.integers(2)]].values())
        support, query = [], []
        for c in rng.permutation(len(classes))[:3]:
            for place, i in enumerate(rng.choice(len(classes[c]), 5, replace=False)):
                (support if place < 2 else query).append(int(classes[c][i]))
        task = sampler.task(index)
        assert (task.support_x.tolist(), task.query_x.tolist()) == (support, query)


def test_a_block_that_streams_do_not_draw_as_numpy_is_drawn_by_numpy():
    data = by_class(torch.arange(20_100), ["a"] * 10_050 + ["b"] * 10_050)
    task = EpisodeSampler(data, n_way=2, k_shot=2, n_query=300, seed=5).task(3)
    rng = np.random.default_rng([5, 3])
    rows = [10_050 * c + rng.choice(10_050, 302, replace=False) for c in rng.permutation(2)]
    assert task.support_x.tolist() == [*rows[0][:2], *rows[1][:2]]
    assert task.query_x.tolist() == [*rows[0][2:], *rows[1][2:]]


def test_what_is_done_to_a_task_does_not_reach_the_next():
    sampler = EpisodeSampler(made_data([[5, 5]]), n_way=2, k_shot=1, n_query=2, seed=0)
    before = sampler.task(0)
    for part in sampler.task(0):
        part.zero_()
    assert all(map(torch.equal, sampler.task(0), before))


def test_every_class_and_domain_is_drawn_and_labels_are_permuted():
    sampler = EpisodeSampler(made_data([[5, 5, 5], [5, 5, 5]]), 2, 1, 1, seed=0)
    tasks = [sampler.task(i) for i in range(200)]
    assert {int(t.support_x[0]) // 100 for t in tasks} == {0, 1, 2, 100, 101, 102}
    pairs = {tuple((t.support_x // 100).tolist()) for t in tasks}
    assert all((b, a) in pairs for a, b in pairs), "an order of labels never occurs"


def test_classes_with_too_few_examples_are_left_out():
    sampler = EpisodeSampler(made_data([[5, 2, 5], [1, 1, 1]]), 2, 2, 1, seed=0)
    assert list(sampler.domains) == ["domain 0"]
    assert list(sampler.domains["domain 0"]) == ["class 0", "class 2"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"n_way": 0}, "n_way is 0"),
        ({"k_shot": 0}, "k_shot is 0"),
        ({"n_query": 0}, "n_query is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"k_shot": 50}, "k_shot \\+ n_query is 51"),
        ({"n_way": 4}, "n_way = 4"),
    ],
)
def test_a_sampler_that_cannot_be_is_refused(arguments, named):
    usual = {"n_way": 2, "k_shot": 1, "n_query": 1, "seed": 0}
    with pytest.raises(ValueError, match=named):
        EpisodeSampler(made_data([[5, 5, 5]]), **{**usual, **arguments})


def test_examples_of_two_shapes_are_refused():
    data = {"": {"a": torch.zeros(3, 4), "b": torch.zeros(3, 5)}}
    with pytest.raises(ValueError, match="pad them to one shape"):
        EpisodeSampler(data, 2, 1, 1, seed=0)


def test_wrong_numbers_and_lengths_are_refused():
    sampler = EpisodeSampler(made_data([[5, 5]]), 2, 1, 1, seed=0)
    with pytest.raises(ValueError, match="index is -1"):
        sampler.task(-1)
    with pytest.raises(ValueError, match="n_tasks is 0"):
        sampler.batch(0, 0)
    with pytest.raises(ValueError, match="lengths 2, 1 and 1"):
        by_class(torch.zeros(2), ["a"])
    with pytest.raises(ValueError, match="at least one example"):
        by_class(torch.zeros(0), [])
    with pytest.raises(ValueError, match="at least one label"):
        n_ways(torch.tensor([], dtype=torch.int64))
    with pytest.raises(ValueError, match="numbered from 0"):
        n_ways(torch.tensor([-1, 0]))


class Always:
    """A learner that always answers the same logits."""

    def __init__(self, logits):
        self.logits = torch.tensor(logits)

    def adapt(self, support_x, support_y):
        return lambda query_x: self.logits.expand(len(query_x), -1)


def test_a_constant_answer_scores_one_in_n_on_every_task():
    sampler = EpisodeSampler(made_data([[9] * 5]), 5, 1, 2, seed=0)
    score = evaluate(Always([1.0, 0, 0, 0, 0]), sampler, 20)
    assert score.mean == pytest.approx(0.2)
    assert score.ci95 == pytest.approx(0, abs=1e-12)
    assert score.per_episode.shape == (20,)


@pytest.mark.parametrize("logits", [[1.0, 0.0], [float("nan")] * 5])
def test_wrong_logits_are_refused(logits):
    sampler = EpisodeSampler(made_data([[9] * 5]), 5, 1, 2, seed=0)
    with pytest.raises(ValueError, match="logits"):
        evaluate(Always(logits), sampler, 2)
    with pytest.raises(ValueError, match="n_episodes is 1"):
        evaluate(Always(logits), sampler, 1)


def test_the_interval_covers_the_mean_about_95_times_in_100():
    rng = np.random.default_rng(0)
    from nlpmeta.episodes import _score

    scores = [_score(rng.normal(0.6, 0.1, 600)) for _ in range(400)]
    covered = np.mean([abs(s.mean - 0.6) < s.ci95 for s in scores])
    assert 0.92 < covered < 0.98


def test_a_paired_comparison_is_narrower_and_needs_equal_tasks():
    rng = np.random.default_rng(0)
    hard = rng.normal(0.6, 0.15, 300)
    a, b = (Score(0.0, 0.0, hard + rng.normal(shift, 0.02, 300)) for shift in (0.05, 0.0))
    difference = compare(a, b)
    assert difference.mean == pytest.approx(0.05, abs=0.01)
    assert difference.ci95 < 0.005
    with pytest.raises(ValueError, match="300 tasks, b on 2"):
        compare(a, Score(0.0, 0.0, hard[:2]))


def test_the_interval_over_domains_covers_when_tasks_are_alike_within_them():
    """Twelve domains of different difficulty: tasks mislead, domains do not."""
    rng = np.random.default_rng(0)
    data = made_data([[3, 3]] * 12)
    sampler = EpisodeSampler(data, 2, 1, 1, seed=0)
    number = np.array([int(sampler.domain(i).split()[1]) for i in range(240)])
    covered = {"tasks": 0, "domains": 0}
    for _ in range(200):
        difficulty = rng.normal(0.6, 0.1, 12)
        values = difficulty[number] + rng.normal(0, 0.05, 240)
        over_tasks = Score(values.mean(), 1.96 * values.std(ddof=1) / np.sqrt(240), values)
        over_domains = across_domains(over_tasks, sampler)
        covered["tasks"] += abs(over_tasks.mean - 0.6) < over_tasks.ci95
        covered["domains"] += abs(over_domains.mean - 0.6) < over_domains.ci95
    assert covered["tasks"] < 120
    assert covered["domains"] > 175


def test_an_interval_over_one_domain_is_refused():
    sampler = EpisodeSampler(made_data([[3, 3]]), 2, 1, 1, seed=0)
    with pytest.raises(ValueError, match="1 domain"):
        across_domains(Score(0.5, 0.1, np.array([0.4, 0.6])), sampler)
