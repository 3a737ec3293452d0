"""The sources of the book as the tests read them: pages, chapters, labs, directives, prose.

A page is MyST Markdown. :func:`directives` finds its fenced blocks as the parser does (a block ends
at the first line of at least as many fence characters), :func:`prose` keeps only what a reader
reads as running text, line by line, so that a fault can be reported with its line number.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nbformat

from tools.labs import all_labs

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"

# Blocks whose content is not running text, and blocks whose argument is a path, a name or a key.
NOT_PROSE = {
    *("bibliography", "code", "code-block", "code-cell", "eval-rst", "glue:math", "include"),
    *("lab-times", "literalinclude", "math", "mermaid", "raw", "toctree", "tableofcontents"),
}
NOT_TITLED = {"figure", "image", "lab-figure", "solution", "solution-start", "glue:figure"}

FENCE = re.compile(r"^(?P<indent>\s*)(?P<fence>`{3,}|~{3,}|:{3,})(?P<info>[^`]*)$")
INFO = re.compile(r"^\s*\{(?P<name>[^}]+)\}\s*(?P<argument>.*?)\s*$")
OPTION = re.compile(r"^\s*:(?P<key>[\w-]+):(?:\s+(?P<value>.*?))?\s*$")


class Block(NamedTuple):
    """A fenced block: a directive, or code where ``name`` is empty and ``argument`` a language."""

    name: str
    argument: str
    options: dict[str, str]
    body: list[str]
    line: int  # of the opening fence, counted from 1
    body_line: int  # of the first line of the body, after the options


def pages() -> list[Path]:
    """Every page of the book, in a fixed order."""
    return sorted(path for path in BOOK.rglob("*.md") if not path.parent.name.startswith("_"))


def chapters() -> list[Path]:
    """The pages in the folder of a part; not front matter, appendices and pages that gather."""
    return [
        path
        for path in pages()
        if path.parent not in (BOOK, BOOK / "appendix")
        and path.stem not in {"scoreboard", "applications"}
    ]


def labs() -> list[Path]:
    """Every lab of the book."""
    return all_labs()


def name(path: Path) -> str:
    """The path as a reader of a test report wants it."""
    return path.relative_to(ROOT).as_posix()


def tracked() -> list[Path]:
    """The files that are, or are about to be, under version control."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode != 0:  # an unpacked archive: everything but what the tools write
        folders = {".git", ".venv", "_build", "_extra", "_figures", "build", "dist"}
        paths = (path for path in ROOT.rglob("*") if not folders & set(path.parts))
    else:
        paths = (ROOT / entry for entry in result.stdout.split("\0") if entry)
    return sorted(path for path in paths if path.is_file())


def markdown_of(lab: Path) -> str:
    """The Markdown cells of a lab as one text."""
    cells = nbformat.read(lab, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def without_front_matter(lines: list[str]) -> int:
    """The number of lines that the YAML block at the top of a page takes."""
    if lines and lines[0].strip() == "---":
        for number, line in enumerate(lines[1:], start=1):
            if line.strip() == "---":
                return number + 1
    return 0


def split_options(body: list[str]) -> tuple[dict[str, str], int]:
    """The options at the head of a directive, and how many lines they take."""
    if body and body[0].strip() == "---":
        end = next((i for i, line in enumerate(body[1:], start=1) if line.strip() == "---"), 0)
        pairs = (line.partition(":")[::2] for line in body[1:end])
        return {key.strip(): value.strip() for key, value in pairs}, end + 1
    options: dict[str, str] = {}
    taken = 0
    for line in body:
        if not (match := OPTION.match(line)):
            break
        options[match["key"]] = match["value"] or ""
        taken += 1
    return options, taken


def split(lines: list[str], first: int = 1) -> Iterator[str | Block]:
    """The lines of a page one by one, each fenced block as one item."""
    number = 0
    while number < len(lines):
        match = FENCE.match(lines[number])
        if not match:
            yield lines[number]
            number += 1
            continue
        fence = match["fence"]
        closing = re.compile(rf"^\s*{re.escape(fence[0])}{{{len(fence)},}}\s*$")
        end = number + 1
        while end < len(lines) and not closing.match(lines[end]):
            end += 1
        body = lines[number + 1 : end]
        info = INFO.match(match["info"])
        options, taken = split_options(body) if info else ({}, 0)
        yield Block(
            name=info["name"] if info else "",
            argument=info["argument"] if info else match["info"].strip(),
            options=options,
            body=body[taken:],
            line=first + number,
            body_line=first + number + 1 + taken,
        )
        number = end + 1


def blocks(text: str) -> list[Block]:
    """All fenced blocks of a page, those inside others too."""

    def walk(lines: list[str], first: int) -> Iterator[Block]:
        for item in split(lines, first):
            if isinstance(item, Block):
                yield item
                if item.name and item.name not in NOT_PROSE:
                    yield from walk(item.body, item.body_line)

    lines = text.splitlines()
    skip = without_front_matter(lines)
    return list(walk(lines[skip:], skip + 1))


def running_lines(lines: list[str], first: int, kept: list[str]) -> None:
    """Copy what is not code, maths or an option into ``kept``, each line to its own place."""
    number = first
    for item in split(lines, first):
        if isinstance(item, str):
            kept[number - 1] = item
            number += 1
            continue
        if item.name and item.name not in NOT_PROSE:
            if item.name not in NOT_TITLED:
                kept[item.line - 1] = item.argument
            running_lines(item.body, item.body_line, kept)
        number = item.body_line + len(item.body) + 1


MARK = "¤"  # stands where something was taken out, so that what it parted does not join
TAKEN_OUT = [
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"^%.*$", re.MULTILINE),  # comments
    re.compile(r"^\([\w.-]+\)=\s*$", re.MULTILINE),  # labels
    re.compile(r"^\s*\[[^\]]+\]:\s+\S+.*$", re.MULTILINE),  # link definitions
    re.compile(r"\\begin\{(\w+\*?)\}.*?\\end\{\1\}", re.DOTALL),
    re.compile(r"\$\$.*?\$\$", re.DOTALL),
    re.compile(r"(?:\{[^}\n]+\})?(?<!`)(`+)(?!`)(?:(?!\n\s*\n).)+?(?<!`)\1(?!`)", re.DOTALL),
    re.compile(r"(?<!\\)\$(?=\S)(?:(?!\n\s*\n)[^$])+?(?<!\\)\$", re.DOTALL),
    re.compile(r"(?<=\])\([^)\n]*\)"),  # link targets
    re.compile(r"<[^>\n]+>|https?://[^\s)]+"),
]


def prose(text: str) -> str:
    """The running text of a page: as many lines as the page, what is not read taken out."""
    lines = text.splitlines()
    kept = [""] * len(lines)
    skip = without_front_matter(lines)
    running_lines(lines[skip:], skip + 1, kept)
    result = "\n".join(kept)
    for pattern in TAKEN_OUT:
        result = pattern.sub(lambda match: MARK + "\n" * match.group().count("\n"), result)
    return result


def labels(text: str) -> set[str]:
    """What can be linked to on a page: ``(label)=`` targets, and labels and names of blocks."""
    targets = set(re.findall(r"^\s*\(([\w.-]+)\)=\s*$", text, re.MULTILINE))
    for block in blocks(text):
        targets |= {block.options[key] for key in ("label", "name") if key in block.options}
    return targets
