"""From texts to data that a sampler takes: nothing is mixed up, nothing disappears in silence."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nlpmeta import episodes, tables
from nlpmeta.episodes import EpisodeSampler, evaluate, from_table
from nlpmeta.learners import ProtoNet
from nlpmeta.meta import meta_train
from nlpmeta.neural import CharacterCNN
from nlpmeta.tables import character_numbers


def test_episodes_hands_on_what_makes_its_data():
    assert episodes.from_table is tables.from_table
    assert episodes.by_class is tables.by_class


texts = st.lists(st.text("abc é", min_size=1, max_size=9), min_size=2, max_size=12)


@given(texts, st.integers(1, 12))
def test_rows_are_the_texts_and_classes_hold_their_own(texts, max_length):
    labels = ["even" if len(text) % 2 == 0 else "odd" for text in texts]
    try:
        table = from_table(texts, labels, at_least=1, max_length=max_length)
    except ValueError:
        assert not any(text.strip() for text in texts)
        return
    for text, row in zip(table.texts, table.x):
        own = row[row != 0].tolist()
        assert "".join(table.vocabulary.decode(own)) == text[:max_length]
    assert len(table.texts) + sum(table.left_out) == len(texts)
    for label, x in table.data[""].items():
        rows = [i for i, other in enumerate(table.labels) if other == label]
        assert torch.equal(x, table.x[torch.tensor(rows)])


def test_a_learner_is_meta_trained_on_a_table():
    words = [a + b for a in "bdfgk" for b in ("a", "e", "i", "o", "u", "aa")]
    table = from_table(words, [word[0] for word in words], at_least=4)
    sampler = EpisodeSampler(table.data, n_way=3, k_shot=2, n_query=2, seed=0)
    generator = torch.Generator().manual_seed(0)
    learner = ProtoNet(CharacterCNN(len(table.vocabulary), 8, 16, 8, generator))
    meta_train(learner, sampler, steps=30, lr=1e-2)
    assert evaluate(learner, sampler, 20).mean > 0.8


def test_new_texts_get_the_numbers_of_the_table():
    table = from_table(["ab", "ba"], ["x", "x"])
    assert torch.equal(character_numbers(["ab", "ba"], table.vocabulary, 128), table.x)
    assert character_numbers(["é"], table.vocabulary, 128).tolist() == [[1]]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"texts": []}, r"no class has 2 usable examples \(left out: none\)"),
        ({"texts": ["a", "a", "b"]}, r"left out: 1 repeated, 2 rare"),
        ({"texts": [None, "", " "]}, r"left out: 3 empty"),
        ({"texts": ["a"], "at_least": 0}, "at_least is 0"),
        ({"texts": ["a"], "max_length": 0}, "max_length is 0"),
    ],
)
def test_tables_of_nothing_are_refused(arguments, named):
    labels = ["x", "x", "y"][: len(arguments["texts"])]
    with pytest.raises(ValueError, match=named):
        from_table(labels=labels, **arguments)
