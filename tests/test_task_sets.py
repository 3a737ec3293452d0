"""What tasks are drawn from: the parts share no class, caps hold, and draws repeat."""

from __future__ import annotations

from collections import Counter

import pytest

from nlpmeta.corpora import benchmarks, docs, names
from nlpmeta.task_sets import BLANK, blanks, families, intents, languages, modules

PARTS = ("train", "validation", "test")


@pytest.mark.parametrize("make", [families, languages, modules])
def test_the_parts_share_no_domain_or_class(make):
    found = {part: make(part) for part in PARTS}
    keys = {part: set(zip(x.domains, x.labels)) for part, x in found.items()}
    assert all(len(x.texts) == len(x.labels) == len(x.domains) for x in found.values())
    assert not keys["train"] & keys["test"]
    assert not keys["train"] & keys["validation"]
    assert not keys["validation"] & keys["test"]


def test_names_are_latin_and_no_near_copies():
    found = families("test")
    kept = {r.language for r in names.load(near_copies=False)}
    assert set(found.domains) <= kept
    assert len(set(found.labels)) == 9
    assert "ja" not in set(families().domains)


def test_families_and_languages_are_the_same_names():
    assert families("test").texts == languages("test").texts
    assert families("test").domains == languages("test").labels


@pytest.mark.parametrize("make", [families, languages, modules])
def test_at_most_so_many_and_the_same_again(make):
    found = make("test", most=3)
    assert max(Counter(zip(found.domains, found.labels)).values()) == 3
    assert found == make("test", most=3)
    everything = make("test")
    assert set(zip(*found)) <= set(zip(*everything))


def test_small_modules_are_left_out():
    found = modules("test", least=40)
    assert min(Counter(found.labels).values()) >= 40
    assert set(found.domains) <= set(docs.LIBRARIES)


def test_intents_join_the_parts_and_leave_out_what_has_no_intent(tmp_path, monkeypatch):
    rows = {
        "train": [("a", "pay"), ("a", "pay"), ("b ", "fly")],
        "validation": [("c", "pay")],
        "test": [("d", "fly"), ("a", "fly")],
    }
    monkeypatch.setattr(
        benchmarks,
        "load",
        lambda name, part: tuple(benchmarks.Labeled(t, y, f"d-{y}") for t, y in rows[part]),
    )
    found = intents("clinc150")
    assert found.texts == ("a", "b", "c", "d", "a")
    assert found.labels == ("pay", "fly", "pay", "fly", "fly")
    assert found.domains == ("d-pay", "d-fly", "d-pay", "d-fly", "d-fly")
    assert max(Counter(intents("clinc150", most=1).labels).values()) == 1


SENTENCES = [
    ["the", "red", "car"],
    ["a", "red", "hat", "red"],
    ["the", "car"],
    ["the", "12", "red"],
]


def test_the_blanked_word_is_gone_and_each_sentence_serves_once():
    found = blanks(SENTENCES, least=1, most=2)
    assert len(found.texts) <= len(SENTENCES)
    assert max(Counter(found.labels).values()) <= 2
    for text, label in zip(found.texts, found.labels):
        assert BLANK in text.split()
        assert label not in text.split()
        assert label.isalpha()


def test_a_word_with_too_few_sentences_is_not_blanked():
    assert set(blanks(SENTENCES, least=3, most=9).labels) <= {"the", "red"}


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: intents("reviews"), "name is 'reviews'"),
        (lambda: blanks(SENTENCES, least=0), "least is 0"),
        (lambda: blanks(SENTENCES, least=3, most=2), "most is 2"),
        (lambda: blanks(SENTENCES, least=9, most=9), "no word has least = 9"),
        (lambda: families("dev"), "part is 'dev'"),
        (lambda: families("test", most=0), "most is 0"),
        (lambda: modules("test", least=0), "least is 0"),
        (lambda: modules("dev"), "part must be one of"),
    ],
)
def test_what_cannot_be(call, match):
    with pytest.raises(ValueError, match=match):
        call()
