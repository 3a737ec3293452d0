"""What is wrong with a lab as it is committed: each check takes a notebook and returns sentences.

The committed outputs are what a reader sees, so they must be complete, in the order of the cells,
free of errors, warnings and traces of the machine, and short enough to read.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median

import nbformat
from nbformat import NotebookNode

from tests.book.sources import prose
from tools.address import colab_source
from tools.labs import CELL_SECONDS, LAB_SECONDS

LARGEST = 400_000  # bytes
LONGEST, MEDIAN = 25, 8  # lines of a code cell
PICTURES = {"image/png", "image/svg+xml", "image/jpeg"}
ABSOLUTE = re.compile(
    r"(?<![\w./])/(?:home|root|tmp|Users|var|opt|mnt|usr|work|content)/\w|\b[A-Z]:\\\\?\w"
)
SHOWS = {"print", "show", "glue", "display"}


def code_cells(lab: NotebookNode) -> list[NotebookNode]:
    """The code cells that hold any code."""
    return [cell for cell in lab.cells if cell.cell_type == "code" and cell.source.strip()]


def outputs(lab: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    """All outputs, each with the number of its cell."""
    for number, cell in enumerate(lab.cells):
        for output in cell.get("outputs", []):
            yield number, output


def text_of(output: NotebookNode) -> str:
    """Everything that an output says in characters."""
    data = output.get("data", {})
    parts = [text for kind, text in data.items() if kind not in PICTURES]
    return "\n".join([output.get("text", ""), *map(str, parts)])


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return cell.metadata.get("tags", [])


def parsed(cell: NotebookNode) -> ast.Module:
    """The code of a cell, without the lines that only a notebook understands."""
    lines = [line for line in cell.source.splitlines() if not line.lstrip().startswith(("%", "!"))]
    try:
        return ast.parse("\n".join(lines))
    except SyntaxError:  # an `if` around nothing but a magic, as in the Colab cell
        return ast.Module([], [])


def calls(cell: NotebookNode) -> set[str]:
    """The names of the functions that a cell calls at its top level or in its loops."""
    names: set[str] = set()
    stack: list[ast.AST] = [parsed(cell)]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            names.add(node.func.id)
        stack += ast.iter_child_nodes(node)
    return names


def has_assert(cell: NotebookNode) -> bool:
    """Whether a cell asserts anything."""
    return any(isinstance(node, ast.Assert) for node in ast.walk(parsed(cell)))


def glued(lab: NotebookNode) -> list[tuple[str, bool]]:
    """The keys that a lab glues, each with whether a picture lies under it."""
    found = []
    for _, output in outputs(lab):
        key = output.get("metadata", {}).get("scrapbook", {}).get("name")
        if key is not None:
            found.append((key, any(kind.endswith(tuple(PICTURES)) for kind in output["data"])))
    return found


# --- the checks


def invalid(lab: NotebookNode) -> list[str]:
    try:
        nbformat.validate(lab)
    except nbformat.ValidationError as error:
        return [f"not a valid notebook: {str(error)[:200]}"]
    return []


def not_run_in_order(lab: NotebookNode) -> list[str]:
    counts = [cell.execution_count for cell in code_cells(lab)]
    if counts == list(range(1, len(counts) + 1)):
        return []
    return [f"execution counts are {counts}; run it with: .venv/bin/python -m tools.labs"]


def stripped(lab: NotebookNode) -> list[str]:
    return [
        f"cell {number} calls {', '.join(sorted(said))} but has no output; was it removed?"
        for number, cell in enumerate(lab.cells)
        if cell.cell_type == "code"
        and (said := calls(cell) & SHOWS)
        and not cell.outputs
        and "colab" not in tags(cell)
    ]


def noisy(lab: NotebookNode) -> list[str]:
    faults = []
    for number, output in outputs(lab):
        if output.output_type == "error":
            faults.append(f"cell {number} ends in {output.ename}: {output.evalue[:80]}")
        if output.get("name") == "stderr":
            faults.append(f"cell {number} writes to standard error: {output.text[:80]!r}")
        if warning := re.search(r"\b\w*Warning\b:?.*", text_of(output)):
            faults.append(f"cell {number} shows a warning: {warning.group()[:80]!r}")
    return faults


def absolute_paths(lab: NotebookNode) -> list[str]:
    texts = [(number, cell.source) for number, cell in enumerate(lab.cells)]
    texts += [(number, text_of(output)) for number, output in outputs(lab)]
    return [
        f"cell {number} holds the path {match.group()}..., which is of one machine"
        for number, text in texts
        if (match := ABSOLUTE.search(text))
    ]


def long_cells(lab: NotebookNode) -> list[str]:
    lengths = [len(cell.source.splitlines()) for cell in code_cells(lab)]
    faults = [
        f"code cell {count} has {length} lines, at most {LONGEST}"
        for count, length in enumerate(lengths, start=1)
        if length > LONGEST
    ]
    if lengths and median(lengths) > MEDIAN:
        faults.append(f"the median cell has {median(lengths)} lines, at most {MEDIAN}")
    return faults


def unlabeled_figures(lab: NotebookNode) -> list[str]:
    faults = []
    for number, cell in enumerate(lab.cells):
        kinds = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
        if not kinds & PICTURES:
            continue
        settings = cell.metadata.get("mystnb", {})
        wanted = {
            "image.alt": settings.get("image", {}).get("alt", ""),
            "figure.caption": settings.get("figure", {}).get("caption", ""),
            "figure.name": settings.get("figure", {}).get("name", ""),
        }
        faults += [f"cell {number} shows a figure without {k}" for k, v in wanted.items() if not v]
        if wanted["image.alt"] and len(wanted["image.alt"]) < 20:
            faults.append(f"cell {number}: the alt text {wanted['image.alt']!r} says too little")
        if wanted["figure.name"] and not wanted["figure.name"].startswith("lab-fig-"):
            faults.append(f"cell {number}: {wanted['figure.name']} does not begin with lab-fig-")
    return faults


def unmeasured(lab: NotebookNode) -> list[str]:
    times = lab.metadata.get("nlpmeta", {})
    faults = [f"no {key} recorded" for key in ("seconds", "slowest_cell") if key not in times]
    if times.get("seconds", 0) > LAB_SECONDS:
        faults.append(f"took {times['seconds']} s, at most {LAB_SECONDS}")
    if times.get("slowest_cell", 0) > CELL_SECONDS:
        faults.append(f"a cell took {times['slowest_cell']} s, at most {CELL_SECONDS}")
    return faults


def untitled(lab: NotebookNode) -> list[str]:
    faults = []
    first = lab.cells[0]
    if first.cell_type != "markdown" or not first.source.startswith("# "):
        faults.append("the first cell is not the title")
    levels = [
        len(hashes)
        for cell in lab.cells
        if cell.cell_type == "markdown"
        for hashes in re.findall(r"^(#+) ", prose(cell.source), re.MULTILINE)
    ]
    if levels.count(1) != 1:
        faults.append(f"{levels.count(1)} titles, one is wanted")
    if any(lower > upper + 1 for upper, lower in pairwise(levels)):
        faults.append(f"the heading levels {levels} leave one out")
    return faults


def without_colab(lab: NotebookNode) -> list[str]:
    first = next((cell for cell in lab.cells if cell.cell_type == "code"), None)
    if first is None or "colab" not in tags(first):
        return ["the first code cell is not the one that installs the package on Colab"]
    if first.source != colab_source():
        return ["the Colab cell is not the one of tools.address; run tools.labs"]
    return []


def unchecked_runs(lab: NotebookNode) -> list[str]:
    # A cell at the end that only hands numbers to the page runs nothing that is to be checked.
    cells = code_cells(lab)
    last = max((number for number, cell in enumerate(cells) if has_assert(cell)), default=-1)
    return [
        f"code cell {number + 1} is tagged nbval-ignore-output, and no assert follows it"
        for number, cell in enumerate(cells)
        if "nbval-ignore-output" in tags(cell)
        and last <= number
        and calls(cell) & SHOWS != {"glue"}
    ]


def unasserted(lab: NotebookNode) -> list[str]:
    if any(map(has_assert, code_cells(lab))):
        return []
    return ["no cell asserts anything; compare the method with a hand-made case"]


def repeated_keys(lab: NotebookNode) -> list[str]:
    counts = Counter(key for key, _ in glued(lab))
    return [f"{key} is glued {count} times" for key, count in counts.items() if count > 1]


def numpy_values(lab: NotebookNode) -> list[str]:
    return [
        f"cell {number} glues {value}; glue float(...) or int(...), which a page can format"
        for number, output in outputs(lab)
        if "scrapbook" in output.get("metadata", {})
        for value in output["data"].values()
        if isinstance(value, str) and re.match(r"(?:np\.|tensor\(|array\()", value)
    ]


CHECKS = (
    invalid,
    not_run_in_order,
    stripped,
    noisy,
    absolute_paths,
    long_cells,
    unlabeled_figures,
    unmeasured,
    untitled,
    without_colab,
    unchecked_runs,
    unasserted,
    repeated_keys,
    numpy_values,
)


def too_large(path: Path) -> list[str]:
    """Whether the file is larger than a reader's connection deserves."""
    size = path.stat().st_size
    return [f"{size / 1000:.0f} kB, at most {LARGEST / 1000:.0f}"] if size > LARGEST else []
