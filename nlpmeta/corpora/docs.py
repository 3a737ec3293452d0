"""The prose of nine libraries' docstrings: sentences with labels, and (summary, description) pairs.

The source files are parsed and never imported (``_sources``), each docstring is cleaned of markup
and code and split into sentences (``_docstrings``, ``_prose``), near copies are dropped, and whole
groups of modules are dealt to the parts, so that no held-out sentence shares eight words in a row
with the training part (``_parts``). The text depends on the pinned versions alone, not on the
operating system or the Python version. ``lines`` gives whole docstrings instead, line by line, each
line labeled with its section (``_lines``). Exports ``Sentence``, ``Pair``, ``Docstring``, ``load``,
``pairs``, ``text``, ``lines``, ``group_of``, ``shingles``, ``content_hash``, ``lines_hash``,
``EXPECTED``, ``LINES_EXPECTED``, ``LIBRARIES``, ``PARTS``, ``SECTIONS`` and ``LINE_SECTIONS``.
"""

import contextlib
import gc
import importlib.metadata
import importlib.util
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from nlpmeta.corpora import _cache
from nlpmeta.corpora._docstrings import SECTIONS, read
from nlpmeta.corpora._lines import LINE_SECTIONS, extract_lines
from nlpmeta.corpora._parts import PARTS, deal, group_of, mask, shingles, without_leaks
from nlpmeta.corpora._sources import docstrings

__all__ = [
    "EXPECTED",
    "LIBRARIES",
    "LINES_EXPECTED",
    "LINE_SECTIONS",
    "PARTS",
    "SECTIONS",
    "Docstring",
    "Pair",
    "Sentence",
    "content_hash",
    "group_of",
    "lines",
    "lines_hash",
    "load",
    "pairs",
    "shingles",
    "text",
]

LIBRARIES = {
    "numpy": "2.4.6",
    "scipy": "1.17.1",
    "scikit-learn": "1.9.1",
    "matplotlib": "3.11.2",
    "pandas": "3.1.1",
    "torch": "2.13.0",
    "sympy": "1.14.0",
    "networkx": "3.6.1",
    "transformers": "5.23.0",
}
EXPECTED = "a25ef01b38486a91619caf34b457654b1256588ed4f01af5dfa638bfd9c94fcd"
LINES_EXPECTED = "3646d5cdc3c876b5eb2fcab523eb55cba882e61f93056cc5e60524e7eb84e23d"

# The package folders of a library whose name differs from the folder's, or that has two of them.
_FOLDERS = {"scikit-learn": ("sklearn",), "matplotlib": ("matplotlib", "mpl_toolkits")}
_LIBRARY_OF = {folder: lib for lib in LIBRARIES for folder in _FOLDERS.get(lib, (lib,))}
_NOT_NUMPY_STYLE = ("torch", "transformers")  # these two underline next to no heading


class Sentence(NamedTuple):
    """A clean sentence of a docstring with its library, dotted module and section."""

    text: str
    library: str
    module: str
    section: str


class Pair(NamedTuple):
    """The one-sentence summary of a docstring and the description that follows it."""

    summary: str
    description: str
    library: str
    module: str


class Docstring(NamedTuple):
    """The lines of a docstring without its headings, and the section of each line."""

    lines: tuple[str, ...]
    sections: tuple[str, ...]
    library: str
    module: str


def load(part: str | None = None) -> tuple[Sentence, ...]:
    """Load the sentences, in a fixed order; the first call on a machine extracts them (30 s).

    Parameters
    ----------
    part : {"train", "validation", "test"} or None
        None gives all parts.

    Returns
    -------
    tuple of Sentence

    Raises
    ------
    ValueError
        If `part` is not one of ``PARTS``.
    ImportError
        If one of the libraries is not installed.

    Examples
    --------
    >>> one = load("test")[0]
    >>> one.library in LIBRARIES, one.section in SECTIONS
    (True, True)
    """
    return tuple(s for own in _chosen(part) for s in _records()[own][0])


