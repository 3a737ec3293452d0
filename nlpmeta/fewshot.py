"""Which few-shot learner for *your* labeled texts? All of them on the same tasks, with intervals.

Nearest class mean and logistic regression are tried on n-grams of characters and on the vectors of
a pretrained encoder, and, where there are classes enough to learn from some and be tested on
others, prototypical networks (Snell, Swersky and Zemel, 2017). ``python -m nlpmeta fewshot`` does
it from the command line (:mod:`nlpmeta.fewshot_command`). Exports :class:`Row`,
:class:`FewShotReport` and :func:`evaluate_table`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from nlpmeta.class_splits import Split, SplitScore, across_splits, compare_splits, split_classes
from nlpmeta.episodes import EpisodeSampler, Learner, Score, compare, evaluate
from nlpmeta.learners import LogisticRegressionLearner, NearestCentroid, ProtoNet
from nlpmeta.meta import meta_train
from nlpmeta.neural import CharacterCNN, NGramFeatures
from nlpmeta.tables import Table, by_class

MOST = 300  # examples of a class that are used: the encoder reads each of them once
SCALE = 4.0  # of the vectors of length 1 before their distances are logits
CHARACTERS = 64  # of a text, that the network of characters reads
ENCODER = "all-MiniLM-L6-v2"
Make = Callable[[Split, int], Learner]


class Row(NamedTuple):
    """A line of the report: a learner, its accuracy, and the paired difference to the best."""

    name: str
    score: Score | SplitScore
    to_best: Score | SplitScore


class FewShotReport(NamedTuple):
    """What was measured, best learner first, and on what.

    Parameters
    ----------
    rows : tuple of Row
    n_way, k_shot, n_query : int
        Classes of a task, support examples of a class, query examples of a class.
    n_train, n_test : int
        Classes to learn from, 0 if none were kept apart, and classes to be tested on.
    n_splits, n_episodes : int
        How often the classes were divided, and tasks on each division.
    """

    rows: tuple[Row, ...]
    n_way: int
    k_shot: int
    n_query: int
    n_train: int
    n_test: int
    n_splits: int
    n_episodes: int


def evaluate_table(
    table: Table,
    embed: Callable[[list[str]], Tensor] | None = None,
    *,
    n_way: int | None = None,
    k_shot: int = 5,
    n_query: int = 5,
    n_episodes: int = 600,
    n_splits: int = 5,
    steps: int = 200,
    seed: int = 0,
) -> FewShotReport:
    """Score all learners on tasks drawn from a table, the same tasks for all.

    With at least ``3 * n_way`` classes, a third of them (at least ``n_way``) is kept for the tests
    and prototypical networks learn from the others, ``n_splits`` times over; intervals are then
    over the splits. With fewer classes the tasks come from all of them and nothing is meta-trained.

    Parameters
    ----------
    table : Table
        From :func:`nlpmeta.tables.from_table`.
    embed : callable, optional
        Vectors (n, d) of texts by a frozen encoder; without it, its learners are left out.
    n_way : int, optional
        Classes of a task; 5, or all if there are fewer.
    k_shot, n_query : int
        Support and query examples of a class.
    n_episodes : int
        Tasks in all, divided among the splits.
    n_splits : int
        At least 2.
    steps : int
        Steps of meta-training; 0 leaves it out and keeps no classes apart.
    seed : int
        Draws examples, splits, tasks and weights.

    Returns
    -------
    FewShotReport

    Raises
    ------
    ValueError
        If there are too few classes or examples, or a number is too small.

    Examples
    --------
    >>> texts = [f"{word} {i}" for word in ("sun", "moon") for i in range(9)]
    >>> from nlpmeta.episodes import from_table
    >>> table = from_table(texts, ["day"] * 9 + ["night"] * 9)
    >>> report = evaluate_table(table, k_shot=2, n_query=3, n_episodes=20)
    >>> report.rows[0].score.mean, report.n_way, report.n_train
    (1.0, 2, 0)
    """
    for name, value, smallest in (
        ("k_shot", k_shot, 1),
        ("n_query", n_query, 1),
        ("n_episodes", n_episodes, 2),
        ("n_splits", n_splits, 2),
        ("steps", steps, 0),
        ("seed", seed, 0),
    ):
        if value < smallest:
            raise ValueError(f"{name} is {value}; give at least {smallest}")
    enough = k_shot + n_query
    sizes = [len(x) for x in table.data[""].values() if len(x) >= enough]
    if len(sizes) < 2:
        raise ValueError(
            f"{len(sizes)} class has k_shot + n_query = {enough} examples and a task needs 2; "
            "lower k_shot or n_query, or give more examples"
        )
    n_way = min(5, len(sizes)) if n_way is None else n_way
    if not 2 <= n_way <= len(sizes):
        raise ValueError(
            f"n_way is {n_way}; give 2 to {len(sizes)}, the number of classes that have "
            f"k_shot + n_query = {enough} examples"
        )
    apart = steps > 0 and len(sizes) >= 3 * n_way
    n_test = max(n_way, len(sizes) // 3) if apart else len(sizes)
    n_episodes = max(2, n_episodes // n_splits) if apart else n_episodes

    rows = _some_rows(table.labels, enough, seed)
    labels = [table.labels[i] for i in rows]
    views = {"characters": by_class(table.x[torch.tensor(rows)], labels)}
    if embed is not None:
        views["vectors"] = by_class(embed([table.texts[i] for i in rows]), labels)

    def score(view: str, make: Make) -> Score | SplitScore:
        data = views[view]
        if not apart:
            sampler = EpisodeSampler(data, n_way, k_shot, n_query, seed)
            return evaluate(make(Split({}, {}, data), seed), sampler, n_episodes)
        return across_splits(
            make,
            lambda split_seed: split_classes(data, 0, n_test, split_seed),
            n_way=n_way,
            k_shot=k_shot,
            n_query=n_query,
            seeds=range(seed, seed + n_splits),
            n_episodes=n_episodes,
        )

    shape = n_way, k_shot, n_query
    learners = [
        learner
        for learner in _learners(len(table.vocabulary), shape, steps if apart else 0)
        if learner[1] in views
    ]
    scores = {
        name: score(view, make) for name, view, make in tqdm(learners, desc="learners", leave=False)
    }
    order = sorted(scores, key=lambda name: -scores[name].mean)
    best, difference = scores[order[0]], compare_splits if apart else compare
    return FewShotReport(
        tuple(Row(name, scores[name], difference(scores[name], best)) for name in order),
        *shape,
        len(sizes) - n_test,
        n_test,
        n_splits if apart else 1,
        n_episodes,
    )


class _Beginning(nn.Module):
    """An encoder that reads the first characters of each text only."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x[..., :CHARACTERS])


