"""One submission: mend it, run it in the sandbox, judge what comes out, write down the result.

The student's cells run first, all of them; the hidden cells come after, one by one, so that
nothing they hold can end in an output that the student reads. A cell that ends the process costs
its own task only: the rest runs again without it. Exports ``Template``, ``grade_one`` and
``STATUSES``.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import nbformat
from nbformat import NotebookNode

from nlpmeta.corpora._cache import write_atomic
from nlpmeta.coursework import repair
from nlpmeta.coursework.checks import ProblemSet, judge, make_cases
from nlpmeta.coursework.course import Course, split_hidden
from nlpmeta.coursework.sandbox import Ended, Limits, Sandbox

STATUSES = ("graded", "graded with repairs", "timed out", "crashed", "could not be read")
AGAIN = 4  # how often a submission is run without the cells that ended its process
CANARY = "the process was tampered with: its plain sums and asserts do not come out right"


class Template(NamedTuple):
    """What a submission is held against."""

    name: str
    problems: ProblemSet
    released: NotebookNode
    hidden: Mapping[str, str]  # the hidden part of every check cell
    cases: Mapping[str, list[dict]]
    limits: Limits
    print: str  # changes when anything above does

    @classmethod
    def of(cls, course: Course, name: str) -> Template:
        """The template of a released set.

        Raises
        ------
        ValueError
            If the set has not been released in this course.
        """
        released = course.notebook("release", name)
        if not released.is_file():
            raise ValueError(f"{name} is not released here; run: python -m nlpmeta coursework "
                             f"release {name}")  # fmt: skip
        problems = course.checks(name)
        source = nbformat.read(course.notebook("source", name), as_version=4)
        hidden = {c["id"]: split_hidden(c.source)[1] for c in source.cells if _is_check(c)}
        cases = make_cases(problems.checks, course.seed(name))
        limits = Limits()._replace(**problems.limits)
        book = nbformat.read(released, as_version=4)
        said = [released.read_text(encoding="utf8"), hidden, cases, limits]
        said += [[check[:4] + (check.tolerance,) for check in problems.checks]]
        said += [course.source(name).parents[2].joinpath("checks", f"{name}.py").read_text()]
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
        return cls(name, problems, book, hidden, cases, limits, digest)


def _is_check(cell: NotebookNode) -> bool:
    about = cell.metadata.get("nbgrader", {})
    return bool(about.get("grade")) and not about.get("solution")


def grade_one(course: Course, template: Template, student: str, trust: bool = False) -> dict:
    """Grade one submission and keep the result; do nothing if that is done already.

    Returns
    -------
    dict
        ``status``, ``where``, ``notes``, ``odd``, ``seconds``, ``checks`` (what failed it, or ""),
        ``points`` by check cell, ``outputs`` by cell, ``notebook`` and ``print``.
    """
    folder = course.root / "submitted" / student / template.name
    path = course.result(template.name, student)
    mark = hashlib.sha256(template.print.encode())
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.is_symlink() and file.stat().st_size <= repair.LARGEST:
            mark.update(file.name.encode() + file.read_bytes())
    if path.is_file() and (old := json.loads(path.read_bytes()))["print"] == mark.hexdigest():
        return old
    result = grade_folder(template, folder, trust) | {"print": mark.hexdigest()}
    write_atomic(path, json.dumps(result).encode())
    return result


def grade_folder(template: Template, folder: Any, trust: bool = False) -> dict:
    """Grade the submission in a folder, without writing anything down."""
    start = time.monotonic()
    empty = {"checks": {}, "points": {}, "outputs": {}, "notebook": None, "odd": [], "where": ""}
    try:
        theirs, notes = repair.read(folder, template.name)
    except repair.Unreadable as error:
        return empty | {"status": STATUSES[4], "notes": [str(error)], "seconds": 0.0}
    book, mended, odd = repair.rebuild(theirs, template.released)
    notes += mended
    seen = execute(template, book, trust)
    checks = {
        check.name: judge(check, template.cases[check.name], seen["answers"].get(check.name))
        for check in template.problems.checks
    }
    points = {f"{check.task}-check": 0.0 for check in template.problems.checks}
    for check in template.problems.checks:
        points[f"{check.task}-check"] += 0.0 if checks[check.name] else check.points
    status = seen["status"] or STATUSES[bool(notes or odd)]
    return {
        "status": status,
        "where": seen["where"],
        "notes": [*dict.fromkeys(notes), *seen["notes"]],
        "odd": odd + seen["odd"],
        "seconds": round(time.monotonic() - start, 1),
        "checks": checks,
        "points": points,
        "outputs": seen["outputs"],
        "notebook": nbformat.writes(book),
    }


def execute(template: Template, book: NotebookNode, trust: bool) -> dict:
    """Run a notebook and its hidden cells, again without the cell that ended the process."""
    skipped: set[str] = set()
    status = where = ""
    notes: list[str] = []
    for _ in range(AGAIN):
        seen = {"answers": {}, "outputs": {}, "notes": [], "odd": []}
        at = ["", ""]  # the cell that runs, and how people call it
        try:
            with Sandbox(template.limits, trust) as box:
                late = _pass(template, book, box, skipped, seen, at)
            break
        except Ended as end:
            skipped.add(at[0])
            word = STATUSES[2] if end.why == "time" else STATUSES[3]
            if not status:
                status, where = word, at[1]
            notes.append(f"{at[1]}: {end}; graded without it")
            late = ""
    if late and not status:
        status, where = STATUSES[2], late
    return seen | {"status": status, "where": where, "notes": notes + seen["notes"]}


def _pass(
    template: Template, book: NotebookNode, box: Sandbox, skipped: set[str], seen: dict, at: list
) -> str:
    """One run from top to bottom; the first cell that the alarm stopped."""
    late = ""
    number = 0
    for cell in book.cells:
        if cell.cell_type != "code":
            continue
        number += 1
        at[:] = cell["id"], f"cell {number}"
        if cell["id"] in skipped or not cell.source.strip():
            continue
        reply = box.ask("run", source=cell.source)
        seen["outputs"][cell["id"]] = clean(reply.get("outputs"))
        error = reply.get("error")
        if isinstance(error, str) and error:
            if error.startswith("OutOfTimeError"):
                late = late or at[1]
            if "NotImplementedError" not in error:
                seen["notes"].append(f"{at[1]} raised {error[:200]}")
    for task, source in template.hidden.items():
        at[:] = f"hidden {task}", f"the hidden checks of {task.removesuffix('-check')}"
        if at[0] in skipped:
            continue
        names = {c.name for c in template.problems.checks if f"{c.task}-check" == task}
        cases = {name: template.cases[name] for name in names}
        reply = box.ask("probe", source=source, cases=cases)
        answers = reply.get("answers")
        if isinstance(answers, dict):  # a hidden cell answers for its own checks only
            seen["answers"].update({k: v for k, v in answers.items() if k in names})
        if str(reply.get("error")).startswith("OutOfTimeError"):
            late = late or at[1]
    at[:] = "canary", "the last check"
    if "canary" not in skipped and not _sings(box):
        seen["odd"].append(CANARY)
    return late


def _sings(box: Sandbox) -> bool:
    """Whether the canary's sums are right, which tampering with Python or NumPy would change."""
    numbers = random.SystemRandom().sample(range(2, 1000), 7)
    values = box.ask("canary", seconds=10, numbers=numbers).get("values")
    total, square = float(sum(numbers)), float(sum(n * n for n in numbers))
    right = [sum(numbers), sorted(numbers), 7, round(numbers[0] / 7, 6), numbers[0], True, True]
    return values in (right, [*right, total, False, square])


def clean(outputs: Any) -> list[dict]:
    """Outputs that nbformat accepts, whatever came out of the sandbox."""
    kept = []
    for output in outputs[:60] if isinstance(outputs, list) else ():
        try:
            node = nbformat.from_dict(output)
            if node.output_type == "execute_result":
                node.execution_count = None
            if node.output_type in {"display_data", "execute_result"}:
                node.data = {k: v for k, v in node.data.items() if k in {"text/plain", "image/png"}}
                node.metadata = {}
            nbformat.validate(nbformat.v4.new_notebook(
                cells=[nbformat.v4.new_code_cell("", outputs=[node])]))  # fmt: skip
        except Exception:
            continue
        kept.append(dict(node))
    return kept
