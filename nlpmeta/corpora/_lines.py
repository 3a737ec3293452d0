"""From a docstring to its lines, each labeled with the section that it stands in.

A docstring in NumPy's style marks its sections by underlined headings. ``labeled`` takes the
headings out, underlines too, and keeps what they said as the labels of the lines below: text with
gold labels, for sequence models. ``extract_lines`` does it for whole packages and deals the
docstrings to the parts of the docs corpus. Exports these two and ``LINE_SECTIONS``.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from nlpmeta.corpora._docstrings import RULE, SECTION_OF, dedent
from nlpmeta.corpora._parts import PARTS, group_of, mask
from nlpmeta.corpora._sources import docstrings

LINE_SECTIONS = (
    "summary",
    "description",
    "parameters",
    "returns",
    "raises",
    "see also",
    "notes",
    "references",
    "examples",
)

_OWN = {"see also": "see also", "references": "references", "reference": "references"}

Labeled = list[tuple[str, str]]  # line and section


def labeled(docstring: str) -> Labeled:
    """Give the lines of a docstring in NumPy's style, each with the section that it stands in.

    Left out are the headings with their underlines, and blank lines. Lines before the first heading
    are the summary up to the first blank line, and then the description.

    Parameters
    ----------
    docstring : str

    Returns
    -------
    list of (str, str)
        Line, with its indentation, and section, one of ``LINE_SECTIONS``. Empty for a docstring
        without a heading, or with one that is none of the sections.

    Examples
    --------
    >>> labeled("Add.\\n\\n    Returns\\n    -------\\n    int\\n        The sum.\\n")
    [('Add.', 'summary'), ('int', 'returns'), ('    The sum.', 'returns')]
    """
    lines = dedent(docstring)
    found: Labeled = []
    section, headings, i = "summary", 0, 0
    while i < len(lines):
        name = lines[i].strip(" ").rstrip(":").lower()
        if i + 1 < len(lines) and RULE.match(lines[i + 1].strip(" ")) and _heads(lines, i, name):
            section = _OWN.get(name) or SECTION_OF.get(name, "")
            if not section:
                return []
            headings += 1
            i += 2
            continue
        if lines[i]:
            found.append((lines[i], section))
        elif found and section == "summary":
            section = "description"
        i += 1
    return found if headings else []


def _heads(lines: list[str], i: int, name: str) -> bool:
    """Whether line `i`, which is underlined, is a heading: a known one, or alone at the margin."""
    return name in SECTION_OF or (name != "" and lines[i][0] != " " and not (i and lines[i - 1]))


def extract_lines(roots: Mapping[str, Path], part_of: Mapping[str, str]) -> list[str]:
    """Extract the labeled lines of all docstrings of some packages, one JSON list a docstring.

    Of docstrings that differ in names and numbers only, the first stays. A held-out docstring is
    dropped when more than half of its lines of five words or more stand in an earlier part.

    Parameters
    ----------
    roots : mapping from str to pathlib.Path
        Top-level package name and its folder, in the order in which they are read.
    part_of : mapping from str to str
        The part of each group of modules; docstrings of other groups are left out.

    Returns
    -------
    list of str
        ``[part, module, [[line, section], ...]]``.
    """
    rows: dict[str, list[tuple[str, Labeled]]] = {part: [] for part in PARTS}
    seen: set[str] = set()
    for top, root in roots.items():
        for module, docstring in docstrings(top, root):
            part = part_of.get(group_of(module))
            lines = labeled(docstring) if part else []
            key = "\n".join(mask(text.strip(" ")) for text, _ in lines)
            if part and lines and key not in seen:
                seen.add(key)
                rows[part].append((module, lines))
    kept, taken = [], set()
    for part in PARTS:
        stays = [row for row in rows[part] if not _is_copy(row[1], taken)]
        taken.update(text for _, lines in stays for text in _long(lines))
        kept += [json.dumps([part, module, lines]) for module, lines in stays]
    return kept


def _long(lines: Labeled) -> list[str]:
    return [text.strip(" ") for text, _ in lines if len(text.split()) >= 5]


def _is_copy(lines: Labeled, taken: set[str]) -> bool:
    """Whether more than half of the long lines are among those `taken` by the earlier parts."""
    long = _long(lines)
    return 2 * sum(text in taken for text in long) > len(long)
