"""The finder of typed results and the finder of British spellings find what they should."""

import pytest

from tests.book.results import typed_results
from tests.book.spelling import british


@pytest.mark.parametrize(
    "text",
    [
        "an accuracy of 0.93 on new tasks",
        "It reaches 67.6 % of the names.",
        "It reaches 12% and stops.",
        "It wins by 12 points.",
        "It wins by 12 percent, or by 3 percentage points.",
        "twelve percent of the errors",
        "a 12-point lead",
        "a loss of .93 nats",
        "a loss of 0,93 nats",
        "| ours | 0.93 |",
        "**0.93**",
        "(0.93)",
        "0.62 ± 0.03",
        "between 0.1–0.2",
        "a loss of -1.5",
        "It costs 1.5e-3.",
        "1.7 times as fast",
        "12\\% of them",
        "12\npercent of them",
        "```{note}\nIt reaches 0.93.\n```",
        "````{exercise} ★★ Beat 0.93\n:label: ex-a\n````",
        "```{lab-figure} a.ipynb::fig-a\n:alt: A line.\nIt reaches 0.93.\n```",
        "Python reaches 0.93.",
        "Figure 1 shows 0.93.",
        "a 95% accuracy",
        "$x$ is 0.93 and `y` is known",
    ],
)
def test_a_typed_result_is_found(text):
    assert typed_results(text)


@pytest.mark.parametrize(
    "text",
    [
        "With Python 3.11 or newer.",
        "A rate of $p=0.5$, and $$x = 0.3$$ by hand.",
        "Set `lr=0.1` and run.",
        "It reaches {glue:text}`../lab.ipynb::accuracy:.1f` %.",
        "It reaches {glue:text}`../lab.ipynb::accuracy:.1f` percent.",
        "It takes {lab-time}`../lab.ipynb`.",
        "The text is CC BY 4.0, our data CC0 1.0, the code Apache 2.0.",
        "See Section 3.2 and [there](page-1.5.md).",
        "jupyter-book 1.0.4.post1 and version 2.13",
        "with its 95% confidence interval, or a 95 % interval",
        "{cite}`vaswani2017attention` in 2017",
        "290 languages, 220,000 strings, three points",
        "10 tasks. 5 shots.",
        "```python\nx = 0.93\n```",
        "````{solution} ex-a\n```python\nx = 0.93\n```\n````",
        "```{math}\nx = 0.93\n```",
        "```{lab-figure} a-0.5.ipynb::fig-a\n:alt: A line that ends at 0.93.\nA line.\n```",
        "\\begin{align}\nx = 0.93\n\\end{align}",
        "---\nversion: 0.93\n---\ntext",
        "% a comment on 0.93",
        "<!-- 0.93 -->",
        "https://doi.org/10.1145/0.93",
    ],
)
def test_what_is_no_typed_result_passes(text):
    assert typed_results(text) == []


def test_the_line_is_told():
    assert typed_results("one\ntwo\n\n```python\n0.5\n```\nIt is 0.93.") == ["line 7: 0.93"]


@pytest.mark.parametrize(
    "word",
    [
        *("behaviour", "Colours", "optimise", "optimisation", "generalising", "regularisation"),
        *("labelled", "labelling", "unlabelled", "modelling", "neighbours", "centre", "centred"),
        *("analyse", "analysed", "summarised", "tokeniser", "grey", "artefacts", "licence"),
        *("quantised", "initialised", "recognise", "favourite", "vectorised", "maths"),
    ],
)
def test_a_british_spelling_is_found(word):
    assert british(f"one\nA {word}, here.") == [f"line 2: {word}"]


@pytest.mark.parametrize(
    "text",
    [
        "behavior color optimize optimizer labeled modeling neighbor center analyze analysis",
        "a precise exercise; otherwise, advise a wise promise; raise, rise, noise, comprise",
        "the basis of the hypothesis; an emphasis; a parallel; tokens; program; fulfilled",
        "called pulled filled controlled compelled expelled small",
        "excellent satellite intelligence concise paradise franchise",
    ],
)
def test_american_text_passes(text):
    assert british(text) == []
