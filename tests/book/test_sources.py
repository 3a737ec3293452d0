"""The reader of page sources: blocks, options, running text, labels."""

import textwrap

from tests.book.sources import blocks, labels, prose

PAGE = textwrap.dedent(
    """\
    ---
    title: front 0.1
    ---
    (chapter-x)=
    # Title

    Text with `code 0.2`, $p = 0.3$, {cite}`key0.4` and [a link](page-0.5.md).

    ````{exercise} ★ By hand
    :label: ex-x-hand

    Inside, a ``double ` tick 0.6`` and

    ```python
    x = 0.7
    ```
    Still inside.
    ````

    :::{note}
    ---
    class: c0.8
    ---
    Noted.
    :::

    ```{lab-figure} lab-0.9.ipynb::fig-a
    :name: fig-x
    :alt: A line.
    The caption.
    ```

    $$
    1.1
    $$

    Spread over $1.2 +
    1.3$ two lines. <!-- 1.4 --> https://example.org/1.5
    % comment 1.6
    ```{math}
    :label: eq-x
    1.7
    ```
    Last.
    """
)


def test_prose_keeps_the_text_and_its_line_numbers():
    lines = prose(PAGE).splitlines()
    assert len(lines) == len(PAGE.splitlines())
    for text in ("Inside, a", "Still inside.", "Noted.", "The caption.", "Last."):
        at = next(i for i, line in enumerate(lines) if text in line)
        assert text in PAGE.splitlines()[at]
    assert "★ By hand" in prose(PAGE)
    assert "two lines." in prose(PAGE)


def test_prose_takes_out_everything_else():
    assert not [digit for digit in "0123456789" if digit in prose(PAGE)]


def test_blocks_are_found_inside_blocks():
    found = blocks(PAGE)
    assert [block.name for block in found] == ["exercise", "", "note", "lab-figure", "math"]
    exercise, code, note, figure, math = found
    assert exercise.options == {"label": "ex-x-hand"}
    assert exercise.argument == "★ By hand"
    assert (code.argument, code.body) == ("python", ["x = 0.7"])
    assert PAGE.splitlines()[code.body_line - 1] == "x = 0.7"
    assert PAGE.splitlines()[code.line - 1] == "```python"
    assert note.options == {"class": "c0.8"}
    assert note.body == ["Noted."]
    assert figure.options["alt"] == "A line."
    assert figure.body == ["The caption."]
    assert math.body == ["1.7"]


def test_labels_are_targets_and_names():
    assert labels(PAGE) == {"chapter-x", "ex-x-hand", "fig-x", "eq-x"}


def test_a_removed_piece_does_not_join_its_neighbors():
    assert "5 %" not in prose("5 `x` %")
    assert "5%" not in prose("5`x`%")
