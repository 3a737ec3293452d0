"""From release to export on the command line, with nbgrader's gradebook, stopped and run again."""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from nlpmeta.__main__ import main
from nlpmeta.coursework import exporting, gradebook, reporting
from nlpmeta.coursework.checks import Check, agree, judge, make_cases
from nlpmeta.coursework.course import Course
from nlpmeta.coursework.sandbox import why_not
from tests.coursework.conftest import solutions, written

TINY = Path(__file__).parent / "tiny"
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def course(walls, tmp_path_factory) -> Course:
    """A class of four, graded, with a run that was stopped in between."""
    root = tmp_path_factory.mktemp("class")
    shutil.copytree(TINY, root, dirs_exist_ok=True)
    course = Course.at(str(root))
    assert main(["coursework", "release", "tiny", "--course-dir", str(root)]) == 0
    right = solutions(course, "tiny")
    handed = root / "handed"
    books = {
        "ada": json.dumps(written(course, "tiny", right)),
        "ben": json.dumps(written(course, "tiny", {"root-solution": right["root-solution"]})),
        "cyd": "not a notebook",
        "dee": json.dumps(written(course, "tiny", {"root-solution": "import os\nos._exit(1)"})),
    }
    for student, text in books.items():
        (handed / student).mkdir(parents=True)
        (handed / student / "tiny.ipynb").write_text(text)
    there = ["--course-dir", str(root)]
    assert main(["coursework", "collect", "tiny", "--from", str(handed), *there]) == 0
    with pytest.MonkeyPatch.context() as patch:  # as if the power went off at the second student
        real = gradebook.record

        def stop(course, template, student, result):
            if student == "ben":
                raise KeyboardInterrupt
            real(course, template, student, result)

        patch.setattr(gradebook, "record", stop)
        assert main(["coursework", "grade", "tiny", "--jobs", "1", *there]) == 130
    assert main(["coursework", "grade", "tiny", "--jobs", "2", *there]) == 0
    return course


def test_the_gradebook_holds_what_was_earned(course):
    scores = gradebook.scores(course, "tiny")
    assert {student: score["score"] for student, score in scores.items()} == {
        "ada": 4.0,
        "ben": 2.0,
        "dee": 0.0,
    }
    assert scores["ada"]["open"]  # the answer that a person has to read
    assert not scores["ben"]["open"]  # it was left empty
    assert {score["of"] for score in scores.values()} == {8.0}


def test_other_accounts_of_the_machine_cannot_read_grades_and_work(course):
    for kept in ("gradebook.db", "results/tiny/ada.json", "submitted/ada/tiny"):
        assert (course.root / kept).stat().st_mode & 0o007 == 0, kept


def dump(course: Course) -> list[str]:
    with sqlite3.connect(course.root / "gradebook.db") as base:
        return [line for line in base.iterdump() if 'INTO "grade"' in line]


def test_a_second_run_changes_nothing_and_runs_nothing(course, monkeypatch):
    before = dump(course)
    monkeypatch.setattr("nlpmeta.coursework.running.execute", lambda *_: pytest.fail("it ran"))
    assert main(["coursework", "grade", "tiny", "--course-dir", str(course.root)]) == 0
    assert dump(course) == before
    assert before


def test_feedback_shows_what_passed_and_nothing_hidden(course, capsys):
    assert main(["coursework", "report", "tiny", "--course-dir", str(course.root)]) == 0
    pages = sorted(path.parts[-3] for path in course.root.glob("feedback/*/tiny/tiny.html"))
    assert pages == ["ada", "ben", "dee"]
    for student in pages:
        page = (course.root / "feedback" / student / "tiny" / "tiny.html").read_text()
        assert "Secret rubric" not in page
        assert "emit(" not in page
        assert "passed: numbers" in page
    ben = (course.root / "feedback" / "ben" / "tiny" / "tiny.html").read_text()
    assert "not passed: numbers" in ben
    assert "passed: roots" in ben
    page = (course.root / "report" / "tiny.html").read_text()
    for found in ("could not be read", "cyd", "double-text", "crashed"):
        assert found in page


