"""Submissions that cheat, break or flood: what each gets, and that nothing of it is left.

They attack the tiny set: four automatic points, for numbers (1), strings (1) and a root (2).
"""

# ruff: noqa: E501 (an attack is easier to read on one line)
from __future__ import annotations

import json
import os
import shutil
import time
import zipfile
from pathlib import Path

import psutil
import pytest

from nlpmeta.coursework import collecting, repair
from nlpmeta.coursework.course import Course
from nlpmeta.coursework.running import CANARY, Template
from tests.coursework.conftest import failed, graded, solutions, written

TINY = Path(__file__).parent / "tiny"
ALL, MARK = 4.0, "NLPMETA-HOSTILE"


@pytest.fixture(scope="module")
def tiny(walls, tmp_path_factory) -> tuple[Course, Template]:
    from nlpmeta.coursework.gradebook import make_release

    root = tmp_path_factory.mktemp("tiny")
    shutil.copytree(TINY, root, dirs_exist_ok=True)
    course = Course.at(str(root))
    make_release(course, "tiny")
    return course, Template.of(course, "tiny")


def points(result: dict) -> float:
    return sum(result["points"].values())


@pytest.fixture(autouse=True)
def nothing_is_left():
    """No process of a sandbox outlives it."""
    yield
    until = time.monotonic() + 3
    while time.monotonic() < until:
        own = psutil.Process(os.getpid()).children(recursive=True)
        names = [p.name() for p in own if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        if not [name for name in names if name in {"bwrap", "python", "sleep"}]:
            return
        time.sleep(0.1)
    pytest.fail(f"still running: {names}")


# --- code: what stands before the right (or no) answers, the points, the status

HONEST = "after it, the right answers"
CHEAT = "after it, nothing"
CODE = {
    "a loop without end": ("while True: pass", HONEST, ALL, "timed out"),
    "a loop that catches everything": (
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        *(HONEST, ALL, "timed out"),
    ),
    "os._exit": ("import os\nos._exit(0)", HONEST, ALL, "crashed"),
    "sys.exit": ("import sys\nsys.exit(1)", HONEST, ALL, "graded"),
    "a crash of the interpreter": ("import ctypes\nctypes.string_at(0)", HONEST, ALL, "crashed"),
    "a flood of memory": (
        "x = []\nwhile True: x.append(bytearray(10**7))",
        *(HONEST, ALL, "crashed"),
    ),
    "a flood of output": ("for i in range(10**5): print('x' * 80)", HONEST, ALL, "graded"),
    "a flood into the pipe": (
        "import os\nfor n in range(3, 20):\n    try:\n        while True: os.write(n, b'x' * 10**5)\n"
        "    except OSError: pass",
        *(HONEST, ALL, "crashed"),
    ),
    "processes without end": (
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        *(HONEST, ALL, "crashed"),
    ),
    "a warning on standard error": (
        "import warnings, sys\nwarnings.warn('odd')\nprint('odd', file=sys.stderr)",
        *(HONEST, ALL, "graded"),
    ),
    "a patched assert": (
        "import builtins\nbuiltins.AssertionError = type('Quiet', (Exception,), {})",
        *(CHEAT, 0.0, None),
    ),
    "an equality that always holds": (
        "class Yes(float):\n    def __eq__(self, other): return True\n    __hash__ = None\n"
        "double = root = lambda x: Yes(7)",
        *(CHEAT, 0.0, "graded"),
    ),
    "patched libraries": (
        "import json, math, copy\njson.dumps = lambda *a, **k: 'true'\ncopy.deepcopy = lambda x: x",
        *(CHEAT, 0.0, None),
    ),
    "a rewritten syntax tree": (
        "import ast\nclass No(ast.NodeTransformer):\n    def visit_Assert(self, node): return ast.Pass()\n"
        "get_ipython().ast_transformers.append(No())",
        *(CHEAT, 0.0, "graded"),
    ),
    "an emit of their own": (
        "import builtins\nbuiltins.emit = lambda *a: None\nemit = builtins.emit",
        *(CHEAT, 0.0, "graded"),
    ),
    "NaN and infinity": (
        "double = lambda x: float('nan')\nroot = lambda x: float('inf')",
        *(CHEAT, 0.0, "graded"),
    ),
    "answers of any form": (
        "double = lambda x: {'value': [1] * 10}\nroot = lambda x: [[[]]] * 100",
        *(CHEAT, 0.0, "graded"),
    ),
    "a doctest trick": (
        "import doctest, unittest\ndoctest.testmod = lambda *a, **k: doctest.TestResults(0, 9)",
        *(CHEAT, 0.0, "graded"),
    ),
    "looking for the solutions": (
        "import os\nfound = []\nfor folder, inside, names in os.walk('/'):\n"
        "    inside[:] = [x for x in inside if x not in ('proc', 'usr', 'lib', 'lib64', 'site-packages')]\n"
        "    found += [name for name in inside + names if name in ('tiny', 'tiny.py')"
        " or name.endswith(('.ipynb', '.db'))]\nprint('FOUND', found)",
        *(CHEAT, 0.0, "graded"),
    ),
    "writing outside": (
        "for path in ('/usr/x', '/sandbox/x', '/etc/x', '/x'):\n    try: open(path, 'w').write('x')\n"
        "    except OSError: print('no')\n    else: raise SystemError('it was written')",
        *(HONEST, ALL, "graded"),
    ),
    "the gradebook": (
        "import sqlite3\ntry: sqlite3.connect('/tmp/gradebook.db').execute('update grade set x=1')\n"
        "except sqlite3.Error: pass",
        *(HONEST, ALL, "graded"),
    ),
    "killing the parent": (
        "import os, signal\nfor pid in range(1, 50):\n    if pid != os.getpid():\n"
        "        try: os.kill(pid, signal.SIGKILL)\n        except OSError: pass",
        *(HONEST, ALL, None),
    ),
    "the network": (
        "import socket\ntry: socket.create_connection(('127.0.0.1', 22), 1)\nexcept OSError: pass\n"
        "try: socket.create_connection(('1.1.1.1', 53), 1)\nexcept OSError: pass\n"
        "else: raise SystemError('there is a network')",
        *(HONEST, ALL, "graded"),
    ),
    "a daemon": (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\n    os._exit(0)",
        *(HONEST, ALL, "graded"),
    ),
    "a copy of the runner": ("import os\nos.fork()", HONEST, ALL, None),
    "another alarm": (
        "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass",
        *(HONEST, ALL, "timed out"),
    ),
}


@pytest.mark.parametrize("name", CODE)
def test_hostile_code(tiny, tmp_path, name):
    course, template = tiny
    code, after, wanted, status = CODE[name]
    changes = solutions(course, "tiny") if after == HONEST else {}
    book = written(course, "tiny", changes)
    own = {"cell_type": "code", "id": "own", "metadata": {}, "outputs": [], "source": code}
    own["execution_count"] = None
    book["cells"].insert(2, own)
    if after == CHEAT and "lambda x" in code:  # their functions stand in place of the answers
        book["cells"] = [own if c["id"] == "double-solution" else c for c in book["cells"][:2]
                         + book["cells"][3:] if c["id"] != "root-solution"]  # fmt: skip
    result = graded(template, tmp_path, book)
    assert points(result) == wanted, {k: v for k, v in result.items() if k != "notebook"}
    if status:
        assert result["status"].startswith(status), result
    for output in result["outputs"].values():
        said = json.dumps(output)
        assert "SystemError" not in said
        assert "FOUND" not in said or "FOUND []" in said
        assert len(said) < 500_000


def test_tampering_is_shown_and_changes_no_grade(tiny, tmp_path):
    course, template = tiny
    book = written(course, "tiny", solutions(course, "tiny"))
    for cell in book["cells"]:
        if cell["id"] == "root-solution":
            cell["source"] += "\nimport builtins\nbuiltins.sorted = lambda x: [1]"
    result = graded(template, tmp_path, book)
    assert points(result) == ALL
    assert result["odd"] == [CANARY]


def test_a_hidden_cell_answers_for_its_own_checks_only(tiny, tmp_path):
    course, template = tiny
    book = written(course, "tiny", solutions(course, "tiny"))
    for cell in book["cells"]:
        if cell["id"] == "root-solution":
            cell["source"] = "def root(x):\n    return 0"
    assert failed(graded(template, tmp_path, book)) == {"root"}


def test_hidden_checks_reach_no_output(tiny, tmp_path):
    course, template = tiny
    spy = "import sys\ndef double(x):\n    print('SAW', x, sys._getframe(1).f_locals)\n    return 2 * x"
    book = written(course, "tiny", {"double-solution": spy})
    result = graded(template, tmp_path, book)
    shown = json.dumps(result["outputs"])
    assert "SAW 2" in shown  # the public check
    assert not [c["x"] for c in template.cases["double-number"] if f"SAW {c['x']}" in shown]


# --- files


def honest(course: Course) -> dict:
    return written(course, "tiny", solutions(course, "tiny"))


def without(book: dict, *tasks: str) -> dict:
    return book | {"cells": [cell for cell in book["cells"] if cell["id"] not in tasks]}


def stripped(book: dict) -> dict:
    cells = [
        {k: v for k, v in cell.items() if k != "id"} | {"metadata": {}} for cell in book["cells"]
    ]
    return book | {"cells": cells, "metadata": {}, "nbformat_minor": 4}


def copied(book: dict) -> dict:
    cells = []
    for cell in book["cells"]:
        cells += [cell, cell] if cell["id"] == "double-solution" else [cell]
    return book | {"cells": cells}


def edited(book: dict) -> dict:
    for cell in book["cells"]:
        if cell["id"].endswith("-check"):
            cell["source"] = "print('all is well')"
            cell["metadata"]["nbgrader"]["points"] = 100
    return book


FILES = {
    "deleted checks": (lambda b: without(b, "double-check", "root-check"), ALL, "repairs"),
    "a deleted answer": (lambda b: without(b, "root-solution"), 2.0, "repairs"),
    "edited checks and points": (edited, ALL, "repairs"),
    "a copied cell": (copied, ALL, "repairs"),
    "stripped metadata": (stripped, ALL, "repairs"),
    "another kernel": (
        lambda b: b | {"metadata": {"kernelspec": {"name": "julia", "display_name": "J"}}},
        *(ALL, "repairs"),
    ),
    "cells that are none": (lambda b: b | {"cells": [7, None, *b["cells"]]}, ALL, "repairs"),
    "no cells": (lambda b: b | {"cells": []}, 0.0, "repairs"),
    "cells in the wrong order": (lambda b: b | {"cells": b["cells"][::-1]}, ALL, "graded"),
}


@pytest.mark.parametrize("name", FILES)
def test_mended_files(tiny, tmp_path, name):
    course, template = tiny
    change, wanted, status = FILES[name]
    result = graded(template, tmp_path, change(json.loads(json.dumps(honest(course)))))
    assert points(result) == wanted, {k: v for k, v in result.items() if k != "notebook"}
    assert status in result["status"], result


def test_odd_bytes(tiny, tmp_path):
    course, template = tiny
    book = honest(course)
    book["cells"][0]["source"] = "# Grüße"
    text = json.dumps(book, ensure_ascii=False)
    for number, raw in enumerate((text.encode("latin-1"), text.encode("utf-16"))):
        result = graded(template, tmp_path / str(number), raw)
        assert (points(result), result["status"]) == (ALL, "graded with repairs")
    assert points(graded(template, tmp_path / "bom", text.encode("utf-8-sig"))) == ALL
    renamed = graded(template, tmp_path / "renamed", book, name="Tiny (1) final.ipynb")
    assert (points(renamed), renamed["status"]) == (ALL, "graded with repairs")
    assert renamed["notes"] == ["renamed from Tiny (1) final.ipynb"]


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b"\x00\xff", b"[" * 100_000, b'{"cells": 3}'])
def test_what_cannot_be_read_is_said_and_is_no_zero(tiny, tmp_path, raw):
    result = graded(tiny[1], tmp_path, raw)
    assert result["status"] == "could not be read"
    assert result["notes"][0]
    assert result["points"] == {}


