"""A course in a temporary folder, and submissions made from its released notebooks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import nbformat
import pytest

from nlpmeta.coursework.course import Course
from nlpmeta.coursework.running import Template, grade_folder
from nlpmeta.coursework.sandbox import why_not

pytest.importorskip("nbgrader")

collect_ignore = ["tiny"]  # a course, not tests; two of its files have one name


@pytest.fixture(scope="session")
def walls() -> None:
    """Skip, with the reason, where no sandbox can be made."""
    if problem := why_not():
        pytest.skip(problem)


@pytest.fixture(scope="session")
def course(tmp_path_factory) -> Course:
    """An empty course, with a seed that is always the same."""
    root = tmp_path_factory.mktemp("course")
    (root / "secret").write_text("0" * 64)
    return Course.at(str(root))


@pytest.fixture(scope="session")
def templates(course) -> Callable[[str], Template]:
    """Release a set, once, and give what submissions are held against."""
    from nlpmeta.coursework.command import warm
    from nlpmeta.coursework.gradebook import make_release

    made: dict[str, Template] = {}

    def template(name: str) -> Template:
        if name not in made:
            warm(course.checks(name))
            make_release(course, name)
            made[name] = Template.of(course, name)
        return made[name]

    return template


def cells(path: Path) -> dict[str, str]:
    """The sources of a notebook's cells by their ids."""
    return {cell["id"]: cell.source for cell in nbformat.read(path, as_version=4).cells}


def written(course: Course, name: str, changes: Mapping[str, str]) -> dict:
    """The released notebook as JSON, with some cells written by a student."""
    book = json.loads(course.notebook("release", name).read_text(encoding="utf8"))
    for cell in book["cells"]:
        if cell["id"] in changes:
            cell["source"] = changes[cell["id"]]
    return book


def solutions(course: Course, name: str) -> dict[str, str]:
    """The book's answers: cell id to source."""
    found = cells(course.notebook("source", name))
    return {task: text for task, text in found.items() if task.endswith(("-solution", "-answer"))}


def graded(template: Template, folder: Path, book: dict | bytes, name: str | None = None) -> dict:
    """Hand a notebook in and grade it."""
    folder.mkdir(parents=True, exist_ok=True)
    content = book if isinstance(book, bytes) else json.dumps(book).encode()
    (folder / (name or f"{template.name}.ipynb")).write_bytes(content)
    return grade_folder(template, folder)


def failed(result: dict) -> set[str]:
    """The checks that a submission did not pass."""
    return {check for check, said in result["checks"].items() if said}
