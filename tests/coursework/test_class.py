"""A class in which no two hand in the same: right, wrong and missing answers, mishaps and attacks.

What each must get is known from how the submission was made. `make test` grades a small class; this
grades one of three hundred, with the set named:

    NLPMETA_CLASS=300 NLPMETA_CLASS_SET=language-models .venv/bin/python -m pytest -n 0 -s \
        tests/coursework/test_class.py
"""

from __future__ import annotations

import copy
import json
import os
import time
from typing import NamedTuple

import numpy as np

from nlpmeta.__main__ import main
from nlpmeta.coursework.course import Course
from nlpmeta.coursework.gradebook import scores
from nlpmeta.coursework.running import Template
from tests.coursework.answers import PARTIAL, RUNS
from tests.coursework.conftest import solutions, written

STUDENTS = int(os.environ.get("NLPMETA_CLASS", "10"))
SET = os.environ.get("NLPMETA_CLASS_SET", "maximum-entropy")
GRADED, REPAIRED, _, CRASHED, UNREADABLE = (
    *("graded", "graded with repairs", "timed out", "crashed", "could not be read"),
)
MISHAPS = {  # what happens to a submission, and the status it ends with
    "none": GRADED,
    "another kernel": REPAIRED,
    "no metadata": REPAIRED,
    "a check edited": REPAIRED,
    "a check deleted": REPAIRED,
    "renamed": REPAIRED,
    "the process ended": CRASHED,
    "a harmless warning": GRADED,
    "AssertionError replaced": CRASHED,  # the canary dies of it
    "half a file": UNREADABLE,
}


class Handed(NamedTuple):
    """A submission, with what it must get."""

    content: str
    name: str
    points: float | None
    status: str


def answers(rng: np.random.Generator, course: Course, template: Template) -> tuple[dict, float]:
    """Answers drawn from those whose points are known, and the points."""
    right = solutions(course, template.name)
    if rng.random() < 0.3:
        tasks, points = PARTIAL[template.name][rng.integers(len(PARTIAL[template.name]))]
        return {f"{task}-solution": right[f"{task}-solution"] for task in tasks}, points
    edits = RUNS[template.name][rng.integers(len(RUNS[template.name]))]
    changes, wrong = dict(right), set()
    for task, (old, new, checks) in edits.items():
        if not checks or rng.random() < 0.5:  # an edit without a check makes others independent
            changes[f"{task}-solution"] = changes[f"{task}-solution"].replace(old, new)
            wrong |= checks
    return changes, sum(c.points for c in template.problems.checks if c.name not in wrong)


def handed(rng: np.random.Generator, course: Course, template: Template, student: str) -> Handed:
    """What a student hands in."""
    changes, points = answers(rng, course, template)
    book = copy.deepcopy(written(course, template.name, changes))
    for cell in book["cells"]:  # no two are alike to the letter
        if cell["id"] in changes and cell["cell_type"] == "code":
            cell["source"] += f"\n# {student} says {rng.integers(10**9)}\n"
    odds = [0.6] + [0.4 / (len(MISHAPS) - 1)] * (len(MISHAPS) - 1)
    mishap = str(rng.choice(list(MISHAPS), p=odds))
    name, code = f"{template.name}.ipynb", {"cell_type": "code", "outputs": [], "metadata": {}}
    code |= {"execution_count": None, "id": "mine"}
    checks = [i for i, cell in enumerate(book["cells"]) if cell["id"].endswith("-check")]
    one = checks[rng.integers(len(checks))]
    if mishap == "another kernel":
        book["metadata"]["kernelspec"] = {"name": "conda-env-x", "display_name": "x"}
    elif mishap == "no metadata":
        for cell in book["cells"]:
            cell["metadata"] = {}
    elif mishap == "a check edited":
        book["cells"][one]["source"] = "pass"
    elif mishap == "a check deleted":
        del book["cells"][one]
    elif mishap == "renamed":
        name = f"{template.name} (1) {student}.ipynb"
    elif mishap == "the process ended":
        book["cells"].append(code | {"source": "import os\nos._exit(0)"})
    elif mishap == "a harmless warning":
        source = "import sys, warnings\nwarnings.warn('careful')\nprint('careful', file=sys.stderr)"
        book["cells"].insert(1, code | {"source": source})
    elif mishap == "AssertionError replaced":
        source = "import builtins\nbuiltins.AssertionError = type('Fine', (Exception,), {})"
        book["cells"].append(code | {"source": source})
    content = json.dumps(book)
    if mishap == "half a file":
        return Handed(content[: len(content) // 2], name, None, UNREADABLE)
    return Handed(content, name, points, MISHAPS[mishap])


def test_everyone_gets_what_the_submission_is_worth(walls, tmp_path):
    there = ["--course-dir", str(tmp_path / "class")]
    assert main(["coursework", "release", SET, *there]) == 0
    course = Course.at(there[1])
    template = Template.of(course, SET)
    expected = {}
    for number in range(STUDENTS):
        student = f"student{number:03d}"
        own = handed(np.random.default_rng([7, number]), course, template, student)
        folder = course.root / "submitted" / student / SET
        folder.mkdir(parents=True)
        (folder / own.name).write_text(own.content, encoding="utf8")
        expected[student] = own
    assert len({own.content for own in expected.values()}) == STUDENTS
    start = time.monotonic()
    assert main(["coursework", "grade", SET, *there]) == 0
    print(f"{STUDENTS} submissions of {SET}: {(time.monotonic() - start) / 60:.1f} minutes")
    found = scores(course, SET)
    results = {s: json.loads(course.result(SET, s).read_bytes()) for s in expected}
    statuses = {student: own.status for student, own in expected.items()}
    assert {student: result["status"] for student, result in results.items()} == statuses
    points = {student: own.points for student, own in expected.items() if own.points is not None}
    assert {student: score["score"] for student, score in found.items()} == points
    counted = {status: list(statuses.values()).count(status) for status in MISHAPS.values()}
    print(counted)
    if STUDENTS >= 100:
        assert all(counted.values())
