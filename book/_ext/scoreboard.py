"""Sphinx extension: one table of all language models of the book, gathered from its labs.

``{scoreboard}``
    A table for each size of the training text, the best model first, from the rows that the labs of
    the table of contents glue under ``scoreboard``: ``nlpmeta.scoreboard.Row`` as dictionaries.
``{field} TEXT``
    Every kind of model on one text at three sizes, from what ``python -m tools.field`` has stored;
    the best of each size is bold.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

KEY = "scoreboard"
FIELDS = {"model", "train_characters", "bits", "parameters", "seconds"}
HEADER = ("Model", "Bits per character", "Parameters", "Seconds to train", "Lab")
STORED = Path("notebooks") / "data" / "field.json"
SMOOTHINGS = {
    "mle": "maximum likelihood",
    "witten-bell": "Witten-Bell",
    "kneser-ney": "Kneser-Ney",
    "modified-kneser-ney": "modified Kneser-Ney",
}


def glued_rows(lab: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows that a lab glues; a ValueError says what is wrong with them."""
    rows: list[dict[str, Any]] = []
    for cell in lab["cells"]:
        for output in cell.get("outputs", []):
            if output.get("metadata", {}).get("scrapbook", {}).get("name") != KEY:
                continue
            text = next(v for kind, v in output["data"].items() if kind.endswith("text/plain"))
            # A model that holds a character of the test text impossible needs infinitely many bits.
            literal = re.sub(r"(?<=: )inf\b", "1e999", "".join(text))
            rows += ast.literal_eval(literal)
    for row in rows:
        if set(row) != FIELDS:
            raise ValueError(
                f"a row has {', '.join(sorted(row))}; give {', '.join(sorted(FIELDS))}"
            )
        if not row["bits"] > 0 or row["parameters"] < 0 or row["seconds"] < 0:
            raise ValueError(f"the row of {row['model']} holds a number that cannot be")
    return rows


def readable(model: str) -> str:
    """The name of a model with its smoothing in words, where the row has the package's name."""
    start, comma, smoothing = model.rpartition(", ")
    return start + comma + SMOOTHINGS.get(smoothing, smoothing) if comma else model


def short(seconds: float) -> str:
    """Seconds for a table: what would round to nothing is called less than a tenth."""
    return f"{seconds:,.1f}" if seconds >= 0.05 else "< 0.1"


def table(rows: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """The lines of a Markdown table of (document, row), the fewest bits first."""
    lines = ["| " + " | ".join(HEADER) + " |", "| --- | ---: | ---: | ---: | --- |"]
    for docname, row in sorted(rows, key=lambda pair: (pair[1]["bits"], pair[1]["parameters"])):
        bits = "∞" if math.isinf(row["bits"]) else f"{row['bits']:.3f}"
        lines.append(
            f"| {readable(row['model'])} | {bits} | {row['parameters']:,} "
            f"| {short(row['seconds'])} | {{doc}}`/{docname}` |"
        )
    return lines


class Scoreboard(SphinxDirective):
    """The rows of all labs, a table for each size of the training text."""

    def run(self) -> list[nodes.Node]:
        root = Path(self.env.srcdir)
        sizes: dict[int, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
        self.env.note_reread()  # a new lab may bring rows
        for path in sorted((root / "notebooks").rglob("*.ipynb")):
            docname = path.relative_to(root).with_suffix("").as_posix()
            if docname not in self.env.found_docs:
                continue
            self.env.note_dependency(str(path))
            try:
                rows = glued_rows(json.loads(path.read_text(encoding="utf8")))
            except (ValueError, SyntaxError, TypeError) as error:
                raise self.error(f"scoreboard: {docname}: {error}") from error
            for row in rows:
                sizes[row["train_characters"]].append((docname, row))
        if not sizes:
            raise self.error("scoreboard: no lab glues a row")
        lines = []
        for size, found in sorted(sizes.items(), reverse=True):
            lines += [f"**Trained on {size:,} characters**", "", *table(found), ""]
        return self.parse_text_to_nodes("\n".join(lines))


def field_table(rows: list[dict[str, Any]]) -> list[str]:
    """The lines of a Markdown table of the models, by their bits at the largest size."""
    bits = {(row["model"], row["characters"]): row["bits"] for row in rows}
    sizes = sorted({size for _, size in bits})
    best = {size: min(v for (_, other), v in bits.items() if other == size) for size in sizes}
    lines = [
        "| Model | " + " | ".join(f"{size:,}" for size in sizes) + " | Parameters | Seconds |",
        "| --- |" + " ---: |" * (len(sizes) + 2),
    ]
    largest = [row for row in rows if row["characters"] == sizes[-1]]
    for row in sorted(largest, key=lambda row: row["bits"]):
        found = [bits[row["model"], size] for size in sizes]
        cells = [f"**{b:.3f}**" if b == best[s] else f"{b:.3f}" for s, b in zip(sizes, found)]
        cells += [f"{row['parameters']:,}", short(row["seconds"])]
        lines.append(f"| {row['model']} | " + " | ".join(cells) + " |")
    return lines


class Field(SphinxDirective):
    """Every kind of model on the text that is named."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        path = Path(self.env.srcdir) / STORED
        self.env.note_dependency(str(path))
        stored = json.loads(path.read_text(encoding="utf8"))["rows"]
        rows = [row for row in stored if row["text"] == self.arguments[0]]
        if not rows:
            known = ", ".join(sorted({row["text"] for row in stored}))
            raise self.error(f"field: no text {self.arguments[0]!r}; there are {known}")
        return self.parse_text_to_nodes("\n".join(field_table(rows)))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives with Sphinx."""
    app.add_directive("scoreboard", Scoreboard)
    app.add_directive("field", Field)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
