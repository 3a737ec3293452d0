"""nbgrader's exchange: what students fetch and submit with nbgrader, our tool takes in, grades and
gives back. Two students with folders of their own, on one account."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from nbgrader.auth import Authenticator
from nbgrader.coursedir import CourseDirectory
from nbgrader.exchange import ExchangeFactory
from traitlets.config import Config

from nlpmeta.__main__ import main
from nlpmeta.coursework import collecting
from nlpmeta.coursework.course import Course
from nlpmeta.coursework.gradebook import configure
from tests.coursework.conftest import solutions

TINY = Path(__file__).parent / "tiny"


def exchange(step: str, root: Path, home: Path, student: str = "*", course: Path | None = None):
    """Do one of nbgrader's steps as somebody with this home folder, without a new process."""
    config = configure(Config(), course) if course else Config()
    config.CourseDirectory.course_id = "nlpmeta"
    config.CourseDirectory.assignment_id = "tiny"
    config.CourseDirectory.student_id = student
    config.Exchange.root = str(root)
    config.Exchange.assignment_dir = str(home)
    config.Exchange.cache = str(home / "cache")
    coursedir = CourseDirectory(config=config)
    kind = getattr(ExchangeFactory(config=config), step)
    app = kind(coursedir=coursedir, authenticator=Authenticator(config=config), config=config)
    return app.start()


@pytest.fixture(scope="module")
def returned(walls, tmp_path_factory) -> dict[str, str]:
    """The whole way, up to the pages that the students got back."""
    root, shared, homes = map(tmp_path_factory.mktemp, ("class", "exchange", "homes"))
    shared.chmod(0o777)
    shutil.copytree(TINY, root, dirs_exist_ok=True)
    course, there = Course.at(str(root)), ["--course-dir", str(root)]
    assert main(["coursework", "release", "tiny", *there]) == 0
    exchange("ReleaseAssignment", shared, root, course=root)
    right = solutions(course, "tiny")
    for student, tasks in {"ada": ("double", "root"), "ben": ("root",)}.items():
        home = homes / student
        assert exchange("List", shared, home, student)[0]["assignment_id"] == "tiny"
        exchange("FetchAssignment", shared, home, student)
        path = home / "tiny" / "tiny.ipynb"
        book = json.loads(path.read_text())
        for cell in book["cells"]:
            if cell["id"] in {f"{task}-solution" for task in tasks}:
                cell["source"] = right[cell["id"]]
        path.write_text(json.dumps(book))
        exchange("Submit", shared, home, student)
    inbound = shared / "nlpmeta" / "inbound"
    assert main(["coursework", "collect", "tiny", "--from", str(inbound), *there]) == 0
    assert main(["coursework", "grade", "tiny", *there]) == 0
    assert main(["coursework", "report", "tiny", *there]) == 0
    exchange("ReleaseFeedback", shared, root, course=root)
    pages = {}
    for student in ("ada", "ben"):
        home = homes / student
        exchange("FetchFeedback", shared, home, student)
        (page,) = home.glob("tiny/feedback/*/tiny.html")
        pages[student] = page.read_text()
    return pages


def test_students_get_their_own_feedback_back(returned):
    pages = returned
    assert "not passed" not in pages["ada"]
    assert "not passed: numbers" in pages["ben"]
    assert "passed: roots" in pages["ben"]
    for page in pages.values():
        assert "emit(" not in page
        assert "Secret rubric" not in page


def inbound(folder: Path, name: str, text: str = "{}") -> Path:
    path = folder / name
    path.mkdir(parents=True)
    (path / "tiny.ipynb").write_text(text)
    (path / "submission_secret.txt").write_text("ab" * 64)
    return path


def test_the_last_submission_counts_and_other_sets_are_left(tmp_path):
    folder = tmp_path / "inbound"
    inbound(folder, "ada+tiny+2026-01-02 10:00:00.5 UTC+AbC-_9", "new")
    inbound(folder, "ada+tiny+2026-01-02 09:00:00.5 UTC+AbC-_8", "old")
    inbound(folder, "ben+other+2026-01-02 09:00:00.5 UTC+AbC-_8")
    course = Course.at(str(tmp_path / "class"))
    assert collecting.collect(course, "tiny", folder) == (["ada"], [])
    handed = course.root / "submitted" / "ada" / "tiny"
    assert (handed / "tiny.ipynb").read_text() == "new"
    assert (handed / "timestamp.txt").read_text() == "2026-01-02 10:00:00.5 UTC"


def test_a_folder_in_another_students_name_is_not_taken(tmp_path, monkeypatch):
    folder = tmp_path / "inbound"
    inbound(folder, "ada+tiny+2026-01-02 10:00:00 UTC+a", "hers")
    forged = inbound(folder, "ada+tiny+2026-01-02 11:00:00 UTC+b", "forged")
    monkeypatch.setattr(
        collecting, "_owner", lambda path: "ben" if path == forged else path.name.split("+")[0]
    )
    course = Course.at(str(tmp_path / "class"))
    students, problems = collecting.collect(course, "tiny", folder)
    assert students == ["ada"]
    assert "belongs to the account ben" in problems[0]
    assert (course.root / "submitted/ada/tiny/tiny.ipynb").read_text() == "hers"


def test_links_odd_secrets_and_odd_times_do_not_stop_it(tmp_path):
    folder = tmp_path / "inbound"
    odd = inbound(folder, "ada+tiny+2026-01-02 10:00:00 UTC+a")
    (odd / "submission_secret.txt").write_text("../../x")
    linked = inbound(folder, "ben+tiny+2026-99-02 10:00:00 UTC+a")
    (linked / "tiny.ipynb").unlink()
    (linked / "tiny.ipynb").symlink_to("/etc/passwd")
    (folder / "eve+tiny+2026-01-02 10:00:00 UTC+a").symlink_to(odd)
    course = Course.at(str(tmp_path / "class"))
    students, problems = collecting.collect(course, "tiny", folder)
    assert students == ["ada", "ben"]
    assert any("a link" in problem for problem in problems)
    assert any("feedback cannot be returned" in problem for problem in problems)
    names = {path.name for path in (course.root / "submitted").rglob("*") if path.is_file()}
    assert names == {"tiny.ipynb", "timestamp.txt"}
