"""Figures read on both themes and without color, and are not shown before they say something."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from nlpmeta.plotting import COLORS, DASHES, INK, MARKERS, band, label_line, show, style

WHITE, DARK = "#ffffff", "#121212"  # the pages of the two themes


def luminance(color: str) -> float:
    """Relative luminance of a color as WCAG 2 defines it."""
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color))
    return float(np.dot((0.2126, 0.7152, 0.0722), list(linear)))


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colors as WCAG 2 defines it, from 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.fixture(autouse=True)
def closed():
    """Leave no figure and no style behind."""
    with mpl.rc_context():
        yield
    plt.close("all")


@pytest.fixture
def glued(monkeypatch):
    """Catch what is glued."""
    calls = []
    monkeypatch.setattr("myst_nb.glue", lambda key, fig, display: calls.append((key, fig, display)))
    return calls


def test_the_contrast_formula_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#ffffff", "#ffffff") == 1


@pytest.mark.parametrize("page", [WHITE, DARK])
def test_the_ink_reads_on_both_pages(page):
    assert contrast(INK, page) >= 4


@pytest.mark.parametrize("page", [WHITE, DARK])
@pytest.mark.parametrize("color", COLORS)
def test_lines_are_visible_on_both_pages(color, page):
    assert contrast(color, page) >= 2


def test_the_cycles_have_one_entry_each():
    assert len(COLORS) == len(DASHES) == len(MARKERS)
    assert len(set(COLORS)) == len(set(DASHES)) == len(set(MARKERS)) == len(COLORS)


def test_the_style_sets_size_and_cycle_and_no_background():
    style()
    assert tuple(mpl.rcParams["figure.figsize"]) == (5.5, 3.4)
    assert mpl.rcParams["figure.dpi"] == 150
    assert mpl.rcParams["savefig.transparent"]
    cycle = mpl.rcParams["axes.prop_cycle"].by_key()
    assert tuple(cycle["color"]) == COLORS
    assert tuple(cycle["linestyle"]) == DASHES


def test_show_glues_displays_and_closes(glued):
    fig, ax = plt.subplots()
    ax.set_title("It rises", loc="left")
    show(fig, "fig-rise")
    assert glued == [("fig-rise", fig, True)]
    assert not plt.fignum_exists(fig.number)


def test_a_title_over_all_axes_is_a_title(glued):
    fig, _ = plt.subplots(1, 2)
    fig.suptitle("Both rise")
    show(fig, "fig-rise")
    assert len(glued) == 1


@pytest.mark.parametrize("key", ["rise", "", "figure-rise", "Fig-rise"])
def test_show_refuses_a_key_that_is_no_figures(glued, key):
    fig, ax = plt.subplots()
    ax.set_title("It rises")
    with pytest.raises(ValueError, match="begins with 'fig-'"):
        show(fig, key)
    assert glued == []


def test_show_refuses_a_figure_without_a_title(glued):
    fig, _ = plt.subplots()
    with pytest.raises(ValueError, match="has no title"):
        show(fig, "fig-rise")
    assert glued == []


@pytest.mark.parametrize("index", [0, 3, len(COLORS) + 1])
def test_a_band_is_a_line_and_its_interval(index):
    _, ax = plt.subplots()
    band(ax, [0, 1, 2], [1, 2, 3], [0.5, 0.25, 0.125], "ours", index=index)
    (line,) = ax.lines
    (area,) = ax.collections
    assert line.get_label() == "ours"
    assert line.get_color() == COLORS[index % len(COLORS)]
    assert line.get_marker() == MARKERS[index % len(MARKERS)]
    assert line.get_ydata().tolist() == [1, 2, 3]
    heights = area.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (0.5, 3.125)


@pytest.mark.parametrize(
    ("x", "mean", "half"), [([0], [1, 2], [1, 1]), ([0, 1], [1, 2], [1]), ([0, 1], 1, 1)]
)
def test_a_band_refuses_shapes_that_differ(x, mean, half):
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match="one value of each for every point"):
        band(ax, x, mean, half, "ours")


def test_a_label_has_the_color_of_its_line():
    _, ax = plt.subplots()
    label_line(ax, "ours", 1.0, 2.0, index=1)
    (text,) = ax.texts
    assert (text.get_text(), text.get_color(), text.xy) == ("ours", COLORS[1], (1.0, 2.0))
