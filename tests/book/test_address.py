"""The repository's address: kept in `_config.yml`, the same wherever it had to be copied."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.book.sources import ROOT, name, tracked
from tools import address

ADDRESS = re.compile(r"github\.com[/:]([\w.-]+)/([\w.-]+?)(?=\.git\b|[^\w.-]|\.?$)", re.MULTILINE)
PAGES = re.compile(r"([\w-]+)\.github\.io(?:/([\w.-]+))?")


def foreign(text: str, repository: str) -> list[str]:
    """Addresses of this book, by its name, that are not ``repository``."""
    owner, book = repository.split("/")
    others = {f"{o}/{b}" for o, b in ADDRESS.findall(text) if b == book and o != owner}
    return sorted(
        others | {f"{o}.github.io/{b}" for o, b in PAGES.findall(text) if b == book and o != owner}
    )


@pytest.mark.parametrize("path", address.stamped(), ids=name)
def test_a_stamped_file_holds_the_address(path):
    assert f"github.com/{address.repository()}" in path.read_text(encoding="utf8")


def test_the_copies_are_of_the_address_that_counts():
    assert address.former() == address.repository()


def test_no_other_address_of_this_book_is_anywhere():
    faults = []
    for path in tracked():
        if path.suffix in {
            ".md",
            ".ipynb",
            ".toml",
            ".yml",
            ".yaml",
            ".cff",
            ".py",
            ".txt",
            ".html",
        }:
            text = path.read_text(encoding="utf8")
            faults += [f"{name(path)}: {found}" for found in foreign(text, address.repository())]
    assert faults == []


def test_the_site_is_that_of_the_repository():
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))
    owner, book = address.repository().split("/")
    assert config["sphinx"]["config"]["ogp_site_url"] == f"https://{owner}.github.io/{book}/"


def test_another_address_is_found():
    theirs = "some" + "one"
    assert foreign(f"https://github.com/{theirs}/book.git", "me/book") == [f"{theirs}/book"]
    assert foreign(f'git+https://github.com/{theirs}/book"', "me/book") == [f"{theirs}/book"]
    assert foreign(f"https://{theirs}.github.io/book/x", "me/book") == [f"{theirs}.github.io/book"]
    assert foreign("https://github.com/me/book and https://github.com/you/other", "me/book") == []


def test_the_address_is_replaced_everywhere(tmp_path, monkeypatch):
    for file in ("_config.yml", "README.md", "CITATION.cff"):
        source = ROOT / file
        (tmp_path / file).write_text(source.read_text(encoding="utf8"), encoding="utf8")
    for file in ("CONTRIBUTING.md", "pyproject.toml", "book/setup.md"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(
            f"https://github.com/{address.repository()}/x", encoding="utf8"
        )
    config = (tmp_path / "_config.yml").read_text(encoding="utf8")
    changed = config.replace(f"github.com/{address.repository()}", "github.com/new-owner/new-book")
    (tmp_path / "_config.yml").write_text(changed, encoding="utf8")
    monkeypatch.setattr(address, "ROOT", tmp_path)
    assert address.main() == 0
    assert address.former() == address.repository() == "new-owner/new-book"
    assert "github.com/new-owner/new-book/x" in (tmp_path / "pyproject.toml").read_text()