def pairs(part: str | None = None) -> tuple[Pair, ...]:
    """Load the (summary, description) pairs, in a fixed order.

    Parameters
    ----------
    part : {"train", "validation", "test"} or None
        None gives all parts.

    Returns
    -------
    tuple of Pair

    Raises
    ------
    ValueError
        If `part` is not one of ``PARTS``.
    ImportError
        If one of the libraries is not installed.

    Examples
    --------
    >>> all(pair.summary and pair.description for pair in pairs("validation"))
    True
    """
    return tuple(p for own in _chosen(part) for p in _records()[own][1])


def text(part: str | None = None) -> str:
    """Load the sentences as one text, a sentence a line.

    Parameters
    ----------
    part : {"train", "validation", "test"} or None
        None gives all parts.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If `part` is not one of ``PARTS``.
    ImportError
        If one of the libraries is not installed.

    Examples
    --------
    >>> text("test").count("\\n") + 1 == len(load("test"))
    True
    """
    return "\n".join(sentence.text for sentence in load(part))


def lines(part: str | None = None) -> tuple[Docstring, ...]:
    """Load whole docstrings line by line, each line with the section that it stands in.

    These are the docstrings in NumPy's style (underlined headings) of all libraries but torch and
    transformers. Headings, underlines and blank lines are left out, so that no label stands in the
    text; a line keeps its indentation. The parts are those of the sentences: a group of modules
    stays together. Docstrings that differ in names and numbers only are there once, and no held-out
    one has most of its long lines in an earlier part. The first call on a machine takes ten seconds
    beyond ``load``.

    Parameters
    ----------
    part : {"train", "validation", "test"} or None
        None gives all parts.

    Returns
    -------
    tuple of Docstring
        ``lines`` and ``sections`` of a docstring have the same length; the sections are those of
        ``LINE_SECTIONS``.

    Raises
    ------
    ValueError
        If `part` is not one of ``PARTS``.
    ImportError
        If one of the libraries is not installed.

    Examples
    --------
    >>> one = lines("test")[0]
    >>> len(one.lines) == len(one.sections), set(one.sections) <= set(LINE_SECTIONS)
    (True, True)
    """
    return tuple(docstring for own in _chosen(part) for docstring in _docstrings()[own])


def content_hash() -> str:
    """Compute the sha256 of everything extracted; with the pinned versions it is ``EXPECTED``.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> len(content_hash())
    64
    """
    return _cache.sha256_of(_lines())


def lines_hash() -> str:
    """Compute the sha256 of the labeled lines; with the pinned versions it is ``LINES_EXPECTED``.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> len(lines_hash())
    64
    """
    return _cache.sha256_of(_labeled_lines())


def _chosen(part: str | None) -> tuple[str, ...]:
    if part is not None and part not in PARTS:
        raise ValueError(f"part must be one of {', '.join(PARTS)} or None, not {part!r}")
    return PARTS if part is None else (part,)


@lru_cache(maxsize=1)
def _records() -> dict[str, tuple[list[Sentence], list[Pair]]]:
    """Read the lines of the corpus once a process, by part."""
    found: dict[str, tuple[list[Sentence], list[Pair]]] = {part: ([], []) for part in PARTS}
    for line in _lines():
        part, module, section, *texts = line.split("\t")
        library = _LIBRARY_OF[module.split(".", 1)[0]]
        if section == "pair":
            found[part][1].append(Pair(texts[0], texts[1], library, module))
        else:
            found[part][0].append(Sentence(texts[0], library, module, section))
    return found


@lru_cache(maxsize=1)
def _docstrings() -> dict[str, list[Docstring]]:
    """Read the labeled lines once a process, by part."""
    found: dict[str, list[Docstring]] = {part: [] for part in PARTS}
    for part, module, labeled in map(json.loads, _labeled_lines()):
        texts, sections = zip(*labeled)
        library = _LIBRARY_OF[module.split(".", 1)[0]]
        found[part].append(Docstring(texts, tuple(map(sys.intern, sections)), library, module))
    return found


