"""Sphinx extension: the table of parity checks, read from the marks on the tests.

``{parity-checks}``
    One row for each ``@pytest.mark.parity(modules, functions, peer, tolerance)`` in ``tests/``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

HEADER = ("Module", "Function", "Compared with", "Tolerance", "Test")


class Check(NamedTuple):
    """What is compared with what, how closely, and by which file of tests."""

    modules: tuple[str, ...]
    functions: str
    peer: str
    tolerance: str
    file: str


def checks_in(source: str, file: str) -> Iterator[Check]:
    """The checks that the marks in a file of tests describe; a mark without arguments is no row."""
    for node in ast.parse(source).body:
        for mark in getattr(node, "decorator_list", ()):
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.parity":
                modules, *rest = (ast.literal_eval(argument) for argument in mark.args)
                yield Check(tuple(modules.split(", ")), *rest, file)


def all_checks(root: Path) -> list[Check]:
    """The checks of all tests under a folder, by module."""
    files = sorted((root / "tests").rglob("test_*.py"))
    found = [check for f in files for check in checks_in(f.read_text("utf8"), f.stem)]
    return sorted(found, key=lambda check: check.modules)


def lines_of(checks: list[Check]) -> list[str]:
    """The Markdown of the table."""
    rows = [
        (", ".join(f"`{m}`" for m in c.modules), c.functions, c.peer, c.tolerance, f"`{c.file}`")
        for c in checks
    ]
    body = (HEADER, ("---",) * len(HEADER), *rows)
    return ["| " + " | ".join(row) + " |" for row in body]


class ParityChecks(SphinxDirective):
    """The table of all marks."""

    def run(self) -> list[nodes.Node]:
        root = Path(self.env.srcdir)
        checks = all_checks(root)
        if not checks:
            raise self.error(f"parity-checks: no test under {root / 'tests'} has the mark")
        for file in (root / "tests").rglob("test_*.py"):
            self.env.note_dependency(str(file))
        return self.parse_text_to_nodes("\n".join(lines_of(checks)))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive with Sphinx."""
    app.add_directive("parity-checks", ParityChecks)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
