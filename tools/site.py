"""Checks of the built pages: whole, linked, accessible to a screen reader, usable offline.

Every function takes the folder of the HTML and returns a list of sentences, one per fault.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parent.parent


@functools.cache
def parse(page: Path) -> BeautifulSoup:
    """The parsed HTML of ``page``; each page is read once."""
    return BeautifulSoup(page.read_text(encoding="utf8"), "lxml")


def toc_entries() -> list[str]:
    """The documents named in `_toc.yml`, in order."""

    def walk(node: dict | list) -> list[str]:
        if isinstance(node, list):
            return [name for item in node for name in walk(item)]
        names = [node[key] for key in ("root", "file") if key in node]
        return names + [
            n for key in ("parts", "chapters", "sections") for n in walk(node.get(key, []))
        ]

    return walk(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8")))


def pages(html: Path) -> list[Path]:
    """The pages that `_toc.yml` asks for and that were built."""
    paths = [html / f"{name}.html" for name in toc_entries()]
    return [path for path in paths if path.is_file()]


def missing_pages(html: Path) -> list[str]:
    """Entries of the table of contents without a page."""
    return [
        f"_toc.yml names {name}, but {name}.html was not built"
        for name in toc_entries()
        if not (html / f"{name}.html").is_file()
    ]


@functools.cache
def anchors(page: Path) -> set[str]:
    """The identifiers that a link may point to on ``page``."""
    return {tag["id"] for tag in parse(page).find_all(id=True)} | {
        tag["name"] for tag in parse(page).find_all("a", attrs={"name": True})
    }


def broken_links(html: Path) -> list[str]:
    """Links to a page, file or anchor of the book that does not exist."""
    faults = []
    for page in pages(html):
        for tag in parse(page).find_all(["a", "img", "script", "link"]):
            address = tag.get("href") or tag.get("src")
            parts = urlsplit(address or "")
            if not address or parts.scheme or parts.netloc:
                continue
            target = page if not parts.path else (page.parent / unquote(parts.path)).resolve()
            if not target.exists():
                faults.append(f"{page.relative_to(html)}: {address} does not exist")
            elif (
                parts.fragment and target.suffix == ".html"
                and unquote(parts.fragment) not in anchors(target)
            ):  # fmt: skip
                faults.append(f"{page.relative_to(html)}: {address} has no such anchor")
    return faults


def missing_alt(html: Path) -> list[str]:
    """Pictures of the article whose alternative text is empty or only a file name."""
    faults = []
    for page in pages(html):
        for image in parse(page).select("article img"):
            alt = image.get("alt", "").strip()
            if len(alt) < 12 or re.search(r"\.(png|svg)$|^_images/", alt):
                faults.append(f"{page.relative_to(html)}: {image.get('src')} has alt text {alt!r}")
    return faults


def outside_resources(html: Path) -> list[str]:
    """Scripts, styles, pictures and fonts that a page would fetch from the network."""
    faults = []
    for page in pages(html):
        for tag in parse(page).find_all(["script", "img", "link", "iframe"]):
            address = tag.get("src") or tag.get("href") or ""
            passive = tag.name == "link" and not {"stylesheet", "preload", "icon"} & set(
                tag.get("rel", [])
            )
            if urlsplit(address).netloc and not passive:
                faults.append(f"{page.relative_to(html)}: loads {address}")
    return faults


def unresolved(html: Path) -> list[str]:
    """Citations, references and glued values that were left as they were written."""
    faults = []
    pattern = re.compile(r"\{(glue:text|cite|ref|numref|eq|prf:ref|lab-time)[:\w]*\}`|\[\?\]|\?\?")
    for page in pages(html):
        article = parse(page).select_one("article")
        for block in article.find_all(["p", "li", "td", "figcaption"]) if article else []:
            text = "".join(s for s in block.strings if s.parent.name not in {"code", "pre", "span"})
            if found := pattern.search(text):
                faults.append(f"{page.relative_to(html)}: {found.group(0)!r} in {text[:80]!r}")
    return faults


def missing_from_search(html: Path) -> list[str]:
    """Pages that the search, which works from the files without a server, cannot find."""
    index = html / "searchindex.js"
    if not index.is_file():
        return ["searchindex.js was not built; the search finds nothing"]
    text = index.read_text(encoding="utf8").strip()
    found = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))["docnames"]
    return [f"the search does not know {name}" for name in toc_entries() if name not in found]


CHECKS = (
    missing_pages,
    broken_links,
    missing_alt,
    outside_resources,
    unresolved,
    missing_from_search,
)


def problems(html: Path) -> list[str]:
    """All faults of the built pages."""
    return [fault for check in CHECKS for fault in check(html)]
