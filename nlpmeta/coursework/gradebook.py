"""nbgrader's part: its settings for this course, releasing, writing grades, feedback.

nbgrader is called through its Python API. Two preprocessors of ours are put into its lists:
``RecordedRun`` in place of nbgrader's own execution, for submissions have run in the sandbox by
then, and ``WithoutHidden`` before feedback. ``configure`` is what ``nbgrader_config.py`` calls,
so that the formgrader has the same settings.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    GetGrades,
    NbGraderPreprocessor,
    OverwriteCells,
    SaveAutoGrades,
)
from traitlets.config import Config

from nlpmeta.corpora._cache import write_atomic
from nlpmeta.coursework.course import Course, read_source, split_hidden
from nlpmeta.coursework.running import Template

PASSED, FAILED = "passed", "not passed"
EXCHANGED = ("timestamp.txt", "submission_secret.txt")  # with which nbgrader returns feedback


class RecordedRun(NbGraderPreprocessor):
    """Put the recorded outputs into the cells, and the points of every check cell under it."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        names = resources["nbgrader"]
        root = Path(names["db_url"].removeprefix("sqlite:///")).parent
        path = Course(root).result(names["assignment"], names["student"])
        if not path.is_file():
            raise RuntimeError(
                f"{names['student']} has not run in the sandbox; grade with: "
                f"python -m nlpmeta coursework grade {names['assignment']}"
            )
        result = json.loads(path.read_bytes())
        for cell in nb.cells:
            if cell.cell_type != "code":
                continue
            cell.outputs = [nbformat.from_dict(o) for o in result["outputs"].get(cell["id"], [])]
            points = result["points"].get(cell["id"])
            if points is not None:
                shown = nbformat.v4.new_output(
                    "execute_result", {"text/plain": str(points)}, execution_count=None
                )
                cell.outputs = [shown]
        return nb, resources


class WithoutHidden(NbGraderPreprocessor):
    """Take hidden checks and rubrics out, and say for every check whether it passed."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        names = resources["nbgrader"]
        course = Course(Path(names["db_url"].removeprefix("sqlite:///")).parent)
        result = json.loads(course.result(names["assignment"], names["student"]).read_bytes())
        checks = course.checks(names["assignment"]).checks
        for cell in nb.cells:
            cell.source = split_hidden(cell.source)[0]
            if cell["id"] in result["points"]:
                lines = [
                    f"{FAILED if result['checks'].get(check.name, 'x') else PASSED}: {check.says}"
                    for check in checks
                    if f"{check.task}-check" == cell["id"]
                ]
                text = "\n".join(lines) + "\n"
                said = nbformat.v4.new_output("stream", name="stdout", text=text)
                own = result["outputs"].get(cell["id"], [])
                cell.outputs = [*map(nbformat.from_dict, own), said]
        return nb, resources


def configure(config: Any, root: Path) -> Any:
    """nbgrader's settings for the course in ``root``."""
    config.CourseDirectory.course_id = "nlpmeta"
    config.CourseDirectory.root = str(root)
    config.CourseDirectory.db_url = f"sqlite:///{root / 'gradebook.db'}"
    config.CourseDirectory.submitted_directory = "repaired"
    config.CourseDirectory.ignore = ["*.py", "*.pyc", "__pycache__", ".ipynb_checkpoints"]
    config.ClearSolutions.code_stub = {"python": "# YOUR CODE HERE\nraise NotImplementedError"}
    config.ClearSolutions.text_stub = "*YOUR ANSWER HERE*"
    config.ClearMarkScheme.enforce_metadata = False  # rubrics stand in locked cells, not in tasks
    config.Autograde.sanitize_preprocessors = [OverwriteCells, CheckCellMetadata]
    config.Autograde.autograde_preprocessors = [
        *(RecordedRun, SaveAutoGrades, AssignLatePenalties, CheckCellMetadata),
    ]
    config.GenerateFeedback.preprocessors = [GetGrades, WithoutHidden, CSSHTMLHeaderPreprocessor]
    return config


def _api(course: Course) -> NbGraderAPI:
    scripts = str(Path(sys.executable).parent)  # nbgrader calls alembic by its bare name
    if scripts not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([scripts, os.environ.get("PATH", "")])
    logging.getLogger("traitlets").setLevel(logging.ERROR)
    return NbGraderAPI(config=configure(Config(), course.root))


def _sure(answer: dict) -> None:
    if not answer["success"]:
        said = (answer.get("log") or "") + (answer.get("error") or "")
        raise RuntimeError(f"nbgrader could not do it:\n{said[-2000:]}")


def make_release(course: Course, name: str) -> None:
    """Write the notebook with solutions from the text source, and from it the student's."""
    book = read_source(course.source(name), course.checks(name))
    write_atomic(course.notebook("source", name), nbformat.writes(book).encode())
    _sure(_api(course).generate_assignment(name))


def record(course: Course, template: Template, student: str, result: dict) -> None:
    """Bring a result into the gradebook; do nothing where that is done already."""
    name = template.name
    done = course.root / "results" / name / f"{student}.done"
    if done.is_file() and done.read_text() == result["print"]:
        return
    path = course.notebook("repaired", name, student)
    write_atomic(path, result["notebook"].encode())
    for own in EXCHANGED:
        (path.parent / own).unlink(missing_ok=True)
        if (given := course.root / "submitted" / student / name / own).is_file():
            write_atomic(path.parent / own, given.read_bytes())
    _sure(_api(course).autograde(name, student, force=True))
    write_atomic(done, result["print"].encode())


def make_feedback(course: Course, name: str, student: str) -> Path:
    """Write a student's feedback as a page, and give its path."""
    _sure(_api(course).generate_feedback(name, student))
    return course.notebook("feedback", name, student).with_suffix(".html")


def scores(course: Course, name: str) -> dict[str, dict[str, Any]]:
    """From the gradebook, by student: score, highest score, whether a person has to grade yet."""
    found = {}
    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as book:
        for submission in book.assignment_submissions(name):
            cells = {
                grade.cell.name: grade.score
                for part in submission.notebooks
                for grade in part.grades
            }
            found[submission.student.id] = {
                "score": submission.score,
                "of": submission.max_score,
                "open": submission.needs_manual_grade,
                "cells": cells,
            }
    return found
