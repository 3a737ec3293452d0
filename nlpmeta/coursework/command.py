"""``python -m nlpmeta coursework release | collect | grade | report | export SET``.

Every step can be stopped at any point and run again: what is done stays done.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from nlpmeta.coursework import collecting, exporting, reporting
from nlpmeta.coursework.course import Course
from nlpmeta.coursework.running import STATUSES, Template, grade_folder, grade_one
from nlpmeta.coursework.sandbox import why_not

TRUSTED = (
    "--trust-submissions: the code of students runs as you, and may read, change and send away "
    "whatever you may. Their grades then prove nothing. Do this only with code that you have read."
)
WITHOUT = (
    "--trust-submissions runs without a sandbox; the book's page for instructors says what that "
    "means."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what stands after ``coursework`` on the command line."""
    steps = parser.add_subparsers(dest="step", required=True)
    for step, what in (
        ("release", "check a set against its own solutions and write the student's notebook"),
        ("collect", "take in a folder or a zip of submissions"),
        ("grade", "run every submission in a sandbox and write the gradebook"),
        ("report", "write a report on the class, and feedback for everyone"),
        ("export", "write the grades as CSV"),
    ):
        own = steps.add_parser(step, help=what, description=what)
        own.add_argument("set", metavar="SET", help="for example maximum-entropy")
        own.add_argument("--course-dir", metavar="DIR", help="a folder of your own for a class; "
                         "the book's notebooks/coursework by default")  # fmt: skip
        if step == "collect":
            own.add_argument("--from", dest="origin", required=True, metavar="PATH", type=Path)
        if step in ("release", "grade"):
            own.add_argument("--trust-submissions", action="store_true", help="without a sandbox")
        if step == "grade":
            jobs = os.cpu_count() or 1
            own.add_argument("--jobs", type=int, default=jobs, metavar="N", help="side by side")
            own.add_argument("--student", metavar="NAME", help="run this submission only, and "
                             "leave the gradebook to a later run without this option")  # fmt: skip
        if step == "export":
            own.add_argument("--format", choices=exporting.FORMATS, default="all")
            own.add_argument("--roster", type=Path, metavar="CSV", help="an export to fill in")


def run(chosen: argparse.Namespace) -> int:
    """Do one step; 0 if all went well, 1 if something is left for a person."""
    mask = os.umask(0)
    os.umask(mask | 0o007)  # grades and submissions are not for other accounts of the machine
    try:
        course = Course.at(chosen.course_dir)
        if getattr(chosen, "trust_submissions", False):
            print(TRUSTED, file=sys.stderr)
        elif chosen.step in ("release", "grade") and (problem := why_not()):
            print(f"{problem}. Nothing was run. {WITHOUT}", file=sys.stderr)
            return 1
        return globals()[f"_{chosen.step}"](course, chosen)
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        print(f"Stopped: {error}", file=sys.stderr)
        return 1
    finally:
        os.umask(mask)


def _gradebook():
    return importlib.import_module("nlpmeta.coursework.gradebook")


def warm(problems) -> None:
    """Extract the corpora of a set, which the sandbox may only read."""
    for corpus in problems.corpora:
        module, _, own = corpus.partition(".")
        getattr(importlib.import_module(f"nlpmeta.corpora.{module}"), own or "load")()


def _release(course: Course, chosen: argparse.Namespace) -> int:
    name, trust = chosen.set, chosen.trust_submissions
    _gradebook().make_release(course, name)
    template = Template.of(course, name)
    warm(template.problems)
    for kind, right in (("source", True), ("release", False)):
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(course.notebook(kind, name), folder)
            result = grade_folder(template, Path(folder), trust)
        wrong = [check for check, said in result["checks"].items() if bool(said) == right]
        if wrong or result["status"] not in STATUSES[:2] or result["odd"]:
            course.notebook("release", name).unlink()
            gets = "fails" if right else "passes"
            print(f"Not released: the {kind} {gets} {', '.join(wrong) or result['status']}; "
                  f"{'; '.join(result['odd'] + result['notes'])}", file=sys.stderr)  # fmt: skip
            return 1
    total = sum(check.points for check in template.problems.checks)
    print(f"{course.notebook('release', name)}\n{len(template.problems.checks)} checks, "
          f"{total:g} automatic points; the solutions get all, the release none.")  # fmt: skip
    return 0


def _collect(course: Course, chosen: argparse.Namespace) -> int:
    course.checks(chosen.set)
    students, problems = collecting.collect(course, chosen.set, chosen.origin)
    print(f"{len(students)} submissions: {', '.join(students)}")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _grade(course: Course, chosen: argparse.Namespace) -> int:
    name, gradebook = chosen.set, _gradebook()
    template = Template.of(course, name)
    warm(template.problems)
    students = course.students(name)
    if chosen.student:
        if chosen.student not in students:
            raise ValueError(f"--student is {chosen.student!r}, who has handed in no {name}; "
                             f"there are {len(students)} submissions")  # fmt: skip
        students = [chosen.student]
    bad = 0
    with ThreadPoolExecutor(max(1, chosen.jobs)) as pool:
        jobs = pool.map(
            lambda who: (who, grade_one(course, template, who, chosen.trust_submissions)), students
        )
        for student, result in tqdm(jobs, total=len(students), unit="submission"):
            if result["notebook"] is not None and not chosen.student:
                gradebook.record(course, template, student, result)
            if result["status"] != "graded":
                bad += 1
                where = f" in {result['where']}" if result["where"] else ""
                said = "; ".join([*result["odd"], *result["notes"]])[:300]
                tqdm.write(f"{student}: {result['status']}{where}: {said}")
    print(f"{len(students)} submissions, {bad} to look at")
    return 0


def _results(course: Course, name: str) -> dict[str, dict]:
    paths = sorted((course.root / "results" / name).glob("*.json"))
    return {path.stem: json.loads(path.read_bytes()) for path in paths}


def _report(course: Course, chosen: argparse.Namespace) -> int:
    gradebook, results = _gradebook(), _results(course, chosen.set)
    scores = gradebook.scores(course, chosen.set)
    for student in tqdm(sorted(scores), unit="page"):
        gradebook.make_feedback(course, chosen.set, student)
    print(reporting.report(course, chosen.set, results, scores))
    return 0


def _export(course: Course, chosen: argparse.Namespace) -> int:
    scores = _gradebook().scores(course, chosen.set)
    results = _results(course, chosen.set)
    print(exporting.export(course, chosen.set, chosen.format, results, scores, chosen.roster))
    return 0
