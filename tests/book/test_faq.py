"""The questions and answers: all twenty-nine in order, each answered shortly and with a link."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from tests.book.sources import BOOK, labels, pages

PAGE = BOOK / "appendix" / "faq.md"
QUESTIONS = 29
FEWEST, MOST = 40, 200  # words of an answer, a role counting as one
ROLE = re.compile(r"\{(?P<role>[\w:]+)\}`(?:[^`<]*<)?(?P<target>[^`<>]+)>?`")
TO_LABELS = {"ref", "prf:ref", "eq", "numref"}
HEADING = re.compile(
    r"^\(faq-(?P<label>\d+)\)=\n## (?P<number>\d+)\. (?P<question>.+\?)$", re.MULTILINE
)


class Answer(NamedTuple):
    """A question's label and number, and what stands between it and the next."""

    label: int
    number: int
    text: str


def answers(text: str) -> list[Answer]:
    """The answers of the page in their order."""
    found = list(HEADING.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    return [
        Answer(int(match["label"]), int(match["number"]), text[match.end() : end].strip())
        for match, end in zip(found, ends, strict=False)
    ]


def words(text: str) -> int:
    """How many words a reader reads, a link or a number taken from a lab counting as one."""
    return len(ROLE.sub("link", text).split())


def targets(text: str) -> set[str]:
    """The labels that an answer links to."""
    return {match["target"] for match in ROLE.finditer(text) if match["role"] in TO_LABELS}


@pytest.fixture(scope="module")
def elsewhere() -> set[str]:
    """The labels of all pages but this one and the glossary."""
    return set().union(
        *(
            labels(path.read_text(encoding="utf8"))
            for path in pages()
            if path.stem not in ("faq", "glossary")
        )
    )


ANSWERS = answers(PAGE.read_text(encoding="utf8"))


def test_all_questions_are_there_in_order():
    expected = list(range(1, QUESTIONS + 1))
    assert [answer.number for answer in ANSWERS] == expected
    assert [answer.label for answer in ANSWERS] == expected


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: str(answer.number))
def test_an_answer_is_short_and_not_empty(answer):
    assert FEWEST <= words(answer.text) <= MOST


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: str(answer.number))
def test_an_answer_leads_into_the_book(answer, elsewhere):
    assert targets(answer.text)
    assert targets(answer.text) - elsewhere == set()


def test_answers_are_read():
    first_one = "(faq-1)=\n## 1. Is it?\n\nNo, see {ref}`there <sec-a>` and {eq}`eq-b`.\n\n"
    text = first_one + "(faq-2)=\n## 2. And?\n\nYes.\n"
    first, second = answers(text)
    assert (first.label, first.number, second.text) == (1, 1, "Yes.")
    assert targets(first.text) == {"sec-a", "eq-b"}
    assert words(first.text) == 5
    assert targets(second.text) == set()
