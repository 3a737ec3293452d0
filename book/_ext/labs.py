"""Sphinx extension: figures and run times that a page takes from the committed outputs of a lab.

``{lab-figure} path/to/lab.ipynb::fig-key``
    A numbered figure from the picture that the lab glued under ``fig-key``. Alternative text
    (``:alt:``), a name (``:name:``) and a caption are required.
``{lab-time}`path/to/lab.ipynb` ``
    The seconds that the lab took when its outputs were computed.
``{lab-times}``
    A table of all labs with their run times, slowest cell and size.
"""

from __future__ import annotations

import base64
import json
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
    """Register the two directives and the role with Sphinx."""
    app.add_directive("lab-figure", LabFigure)
    app.add_directive("lab-times", LabTimes)
    app.add_role("lab-time", LabTime())
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
