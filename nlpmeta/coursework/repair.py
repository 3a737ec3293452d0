"""From what a student handed in to a notebook that can be graded: nothing is a silent zero.

The released notebook is the skeleton. Cells are recognized by nbgrader's id, else by the cell's
own id, else by what they define; what is locked comes from the skeleton, what is the student's
from the submission, and cells that they added stay where they were. All that had to be mended is
noted. Exports ``read``, ``rebuild`` and ``Unreadable``.
"""

from __future__ import annotations

import ast
import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbformat import NotebookNode

LARGEST = 20_000_000  # bytes of a notebook
MOST = 1000  # cells


class Handed(NamedTuple):
    """A cell as it was handed in: its kind, its text, and the two ids that it may still bear."""

    cell_type: str
    source: str
    graded: str
    old: str


class Unreadable(Exception):
    """A submission that a person has to look at."""


def find(folder: Path, name: str) -> tuple[Path, list[str]]:
    """The notebook among the files of a submission, and what is odd about it."""
    files = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in {".ipynb", ".json"}]
    found = [p for p in files if p.is_file() and not p.is_symlink() and not _linked(p, folder)]
    if not found:
        linked = any(path.is_symlink() for path in folder.rglob("*"))
        raise Unreadable("it is a link, not a file" if linked else "there is no notebook in it")
    for path in found:
        if path.name == f"{name}.ipynb":
            return path, []
    if len(found) > 1:
        raise Unreadable(f"several notebooks, none named {name}.ipynb: choose one")
    return found[0], [f"renamed from {found[0].name}"]


def _linked(path: Path, folder: Path) -> bool:
    return not path.resolve().is_relative_to(folder.resolve())


def read(folder: Path, name: str) -> tuple[list[Handed], list[str]]:
    """Read a submission.

    Returns
    -------
    cells : list of Handed
    notes : list of str

    Raises
    ------
    Unreadable
    """
    path, notes = find(folder, name)
    if path.stat().st_size > LARGEST:
        raise Unreadable(f"the file has more than {LARGEST / 1e6:.0f} MB")
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        utf16 = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
        text = raw.decode("utf-16" if utf16 else "latin-1", errors="replace")
        notes.append("was not in UTF-8")
    try:
        content = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not JSON: {str(error)[:100]}") from None
    if isinstance(content, dict) and isinstance(content.get("worksheets"), list):
        notes.append("was in an old format")
        content = {"cells": [c for s in content["worksheets"] for c in s.get("cells", [])]}
    if not isinstance(content, dict) or not isinstance(content.get("cells"), list):
        raise Unreadable("JSON, but not a notebook: it has no list of cells")
    if len(content["cells"]) > MOST:
        raise Unreadable(f"it has more than {MOST} cells")
    cells = [made for cell in content["cells"] if (made := _cell(cell)) is not None]
    if len(cells) < len(content["cells"]):
        notes.append("had cells that are none")
    kernel = content.get("metadata", {})
    kernel = kernel.get("kernelspec", {}) if isinstance(kernel, dict) else {}
    if isinstance(kernel, dict) and kernel.get("name", "python3") != "python3":
        notes.append(f"kernel was {str(kernel['name'])[:40]}")
    return cells, notes


def _cell(cell: Any) -> Handed | None:
    if not isinstance(cell, dict):
        return None
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        return None
    metadata = cell.get("metadata") if isinstance(cell.get("metadata"), dict) else {}
    graded = metadata.get("nbgrader") if isinstance(metadata.get("nbgrader"), dict) else {}
    kind = "code" if cell.get("cell_type") == "code" else "markdown"
    return Handed(kind, source, str(graded.get("grade_id", "")), str(cell.get("id", "")))


def _code(source: str) -> NotebookNode:
    return nbformat.v4.new_code_cell(source)


def _text(source: str) -> NotebookNode:
    return nbformat.v4.new_markdown_cell(source)


