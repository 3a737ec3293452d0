"""The pages of the package have every module, and the first of them lists what stands on which."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from book._ext.named_fields import is_plain_field, readable
from tests.book.sources import BOOK, ROOT

PAGES = sorted((BOOK / "appendix").glob("api-*.md"))
COURSEWORK = "coursework."  # only what a problem set consists of is for readers


def documented(page: str) -> list[str]:
    """The modules that a page shows, without the name of the package."""
    return re.findall(r"automodule:: nlpmeta\.([\w.]+)", page)


def public_modules() -> set[str]:
    """The modules that a reader may import."""
    paths = [path.relative_to(ROOT / "nlpmeta") for path in (ROOT / "nlpmeta").rglob("*.py")]
    return {
        ".".join(path.with_suffix("").parts)
        for path in paths
        if not path.name.startswith("_") and path.parts[0] != "coursework"
    }


def test_every_public_module_has_a_place():
    shown = {module for page in PAGES for module in documented(page.read_text("utf8"))}
    packages = {"learners"}
    assert {m for m in shown - packages if not m.startswith(COURSEWORK)} == public_modules()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_table_lists_the_modules_of_a_page(page):
    table = (BOOK / "appendix" / "api.md").read_text("utf8")
    (row,) = re.findall(rf"^\| \{{ref\}}`{page.stem}` \|([^|]*)\|", table, re.MULTILINE)
    assert re.findall(r"`([\w.]+)`", row) == documented(page.read_text("utf8"))


class Point(NamedTuple):
    x: float


def test_a_field_is_told_from_a_method():
    assert is_plain_field(Point.x)
    assert not is_plain_field(Point.count)


def test_a_default_is_shown_by_its_name():
    assert readable("(a, b=<class 'torch.nn.Linear'>, c=1e-05)") == "(a, b=Linear, c=1e-05)"
    assert readable("(f=<function mean at 0x7f00>)") == "(f=mean)"
    assert readable("(share=0.3846153846153846, rate=0.003)") == "(share=0.3846, rate=0.003)"
