"""A course folder, and a problem set from its text source.

The folder is nbgrader's: ``source``, ``release``, ``submitted``, ``autograded``, ``feedback`` and
``gradebook.db``, and beside them ``checks`` with the trusted checks, ``results`` with what came
out of the sandbox and ``secret`` with the seed. A set's source is ``source/<set>/<set>.py`` in
jupytext's percent format, where ``solution="id"``, ``check="id"``, ``rubric="id"`` and
``answer="id" points=8`` after ``# %%`` stand for nbgrader's metadata. Exports ``Course``,
``read_source`` and ``split_hidden``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import secrets
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode

from nlpmeta.corpora._cache import write_atomic
from nlpmeta.coursework.checks import ProblemSet

BOOK = Path(__file__).resolve().parents[2] / "notebooks" / "coursework"
KINDS = {  # the word in the source: grade, solution, locked
    "solution": (False, True, False),
    "check": (True, False, True),
    "rubric": (False, False, True),
    "answer": (True, True, False),
}
HIDDEN = re.compile(
    r"^[^\n]*### BEGIN (HIDDEN TESTS|MARK SCHEME)[^\n]*\n(.*?)^[^\n]*### END \1[^\n]*(?:\n|\Z)",
    re.DOTALL | re.MULTILINE,
)
NAME = re.compile(r"[a-z][a-z0-9-]*")


class Course(NamedTuple):
    """A course folder; what it has no source of comes from the book's."""

    root: Path

    @classmethod
    def at(cls, folder: str | None) -> Course:
        """The course in ``folder``, by default the book's own; the folder is made if missing.

        Raises
        ------
        ValueError
            If neither the folder nor the book's repository is there.
        """
        if folder is None and not BOOK.is_dir():
            raise ValueError("the book's repository is not here; name a folder with --course-dir")
        root = Path(folder).resolve() if folder else BOOK
        root.mkdir(parents=True, exist_ok=True)
        settings = root / "nbgrader_config.py"
        if not settings.exists() and BOOK.is_dir():
            write_atomic(settings, (BOOK / "nbgrader_config.py").read_bytes())
        return cls(root)

    def _find(self, *parts: str) -> Path:
        for root in (self.root, BOOK):
            if (path := root.joinpath(*parts)).is_file():
                return path
        sets = sorted(
            {path.stem for root in (self.root, BOOK) for path in root.glob("checks/*.py")}
        )
        raise ValueError(f"there is no {'/'.join(parts)} here; the sets are {', '.join(sets)}")

    def source(self, name: str) -> Path:
        """The text source of a set."""
        if not NAME.fullmatch(name):
            raise ValueError(f"SET is {name!r}; give a name such as maximum-entropy")
        return self._find("source", name, f"{name}.py")

    def checks(self, name: str) -> ProblemSet:
        """The trusted side of a set, from ``checks/<set>.py``."""
        path = self._find("checks", f"{name}.py")
        spec = importlib.util.spec_from_file_location(f"checks_{name.replace('-', '_')}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.SET

    def notebook(self, kind: str, name: str, student: str = ".") -> Path:
        """Where a notebook of a set lies: kind is source, release, autograded …"""
        return self.root / kind / student / name / f"{name}.ipynb"

    def result(self, name: str, student: str) -> Path:
        """Where the result of a submission lies."""
        return self.root / "results" / name / f"{student}.json"

    def seed(self, name: str) -> str:
        """The secret seed of a set in this course, made when it is first asked for."""
        path = self.root / "secret"
        if not path.exists():
            write_atomic(path, secrets.token_hex(32).encode())
            path.chmod(0o600)
        return hashlib.sha256(path.read_bytes() + name.encode()).hexdigest()

    def students(self, name: str) -> list[str]:
        """Those who handed something in."""
        return sorted(path.parent.name for path in self.root.glob(f"submitted/*/{name}"))


def read_source(path: Path, problems: ProblemSet) -> NotebookNode:
    """The notebook of a text source, with nbgrader's metadata and a cell id for every task cell.

    Raises
    ------
    ValueError
        If a task cell comes twice, or checks and hidden cells do not match.
    """
    import jupytext  # the lecturer has it, the student need not

    book = jupytext.read(path)
    book.metadata = nbformat.from_dict(
        {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    )
    emitted: list[tuple[str, str]] = []
    seen: set[str] = set()
    for number, cell in enumerate(book.cells):
        cell["id"] = f"text-{number:02d}"
        old, cell.metadata = dict(cell.metadata), NotebookNode()
        (kind,) = [kind for kind in KINDS if kind in old] or [None]
        if kind is None:
            continue
        grade, solution, locked = KINDS[kind]
        task = cell["id"] = f"{old[kind]}-{kind}"
        if task in seen:
            raise ValueError(f"{path.name} has two cells {task}; give one another name")
        seen.add(task)
        cell.metadata["nbgrader"] = nbformat.from_dict(
            {
                **{"grade": grade, "solution": solution, "locked": locked, "task": False},
                **{"grade_id": task, "schema_version": 3, "cell_type": cell.cell_type},
            }
        )
        if grade:
            points = problems.points(old[kind]) if kind == "check" else old["points"]
            cell.metadata["nbgrader"]["points"] = points
        if kind == "check":
            names = re.findall(r'^emit\("([\w-]+)"', split_hidden(cell.source)[1], re.MULTILINE)
            emitted += [(old[kind], name) for name in names]
    if sorted(emitted) != sorted((check.task, check.name) for check in problems.checks):
        raise ValueError(f"{path.name} emits {sorted(emitted)}, which are not what is checked")
    return book


def split_hidden(source: str) -> tuple[str, str]:
    """What a cell shows, and what stands between the markers of hidden tests or a mark scheme.

    Examples
    --------
    >>> split_hidden("a = 1\\n### BEGIN HIDDEN TESTS\\nb = 2\\n### END HIDDEN TESTS")
    ('a = 1\\n', 'b = 2\\n')
    """
    return HIDDEN.sub("", source), "".join(match[2] for match in HIDDEN.finditer(source))
