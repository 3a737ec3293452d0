"""The pages as they are written: labels, exercises, pictures, no typed results, spelling."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from nlpmeta.corpora import docs, names
from tests.book.results import typed_results
from tests.book.sources import (
    BOOK,
    ROOT,
    blocks,
    chapters,
    labs,
    markdown_of,
    name,
    pages,
    prose,
    tracked,
)
from tests.book.spelling import british
from tools.site import toc_entries

STARS = re.compile(r"^★{1,3} \S")
LEAST_EXERCISES = 8
LEAST_ALT = 20  # characters; a shorter text does not say what a picture shows


def read(path: Path) -> str:
    return path.read_text(encoding="utf8")


# --- what a page must have


def missing_label(path: Path, text: str) -> str | None:
    """What is wrong with the label on top of a page."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    wanted = rf"\(chapter-{re.escape(path.stem)}\)=" if path in chapters() else r"\([\w.-]+\)="
    if re.fullmatch(wanted, first.strip()):
        return None
    return f"{name(path)} begins with {first!r}; put its label above the title"


def exercise_faults(text: str) -> list[str]:
    """What is wrong with the exercises of a chapter."""
    found = blocks(text)
    exercises = {b.options.get("label", f"line {b.line}"): b for b in found if b.name == "exercise"}
    solved = {block.argument for block in found if block.name == "solution"}
    faults = [
        f"{label}: the title {block.argument!r} does not begin with ★, ★★ or ★★★"
        for label, block in exercises.items()
        if not STARS.match(block.argument)
    ]
    faults += [f"{label}: no :label:" for label in exercises if label.startswith("line ")]
    faults += [f"solution of {label}, which is no exercise" for label in solved - set(exercises)]
    if len(exercises) < LEAST_EXERCISES:
        faults.append(f"{len(exercises)} exercises, at least {LEAST_EXERCISES} are wanted")
    if 2 * len(solved) < len(exercises):
        faults.append(f"{len(solved)} solutions of {len(exercises)} exercises, half are wanted")
    return faults


def alt_faults(text: str) -> list[str]:
    """The pictures of a page without a text that says what they show."""
    faults = [
        f"line {block.line}: {block.name} {block.argument} has alt text {alt!r}"
        for block in blocks(text)
        if block.name in {"figure", "image", "lab-figure"}
        and len(alt := block.options.get("alt", "")) < LEAST_ALT
    ]
    faults += [
        f"line {text.count(chr(10), 0, match.start()) + 1}: {match.group()}"
        for match in re.finditer(r"!\[([^\]]*)\]\([^)]*\)|<img\b[^>]*>", text)
        if len(match[1] or "") < LEAST_ALT and "badge" not in match.group()
    ]
    return faults


@pytest.mark.parametrize("path", pages(), ids=name)
def test_a_page_has_a_label_on_top(path):
    assert missing_label(path, read(path)) is None


@pytest.mark.parametrize("path", pages(), ids=name)
def test_no_result_is_typed(path):
    assert typed_results(read(path)) == [], "glue the number from the lab, or put it into maths"


@pytest.mark.parametrize("path", [*pages(), ROOT / "README.md"], ids=name)
def test_every_picture_has_an_alternative_text(path):
    assert alt_faults(read(path)) == []


@pytest.mark.parametrize("path", chapters(), ids=name)
def test_a_chapter_has_exercises_with_stars_and_solutions(path):
    assert exercise_faults(read(path)) == []


def test_the_threads_name_exercises_by_their_titles():
    found = [b for path in chapters() for b in blocks(read(path)) if b.name == "exercise"]
    titles = {block.options["label"]: block.argument for block in found}
    page = read(BOOK / "appendix/instructors.md")
    named = re.findall(r"`\{number\} ([^`]+) <(ex-[\w-]+)>`", page)
    assert len(named) > 50
    assert [pair for pair in named if titles.get(pair[1]) != pair[0]] == []