def _learners(
    n_symbols: int, shape: tuple[int, int, int], steps: int
) -> list[tuple[str, str, Make]]:
    """Name, view of the texts and maker of each learner."""

    def ngrams(split: Split) -> NGramFeatures:
        """Weights from the texts of the classes to learn from; a test text would be a leak."""
        known = [x for classes in split.train.values() for x in classes.values()]
        return NGramFeatures().fit(torch.cat(known)) if known else NGramFeatures()

    def linear(split: Split, generator: torch.Generator) -> nn.Module:
        """A linear map that begins as a multiple of the identity: where the encoder left off."""
        width = next(iter(next(iter(split.train.values())).values())).shape[-1]
        layer = nn.Linear(width, width, bias=False)
        nn.init.eye_(layer.weight).data.mul_(SCALE)
        return layer

    def characters(split: Split, generator: torch.Generator) -> nn.Module:
        return _Beginning(CharacterCNN(n_symbols, 32, 64, 64, generator))

    def proto(make_encoder: Callable[[Split, torch.Generator], nn.Module]) -> Make:
        def make(split: Split, seed: int) -> Learner:
            learner = ProtoNet(make_encoder(split, torch.Generator().manual_seed(seed)))
            meta_train(learner, EpisodeSampler(split.train, *shape, seed), steps=steps)
            return learner

        return make

    same = nn.Identity()
    fixed = [
        ("nearest class mean, n-grams", "characters", lambda s, _: NearestCentroid(ngrams(s))),
        ("logistic regression, n-grams", "characters",
         lambda s, _: LogisticRegressionLearner(ngrams(s))),
        (f"nearest class mean, {ENCODER}", "vectors", lambda s, _: NearestCentroid(same)),
        (f"logistic regression, {ENCODER}", "vectors",
         lambda s, _: LogisticRegressionLearner(same)),
    ]  # fmt: skip
    learned = [
        ("prototypical network, characters", "characters", proto(characters)),
        (f"prototypical network, {ENCODER}", "vectors", proto(linear)),
    ]
    return fixed + (learned if steps else [])


def _some_rows(labels: tuple[str, ...], least: int, seed: int) -> list[int]:
    """At most so many rows of each class, drawn at random, of the classes that have enough."""
    of_class: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        of_class.setdefault(label, []).append(row)
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(rows)[:MOST] for rows in of_class.values() if len(rows) >= least]
    return np.sort(np.concatenate(chosen)).tolist()
