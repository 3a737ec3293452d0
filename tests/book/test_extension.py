"""The Sphinx extension of the book: figures and run times come from labs, or the build fails."""

from __future__ import annotations

import base64
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.book.sources import BOOK

pytestmark = pytest.mark.slow

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n not a real picture").decode()
FIGURE = """```{lab-figure} lab.ipynb::fig-rise
:name: fig-rise
:alt: A line that rises from left to right.
The caption.
```"""
CONF = f"""
import sys
sys.path.insert(0, {str(BOOK / "_ext")!r})
extensions = ["myst_nb", "labs", "together"]
myst_enable_extensions = ["dollarmath"]
nb_execution_mode = "off"
numfig = True
"""


def lab():
    """A lab that glues one figure and knows its run time."""
    cell = new_code_cell("show(fig, 'fig-rise')", execution_count=1)
    cell.outputs = [
        new_output(
            "display_data",
            {"image/png": PIXEL},
            metadata={"scrapbook": {"name": "fig-rise", "mime_prefix": ""}},
        )
    ]
    book = new_notebook(cells=[new_markdown_cell("# Lab"), cell])
    book.metadata = nbformat.from_dict(
        {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
            "nlpmeta": {"seconds": 37.6, "slowest_cell": 4.2},
        }
    )
    return book


@pytest.fixture
def build(tmp_path):
    """Build a page of this text beside the lab, warnings as errors; give page and messages."""

    def run(text: str, notebook=None) -> tuple[str | None, str]:
        (tmp_path / "conf.py").write_text(CONF, encoding="utf8")
        toc = "```{toctree}\nnotebooks/lab\n```"
        (tmp_path / "notebooks").mkdir()
        nbformat.write(notebook or lab(), tmp_path / "notebooks" / "lab.ipynb")
        text = text.replace("lab.ipynb", "notebooks/lab.ipynb")
        (tmp_path / "index.md").write_text(f"# Title\n\n{text}\n\n{toc}\n", encoding="utf8")
        command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", ".", "out"]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        if result.returncode != 0:
            return None, result.stderr
        return (tmp_path / "out" / "index.html").read_text(encoding="utf8"), result.stderr

    return run


def test_figure_and_times_are_taken_from_the_lab(build):
    page, messages = build(
        f"{FIGURE}\n\nIt takes {{lab-time}}`lab.ipynb`.\n\n```{{lab-times}}\n```"
    )
    assert page is not None, messages
    assert 'alt="A line that rises from left to right."' in page
    assert 'src="_images/lab-fig-rise.png"' in page
    assert "The caption." in page
    assert "Fig. 1" in page
    assert "It takes 38\u00a0s." in page
    assert "4\u00a0s" in page


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (":alt: A line that rises from left to right.\n", "", "give it an :alt: text"),
        (":name: fig-rise\n", "", "give it a :name: and a caption"),
        ("The caption.\n", "", "give it a :name: and a caption"),
        ("::fig-rise", "::fig-fall", "no figure glued under 'fig-fall'"),
        ("lab.ipynb::", "none.ipynb::", "there is no lab"),
    ],
)
def test_a_wrong_figure_stops_the_build(build, old, new, message):
    assert old in FIGURE
    page, messages = build(FIGURE.replace(old, new))
    assert page is None
    assert message in messages


def test_a_lab_without_a_run_time_stops_the_build(build):
    notebook = lab()
    del notebook.metadata["nlpmeta"]
    page, messages = build("It takes {lab-time}`lab.ipynb`.", notebook)
    assert page is None
    assert "no recorded run time" in messages


def test_a_figure_whose_output_was_removed_stops_the_build(build):
    notebook = lab()
    notebook.cells[1].outputs = []
    page, messages = build(FIGURE, notebook)
    assert page is None
    assert "no figure glued" in messages


def test_numbers_and_formulas_stay_together(build):
    page, messages = build(
        "It is 3.5 ± 0.2 %, or [1.2, 3.4], in 20 ms. Take **5** % of ($x$, $y$) and $n$-grams."
        "\n\nA formula $z$ alone, `1 ± 2` and [ a link](https://example.org)."
    )
    assert page is not None, messages
    assert "3.5\u00a0±\u00a00.2\u00a0%, or [1.2,\u00a03.4], in 20\u00a0ms." in page
    assert '</strong>\u00a0% of <span class="together">(<span' in page
    assert page.count('class="together"') == 3
    assert '1</span> <span class="pre">±</span>' in page