def _labeled_lines() -> list[str]:
    def extract() -> list[str]:
        part_of = {group_of(s.module): part for part in PARTS for s in _records()[part][0]}
        roots = {top: root for top, root in _roots().items() if top not in _NOT_NUMPY_STYLE}
        with _no_collection():
            return extract_lines(roots, part_of)

    return _cache.cached_lines(
        "docs-lines",
        _installed() | {"extraction": LINES_EXPECTED[:16], "parts": EXPECTED[:16]},
        extract,
        expected=LINES_EXPECTED,
        book=LIBRARIES,
    )


def _lines() -> list[str]:
    installed = _installed()
    return _cache.cached_lines(
        "docs",
        installed | {"extraction": EXPECTED[:16]},
        lambda: extract(_roots()),
        expected=EXPECTED,
        book=LIBRARIES,
    )


def _installed() -> dict[str, str]:
    """Give the installed version of each library, without a local label such as ``+cpu``."""
    found, missing = {}, []
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            missing.append(library)
    if missing:
        raise ImportError(
            f"docs: not installed: {', '.join(missing)}; run `pip install -r requirements.txt`"
        )
    return found


def _roots() -> dict[str, Path]:
    """Find the package folders without importing anything."""
    roots = {}
    for folder, library in _LIBRARY_OF.items():
        spec = importlib.util.find_spec(folder)
        if spec is None or not spec.submodule_search_locations:
            raise ImportError(
                f"docs: {library} has no folder {folder}; run `pip install -r requirements.txt`"
            )
        roots[folder] = Path(next(iter(spec.submodule_search_locations)))
    return roots


def extract(roots: Mapping[str, Path]) -> list[str]:
    """Extract the corpus from package folders: one line a sentence or pair, fields parted by tabs.

    Parameters
    ----------
    roots : mapping from str to pathlib.Path
        Top-level package name and its folder, in the order in which they are read.

    Returns
    -------
    list of str
        ``part, module, section, sentence`` or ``part, module, "pair", summary, description``.
    """
    rows: list[tuple[str, ...]] = []
    sizes: dict[str, Counter[str]] = {library: Counter() for library in LIBRARIES}
    kept: set[str] = set()  # masked texts, and texts in small letters
    seen: set[str] = set()  # docstrings
    for top, root in roots.items():
        for module, docstring in docstrings(top, root):
            if docstring in seen:
                continue
            seen.add(docstring)
            new = _rows(module, read(docstring), kept)
            rows += new
            sizes[_LIBRARY_OF[top]][group_of(module)] += sum(
                len(text) for row in new for text in row
            )
    parts = {group: part for groups in sizes.values() for group, part in deal(groups).items()}
    dealt = [(parts[group_of(row[0])], *row) for row in rows]
    return ["\t".join(row) for row in without_leaks(dealt)]


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Pause the garbage collector, which would take a quarter of the time and find nothing."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _rows(module: str, found: list[tuple[str, str]], kept: set[str]) -> list[tuple[str, ...]]:
    """Give the pair and the sentences of a docstring that are no copies of what is `kept`."""
    rows: list[tuple[str, ...]] = []
    summary = next((sentence for section, sentence in found if section == "summary"), "")
    description = " ".join(sentence for section, sentence in found if section == "description")
    if summary and len(description) >= len(summary):
        keys = {f"summary {mask(summary)}", f"description {mask(description)}"}
        if keys.isdisjoint(kept):
            kept |= keys
            rows.append((module, "pair", summary, description))
    for section, sentence in found:
        keys = {mask(sentence), sentence.casefold()}
        if keys.isdisjoint(kept):
            kept |= keys
            rows.append((module, section, sentence))
    return rows
