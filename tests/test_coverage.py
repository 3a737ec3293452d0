"""Every idea that the book was asked for has a place in it that can be linked to.

The book starts from a short article on meta-learning for language; :data:`IDEAS` lists all that
the article names, each with the pages and labels where the idea is explained, run and measured.
A row whose chapter is not written yet is in :data:`PENDING`; that list may only shrink.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.book.sources import BOOK, labels


class Place(NamedTuple):
    """A page, as a path in `book/` without its suffix, and a label on it."""

    page: str
    label: str


def whole(*stems: str) -> tuple[Place, ...]:
    """The chapters with these paths, from their titles on."""
    return tuple(Place(stem, f"chapter-{stem.split('/')[-1]}") for stem in stems)


START = "foundations/learning-to-learn"
INFORMATION = "foundations/text-and-information"
OPTIMISATION = "foundations/optimisation"
SECOND_PART = whole(
    "language-models/maximum-entropy",
    "language-models/bayesian-networks",
    "language-models/sequence-models",
    "language-models/inference",
    "language-models/neural-language-models",
    "language-models/transformers",
)

IDEAS: dict[str, tuple[Place, ...]] = {
    "meta-learning: learning stage, application stage": (
        Place(START, "def-stages"),
        *whole("meta-learning/episodes"),
    ),
    "transfer learning": whole("transfer/fine-tuning"),
    "multi-task learning": whole("transfer/multi-task"),
    "self-supervised learning; autoencoders; contrastive learning": whole(
        "transfer/self-supervision"
    ),
    "model compression: weight pruning, quantisation": whole("transfer/compression"),
    "language model: probability of a next word; training stage, application stage": (
        Place(INFORMATION, "sec-language-model"),
        *SECOND_PART,
    ),
    "maximum entropy language models": whole("language-models/maximum-entropy"),
    "probabilistic graphical models as language models": whole(
        "language-models/bayesian-networks",
        "language-models/sequence-models",
        "language-models/inference",
    ),
    "deep language models: convolutional, recurrent, fully connected, attention layers": whole(
        "language-models/neural-language-models", "language-models/transformers"
    ),
    "tokenising, padding, embedding + LSTM + dense classifier: the article's own code example "
    '("我爱你")': (Place(START, "sec-keras-example"),),
    "text classification": whole("language-models/maximum-entropy", "meta-learning/meta-nlp"),
    "text summarisation": whole("practice/summarization"),
    "text generation, sequence generation": whole(
        "language-models/neural-language-models",
        "language-models/transformers",
        "practice/generation",
    ),
    "machine translation": whole("meta-learning/meta-nlp", "practice/translation"),
    "speech recognition": whole("practice/speech"),
    "sentiment analysis": whole("practice/sentiment"),
    "gradient descent, SGD, adaptive and scheduled learning rates": (
        Place(OPTIMISATION, "sec-gradient-descent"),
        Place(OPTIMISATION, "sec-adaptive-rates"),
    ),
    "cross-entropy, binary cross-entropy": (Place(OPTIMISATION, "sec-cross-entropy"),),
    "L1, L2 regularisation": (
        Place(OPTIMISATION, "sec-regularization"),
        *whole("language-models/maximum-entropy"),
    ),
    "accuracy, precision, recall": (Place(INFORMATION, "sec-classification-metrics"),),
    "PyTorch and TensorFlow/Keras": (Place(START, "sec-keras-to-pytorch"),),
    "trends: more efficient learning strategies, stronger generalisation, smarter application": (
        whole("practice/frontiers")
    ),
    "challenges: too little data, limited compute, model complexity": whole("practice/frontiers"),
    "the article's twenty-nine questions, answered right": tuple(
        Place("appendix/faq", f"faq-{number}") for number in range(1, 30)
    ),
}

# Rows with a place that is not written yet. Take a row out when its last chapter is there, and
# lower the number; neither may ever grow.
PENDING: frozenset[str] = frozenset()
MOST_PENDING = 0
ROWS = 24


def missing(places: tuple[Place, ...], pages: dict[str, set[str]]) -> list[Place]:
    """The places that do not exist, given the labels of every page that does."""
    return [place for place in places if place.label not in pages.get(place.page, set())]


@pytest.fixture(scope="module")
def pages() -> dict[str, set[str]]:
    return {
        path.relative_to(BOOK).with_suffix("").as_posix(): labels(path.read_text(encoding="utf8"))
        for path in BOOK.rglob("*.md")
    }


@pytest.mark.parametrize("idea", sorted(IDEAS.keys() - PENDING))
def test_an_idea_has_its_places(idea, pages):
    assert missing(IDEAS[idea], pages) == []


@pytest.mark.parametrize("idea", sorted(PENDING))
def test_a_pending_idea_is_in_every_chapter_that_is_written(idea, pages):
    lacking = missing(IDEAS[idea], pages)
    assert lacking, "all its places are there: take it out of PENDING"
    assert [place for place in lacking if place.page in pages] == []


def test_the_table_is_whole_and_the_pending_list_only_shrinks():
    assert len(IDEAS) == ROWS
    assert all(IDEAS.values())
    assert PENDING - IDEAS.keys() == set()
    assert len(PENDING) == MOST_PENDING


def test_a_missing_place_is_found():
    here, there = Place("a/b", "sec-x"), Place("a/c", "chapter-c")
    assert missing((here, there), {"a/b": {"sec-x"}, "a/c": {"chapter-c"}}) == []
    assert missing((here, there), {"a/b": {"sec-y"}, "a/c": {"chapter-c"}}) == [here]
    assert missing((here, there), {"a/b": {"sec-x"}}) == [there]