def test_missing_several_and_linked(tiny, tmp_path):
    course, template = tiny
    with pytest.raises(repair.Unreadable, match="no notebook"):
        repair.read(tmp_path, "tiny")
    (tmp_path / "tiny.ipynb").symlink_to(course.notebook("source", "tiny"))
    with pytest.raises(repair.Unreadable, match="a link"):
        repair.read(tmp_path, "tiny")
    for name in ("a.ipynb", "b.ipynb"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(repair.Unreadable, match="several"):
        repair.read(tmp_path, "tiny")


# --- archives


def test_archives(tmp_path):
    course = Course(tmp_path / "course")
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("adalovelace_77_8888_tiny-2.ipynb", "{}")
        archive.writestr("Alan Turing_99_assignsubmission_file_/tiny.ipynb", "{}")
        archive.writestr("../../outside.ipynb", "{}")
        archive.writestr("/absolute.ipynb", "{}")
        archive.writestr("eve/bomb.ipynb", b"0" * (repair.LARGEST + 1))
        link = zipfile.ZipInfo("mallory/link.ipynb")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("__MACOSX/._tiny.ipynb", "x")
    students, problems = collecting.collect(course, "tiny", path)
    assert students == ["adalovelace-77", "alan-turing-99"]
    found = sorted(p.relative_to(course.root).as_posix() for p in course.root.rglob("*.ipynb"))
    assert found == [
        "submitted/adalovelace-77/tiny/tiny.ipynb",
        "submitted/alan-turing-99/tiny/tiny.ipynb",
    ]
    assert len(problems) == 4
    assert not (tmp_path.parent / "outside.ipynb").exists()