def rebuild(
    submitted: Sequence[Handed], skeleton: NotebookNode
) -> tuple[NotebookNode, list[str], list[str]]:
    """Put the student's cells into the released notebook.

    Returns
    -------
    notebook : NotebookNode
    notes : list of str
        What was mended.
    odd : list of str
        What a person should look at: answers that are not there, cells that were copied.
    """
    notes: list[str] = []
    odd: list[str] = []
    place = _recognize(submitted, skeleton.cells, notes)
    own: dict[int, int] = {}  # a cell of the skeleton: the one of the submission that fills it
    after: dict[int, list[int]] = {}  # cells of the student's own, behind which of the skeleton
    last = -1
    for number, where in enumerate(place):
        if where is not None and where not in own:
            own[where] = number
            last = where
            continue
        if where is not None:
            task = skeleton.cells[where]["id"]
            if _answers(skeleton.cells[where]):
                if submitted[own[where]].source == skeleton.cells[where].source:
                    after.setdefault(where, []).append(own[where])
                    own[where] = number
                    continue
                odd.append(f"{task} comes twice; the first is graded")
            else:
                notes.append(f"{task} was copied")
                continue
        after.setdefault(last, []).append(number)
    cells = [_extra(submitted[i], i) for i in after.get(-1, [])]
    for where, model in enumerate(skeleton.cells):
        cell = nbformat.from_dict(json.loads(json.dumps(model)))
        task = cell["id"]
        if where in own:
            theirs = submitted[own[where]]
            if _answers(cell):
                cell.source = theirs.source
            elif theirs.source.strip() != cell.source.strip() and "nbgrader" in cell.metadata:
                notes.append(f"{task} was edited")
            if theirs.cell_type != cell.cell_type:
                notes.append(f"{task} was a {theirs.cell_type} cell")
        elif _answers(cell):
            odd.append(f"{task} is missing")
        elif "nbgrader" in cell.metadata:
            notes.append(f"{task} was deleted")
        cells += [cell, *(_extra(submitted[i], i) for i in after.get(where, []))]
    book = nbformat.v4.new_notebook(cells=cells, metadata=skeleton.metadata)
    return book, notes, odd


def _answers(cell: NotebookNode) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get("solution"))


def _extra(cell: Handed, number: int) -> NotebookNode:
    made = _code(cell.source) if cell.cell_type == "code" else _text(cell.source)
    made["id"] = f"own-{number:03d}"
    return made


def _recognize(
    theirs: Sequence[Handed], skeleton: Sequence[NotebookNode], notes: list[str]
) -> list[int | None]:
    """For every cell of a submission its place in the skeleton, or None if it is their own."""
    graded = {c.metadata["nbgrader"]["grade_id"]: i for i, c in enumerate(skeleton)
              if "nbgrader" in c.metadata}  # fmt: skip
    ids = {c["id"]: i for i, c in enumerate(skeleton)}
    place = [graded.get(cell.graded, ids.get(cell.old)) for cell in theirs]
    if any(cell.graded not in graded for cell, p in zip(theirs, place) if p in graded.values()):
        notes.append("nbgrader's metadata were gone")
    free = [i for i in range(len(skeleton)) if i not in place]
    lost = 0
    for number, cell in enumerate(theirs):
        if place[number] is None and (found := _alike(cell, skeleton, free)) is not None:
            place[number] = found
            free.remove(found)
            lost += "nbgrader" in skeleton[found].metadata
    if lost:
        notes.append("nbgrader's metadata were gone")
    return place


def _alike(cell: Handed, skeleton: Sequence[NotebookNode], free: list[int]) -> int | None:
    """The free cell of the skeleton that a cell was, by its text or by what it defines."""
    for i in free:
        if skeleton[i].source.strip() == cell.source.strip():
            return i
    names = _defined(cell)
    for i in free:
        if _answers(skeleton[i]) and names & _defined(skeleton[i]):
            return i
    for i in free:
        if "nbgrader" in skeleton[i].metadata and not _answers(skeleton[i]):
            alike = difflib.SequenceMatcher(None, skeleton[i].source[:2000], cell.source[:2000])
            if alike.quick_ratio() > 0.8 and alike.ratio() > 0.8:
                return i
    return None


def _defined(cell: Handed | NotebookNode) -> set[str]:
    if cell.cell_type != "code":
        return set()
    try:
        tree = ast.parse(cell.source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    return {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
