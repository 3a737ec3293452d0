"""Sphinx extension: what a page takes from a lab's committed outputs and from the package.

``{lab-figure} path/to/lab.ipynb::fig-key``
    A numbered figure from the picture that the lab glued under ``fig-key``. Alternative text
    (``:alt:``), a name (``:name:``) and a caption are required.
``{lab-time}`path/to/lab.ipynb` ``
    The seconds that the lab took when its outputs were computed.
``{lab-times}``
    A table of all labs with their run times, slowest cell and size.
``{package-code} path/to/module.py::name``
    A function, class or method as it stands in the package, without its documentation, which the
    API pages show.
"""

from __future__ import annotations

import ast
import base64
import json
import textwrap
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.directives.patches import Figure
from sphinx.util.docutils import SphinxDirective, SphinxRole

FIGURE_DIR = "_figures"


def read_lab(path: Path) -> dict[str, Any]:
    """The notebook at ``path`` as a dictionary."""
    return json.loads(path.read_text(encoding="utf8"))


def glued_png(lab: dict[str, Any], key: str) -> bytes | None:
    """The PNG glued under ``key`` in the outputs of ``lab``, or None where there is none."""
    for cell in lab["cells"]:
        for output in cell.get("outputs", []):
            if output.get("metadata", {}).get("scrapbook", {}).get("name") == key:
                picture = output["data"].get("image/png")
                if picture is not None:
                    return base64.b64decode("".join(picture))
    return None


def run_seconds(lab: dict[str, Any]) -> dict[str, float] | None:
    """The run times stored in the notebook by ``tools.labs``: whole lab and slowest cell."""
    return lab.get("metadata", {}).get("nlpmeta")


class LabFigure(Figure, SphinxDirective):
    """A Sphinx figure whose picture is a glued output of a committed lab."""

    option_spec = Figure.option_spec.copy()
    option_spec["alt"] = directives.unchanged_required

    def run(self) -> list[nodes.Node]:
        relative, _, key = self.arguments[0].partition("::")
        if not self.options.get("alt", "").strip():
            raise self.error(f"lab-figure {key}: give it an :alt: text that says what it shows")
        if not self.options.get("name") or not self.content:
            raise self.error(f"lab-figure {key}: give it a :name: and a caption")
        document = Path(self.env.doc2path(self.env.docname))
        path = (document.parent / relative).resolve()
        if not path.is_file():
            raise self.error(f"lab-figure {key}: there is no lab at {relative}")
        self.env.note_dependency(str(path))
        picture = glued_png(read_lab(path), key)
        if picture is None:
            raise self.error(f"lab-figure: {relative} has no figure glued under {key!r}")
        target = Path(self.env.srcdir) / FIGURE_DIR / f"{path.stem}-{key}.png"
        target.parent.mkdir(exist_ok=True)
        if not target.is_file() or target.read_bytes() != picture:
            target.write_bytes(picture)
        self.arguments[0] = f"/{FIGURE_DIR}/{target.name}"
        self.options["figclass"] = [*self.options.get("figclass", []), "lab-figure"]
        self.options["class"] = [*self.options.get("class", []), "dark-light"]
        return super().run()


def code_of(source: str, name: str) -> str:
    """The definition ``name`` (dotted for a method) in ``source``, without its docstrings."""
    node: ast.AST = ast.parse(source)
    for part in name.split("."):
        found = [n for n in ast.iter_child_nodes(node) if getattr(n, "name", None) == part]
        if not found:
            raise ValueError(f"there is no definition of {name}")
        node = found[0]
    documentation: set[int] = set()
    for inner in ast.walk(node):
        first = inner.body[0] if getattr(inner, "body", None).__class__ is list else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            documentation |= set(range(first.lineno, first.end_lineno + 1))
    start = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    lines = source.splitlines()
    kept = [lines[n - 1] for n in range(start, node.end_lineno + 1) if n not in documentation]
    for number in reversed(range(1, len(kept))):  # the blank line after a docstring
        if not kept[number].strip() and kept[number - 1].rstrip().endswith(":"):
            del kept[number]
    return textwrap.dedent("\n".join(kept))


class PackageCode(SphinxDirective):
    """Code from where it runs, without the documentation that the API pages show."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        relative, _, name = self.arguments[0].partition("::")
        path = (Path(self.env.doc2path(self.env.docname)).parent / relative).resolve()
        if not path.is_file():
            raise self.error(f"package-code: there is no module at {relative}")
        self.env.note_dependency(str(path))
        try:
            code = code_of(path.read_text(encoding="utf8"), name)
        except ValueError as error:
            raise self.error(f"package-code: {relative}: {error}") from error
        block = nodes.literal_block(code, code, language="python")
        self.set_source_info(block)
        return [block]


class LabTime(SphinxRole):
    """The run time of a lab, in words."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        path = (Path(self.env.doc2path(self.env.docname)).parent / self.text).resolve()
        if not path.is_file() or (times := run_seconds(read_lab(path))) is None:
            message = self.inliner.reporter.error(
                f"lab-time: no recorded run time in {self.text}; run `make labs`", line=self.lineno
            )
            return [], [message]
        self.env.note_dependency(str(path))
        return [nodes.Text(f"{times['seconds']:.0f} s")], []


class LabTimes(SphinxDirective):
    """A table of the run times of all labs of the table of contents."""

    def run(self) -> list[nodes.Node]:
        root = Path(self.env.srcdir)
        header = ("Lab", "Whole lab", "Slowest cell", "Cells", "Size")
        rows = []
        for path in sorted((root / "notebooks").rglob("*.ipynb")):
            relative = path.relative_to(root)
            docname = relative.with_suffix("").as_posix()
            lab = read_lab(path)
            times = run_seconds(lab)
            if docname not in self.env.found_docs or times is None:
                continue
            self.env.note_dependency(str(path))
            rows.append(
                (
                    docname,
                    f"{times['seconds']:.0f} s",
                    f"{times['slowest_cell']:.0f} s",
                    str(sum(cell["cell_type"] == "code" for cell in lab["cells"])),
                    f"{path.stat().st_size / 1000:.0f} kB",
                )
            )
        lines = ["| " + " | ".join(header) + " |", "| --- " + "| ---: " * 4 + "|"]
        lines += [f"| {{doc}}`/{row[0]}` | " + " | ".join(row[1:]) + " |" for row in rows]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives and the role with Sphinx."""
    app.add_directive("lab-figure", LabFigure)
    app.add_directive("lab-times", LabTimes)
    app.add_directive("package-code", PackageCode)
    app.add_role("lab-time", LabTime())
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
