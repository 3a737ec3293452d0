"""The built book: whole, linked, searchable and set in type without a network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools import address, site
from tools.site import toc_entries

pytestmark = pytest.mark.site


@pytest.mark.parametrize("check", site.CHECKS, ids=lambda check: check.__name__)
def test_the_built_book_passes(html, check):
    assert check(html) == []


@pytest.mark.parametrize("name", toc_entries())
def test_a_page_has_one_title_and_a_language(html, name):
    page = site.parse(html / f"{name}.html")
    assert page.html["lang"] == "en"
    assert len(page.select("article h1")) == 1
    assert page.title.text.strip()


@pytest.mark.parametrize("name", [name for name in toc_entries() if name.startswith("notebooks/")])
def test_a_lab_can_be_launched(html, name):
    links = [link.get("href", "") for link in site.parse(html / f"{name}.html").find_all("a")]
    colab = (
        f"https://colab.research.google.com/github/{address.repository()}/blob/main/{name}.ipynb"
    )
    assert colab in links
    binder = f"https://mybinder.org/v2/gh/{address.repository()}/main?urlpath="
    assert any(link.startswith(binder) and f"{name}.ipynb" in link for link in links)


@pytest.mark.parametrize("name", toc_entries())
def test_a_page_leads_to_the_repository(html, name):
    links = {link.get("href", "") for link in site.parse(html / f"{name}.html").find_all("a")}
    home = f"https://github.com/{address.repository()}"
    assert home in links
    assert any(link.startswith(f"{home}/issues/new") for link in links)


def test_the_search_finds_a_word_from_the_files(html, browser):
    page = browser.new_page()
    page.goto((html / "search.html").as_uri() + "?q=entropy")
    page.wait_for_selector("#search-results ul.search li a", timeout=20_000)
    links = page.eval_on_selector_all(
        "#search-results ul.search li a", "all => all.map(a => a.href)"
    )
    page.close()
    assert links
    assert all((html / link.removeprefix(html.as_uri() + "/").split("#")[0].split("?")[0]).is_file()
               for link in links)  # fmt: skip


def test_the_search_finds_nothing_where_there_is_nothing(html, browser):
    page = browser.new_page()
    page.goto((html / "search.html").as_uri() + "?q=xyzzyqwerty")
    page.wait_for_selector("text=did not match any documents", timeout=20_000)
    assert page.query_selector_all("#search-results ul.search li a") == []
    page.close()


def test_mathematics_is_set_from_the_files_without_a_network(html, browser):
    name = next(n for n in toc_entries() if site.parse(html / f"{n}.html").select("article .math"))
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((html / f"{name}.html").as_uri())
    page.wait_for_selector("article mjx-container", timeout=20_000)
    page.evaluate("async () => { await MathJax.startup.promise; await document.fonts.ready; }")
    loaded = page.evaluate(
        "[...document.fonts].filter(f => f.family.startsWith('MJX') && f.status == 'loaded').length"
    )
    left = page.evaluate("document.querySelectorAll('article .math').length")
    typeset = page.evaluate("document.querySelectorAll('article .math mjx-container').length")
    wrong = page.evaluate("document.querySelectorAll('article mjx-merror').length")
    page.close()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert loaded > 0
    assert typeset >= left
    assert wrong == 0


# --- that the checks can fail: a tiny site, whole, and one change each

ARTICLE = (
    '<article><h1 id="top">Title</h1><p>Text, <a href="b.html#there">a link</a>, '
    '<img src="a.png" alt="A line that rises."></p></article>'
)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A site of two pages without a fault, and a way to change one of its files."""
    monkeypatch.setattr(site, "toc_entries", lambda: ["a", "b"])
    (tmp_path / "a.html").write_text(f"<html lang='en'><body>{ARTICLE}</body></html>")
    (tmp_path / "b.html").write_text("<html><body><article id='there'>B</article></body></html>")
    (tmp_path / "a.png").write_bytes(b"")
    index = {"docnames": ["a", "b"]}
    (tmp_path / "searchindex.js").write_text(f"Search.setIndex({json.dumps(index)})")
    return tmp_path


def replace(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


@pytest.mark.parametrize("check", site.CHECKS, ids=lambda check: check.__name__)
def test_the_tiny_site_passes(tiny, check):
    assert check(tiny) == []


def add(piece: str):
    return lambda folder: replace(folder, "a.html", "</article>", f"{piece}</article>")


def change(old: str, new: str):
    return lambda folder: replace(folder, "a.html", old, new)


MUTATIONS = [
    (site.missing_pages, lambda folder: (folder / "b.html").unlink()),
    (site.broken_links, lambda folder: (folder / "b.html").unlink()),
    (site.broken_links, lambda folder: (folder / "a.png").unlink()),
    (site.broken_links, change("b.html#there", "b.html#elsewhere")),
    (site.broken_links, change("b.html#there", "#elsewhere")),
    (site.broken_links, add('<script src="none.js"></script>')),
    (site.missing_alt, change('alt="A line that rises."', "")),
    (site.missing_alt, change("A line that rises.", "")),
    (site.missing_alt, change("A line that rises.", "_images/a.png")),
    (site.missing_alt, change("A line that rises.", "A line")),
    (site.outside_resources, add('<script src="https://example.org/x.js"></script>')),
    (site.outside_resources, add('<script src="//example.org/x.js"></script>')),
    (site.outside_resources, add('<img src="https://example.org/x.png" alt="">')),
    (site.outside_resources, add('<link rel="stylesheet" href="https://example.org/x.css">')),
    (site.unresolved, add("<p>is {glue:text}`a.ipynb::b`</p>")),
    (site.unresolved, add("<p>as [?] says</p>")),
    (site.unresolved, add("<p>as {prf:ref}`thm-a` says</p>")),
    (site.missing_from_search, lambda folder: (folder / "searchindex.js").unlink()),
    (
        site.missing_from_search,
        lambda folder: replace(folder, "searchindex.js", '"a", "b"', '"a"'),
    ),
]


@pytest.mark.parametrize(("check", "mutate"), MUTATIONS)
def test_a_fault_is_found(tiny, check, mutate):
    mutate(tiny)
    assert check(tiny) != []
    assert site.problems(tiny) != []


def test_every_check_has_a_mutation():
    assert {check for check, _ in MUTATIONS} == set(site.CHECKS)


@pytest.mark.parametrize(
    "piece",
    [
        '<a href="https://example.org/x.html#y">elsewhere</a>',
        '<a href="mailto:a@example.org">mail</a>',
        '<a href="#top">up</a>',
        '<link rel="canonical" href="https://example.org/">',
        "<p>as in <code>{cite}`key`</code></p>",
    ],
)
def test_what_is_no_fault_passes(tiny, piece):
    add(piece)(tiny)
    assert site.problems(tiny) == []
