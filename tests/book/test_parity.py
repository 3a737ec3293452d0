"""The table of parity checks: read from marks, complete, and about modules that exist."""

from __future__ import annotations

import sys

import pytest

from tests.book.sources import BOOK

sys.path.insert(0, str(BOOK / "_ext"))
from parity import Check, all_checks, checks_in, lines_of

ROOT = BOOK.parent


@pytest.fixture(scope="module")
def checks() -> list[Check]:
    return all_checks(ROOT)


def test_every_check_is_of_a_module_that_exists(checks):
    for check in checks:
        for module in check.modules:
            path = ROOT / "nlpmeta" / module.replace(".", "/")
            assert path.with_suffix(".py").is_file() or path.is_dir(), check


def test_every_check_says_what_with_what_and_how_closely(checks):
    assert len(checks) >= 89
    assert len(set(checks)) == len(checks)
    for check in checks:
        assert all((check.functions, check.peer, check.tolerance)), check
        assert "|" not in "".join((check.functions, check.peer, check.tolerance)), check


def test_marks_are_read_and_bare_ones_are_no_rows():
    source = """
@pytest.mark.parity("a, b", "`f`", "`peer.f`", "exact")
@pytest.mark.slow
def test_f(): ...

@pytest.mark.parity
def test_g(): ...
"""
    (check,) = checks_in(source, "test_a")
    assert check == Check(("a", "b"), "`f`", "`peer.f`", "exact", "test_a")
    assert lines_of([check])[-1] == "| `a`, `b` | `f` | `peer.f` | exact | `test_a` |"
