"""Sphinx extension: the table of `make bench`, from its committed results.

``{benchmarks}``
    How long our modules and the field's implementations took for the same work at equal quality,
    on what machine and with what versions, and why wherever ours is behind.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

RESULTS = Path("tests") / "benchmarks" / "results.json"
HEADER = ("Task", "Data", "Peer", "Ours", "Peer's", "Ratio")


def seconds(value: float) -> str:
    """A duration in three digits, as seconds or milliseconds."""
    return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"


def ratio(value: float) -> str:
    """A ratio in three digits, without an exponent."""
    return f"{value:.3g}" if value < 1000 else f"{float(f'{value:.3g}'):,.0f}"


def judged(value: float) -> str:
    """A measure of quality in six digits or more, without an exponent."""
    return f"{value:,.6g}" if abs(value) < 1e5 else f"{value:,.0f}"


def lines_of(results: dict[str, Any]) -> list[str]:
    """The Markdown of the section: the machine, the table, what is behind and why."""
    machine, rows = results["machine"], list(results["pairs"].values())
    versions = ", ".join(f"{name} {v}" for name, v in sorted(machine["versions"].items()))
    dates = sorted({row["date"] for row in rows})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    lines = [
        f"Measured {when} on {machine['system']} with {machine['cores']} cores, of which each "
        f"program used {machine['threads']}; Python {machine['python']}, {versions}.",
        "",
        "| " + " | ".join(HEADER) + " |",
        "| --- | --- | --- | ---: | ---: | ---: |",
    ]
    for row in rows:
        cells = (
            row["task"],
            row["data"],
            f"{row['peer']} {row['peer_version']}",
            seconds(row["ours_seconds"]).replace(" ", "\u00a0"),
            seconds(row["theirs_seconds"]).replace(" ", "\u00a0"),
            ratio(row["ratio"]) + (" (behind)" if row["ratio"] < 1 else ""),
        )
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "What both sides were judged by, and what it came to:", ""]
    for row in rows:
        lines.append(
            f"- {row['task']}: {row['measure']}; ours {judged(row['ours_quality'])}, "
            f"{row['peer']}'s {judged(row['theirs_quality'])}."
        )
    behind = [row for row in rows if row["ratio"] < 1]
    if behind:
        lines += ["", "Where ours is behind:", ""]
        lines += [f"- {row['task']}: {row['why_behind']}" for row in behind]
    return lines


class Benchmarks(SphinxDirective):
    """The table of the committed results."""

    def run(self) -> list[nodes.Node]:
        path = Path(self.env.srcdir) / RESULTS
        if not path.is_file():
            raise self.error(f"benchmarks: there is no {RESULTS}; run `make bench`")
        self.env.note_dependency(str(path))
        results = json.loads(path.read_text(encoding="utf8"))
        return self.parse_text_to_nodes("\n".join(lines_of(results)))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive with Sphinx."""
    app.add_directive("benchmarks", Benchmarks)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
