"""What tasks are drawn from: the parts share no class, caps hold, and draws repeat."""

from __future__ import annotations

from collections import Counter

import pytest

from nlpmeta.corpora import docs, names
from nlpmeta.task_sets import families, languages, modules

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


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: families("dev"), "part is 'dev'"),
        (lambda: families("test", most=0), "most is 0"),
        (lambda: modules("test", least=0), "least is 0"),
        (lambda: modules("dev"), "part must be one of"),
    ],
)
def test_what_cannot_be(call, match):
    with pytest.raises(ValueError, match=match):
        call()
