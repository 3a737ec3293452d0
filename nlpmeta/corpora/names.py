"""Names of territories, languages, scripts, currencies, units, cities, time zones, months and days
in more than three hundred languages: Unicode CLDR as the installed Babel carries it.

A name knows its language, its script, its family (what kind of thing it names), the code of that
thing and its English name, so one corpus gives a small classification or matching task for each
language: the raw material of meta-learning. Exports ``Name``, ``FAMILIES``, ``LANGUAGE_SHARES``,
``ENTITY_SHARES``, ``load``, ``split``, ``language_part``, ``entity_part``, ``main_scripts``,
``language_name``, ``content_hash`` and ``EXPECTED``. The data card in the appendix gives rules,
sizes and limits.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import version
from typing import NamedTuple

from babel import Locale, UnknownLocaleError

from nlpmeta.corpora import _cldr
from nlpmeta.corpora._cache import cached_lines, sha256_of

FAMILIES = ("territory", "language", "script", "currency", "unit", "city", "zone", "month", "day")
LANGUAGE_SHARES = {"train": 0.60, "validation": 0.15, "test": 0.25}
ENTITY_SHARES = {"train": 0.50, "validation": 0.20, "test": 0.30}
# Raise it to deal anew, when so much was tried on a test part that its scores no longer count.
DEAL = "2"

EXTRACTION = "1"  # raise it when the extracting code changes what it gives
BOOK = {"babel": "2.18.0"}
EXPECTED = "a597806f054e5a501792af517c7bce25a0b3346eee3c2429f0704fb303f28054"

_PARENTHESIS = re.compile(r"\s*\(.*?\)")


class Name(NamedTuple):
    """How `language` writes the thing `key` of `family`, which English calls `english`."""

    text: str
    language: str
    script: str
    family: str
    key: str
    english: str


@cache
def load(near_copies: bool = True) -> tuple[Name, ...]:
    """Return the names, ordered by language, family and key.

    Parameters
    ----------
    near_copies : bool
        False leaves out languages with fewer than 100 names of their own and languages more than
        half of whose names a larger language that is kept shows too. Learn on that view: in the
        whole corpus a language held out may have been seen under another code.

    Returns
    -------
    tuple of Name

    Warns
    -----
    CorpusWarning
        If another version of Babel is installed than the book was computed with.

    Examples
    --------
    >>> next(n.text for n in load() if n.language == "fi" and n.english == "Finland")
    'Suomi'
    """
    kept, names = _corpus()
    return names if near_copies else tuple(name for name in names if name.language in kept)


def split(records: Iterable[Name], part: str) -> tuple[Name, ...]:
    """Keep the names whose language and whose entity both belong to `part`.

    A test name is thus new in both ways: no name of its language and no name of the thing it
    names, in any language, is in another part. Names of which only one of the two belongs to
    `part` are in no part.

    Parameters
    ----------
    records : iterable of Name
    part : str
        ``"train"``, ``"validation"`` or ``"test"``.

    Returns
    -------
    tuple of Name

    Raises
    ------
    ValueError
        If `part` is none of the three.

    Examples
    --------
    >>> nippon = Name("日本", "ja", "Hani", "territory", "JP", "Japan")
    >>> language_part("ja"), entity_part("Japan")
    ('validation', 'validation')
    >>> split([nippon], "test")
    ()
    """
    if part not in LANGUAGE_SHARES:
        raise ValueError(f"part is {part!r}; choose 'train', 'validation' or 'test'")
    return tuple(
        name
        for name in records
        if language_part(name.language) == part and entity_part(name.english) == part
    )


@cache
def language_part(language: str) -> str:
    """Give the part of the split a language belongs to, by the sha256 of its code.

    All scripts of a language go together: ``uz`` and ``uz_Cyrl`` are in the same part.

    Parameters
    ----------
    language : str
        A CLDR code such as ``"fi"`` or ``"uz_Cyrl"``.

    Returns
    -------
    str
        ``"train"``, ``"validation"`` or ``"test"``, with chances as in ``LANGUAGE_SHARES``.

    Examples
    --------
    >>> language_part("uz") == language_part("uz_Cyrl")
    True
    """
    return _part_of("language " + language.partition("_")[0], LANGUAGE_SHARES)


@cache
def entity_part(english: str) -> str:
    """Give the part of the split an entity belongs to, by the sha256 of its English name.

    What stands in parentheses does not count, and neither does the family: a currency and its
    predecessor of the same name, or a territory and a city of the same name, are in the same part.

    Parameters
    ----------
    english : str
        The English name.

    Returns
    -------
    str
        ``"train"``, ``"validation"`` or ``"test"``, with chances as in ``ENTITY_SHARES``.

    Examples
    --------
    >>> entity_part("Angolan kwanza") == entity_part("Angolan kwanza (1977–1991)")
    True
    """
    return _part_of("entity " + _PARENTHESIS.sub("", english), ENTITY_SHARES)


def main_scripts(records: Iterable[Name]) -> dict[str, str]:
    """Find the script that each language writes most of its names in.

    Parameters
    ----------
    records : iterable of Name

    Returns
    -------
    dict from str to str
        The ISO 15924 code of the script, by language; of two equally frequent scripts the one
        that comes first in the alphabet.

    Examples
    --------
    >>> main_scripts(load())["uz_Cyrl"]
    'Cyrl'
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for name in records:
        counts[name.language][name.script] += 1
    return {
        language: min(scripts, key=lambda script: (-scripts[script], script))
        for language, scripts in counts.items()
    }


def language_name(code: str) -> str:
    """Give the English name of a language.

    Parameters
    ----------
    code : str
        A CLDR code as in ``Name.language``.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If Babel knows no such language.

    Examples
    --------
    >>> language_name("uz_Cyrl")
    'Uzbek (Cyrillic)'
    """
    try:
        return Locale.parse(code).get_display_name("en") or code
    except (UnknownLocaleError, ValueError, TypeError) as error:
        raise ValueError(f"code is {code!r}; give one that Name.language has, as 'fi'") from error


def content_hash() -> str:
    """Compute the sha256 of the extracted corpus, to be compared with ``EXPECTED``.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> len(content_hash())
    64
    """
    return sha256_of(_lines())


@cache
def _corpus() -> tuple[frozenset[str], tuple[Name, ...]]:
    """The languages of the view without near copies, and all names."""
    view, *rows = _lines()
    return frozenset(view.split()), tuple(Name._make(row.split("\t")) for row in rows)


def _lines() -> list[str]:
    """The codes of the view without near copies, then the fields of each name between tabs."""
    fingerprint = {"babel": version("babel"), "extraction": EXTRACTION}
    return cached_lines("names", fingerprint, _cldr.extract, expected=EXPECTED, book=BOOK)


def _part_of(what: str, shares: Mapping[str, float]) -> str:
    """Place `what` on [0, 1) by its sha256 and the deal; see on which part's stretch it falls."""
    place = int.from_bytes(hashlib.sha256(f"{what} {DEAL}".encode()).digest()[:8]) / 2**64
    if place < shares["train"]:
        return "train"
    return "validation" if place < shares["train"] + shares["validation"] else "test"
