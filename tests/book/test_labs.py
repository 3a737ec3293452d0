"""Every committed lab is clean, and every key that a page takes from a lab is there."""

from __future__ import annotations

import copy
import re
from collections import Counter

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.book import hygiene
from tests.book.sources import ROOT, chapters, labs, name, pages
from tools.address import colab_source

GLUE = re.compile(
    r"\{glue:\w+\}`(?P<path>[^`:]+\.ipynb)::(?P<key>[^`:]+)(?::[^`]*)?`"
    r"|\{lab-figure\}\s+(?P<figure_path>\S+\.ipynb)::(?P<figure>\S+)"
)


def read(path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


@pytest.mark.parametrize("check", hygiene.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("path", labs(), ids=name)
def test_a_lab_is_clean(path, check):
    assert check(read(path)) == []


@pytest.mark.parametrize("path", labs(), ids=name)
def test_a_lab_is_small(path):
    assert hygiene.too_large(path) == []


@pytest.mark.parametrize("path", labs(), ids=name)
def test_a_lab_belongs_to_a_page(path):
    page = ROOT / "book" / path.relative_to(ROOT / "notebooks").with_suffix(".md")
    assert page.is_file() or page.parent.name == "appendix", f"there is no {name(page)}"


def test_there_are_labs():
    assert labs()


def test_every_chapter_has_a_lab():
    wanted = {
        path.relative_to(ROOT / "book").with_suffix(".ipynb").as_posix() for path in chapters()
    }
    present = {path.relative_to(ROOT / "notebooks").as_posix() for path in labs()}
    assert wanted - present == set()


def test_figure_keys_are_unique_in_the_whole_book():
    keys = Counter(key for path in labs() for key, picture in hygiene.glued(read(path)) if picture)
    assert [key for key, count in keys.items() if count > 1] == []


@pytest.mark.parametrize("path", pages(), ids=name)
def test_every_key_on_a_page_is_glued_in_its_lab(path):
    faults = []
    for match in GLUE.finditer(path.read_text(encoding="utf8")):
        target = (path.parent / (match["path"] or match["figure_path"])).resolve()
        if not target.is_file():
            faults.append(f"{match.group()}: there is no such lab")
            continue
        keys = dict(hygiene.glued(read(target)))
        key = match["key"] or match["figure"]
        if key not in keys:
            faults.append(f"{match.group()}: the lab glues nothing under {key!r}")
        elif bool(match["figure"]) != keys[key]:
            faults.append(f"{match.group()}: a figure and a number are mixed up")
    assert faults == []


# --- that the checks can fail: a clean lab, and one change each


def clean():
    """A small lab without a fault."""
    figure = new_code_cell("show(fig, 'fig-rise')", execution_count=4)
    figure.metadata["mystnb"] = {
        "image": {"alt": "A line that rises from left to right."},
        "figure": {"caption": "It rises.", "name": "lab-fig-rise"},
    }
    figure.outputs = [
        new_output(
            "display_data",
            {"image/png": "AAAA", "text/plain": "<Figure>"},
            metadata={"scrapbook": {"name": "fig-rise", "mime_prefix": ""}},
        )
    ]
    lines = "\n".join(["x = 1"] * 5)
    run = new_code_cell(f"{lines}\nprint(x)", execution_count=2)
    run.metadata["tags"] = ["nbval-ignore-output"]
    run.outputs = [new_output("stream", name="stdout", text="1\n")]
    colab = new_code_cell(colab_source(), execution_count=1, metadata={"tags": ["colab"]})
    lab = new_notebook(
        cells=[
            new_markdown_cell("# Title\n\nA purpose."),
            colab,
            new_markdown_cell("## Run"),
            run,
            new_code_cell("assert x == 1", execution_count=3),
            figure,
        ]
    )
    lab.metadata["nlpmeta"] = {"seconds": 3.0, "slowest_cell": 1.0}
    for number, cell in enumerate(lab.cells):
        cell["id"] = f"cell-{number:03d}"
    return lab


def changed(change):
    lab = copy.deepcopy(clean())
    change(lab)
    return lab


def out(lab):
    """The outputs of the cell that runs."""
    return lab.cells[3].outputs


RUN, ASSERT, FIGURE = 3, 4, 5
MUTATIONS = [
    (hygiene.invalid, lambda lab: lab.cells[RUN].pop("outputs")),
    (hygiene.not_run_in_order, lambda lab: lab.cells[RUN].update(execution_count=7)),
    (hygiene.not_run_in_order, lambda lab: lab.cells[RUN].update(execution_count=None)),
    (hygiene.stripped, lambda lab: out(lab).clear()),
    (hygiene.stripped, lambda lab: lab.cells[FIGURE].outputs.clear()),
    (hygiene.noisy, lambda lab: out(lab)[0].update(name="stderr")),
    (hygiene.noisy, lambda lab: out(lab)[0].update(text="x.py:1: UserWarning: odd\n")),
    (
        hygiene.noisy,
        lambda lab: out(lab).append(new_output("error", ename="E", evalue="v", traceback=[])),
    ),
    (hygiene.absolute_paths, lambda lab: out(lab)[0].update(text="read /home/ann/x.txt")),
    (hygiene.absolute_paths, lambda lab: out(lab)[0].update(text="read '/tmp/x.txt'")),
    (hygiene.absolute_paths, lambda lab: out(lab)[0].update(text="read C:\\Users\\x.txt")),
    (hygiene.absolute_paths, lambda lab: lab.cells[RUN].update(source="open('/home/x')")),
    (hygiene.long_cells, lambda lab: lab.cells[RUN].update(source="\n".join(["x = 1"] * 26))),
    (hygiene.long_cells, lambda lab: [c.update(source="x = 1\n" * 9) for c in lab.cells]),
    (hygiene.unlabeled_figures, lambda lab: lab.cells[FIGURE].metadata.pop("mystnb")),
    (
        hygiene.unlabeled_figures,
        lambda lab: lab.cells[FIGURE].metadata["mystnb"]["image"].update(alt=""),
    ),
    (
        hygiene.unlabeled_figures,
        lambda lab: lab.cells[FIGURE].metadata["mystnb"]["image"].update(alt="A line."),
    ),
    (
        hygiene.unlabeled_figures,
        lambda lab: lab.cells[FIGURE].metadata["mystnb"]["figure"].update(name="fig-rise"),
    ),
    (hygiene.unmeasured, lambda lab: lab.metadata.pop("nlpmeta")),
    (hygiene.unmeasured, lambda lab: lab.metadata["nlpmeta"].update(seconds=91)),
    (hygiene.unmeasured, lambda lab: lab.metadata["nlpmeta"].update(slowest_cell=46)),
    (hygiene.untitled, lambda lab: lab.cells.pop(0)),
    (hygiene.untitled, lambda lab: lab.cells[2].update(source="### Run")),
    (hygiene.untitled, lambda lab: lab.cells[2].update(source="# Run")),
    (hygiene.without_colab, lambda lab: lab.cells.pop(1)),
    (hygiene.without_colab, lambda lab: lab.cells[1].update(source="%pip install x")),
    (hygiene.unchecked_runs, lambda lab: lab.cells.pop(ASSERT)),
    (
        hygiene.unchecked_runs,
        lambda lab: lab.cells[FIGURE].metadata.update(tags=["nbval-ignore-output"]),
    ),
    (hygiene.unasserted, lambda lab: lab.cells[ASSERT].update(source="'assert'")),
    (
        hygiene.numpy_values,
        lambda lab: lab.cells[FIGURE].outputs[0].data.update({"text/plain": "np.float64(0.5)"}),
    ),
    (hygiene.repeated_keys, lambda lab: lab.cells.append(lab.cells[FIGURE])),
]


@pytest.mark.parametrize("check", hygiene.CHECKS, ids=lambda check: check.__name__)
def test_a_clean_lab_passes(check):
    assert check(clean()) == []


@pytest.mark.parametrize(("check", "change"), MUTATIONS, ids=lambda x: getattr(x, "__name__", ""))
def test_a_fault_is_found(check, change):
    assert check(changed(change)) != []


def test_every_check_has_a_mutation():
    assert {check for check, _ in MUTATIONS} == set(hygiene.CHECKS)


def test_a_large_file_is_found(tmp_path):
    path = tmp_path / "lab.ipynb"
    path.write_bytes(b"x" * hygiene.LARGEST)
    assert hygiene.too_large(path) == []
    path.write_bytes(b"x" * (hygiene.LARGEST + 1))
    assert hygiene.too_large(path) != []


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("{glue:text}`../../notebooks/a/b.ipynb::some_key:.1f`", "some_key"),
        ("{glue:text}`../../notebooks/a/b.ipynb::some-key`", "some-key"),
        ("```{lab-figure} ../../notebooks/a/b.ipynb::fig-a\n", "fig-a"),
    ],
)
def test_keys_are_read_from_pages(text, key):
    match = GLUE.search(text)
    assert (match["key"] or match["figure"]) == key
