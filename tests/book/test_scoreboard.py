"""The scoreboard gathers what the labs glue, or the build fails."""

from __future__ import annotations

import re
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from nlpmeta.scoreboard import Row
from tests.book.sources import BOOK, labs

sys.path.insert(0, str(BOOK / "_ext"))
import scoreboard

CONF = f"""
import sys
sys.path.insert(0, {str(BOOK / "_ext")!r})
extensions = ["myst_nb", "scoreboard"]
nb_execution_mode = "off"
"""
GOOD = [
    Row("trigram", 1000, 2.5, 1234567, 0.25)._asdict(),
    Row("unigram", 1000, 4.25, 90, 0.1)._asdict(),
    Row("unigram", 200, 4.5, 80, 0.0)._asdict(),
    Row("mle", 1000, float("inf"), 80, 0.0)._asdict(),
]


def lab(text, title="Lab"):
    """A lab that glues this text under the key of the scoreboard."""
    cell = new_code_cell("glue('scoreboard', rows, display=False)", execution_count=1)
    prefix = "application/papermill.record/"
    cell.outputs = [
        new_output(
            "display_data",
            {f"{prefix}text/plain": text},
            metadata={"scrapbook": {"name": "scoreboard", "mime_prefix": prefix}},
        )
    ]
    languages = {"language_info": {"name": "python"}}
    return new_notebook(cells=[new_markdown_cell(f"# {title}"), cell], metadata=languages)


def test_rows_are_read_as_ipython_writes_them():
    from IPython.lib.pretty import pretty

    rows = scoreboard.glued_rows(lab(pretty(GOOD * 5)))
    assert rows == GOOD * 5


def test_a_lab_without_rows_has_none():
    assert scoreboard.glued_rows(new_notebook(cells=[new_code_cell("1")])) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{'model': 'x', 'bits': 1.0}]", "a row has bits, model; give bits, model"),
        (repr([GOOD[0] | {"bits": -1.0}]), "holds a number that cannot be"),
        (repr([GOOD[0] | {"bits": 0}]), "holds a number that cannot be"),
        (repr([GOOD[0] | {"seconds": -1}]), "holds a number that cannot be"),
        ("np.float64(3.0)", "malformed node"),
        ("__import__('os')", "malformed node"),
    ],
)
def test_wrong_rows_are_found(text, message):
    with pytest.raises(ValueError, match=message):
        scoreboard.glued_rows(lab(text))


def test_the_best_model_comes_first():
    lines = scoreboard.table([("lab", row) for row in GOOD if row["train_characters"] == 1000])
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| trigram", "| unigram", "| mle"]
    assert "| trigram | 2.500 | 1,234,567 | 0.2 |" in lines[2]
    assert "∞" in lines[-1]


@pytest.fixture
def build(tmp_path):
    """Build a page with the scoreboard and these labs; give the page and the messages."""

    def run(*notebooks):
        (tmp_path / "conf.py").write_text(CONF, encoding="utf8")
        (tmp_path / "notebooks").mkdir()
        for number, notebook in enumerate(notebooks):
            nbformat.write(notebook, tmp_path / "notebooks" / f"lab{number}.ipynb")
        entries = "\n".join(f"notebooks/lab{number}" for number in range(len(notebooks)))
        page = f"# Title\n\n```{{scoreboard}}\n```\n\n```{{toctree}}\n{entries}\n```\n"
        (tmp_path / "index.md").write_text(page, encoding="utf8")
        command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", ".", "out"]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        if result.returncode != 0:
            return None, result.stderr
        return (tmp_path / "out" / "index.html").read_text(encoding="utf8"), result.stderr

    return run


@pytest.mark.slow
def test_the_page_shows_the_rows_of_all_labs(build):
    page, messages = build(lab(repr(GOOD), "First lab"), lab(repr(GOOD[:1]), "Second lab"))
    assert page is not None, messages
    assert page.count("1,234,567") == 2
    assert page.index("Trained on 1,000 characters") < page.index("Trained on 200 characters")
    assert re.search(r'href="notebooks/lab1\.html"[^>]*><span class="doc">Second lab', page)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("notebooks", "message"),
    [
        ([lab("[{'model': 'x'}]")], "a row has model; give bits"),
        ([new_notebook(cells=[new_markdown_cell("# Lab")])], "no lab glues a row"),
    ],
)
def test_a_wrong_scoreboard_stops_the_build(build, notebooks, message):
    page, messages = build(*notebooks)
    assert page is None
    assert message in messages


def test_the_rows_of_the_labs_can_be_read():
    for path in labs():
        rows = scoreboard.glued_rows(nbformat.read(path, as_version=4))
        names = [(row["model"], row["train_characters"]) for row in rows]
        assert len(set(names)) == len(names), f"{path.name} enters a model twice"


def test_a_field_is_a_table_whose_best_are_bold():
    rows = [
        {"model": m, "characters": n, "bits": b, "parameters": 1200, "seconds": 0.5}
        for m, n, b in (("a", 10, 3.0), ("a", 2000, 2.0), ("b", 10, 4.0), ("b", 2000, 1.0))
    ]
    assert scoreboard.field_table(rows) == [
        "| Model | 10 | 2,000 | Parameters | Seconds |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| b | 4.000 | **1.000** | 1,200 | 0.5 |",
        "| a | **3.000** | 2.000 | 1,200 | 0.5 |",
    ]


def test_names_and_seconds_are_for_readers():
    assert scoreboard.readable("6-gram, modified-kneser-ney") == "6-gram, modified Kneser-Ney"
    assert scoreboard.readable("maximum entropy, order 5") == "maximum entropy, order 5"
    assert scoreboard.readable("mle") == "mle"
    assert [scoreboard.short(x) for x in (0.04, 0.05, 2011.84)] == ["< 0.1", "0.1", "2,011.8"]
