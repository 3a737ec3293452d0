"""The glossary: terms in order, each with Chinese, a sentence that says what it is, and a place."""

from __future__ import annotations

import importlib
import re
from itertools import pairwise
from typing import NamedTuple

import pytest

from tests.book.sources import BOOK, blocks, labels, pages

PAGE = BOOK / "appendix" / "glossary.md"
LEAST = 150
HAN = re.compile(r"[\u4e00-\u9fff]")
TO_LABELS = {"ref", "prf:ref", "eq", "numref"}
TO_NAMES = {"py:func", "py:class", "py:mod"}
LINK = re.compile(r"\{(?P<role>[\w:]+)\}`(?:[^`<]*<)?(?P<target>[^`<>]+)>?`")
# What stands after the definition: the title of a page, a word, and the link.
PLACE = re.compile(r"\s*(?:\*[^*]+\*: )?(?:equation )?" + LINK.pattern + r"$")


class Term(NamedTuple):
    """An entry: the term, its Chinese names, what it means, the role and target of its link."""

    term: str
    chinese: str
    definition: str
    role: str
    target: str


def terms(text: str) -> list[Term]:
    """The entries of all glossary blocks of a page, in their order."""
    body = "\n".join(
        line for block in blocks(text) if block.name == "glossary" for line in [*block.body, ""]
    )
    found = []
    for entry in re.split(r"\n+(?=\S)", body.strip()):
        term, chinese, *rest = [line.strip() for line in entry.splitlines() if line.strip()]
        meaning = " ".join(rest)
        place = PLACE.search(meaning)
        definition = meaning[: place.start()] if place else meaning
        role, target = (place["role"], place["target"]) if place else ("", "")
        found.append(Term(term, chinese, definition.strip(), role, target))
    return found


def key(term: str) -> str:
    """What terms are sorted by: letters and digits, in lower case."""
    return re.sub(r"[^a-z0-9]+", " ", term.casefold()).strip()


def faults(found: list[Term]) -> list[str]:
    """What is wrong with the order and the form of entries."""
    keys = [key(entry.term) for entry in found]
    result = [
        f"{second.term} comes after {first.term}"
        for first, second in pairwise(found)
        if key(first.term) > key(second.term)
    ]
    result += [
        f"{k} is there {keys.count(k)} times" for k in sorted(set(keys)) if keys.count(k) > 1
    ]
    for entry in found:
        if not HAN.search(entry.chinese.split("·")[0].split("；")[0]):
            result.append(f"{entry.term} has no Chinese name")
        if not re.search(r"· \*[^*]+\*$", entry.chinese):
            result.append(f"{entry.term} has no pinyin")
        if not re.search(r"\w.*\.$", entry.definition):
            result.append(f"the definition of {entry.term} is empty or does not end with a period")
        if not entry.role:
            result.append(f"{entry.term} has no link at its end")
    return result


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or what a module holds."""
    module, _, attribute = name.rpartition(".")
    try:
        return hasattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError:
        return False


GLOSSARY = terms(PAGE.read_text(encoding="utf8"))


def test_there_are_enough_terms():
    assert len(GLOSSARY) >= LEAST


def test_entries_are_in_order_and_whole():
    assert faults(GLOSSARY) == []


def test_each_term_stands_under_its_letter():
    text = PAGE.read_text(encoding="utf8")
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        letter = section[0].lower()
        assert {key(entry.term)[0] for entry in terms(section)} == {letter}


def test_each_link_leads_to_a_label_or_a_function_that_exists():
    known = {label for path in pages() for label in labels(path.read_text(encoding="utf8"))}
    for entry in GLOSSARY:
        assert entry.role in TO_LABELS | TO_NAMES, entry.term
        if entry.role in TO_LABELS:
            assert entry.target in known, entry
        elif entry.role == "py:mod":
            importlib.import_module(entry.target)
        else:
            assert exists(entry.target), entry


# --- that these checks can fail

WHOLE = """\
```{glossary}
adapter
  适配器 · *shìpèiqì*

  A small network. *Chapter*: equation {eq}`eq-a`

batch
  批次；批量 · *pīcì*

  Some examples. {py:func}`a.b`
```
"""


def test_entries_are_read():
    assert terms(WHOLE) == [
        Term("adapter", "适配器 · *shìpèiqì*", "A small network.", "eq", "eq-a"),
        Term("batch", "批次；批量 · *pīcì*", "Some examples.", "py:func", "a.b"),
    ]
    assert faults(terms(WHOLE)) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("adapter", "corpus", "batch comes after corpus"),
        ("adapter", "Batch", "batch is there 2 times"),
        ("适配器", "adapter", "adapter has no Chinese name"),
        (" · *pīcì*", "", "batch has no pinyin"),
        ("Some examples.", "Some examples", "the definition of batch"),
        ("Some examples. ", "", "the definition of batch"),
        ("{py:func}`a.b`", "See there.", "batch has no link"),
    ],
)
def test_faults_are_found(old, new, fault):
    found = faults(terms(WHOLE.replace(old, new)))
    assert len(found) == 1
    assert found[0].startswith(fault)


def test_names_that_do_not_exist_are_found():
    assert exists("nlpmeta.metrics.accuracy")
    assert not exists("nlpmeta.metrics.nothing")
    assert not exists("nlpmeta.nothing.accuracy")
