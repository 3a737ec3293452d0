"""The report on a class, as one page: distribution, time, what was hard, which code is alike.

Difficulty of a check is the share of submissions that pass it; discrimination the correlation
between passing it and the points for everything else (Kelley 1939 called for such an index). Code
is compared by runs of five tokens, names replaced; what a third of the class shares does not
count. A likeness is a lead, not a verdict. Exports ``report``, ``item_table`` and ``similar``.
"""

from __future__ import annotations

import html
import io
import json
import keyword
import tokenize
from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np

from nlpmeta.corpora._cache import write_atomic
from nlpmeta.coursework.checks import ProblemSet
from nlpmeta.coursework.course import Course

STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:left}"
)


def item_table(problems: ProblemSet, results: Mapping[str, dict]) -> list[tuple[str, float, float]]:
    """For every check its name, difficulty and discrimination (NaN where all do the same)."""
    read = [result for result in results.values() if result["checks"]]
    passed = np.array([[not r["checks"][c.name] for c in problems.checks] for r in read], float)
    points = np.array([check.points for check in problems.checks])
    rows = []
    for j, check in enumerate(problems.checks):
        if not len(passed):
            rows.append((check.name, float("nan"), float("nan")))
            continue
        rest = passed @ points - passed[:, j] * points[j]
        varied = passed[:, j].std() > 0 and rest.std() > 0
        index = np.corrcoef(passed[:, j], rest)[0, 1] if varied else float("nan")
        rows.append((check.name, float(passed[:, j].mean()), float(index)))
    return rows


def runs_of_tokens(source: str, length: int = 5) -> set[tuple[str, ...]]:
    """The runs of tokens in a program, with names, numbers and strings made alike.

    Examples
    --------
    >>> runs_of_tokens("a = b + 1") == runs_of_tokens("total = first + 2  # the sum")
    True
    """
    kinds = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.NAME:
                kinds.append(token.string if keyword.iskeyword(token.string) else "name")
            elif token.type in (tokenize.NUMBER, tokenize.STRING):
                kinds.append("value")
            elif token.type == tokenize.OP:
                kinds.append(token.string)
    except (tokenize.TokenError, SyntaxError):
        pass
    return {tuple(kinds[i : i + length]) for i in range(len(kinds) - length + 1)}


def similar(results: Mapping[str, dict], most: int = 20) -> list[tuple[float, str, str]]:
    """The pairs of submissions whose code is most alike: share of runs in common, two students."""
    runs = {}
    for student, result in results.items():
        if result["notebook"]:
            cells = json.loads(result["notebook"])["cells"]
            own = [c for c in cells if not c["metadata"].get("nbgrader", {}).get("locked", False)]
            code = ["".join(c["source"]) for c in own if c["cell_type"] == "code"]
            runs[student] = set().union(*map(runs_of_tokens, code))
    shared = Counter(run for found in runs.values() for run in found)
    common = {run for run, count in shared.items() if count > max(2, len(runs) / 3)}
    pairs = []
    for a, b in combinations(sorted(runs), 2):
        first, second = runs[a] - common, runs[b] - common
        if min(len(first), len(second)) >= 10:
            pairs.append((len(first & second) / len(first | second), a, b))
    return sorted(pairs, reverse=True)[:most]


def report(
    course: Course, name: str, results: Mapping[str, dict], scores: Mapping[str, dict]
) -> Path:
    """Write the report and give its path."""
    problems = course.checks(name)
    totals = np.array([score["score"] for score in scores.values()])
    seconds = np.array([result["seconds"] for result in results.values()])
    count = Counter(result["status"] for result in results.values())
    parts = [
        f"<h1>{html.escape(problems.title)}</h1>",
        _table(["status", "students"], count.items()),
    ]
    if len(totals):
        of = next(iter(scores.values()))["of"]
        edges = np.linspace(0, of, 11)
        bins = np.histogram(totals, edges)[0]
        rows = [
            (f"{a:.0f} to {b:.0f}", "█" * n + f" {n}") for a, b, n in zip(edges, edges[1:], bins)
        ]
        parts += [f"<h2>Scores</h2><p>median {np.median(totals):.1f} of {of:.0f}</p>"]
        parts += [_table(["points", "students"], rows)]
    if len(seconds):
        parts += [
            f"<h2>Time</h2><p>median {np.median(seconds):.1f} s, longest {seconds.max():.1f} s</p>"
        ]
    rows = [(n, f"{p:.2f}", f"{d:.2f}") for n, p, d in item_table(problems, results)]
    parts += ["<h2>Checks</h2>", _table(["check", "share that pass", "discrimination"], rows)]
    rows = [(f"{share:.2f}", a, b) for share, a, b in similar(results) if share > 0.5]
    parts += ["<h2>Code that is alike</h2><p>A lead, not a verdict: read both.</p>"]
    parts += [_table(["likeness", "student", "student"], rows)]
    look = [(s, r["status"], r["where"], "; ".join([*r["odd"], *r["notes"]]))
            for s, r in sorted(results.items()) if r["odd"] or r["status"] != "graded"]  # fmt: skip
    parts += ["<h2>To look at</h2>", _table(["student", "status", "where", "what"], look)]
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><style>{STYLE}</style>'
    path = course.root / "report" / f"{name}.html"
    write_atomic(
        path, (f"{head}<title>{html.escape(problems.title)}</title>" + "\n".join(parts)).encode()
    )
    return path


def _table(head: list[str], rows) -> str:
    lines = ["<tr>" + "".join(f"<th>{html.escape(h)}</th>" for h in head) + "</tr>"]
    for row in rows:
        lines.append("<tr>" + "".join(f"<td>{html.escape(str(x))}</td>" for x in row) + "</tr>")
    return "<table>" + "\n".join(lines) + "</table>"
