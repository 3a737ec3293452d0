"""Every block of Python in a solution runs, and says with an assert what it shows."""

from __future__ import annotations

import ast
import os
import sys
import types
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.book.sources import blocks, name, pages


class Solution(NamedTuple):
    """The Python of one solution, its blocks in order on the lines that they have on the page."""

    page: Path
    label: str
    code: str


def solutions(page: Path) -> list[Solution]:
    """The solutions of a page that hold Python; one name space each."""
    found = []
    for block in blocks(page.read_text(encoding="utf8")):
        if block.name != "solution":
            continue
        inside = blocks("\n" * (block.body_line - 1) + "\n".join(block.body))
        code: list[str] = []
        for python in (b for b in inside if not b.name and b.argument.split()[:1] == ["python"]):
            code += [""] * (python.body_line - 1 - len(code)) + python.body
        if code:
            found.append(Solution(page, block.argument, "\n".join(code)))
    return found


def run(solution: Solution, folder: Path) -> None:
    """Run a solution as a program of its own, in ``folder``."""
    module = types.ModuleType("solution")
    sys.modules["solution"] = module  # where dataclasses look for their annotations
    home = Path.cwd()
    os.chdir(folder)
    try:
        exec(compile(solution.code, str(solution.page), "exec"), module.__dict__)
    finally:
        os.chdir(home)
        del sys.modules["solution"]
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")


ALL = [solution for page in pages() for solution in solutions(page)]


@pytest.mark.parametrize("solution", ALL, ids=lambda solution: solution.label)
def test_a_solution_runs(solution, tmp_path):
    if "torch" in solution.code or "nlpmeta" in solution.code:
        import torch

        torch.set_num_threads(1)
    run(solution, tmp_path)


@pytest.mark.parametrize("solution", ALL, ids=lambda solution: solution.label)
def test_a_solution_asserts(solution):
    tree = ast.parse(solution.code)
    assert any(isinstance(node, ast.Assert) for node in ast.walk(tree)), name(solution.page)


# --- that these tests can fail

PAGE = """\
# Title

`````{{solution}} ex-a
:class: dropdown

text
```python
x = {value}
```
more
```python
assert x == 2, "wrong"
```
```text
not python
```
`````
"""


def only(folder: Path, value: object) -> Solution:
    page = folder / "page.md"
    page.write_text(PAGE.format(value=value), encoding="utf8")
    (solution,) = solutions(page)
    return solution


def test_the_blocks_of_a_solution_share_their_names(tmp_path):
    solution = only(tmp_path, 2)
    assert solution.label == "ex-a"
    run(solution, tmp_path)


def test_a_wrong_solution_is_found_with_its_line(tmp_path):
    with pytest.raises(AssertionError, match="wrong") as caught:
        run(only(tmp_path, 3), tmp_path)
    assert caught.traceback[-1].lineno + 1 == 12
    assert Path.cwd() != tmp_path


def test_solutions_do_not_share_names(tmp_path):
    run(only(tmp_path, 2), tmp_path)
    with pytest.raises(NameError):
        run(Solution(tmp_path / "page.md", "ex-b", "assert x == 2"), tmp_path)


def test_a_solution_runs_in_a_folder_of_its_own(tmp_path):
    run(only(tmp_path, 'len(open("a.txt", "w").write.__name__) - 3'), tmp_path)
    assert (tmp_path / "a.txt").exists()
