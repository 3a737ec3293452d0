"""The texts of the scoreboard, its rows, and sampling."""

import json
from collections import Counter

import numpy as np
import pytest

from nlpmeta import scoreboard
from nlpmeta.corpora import docs
from nlpmeta.scoreboard import SIZES, Row, measure, sample


class Coins:
    """A model that knows the tokens of its training text and nothing of their frequency."""

    def fit(self, tokens):
        self.vocabulary = tuple(sorted(set(tokens)))
        self.n_parameters = len(self.vocabulary)
        return self

    def logprobs(self, tokens):
        return np.full(len(tokens), -np.log(self.n_parameters))

    def next_logprobs(self, context):
        return np.full(self.n_parameters, -np.log(self.n_parameters))


def test_a_smaller_text_is_the_beginning_of_a_larger_one():
    texts = [scoreboard.train_text(size) for size in SIZES]
    assert [len(text) for text in texts[:2]] == [200_000, 1_000_000]
    assert texts[2].startswith(texts[1])
    assert texts[1].startswith(texts[0])


@pytest.mark.parametrize("part", docs.PARTS)
def test_a_text_has_every_sentence_of_its_part(part):
    shuffled = scoreboard._text(part).split("\n")
    assert Counter(shuffled) == Counter(docs.text(part).split("\n"))


def test_the_first_characters_are_not_of_one_library():
    library = {s.text: s.library for s in docs.load("test")}
    beginning = scoreboard.test_text().split("\n")[:-1]  # the last line may be cut
    counts = Counter(library[line] for line in beginning)
    assert set(counts) == set(docs.LIBRARIES)
    assert max(counts.values()) < len(beginning) / 2


def test_training_validation_and_test_are_apart():
    texts = [scoreboard.train_text(), scoreboard.validation_text(), scoreboard.test_text()]
    lines = [set(text.split("\n")[:-1]) for text in texts]
    assert not lines[0] & lines[1]
    assert not lines[0] & lines[2]
    assert not lines[1] & lines[2]


def test_no_other_size():
    with pytest.raises(ValueError, match="size is 5; the scoreboard has 200000, 1000000, None"):
        scoreboard.train_text(5)


def test_a_row_can_be_written_as_json():
    row = measure("coins", Coins(), "abcdefgh" * 3, "abba")
    assert row[:4] == ("coins", 24, 3.0, 8)
    assert row.seconds >= 0
    assert Row(**json.loads(json.dumps(row._asdict()))) == row


@pytest.mark.parametrize(("train", "test", "name"), [("", "a", "train"), ("a", "", "test")])
def test_empty_texts(train, test, name):
    with pytest.raises(ValueError, match=f"{name} is empty"):
        measure("coins", Coins(), train, test)


def test_samples_follow_the_model():
    model = Coins().fit("abcd")
    text = sample(model, 4000, np.random.default_rng(0))
    assert len(text) == 4000
    assert all(abs(count - 1000) < 120 for count in Counter(text).values())
    assert text == sample(model, 4000, np.random.default_rng(0))
    assert sample(model, 0, np.random.default_rng(0), "ab") == ""


def test_a_negative_length():
    with pytest.raises(ValueError, match="length is -1"):
        sample(Coins().fit("ab"), -1, np.random.default_rng(0))