def read(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_csv_tells_a_crash_from_a_zero(course, capsys):
    root = ["--course-dir", str(course.root)]
    for kind in exporting.FORMATS:
        assert main(["coursework", "export", "tiny", "--format", kind, *root]) == 0
    rows = {row[0]: row for row in read(course.root / "exported" / "tiny.all.csv")}
    assert rows["ada"][1:6] == ["graded", "", "4.0", "8.0", "yes"]
    assert rows["cyd"][1:4] == ["could not be read", "", ""]
    assert rows["dee"][1:4] == ["crashed", "cell 4", "0.0"]
    canvas = read(course.root / "exported" / "tiny.canvas.csv")
    assert canvas[0][-1] == "tiny"
    assert ["ada", "", "", "ada", "", "4.0"] in canvas


def test_csv_has_the_columns_and_numbers_that_the_platforms_look_for(course):
    scores = {"ada-lovelace-77": {"score": 3.0, "of": 8.0}, "=ben": {"score": 0.0, "of": 8.0}}
    canvas, moodle, gradescope = (
        read(exporting.export(course, "tiny", kind, {}, scores)) for kind in exporting.FORMATS[1:]
    )
    assert canvas[0] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "tiny"]
    assert canvas[1] == ["Points Possible", "", "", "", "", "8.0"]
    assert canvas[3] == ["ada-lovelace-77", "77", "", "ada-lovelace-77", "", "3.0"]
    assert {"Identifier", "Grade", "Last modified (grade)"} <= set(moodle[0])
    assert moodle[2][0] == "Participant 77"
    assert moodle[1][0] == "'=ben"  # no formula in a spreadsheet
    assert {"SID", "Email", "Total Score", "Max Points"} <= set(gradescope[0])


def test_a_roster_is_filled_in(course, tmp_path):
    roster = tmp_path / "roster.csv"
    roster.write_text("Student,ID,SIS Login ID\nAda,1,ada\nEve,2,eve\n=1+1,3,ben\n")
    scores = gradebook.scores(course, "tiny")
    path = exporting.export(course, "tiny", "canvas", {}, scores, roster)
    assert read(path)[1:] == [["Ada", "1", "ada", "4.0"], ["Eve", "2", "eve", ""],
                              ["'=1+1", "3", "ben", "2.0"]]  # fmt: skip


def test_without_a_sandbox_nothing_is_run(course, monkeypatch, capsys):
    monkeypatch.setattr("nlpmeta.coursework.command.why_not", lambda: "bubblewrap is missing")
    assert main(["coursework", "grade", "tiny", "--course-dir", str(course.root)]) == 1
    assert "--trust-submissions" in capsys.readouterr().err


def test_trusted_submissions_run_without_one_and_the_danger_is_said(course, tmp_path, capsys):
    shutil.copytree(TINY, tmp_path / "own", dirs_exist_ok=True)
    command = ["coursework", "release", "tiny", "--trust-submissions"]
    assert main([*command, "--course-dir", str(tmp_path / "own")]) == 0
    assert "may read, change and send away" in capsys.readouterr().err


def test_a_set_whose_solution_is_wrong_is_not_released(walls, tmp_path, capsys):
    shutil.copytree(TINY, tmp_path, dirs_exist_ok=True)
    source = tmp_path / "source" / "tiny" / "tiny.py"
    source.write_text(source.read_text().replace("return 2 * x", "return x"))
    assert main(["coursework", "release", "tiny", "--course-dir", str(tmp_path)]) == 1
    assert "double-number" in capsys.readouterr().err
    assert not list(tmp_path.glob("release/*/*.ipynb"))


def test_points_given_in_formgrader_are_exported(course, tmp_path):
    shutil.copytree(course.root, tmp_path / "class")
    root, log = tmp_path / "class", (tmp_path / "log").open("wb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("DATA", "RUNTIME", "CONFIG")}
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", f"--port={port}",
         "--IdentityProvider.token=t"],
        cwd=root, env=os.environ | own | {"PYTHONPATH": str(REPOSITORY)}, stdout=log, stderr=log,
    )  # fmt: skip

    def ask(path: str, content: dict | None = None):
        data, head = content and json.dumps(content).encode(), {"Authorization": "token t"}
        url = f"http://127.0.0.1:{port}/formgrader/api/{path}"
        request = urllib.request.Request(url, data, head, method="PUT" if content else "GET")
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.loads(reply.read())

    try:
        for _ in range(240):
            try:
                submissions = ask("submitted_notebooks/tiny/tiny")
                break
            except OSError:
                assert server.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.5)
        mine = next(item["id"] for item in submissions if item["student"] == "ada")
        grades = ask(f"grades?submission_id={mine}")
        open_one = next(grade for grade in grades if grade["name"] == "why-answer")
        ask(f"grade/{open_one['id']}", {"manual_score": 3.0, "extra_credit": 0})
    finally:
        server.kill()
        server.wait()
    assert main(["coursework", "export", "tiny", "--course-dir", str(root)]) == 0
    rows = {row[0]: row for row in read(root / "exported" / "tiny.all.csv")}
    assert rows["ada"][3:6] == ["7.0", "8.0", ""]


