"""Short reviews with a sentiment label, in English and Chinese, written for this book.

Two tab-separated files travel with the package: ``data/reviews.en.tsv`` (eight domains) and
``data/reviews.zh.tsv`` (four of them). Every review was composed for the book and is in the public
domain (CC0 1.0); the data card in the appendix says how they were written and what they are not
good for. Exports: ``Review``, ``load``, ``parse``, ``content_hash``, ``EXPECTED`` and the
constants ``LANGUAGES``, ``DOMAINS``, ``LABELS``.
"""

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from nlpmeta.corpora._cache import sha256_of

LANGUAGES = ("en", "zh")
DOMAINS = ("restaurant", "hotel", "book", "film", "app", "appliance", "course", "transport")
LABELS = ("positive", "negative", "mixed")
HEADER = "domain\tlabel\ttext"

#: What ``content_hash()`` returned when the book was computed.
EXPECTED = "93f9e9b705dcceaf9f8b354dcf9def0653bf4999c49d61197124d14c0886d1f6"


class Review(NamedTuple):
    """One review: its text, what it is about, how the writer feels, and the language."""

    text: str
    domain: str
    label: str
    language: str


def load(language: str | None = None, domain: str | None = None) -> tuple[Review, ...]:
    """Return the reviews of a language and a domain, in the order of the files.

    Parameters
    ----------
    language : str, optional
        ``"en"`` or ``"zh"``; both, English first, when left out.
    domain : str, optional
        One of ``DOMAINS``; all of them when left out. Chinese has four of the eight.

    Returns
    -------
    tuple of Review

    Raises
    ------
    ValueError
        If the language or the domain is unknown, or the language has no review of that domain.

    Examples
    --------
    >>> from nlpmeta.corpora import reviews
    >>> hotels = reviews.load(language="zh", domain="hotel")
    >>> {review.domain for review in hotels}
    {'hotel'}
    >>> sorted({review.domain for review in reviews.load("zh")})
    ['app', 'film', 'hotel', 'restaurant']
    >>> reviews.load(language="fr")
    Traceback (most recent call last):
        ...
    ValueError: language='fr' is not in this corpus; use 'en', 'zh' or None for all
    """
    _check("language", language, LANGUAGES)
    _check("domain", domain, DOMAINS)
    records = [
        review
        for code in ((language,) if language else LANGUAGES)
        for review in _read(code)
        if domain in (None, review.domain)
    ]
    if not records:
        present = dict.fromkeys(review.domain for review in _read(language))
        raise ValueError(
            f"domain={domain!r} has no review in language={language!r}; "
            f"use {_choices(present)} for all"
        )
    return tuple(records)


def parse(text: str, language: str, source: str = "text") -> tuple[Review, ...]:
    """Read the reviews in the text of a file: a header, then domain, label and text per line.

    Parameters
    ----------
    text : str
        The whole file, lines ending in a line feed, fields separated by one tab, nothing quoted.
    language : str
        The language written into every record.
    source : str, optional
        The name that error messages give to the text.

    Returns
    -------
    tuple of Review

    Raises
    ------
    ValueError
        If the header differs, the last line is cut off, there is no review, or a line has not
        three columns, an unknown domain or label, or an empty text.

    Examples
    --------
    >>> parse("domain\\tlabel\\ttext\\nfilm\\tmixed\\tLovely first hour.\\n", "en")
    (Review(text='Lovely first hour.', domain='film', label='mixed', language='en'),)
    """
    header, *lines = text.split("\n")
    if header != HEADER:
        raise ValueError(f"{source}: the first line is {header[:60]!r}; it must be {HEADER!r}")
    if not lines or lines.pop():
        raise ValueError(f"{source}: the last line is cut off; end the file with a line feed")
    if not lines:
        raise ValueError(f"{source}: no review after the header; restore the complete file")
    return tuple(
        _record(line, language, f"{source}, line {number}")
        for number, line in enumerate(lines, start=2)
    )


def content_hash() -> str:
    r"""Compute the sha256 of all reviews, to compare with ``EXPECTED``.

    The hash is taken over UTF-8 lines ``language\tdomain\tlabel\ttext\n`` in the order of
    ``load()``, so it does not depend on how a checkout stores line endings.

    Returns
    -------
    str
        Sixty-four hexadecimal digits.

    Examples
    --------
    >>> content_hash() == EXPECTED
    True
    """
    return sha256_of(
        f"{language}\t{domain}\t{label}\t{text}" for text, domain, label, language in load()
    )


@cache
def _read(language: str) -> tuple[Review, ...]:
    name = f"reviews.{language}.tsv"
    text = files("nlpmeta.corpora").joinpath("data", name).read_text(encoding="utf-8")
    return parse(text, language, source=name)


def _record(line: str, language: str, where: str) -> Review:
    columns = line.split("\t")
    if len(columns) != 3:
        raise ValueError(
            f"{where}: {len(columns)} columns in {line[:60]!r}; "
            "write domain, label and text with one tab between them"
        )
    domain, label, text = columns
    if domain not in DOMAINS:
        raise ValueError(f"{where}: domain={domain!r} is unknown; use one of {DOMAINS}")
    if label not in LABELS:
        raise ValueError(f"{where}: label={label!r} is unknown; use one of {LABELS}")
    if not text.strip():
        raise ValueError(f"{where}: text={text!r} is empty; write the review or drop the line")
    return Review(text, domain, label, language)


def _check(argument: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise ValueError(
            f"{argument}={value!r} is not in this corpus; use {_choices(known)} for all"
        )


def _choices(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) + " or None"