@pytest.mark.parametrize("path", [*pages(), ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=name)
def test_pages_are_spelled_the_american_way(path):
    assert british(prose(read(path))) == []


@pytest.mark.parametrize("path", labs(), ids=name)
def test_labs_are_spelled_the_american_way(path):
    assert british(prose(markdown_of(path))) == []


def test_every_page_and_lab_is_in_the_table_of_contents():
    entries = set(toc_entries())
    sources = {name(path).removesuffix(path.suffix) for path in [*pages(), *labs()]}
    assert sources == entries


def test_the_report_that_the_setup_page_shows_is_of_these_corpora():
    for corpus, module in (("names", names), ("docs", docs)):
        report = f"{corpus}: {len(module.load()):,} records, sha256 {module.EXPECTED[:16]}..."
        assert report in read(BOOK / "setup.md")


@pytest.mark.parametrize("path", pages(), ids=name)
def test_no_formula_in_a_table_holds_a_bar(path):
    """A bar ends the cell, formula or not; write ``\\mid`` or ``\\lvert``."""
    for line in read(path).splitlines():
        if line.startswith("|"):
            assert all(cell.count("$") % 2 == 0 for cell in line.split("|")), line


def test_labels_are_unique():
    seen: dict[str, str] = {}
    for path in pages():
        text = read(path)
        found = re.findall(r"^\s*\(([\w.-]+)\)=\s*$", text, re.MULTILINE)
        found += [
            b.options[key] for b in blocks(text) for key in ("label", "name") if key in b.options
        ]
        for label in found:
            assert label not in seen, f"{label} is in {name(path)} and in {seen[label]}"
            seen[label] = name(path)


def test_the_table_of_contents_names_each_document_once():
    entries = toc_entries()
    assert len(entries) == len(set(entries))
    assert yaml.safe_load(read(ROOT / "_toc.yml"))["root"] == "book/index"


# --- what nothing under version control may hold

# Written so that this file does not hold what it forbids.
FORBIDDEN = {
    "a path of the machine it was written on": r"(?<![\w./])/" + r"work/",
    "a package registry by its host": r"(?i)\bpy"
    + r"pi\.org|python"
    + r"hosted\.org|npm"
    + r"js\.",
    "who or what wrote it": r"(?i)\bcla" + r"ude\b|\bsub-?agents?\b|\bAI (?:agent|assistant)s?\b|"
    r"co-authored" + r"-by|generated (?:with|by) (?:an? )?(?:AI|LLM|language model)\b",
    "how it was written": r"(?i)\bBRIEF" + r"\.md\b|\bthis bri" + r"ef\b|"
    r"\b(?:this|previous|earlier|parallel) sess" + r"ions?\b",
    "a secret": r"\bgh[pousr]_\w{30,}|\bAKIA[0-9A-Z]{16}\b|\bhf_[A-Za-z]{30,}|\bsk-[\w-]{30,}|"
    r"-----BEGIN (?:\w+ )?PRIVATE KEY",
}
PICTURE = re.compile(r'"image/(?:png|jpeg)": "[^"]*"')


def forbidden(text: str) -> list[str]:
    """What a file holds that no file may hold."""
    text = PICTURE.sub("", text)
    return [
        f"{what}: {match.group()!r}"
        for what, pattern in FORBIDDEN.items()
        if (match := re.search(pattern, text))
    ]


def test_nothing_forbidden_is_under_version_control():
    faults = []
    for path in tracked():
        try:
            text = read(path)
        except UnicodeDecodeError:
            continue  # a picture or a font
        faults += [f"{name(path)} holds {fault}" for fault in forbidden(text)]
    assert faults == []


# --- that these checks can fail


def chapter(exercises: int, solutions: int, stars: str = "★ ") -> str:
    parts = [
        f"```{{exercise}} {stars}Title\n:label: ex-{i}\n\ntext\n```\n" for i in range(exercises)
    ]
    parts += [f"````{{solution}} ex-{i}\n\ntext\n````\n" for i in range(solutions)]
    return "\n".join(parts)


def test_exercise_faults_are_found():
    assert exercise_faults(chapter(8, 4)) == []
    assert exercise_faults(chapter(7, 4)) == ["7 exercises, at least 8 are wanted"]
    assert exercise_faults(chapter(8, 3)) == ["3 solutions of 8 exercises, half are wanted"]
    assert len(exercise_faults(chapter(8, 4, stars=""))) == 8
    assert len(exercise_faults(chapter(8, 4, stars="★★★★ "))) == 8
    assert "no exercise" in exercise_faults(chapter(8, 9))[0]
    assert "no :label:" in exercise_faults(chapter(8, 4).replace(":label: ex-0\n", ""))[0]


@pytest.mark.parametrize(
    "text",
    [
        "```{figure} a.png\nA caption.\n```",
        "```{figure} a.png\n:alt: short\nA caption.\n```",
        "```{lab-figure} a.ipynb::fig-a\n:name: fig-a\n:alt:\nA caption.\n```",
        ":::{image} a.png\n:::",
        "![](a.png)",
        '<img src="a.png">',
    ],
)
def test_a_missing_alternative_text_is_found(text):
    assert len(alt_faults(text)) == 1


def test_a_given_alternative_text_passes():
    alt = "A line that rises from left to right."
    assert alt_faults(f"```{{figure}} a.png\n:alt: {alt}\nA caption.\n```\n![{alt}](a.png)") == []


def test_a_missing_label_is_found():
    index = BOOK / "index.md"
    part = chapters()[0]
    assert missing_label(index, "(front)=\n# Title") is None
    assert missing_label(index, "# Title") is not None
    assert missing_label(part, f"\n(chapter-{part.stem})=\n# Title") is None
    assert missing_label(part, "(chapter-other)=\n# Title") is not None


@pytest.mark.parametrize(
    "text",
    [
        "see /" + "work/main/x",
        "from https://py" + "pi.org/simple",
        "Cla" + "ude wrote it",
        "Co-Authored" + "-By: x",
        "as the bri" + "ef says: this bri" + "ef",
        "in the previous sess" + "ion",
        "token = 'gh" + "p_" + 36 * "a" + "'",
        "-----BEGIN " + "RSA PRIVATE KEY-----",
    ],
)
def test_the_forbidden_is_found(text):
    assert forbidden(text)


def test_the_allowed_passes():
    assert (
        forbidden("the agent learns; a class session; https://github.com/x; ../shared/data") == []
    )