def test_an_unknown_set_is_named(walls, tmp_path, capsys):
    for name in ("nothing", "../x"):
        assert main(["coursework", "release", name, "--course-dir", str(tmp_path)]) == 1
        assert "Stopped" in capsys.readouterr().err


def test_why_not_says_what_the_kernel_says(monkeypatch):
    said = "bwrap: No permissions to create a new namespace"
    failed = subprocess.CompletedProcess([], 1, "", said)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: failed)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert said in why_not.__wrapped__()


def test_an_account_without_rights_gets_a_sandbox_or_a_reason(walls):
    if os.geteuid() != 0:
        pytest.skip("this is such an account, and the other tests ran as it")
    code = "from nlpmeta.coursework.sandbox import why_not; print(why_not())"
    variables = {"PATH": os.defpath, "HOME": "/nonexistent", "PYTHONPATH": str(REPOSITORY)}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], env=variables, cwd="/", user=65534, group=65534,
            extra_groups=[], capture_output=True, text=True,
        )  # fmt: skip
    except PermissionError:
        pytest.skip("the Python of these tests lies where only root may read it")
    assert done.stdout.strip() == "None" or "bubblewrap cannot make a sandbox" in done.stdout


def test_where_the_kernel_forbids_namespaces_nothing_is_run(walls, course):
    none = "echo 0 > /proc/sys/user/max_user_namespaces && exec "
    words = [sys.executable, "-m", "nlpmeta", "coursework", "grade", "tiny"]
    command = shlex.join([*words, "--course-dir", str(course.root)])
    inner = ["unshare", "--user", "--map-root-user", "sh", "-c"]
    if subprocess.run([*inner, none + "true"], capture_output=True, check=False).returncode:
        pytest.skip("namespaces cannot be forbidden here")
    variables = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([*inner, none + command], env=variables, capture_output=True, text=True)
    assert done.returncode == 1
    assert "bubblewrap cannot make a sandbox here" in done.stderr
    assert "Nothing was run" in done.stderr


def test_why_not_is_a_sentence(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert "not installed" in why_not.__wrapped__()


@pytest.mark.parametrize(
    ("answer", "right", "result"),
    [
        ([1, 2.0], [1.0, 2], True),
        ([1, 2, 3], [1, 2], False),
        (1, [1], False),
        ("1", 1, False),
        (True, 1, False),
        (1, True, False),
        (10**400, 1.0, False),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        (float("inf"), float("inf"), True),
        (float("nan"), 1.0, False),
        (None, None, True),
    ],
)
def test_agreement(answer, right, result):
    if isinstance(answer, int) and answer > 10**300:
        check = Check("x", "t", 1, "", lambda rng: [], lambda: right)
        assert judge(check, [{}], [{"value": answer}]) == "wrong"
    else:
        assert agree(answer, right, 1e-9) is result


def test_cases_depend_on_the_seed():
    check = Check("x", "t", 1, "", lambda rng: [{"x": float(rng.random())}])
    assert make_cases([check], "a") != make_cases([check], "b")


def test_alike_code_is_found_whatever_its_names():
    cell = {"cell_type": "code", "metadata": {}, "source": ""}
    texts = ["def f(a, b):\n    c = a + b\n    return [x * c for x in range(b) if x % 2 == 1]"]
    texts += [texts[0].replace("a", "z").replace("rznge", "range"), "print(sorted({1: 2}))"]
    results = {
        name: {"notebook": json.dumps({"cells": [cell | {"source": text}]})}
        for name, text in zip("abc", texts)
    }
    assert reporting.similar(results)[0][1:] == ("a", "b")
