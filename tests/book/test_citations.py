"""Every citation has an entry, every entry is cited, and says enough to find the work."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from pybtex.database import Entry, parse_file, parse_string
from pybtex.errors import capture
from pybtex.exceptions import PybtexError

from tests.book.sources import ROOT, labs, markdown_of, name, pages

CITE = re.compile(r"\{cite(?::\w+)?\}`([^`]+)`")
VENUES = {
    "article": ("journal",),
    "inproceedings": ("booktitle",),
    "incollection": ("booktitle",),
    "book": ("publisher",),
    "phdthesis": ("school",),
    "mastersthesis": ("school",),
    "techreport": ("institution",),
    "misc": ("howpublished", "publisher", "eprint", "archiveprefix", "url"),
    "unpublished": ("note",),
}
PLACES = ("doi", "eprint", "isbn", "url")
OLD = "1990"  # articles before this year may have no address; volume and pages find them
KEY = re.compile(r"[a-z]+\d{4}[a-z]+")


def cited(text: str) -> set[str]:
    """The keys that a page or a lab cites."""
    keys = (key for match in CITE.finditer(text) for key in match[1].split(","))
    return {key.strip() for key in keys}


def entry_faults(key: str, entry: Entry) -> list[str]:
    """What an entry of the bibliography lacks."""
    fields = {field.lower(): value for field, value in entry.fields.items() if value.strip()}
    faults = [f"no {field}" for field in ("title", "year") if field not in fields]
    if not entry.persons.get("author") and not entry.persons.get("editor"):
        faults.append("no author")
    venues = VENUES.get(entry.type, ())
    if not any(venue in fields for venue in venues):
        faults.append(f"no {' or '.join(venues) or f'known type: {entry.type}'}")
    old = fields.get("year", "") < OLD and {"volume", "pages"} <= fields.keys()
    linked = "\\url{" in fields.get("howpublished", "")
    if not (old or linked or any(place in fields for place in PLACES)):
        faults.append(f"none of {', '.join(PLACES)}")
    if not re.fullmatch(r"\d{4}", fields.get("year", "")):
        faults.append(f"the year is {fields.get('year')!r}")
    if fields.get("doi", "10.").startswith("10.") is False:
        faults.append(f"the doi is {fields['doi']!r}; it begins with 10.")
    if not KEY.fullmatch(key):
        faults.append("the key is not surname, year, word")
    elif fields.get("year", "") not in key:
        faults.append(f"the key and the year {fields.get('year')} differ")
    return [f"{key}: {fault}" for fault in faults]


def repeated_titles(titles: list[str]) -> list[str]:
    """Titles that stand in the bibliography more than once."""
    counts = Counter(re.sub(r"\W", "", title).lower() for title in titles)
    return [title for title, count in counts.items() if count > 1]


@pytest.fixture(scope="module")
def bibliography():
    with capture() as warnings:
        entries = parse_file(str(ROOT / "references.bib"), "bibtex").entries
    assert warnings == []
    return entries


@pytest.mark.parametrize("path", [*pages(), *labs()], ids=name)
def test_every_citation_has_an_entry(path, bibliography):
    text = markdown_of(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf8")
    assert cited(text) - set(bibliography) == set()


def test_every_entry_is_cited(bibliography):
    texts = [path.read_text(encoding="utf8") for path in pages()] + [*map(markdown_of, labs())]
    keys = {key for text in texts for key in cited(text)}
    assert set(bibliography) - keys == set()


def test_every_entry_is_complete(bibliography):
    assert [f for key, entry in bibliography.items() for f in entry_faults(key, entry)] == []


def test_no_work_is_listed_twice(bibliography):
    assert repeated_titles([entry.fields["title"] for entry in bibliography.values()]) == []


# --- that these tests can fail

GOOD = """@article{shannon1948mathematical,
  author = {Shannon, C. E.}, title = {A Mathematical Theory of Communication},
  journal = {Bell System Technical Journal}, year = {1948}, doi = {10.1002/j.1538}}"""


def faults_of(text: str) -> list[str]:
    return [
        f for key, e in parse_string(text, "bibtex").entries.items() for f in entry_faults(key, e)
    ]


def test_a_complete_entry_passes():
    assert faults_of(GOOD) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("author = {Shannon, C. E.}, ", ""),
        ("title = {A Mathematical Theory of Communication},", ""),
        ("journal = {Bell System Technical Journal}, ", ""),
        ("year = {1948}, ", ""),
        (", doi = {10.1002/j.1538}", ""),
        (", doi = {10.1002/j.1538}", ", volume = {27}"),
        ("10.1002", "https://doi.org/10.1002"),
        ("year = {1948}", "year = {1949}"),
        ("year = {1948}", "year = {in press}"),
        ("shannon1948mathematical", "Shannon48"),
        ("@article", "@online"),
    ],
)
def test_a_lacking_entry_is_found(old, new):
    assert old in GOOD
    assert faults_of(GOOD.replace(old, new)) != []


def test_an_old_article_is_found_by_volume_and_pages():
    old = GOOD.replace("doi = {10.1002/j.1538}", "volume = {27}, pages = {379--423}")
    assert faults_of(old) == []
    assert faults_of(old.replace("1948", "1990")) != []


def test_a_repeated_key_is_an_error():
    with pytest.raises(PybtexError):
        parse_string(GOOD + "\n" + GOOD, "bibtex")


def test_a_repeated_title_is_found():
    assert repeated_titles(["A {T}itle", "a title", "Other"]) == ["atitle"]


def test_keys_are_read_from_all_forms():
    text = "{cite}`a2000b, c2001d` and {cite:t}`e2002f` and {cite:p}`g2003h`"
    assert cited(text) == {"a2000b", "c2001d", "e2002f", "g2003h"}
