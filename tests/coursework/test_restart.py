"""`grade` killed at any point and run again gives the gradebook of an undisturbed run, and leaves
nothing behind; points that a person gave survive another run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from nbgrader.api import Gradebook

from nlpmeta.__main__ import main
from nlpmeta.coursework import gradebook
from nlpmeta.coursework.course import Course
from tests.coursework.conftest import solutions, written

TINY = Path(__file__).parent / "tiny"
REPOSITORY = Path(__file__).resolve().parents[2]
GRADE = [sys.executable, "-m", "nlpmeta", "coursework", "grade", "tiny", "--jobs", "2"]
OUTSIDE = Path("/tmp")


@pytest.fixture(scope="module")
def handed_in(walls, tmp_path_factory) -> Course:
    """A class of five that has handed in, before it is graded."""
    root = tmp_path_factory.mktemp("class")
    shutil.copytree(TINY, root, dirs_exist_ok=True)
    course = Course.at(str(root))
    (root / "secret").write_text("0" * 64)
    gradebook.make_release(course, "tiny")
    right = solutions(course, "tiny")
    slow = {"root-solution": "import time\ntime.sleep(0.5)\n" + right["root-solution"]}
    for student, changes in {
        "ada": right,
        "ben": slow,
        "cyd": {"double-solution": right["double-solution"]},
        "dee": {"root-solution": "import os\nos._exit(1)"},
        "eve": {},
    }.items():
        folder = root / "submitted" / student / "tiny"
        folder.mkdir(parents=True)
        (folder / "tiny.ipynb").write_text(json.dumps(written(course, "tiny", changes)))
    return course


def copy(course: Course, folder: Path) -> Course:
    shutil.copytree(course.root, folder)
    return Course.at(str(folder))


def holdings(course: Course) -> dict:
    """What a gradebook says of everyone, and what lies in the folders, with no times and no ids."""
    scores = gradebook.scores(course, "tiny")
    books = {}
    for path in sorted(course.root.glob("autograded/*/tiny/tiny.ipynb")):
        books[path.parts[-3]] = json.loads(path.read_bytes())["cells"]
    results = {
        path.stem: {k: v for k, v in json.loads(path.read_bytes()).items() if k != "seconds"}
        for path in sorted(course.root.glob("results/tiny/*.json"))
    }
    return {"scores": scores, "books": books, "results": results}


def run(course: Course, stop: Callable[[psutil.Process], bool] | None = None) -> None:
    """Grade in a process of its own; ``stop`` says when it is to be killed."""
    variables = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        [*GRADE, "--course-dir", str(course.root)],
        env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    if stop is None:
        assert process.wait() == 0
        return
    grading = psutil.Process(process.pid)
    while process.poll() is None and not stop(grading):
        time.sleep(0.02)
    running = grading.children(recursive=True) if process.poll() is None else []
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(running, timeout=10)
    assert alive == []  # the sandboxes went with it


def count(course: Course, pattern: str) -> int:
    return len(list(course.root.glob(pattern)))


def test_killed_at_any_point_the_gradebook_is_that_of_an_undisturbed_run(handed_in, tmp_path):
    before = set(OUTSIDE.iterdir())
    whole, broken = copy(handed_in, tmp_path / "whole"), copy(handed_in, tmp_path / "broken")
    run(whole)
    points = [
        lambda grading: bool(grading.children()),  # while a submission runs
        lambda _: count(broken, "results/tiny/*.json") >= 1,  # one has run, none is recorded
        lambda _: count(broken, "repaired/*/tiny/tiny.ipynb") >= 2,  # nbgrader is at the second
        lambda _: count(broken, "results/tiny/*.done") >= 3,
    ]
    for stop in points:
        run(broken, stop)
    assert count(broken, "results/tiny/*.done") < 5  # it was stopped, not finished
    run(broken)
    assert holdings(broken) == holdings(whole)
    assert set(holdings(whole)["scores"]) == {"ada", "ben", "cyd", "dee", "eve"}
    new = {path for path in set(OUTSIDE.iterdir()) - before if "pytest" not in path.name}
    assert [path for path in new if "nlpmeta" in path.name or "nbgrader" in path.name] == []


def test_points_given_by_a_person_survive_another_run(handed_in, tmp_path):
    course = copy(handed_in, tmp_path / "own")
    there = ["--course-dir", str(course.root)]
    assert main(["coursework", "grade", "tiny", *there]) == 0
    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as book:
        grade = book.find_grade("why-answer", "tiny", "tiny", "ada")
        grade.manual_score, grade.needs_manual_grade = 3.0, False
        comment = book.find_comment("why-answer", "tiny", "tiny", "ada")
        comment.manual_comment = "Say more."
        book.db.commit()
    handed = course.root / "submitted" / "ada" / "tiny" / "tiny.ipynb"
    content = json.loads(handed.read_text())  # handed in again, with one task taken out
    for cell in content["cells"]:
        if cell["id"] == "root-solution":
            cell["source"] = "def root(x):\n    return 0"
    handed.write_text(json.dumps(content))
    assert main(["coursework", "grade", "tiny", *there]) == 0
    score = gradebook.scores(course, "tiny")["ada"]
    assert score["cells"]["why-answer"] == 3.0
    assert score["score"] == 2.0 + 3.0  # what is checked was checked again
    assert main(["coursework", "report", "tiny", *there]) == 0
    assert "Say more." in (course.root / "feedback" / "ada" / "tiny" / "tiny.html").read_text()
