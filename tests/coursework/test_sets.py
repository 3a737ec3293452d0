"""Every problem set: its solutions, its release, wrong answers, and answers to a part of it."""

from __future__ import annotations

import json
import re

import pytest

from nlpmeta.coursework.course import BOOK, split_hidden
from tests.book.sources import BOOK as PAGES
from tests.book.sources import labels
from tests.coursework.answers import PARTIAL, RUNS
from tests.coursework.conftest import cells, failed, graded, solutions, written

SETS = sorted(path.stem for path in (BOOK / "checks").glob("*.py"))


@pytest.fixture(scope="module", params=SETS)
def template(request, walls, templates):
    return templates(request.param)


def test_there_are_sets():
    assert SETS


def test_the_solutions_get_every_automatic_point(course, template, tmp_path):
    result = graded(
        template, tmp_path, written(course, template.name, solutions(course, template.name))
    )
    assert failed(result) == set()
    assert (result["status"], result["odd"], result["notes"]) == ("graded", [], [])
    assert result["seconds"] < 60


def test_the_release_gets_none_and_fails_only_where_the_student_must_write(
    course, template, tmp_path
):
    result = graded(template, tmp_path, written(course, template.name, {}))
    assert failed(result) == set(template.cases)
    assert sum(result["points"].values()) == 0
    assert (result["status"], result["odd"], result["notes"]) == ("graded", [], [])


def test_wrong_answers_fail_their_check_and_no_other(course, template, tmp_path):
    name, right = template.name, solutions(course, template.name)
    meant = [check for run in RUNS[name] for *_, checks in run.values() for check in checks]
    assert len(meant) >= 6
    for number, run in enumerate(RUNS[name]):
        changes, wanted = dict(right), set()
        for task, (old, new, checks) in run.items():
            assert changes[f"{task}-solution"].count(old) >= 1, (task, old)
            changes[f"{task}-solution"] = changes[f"{task}-solution"].replace(old, new)
            wanted |= checks
        result = graded(template, tmp_path / str(number), written(course, name, changes))
        assert failed(result) == wanted, (run, result["checks"])


def test_honest_answers_to_a_part_get_their_points(course, template, tmp_path):
    name, right = template.name, solutions(course, template.name)
    assert len(PARTIAL[name]) >= 3
    for number, (tasks, points) in enumerate(PARTIAL[name]):
        changes = {f"{task}-solution": right[f"{task}-solution"] for task in tasks}
        result = graded(template, tmp_path / str(number), written(course, name, changes))
        assert sum(result["points"].values()) == points
        assert result["status"] == "graded"


def secret_lines(course, name: str) -> set[str]:
    """The lines of solutions, hidden checks and rubrics that say something."""
    source = course.source(name).read_text(encoding="utf8")
    region = r"### BEGIN (SOLUTION|HIDDEN TESTS|MARK SCHEME)\n(.*?)### END \1"
    found = "".join(match[2] for match in re.finditer(region, source, re.DOTALL))
    return {line for line in map(str.strip, found.splitlines()) if len(line) > 15}


def test_the_release_holds_no_solution_no_hidden_check_and_no_rubric(course, template):
    folder = course.notebook("release", template.name).parent
    assert [path.name for path in folder.iterdir()] == [f"{template.name}.ipynb"]
    text = "\n".join(cells(folder / f"{template.name}.ipynb").values())
    secret = secret_lines(course, template.name)
    assert len(secret) > 10
    public = {line.strip() for line in text.splitlines()}
    assert {line.lstrip("# ") for line in secret} & {line.lstrip("# ") for line in public} == set()
    raw = (folder / f"{template.name}.ipynb").read_text(encoding="utf8")
    assert "emit(" not in raw
    assert json.loads(raw)["cells"]
    assert "BEGIN" not in raw


@pytest.mark.parametrize("name", SETS)
def test_a_set_names_sections_that_exist(course, name):
    problems = course.checks(name)
    known = set().union(*(labels(p.read_text(encoding="utf8")) for p in PAGES.rglob("*.md")))
    assert {label for _, label in problems.goals} | {problems.chapter} <= known
    assert len({check.task for check in problems.checks}) + 2 >= 5
    assert problems.hours > 0


def test_the_book_is_built_from_its_table_of_contents_only():
    settings = (PAGES.parent / "_config.yml").read_text(encoding="utf8")
    assert "only_build_toc_files: true" in settings
    assert "coursework" not in (PAGES.parent / "_toc.yml").read_text(encoding="utf8")


@pytest.mark.site
@pytest.mark.parametrize("name", SETS)
def test_the_built_book_holds_nothing_of_a_set(html, course, name):
    secret = {line for line in secret_lines(course, name) if len(line) > 40}
    pages = "\n".join(p.read_text(encoding="utf8") for p in html.rglob("*.html"))
    assert [line for line in secret if line in pages] == []
    assert not [p for p in html.rglob("*") if "coursework" in p.parts]


def test_hidden_parts_are_cut_out():
    text = "a\n    ### BEGIN HIDDEN TESTS\nb\n    ### END HIDDEN TESTS\nc\n"
    assert split_hidden(text) == ("a\nc\n", "b\n")
