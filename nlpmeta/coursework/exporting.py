"""Grades as CSV files: one that says everything, and those that Canvas, Moodle and Gradescope
read.

A student whose submission could not be read has no score, which is not the same as zero. Exports
``export`` and ``FORMATS``.

The columns are those that the platforms' own programs look for. Canvas reads "Student", "ID",
"SIS User ID", "SIS Login ID", "Section" in this order, then a column for each assignment, and a
row "Points Possible" (instructure/canvas-lms, ``lib/gradebook_importer.rb``). Moodle's grading
worksheet needs "Identifier", "Grade" and "Last modified (grade)", and an identifier such as
"Participant 77" (moodle/moodle, ``mod/assign/feedback/offline/importgradeslib.php``); its general
grade import maps any column (docs.moodle.org, "Grade import"). Gradescope publishes no format for
imports; its own downloads have "SID", "Email", "Total Score" and "Max Points".
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

from nlpmeta.corpora._cache import write_atomic
from nlpmeta.coursework.course import Course

FORMATS = ("all", "canvas", "moodle", "gradescope")
IDENTIFIERS = ("SIS Login ID", "SIS User ID", "ID", "Identifier", "Email address", "Email", "SID")


def export(
    course: Course,
    name: str,
    kind: str,
    results: dict[str, dict],
    scores: dict[str, dict[str, Any]],
    roster: Path | None = None,
) -> Path:
    """Write a CSV file and give its path.

    ``roster`` is a CSV file that the platform exported; its rows are filled in where one of its
    identifiers is a student's, so that it can be imported again.
    """
    if kind == "all":
        rows = _everything(results, scores)
    elif roster:
        rows = _filled(roster, kind, name, scores)
    else:
        rows = _bare(kind, name, scores)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([[_safe(x) for x in row] for row in rows])
    path = course.root / "exported" / f"{name}.{kind}.csv"
    write_atomic(path, out.getvalue().encode("utf-8"))
    return path


def _safe(value: Any) -> Any:
    """A value that a spreadsheet does not take for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def _everything(results: dict, scores: dict) -> list[list]:
    tasks = sorted({cell for score in scores.values() for cell in score["cells"]})
    rows = [["student", "status", "where", "score", "of", "to grade by hand", *tasks, "notes"]]
    for student, result in sorted(results.items()):
        score = scores.get(student)
        known = [score["score"], score["of"], "yes" if score["open"] else ""] if score else [""] * 3
        cells = [score["cells"].get(task, "") if score else "" for task in tasks]
        notes = "; ".join([*result["odd"], *result["notes"]])
        rows.append([student, result["status"], result["where"], *known, *cells, notes])
    return rows


def _bare(kind: str, name: str, scores: dict) -> list[list]:
    highest = next((score["of"] for score in scores.values()), 0)
    ready = [(student, score["score"]) for student, score in sorted(scores.items())]
    if kind == "canvas":
        rows = [["Student", "ID", "SIS User ID", "SIS Login ID", "Section", name]]
        rows += [["Points Possible", "", "", "", "", highest]]
        return rows + [[who, _number(who), "", who, "", score] for who, score in ready]
    if kind == "moodle":
        rows = [["Identifier", "Email address", "Grade", "Maximum Grade", "Last modified (grade)"]]
        for student, score in ready:
            number = _number(student)
            who = f"Participant {number}" if number else student
            rows.append([who, student, score, highest, "-"])
        return rows
    rows = [["Name", "SID", "Email", "Total Score", "Max Points"]]
    return rows + [[student, student, student, score, highest] for student, score in ready]


def _number(student: str) -> str:
    """The platform's own number of a student, which :mod:`collecting` keeps in the name."""
    found = re.search(r"-(\d+)$", student)
    return found[1] if found else ""


def _filled(roster: Path, kind: str, name: str, scores: dict) -> list[list]:
    with roster.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    head = rows[0]
    column = {"canvas": name, "moodle": "Grade", "gradescope": "Total Score"}[kind]
    if column not in head:
        head.append(column)
    where = head.index(column)
    keys = [head.index(key) for key in IDENTIFIERS if key in head]
    for row in rows[1:]:
        row += [""] * (len(head) - len(row))
        for key in keys:
            digits = row[key].removeprefix("Participant ").strip().lower()
            for student, score in scores.items():
                if digits and (student == digits or student.endswith(f"-{digits}")):
                    row[where] = score["score"]
    return rows
