"""One figure style for the whole book, readable on a light and on a dark page.

The page behind a figure may be white or nearly black, so the background is transparent and the
ink a mid gray whose contrast is above 4:1 on both. Lines differ by color *and* by dash, points by
color *and* by marker: the colors are those of Okabe and Ito (2008), chosen to stay distinct for
color-blind readers. Exports :func:`style`, :func:`show`, :func:`band`, :func:`label_line`,
:data:`INK` and :data:`COLORS`.
"""

from __future__ import annotations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

INK = "#7a7a7a"  # contrast 4.3 on white, 4.4 on the dark page
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", INK)
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def style() -> None:
    """Set the book's figure style for this process.

    Figures are 5.5 by 3.4 inches at 150 dots per inch, transparent, in :data:`INK`; the property
    cycle runs through color and dash together.

    Examples
    --------
    >>> style()
    >>> tuple(float(size) for size in mpl.rcParams["figure.figsize"])
    (5.5, 3.4)
    """
    mpl.rcParams.update(
        {
            "figure.figsize": (5.5, 3.4),
            "figure.dpi": 150,
            "savefig.dpi": 150,
            "figure.constrained_layout.use": True,
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "savefig.facecolor": "none",
            "savefig.transparent": True,
            "text.color": INK,
            "axes.labelcolor": INK,
            "axes.edgecolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "axes.titlecolor": INK,
            "axes.titlesize": 10,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": INK,
            "grid.alpha": 0.25,
            "font.size": 9,
            "legend.frameon": False,
            "lines.linewidth": 1.8,
            "lines.markersize": 5,
            "patch.edgecolor": INK,
            "svg.hashsalt": "nlpmeta",
            "axes.prop_cycle": cycler(color=COLORS) + cycler(linestyle=DASHES),
        }
    )


def band(
    ax: Axes, x: ArrayLike, mean: ArrayLike, half_width: ArrayLike, label: str, index: int = 0
) -> None:
    """Draw a line with its interval as a band, in the color, dash and marker number ``index``.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    x, mean, half_width : array-like of float, shape (n,)
        Abscissa, center and half width of the interval, all in the units of the axes.
    label : str
        Name for the legend or for :func:`label_line`.
    index : int
        Which entry of the color, dash and marker cycles to use.
    """
    x, mean, half_width = (np.asarray(a, dtype=float) for a in (x, mean, half_width))
    if not x.shape == mean.shape == half_width.shape:
        raise ValueError(
            f"x, mean and half_width have shapes {x.shape}, {mean.shape}, {half_width.shape}; "
            "give one value of each for every point"
        )
    color, dash = COLORS[index % len(COLORS)], DASHES[index % len(DASHES)]
    marker = MARKERS[index % len(MARKERS)]
    ax.plot(x, mean, color=color, linestyle=dash, marker=marker, label=label)
    ax.fill_between(x, mean - half_width, mean + half_width, color=color, alpha=0.2, linewidth=0)


def label_line(ax: Axes, text: str, x: float, y: float, index: int = 0) -> None:
    """Write a name beside a line, in the line's color, instead of a legend.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    text : str
    x, y : float
        The point, in data coordinates, that the text starts four points to the right of.
    index : int
        The color the line was drawn in.
    """
    ax.annotate(
        text,
        (x, y),
        xytext=(4, 0),
        textcoords="offset points",
        color=COLORS[index % len(COLORS)],
        va="center",
        annotation_clip=False,
    )


def show(fig: Figure, key: str) -> None:
    """Display a figure once, record it under ``key`` for the narrative page, and close it.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
    key : str
        The name the page asks for, beginning with ``fig-``.

    Raises
    ------
    ValueError
        If the key does not begin with ``fig-`` or the figure has no title to state its finding.
    """
    if not key.startswith("fig-"):
        raise ValueError(f"key is {key!r}; a figure's key begins with 'fig-'")
    axes_titles = [ax.get_title(loc) for ax in fig.axes for loc in ("left", "center")]
    if not any(axes_titles) and fig.get_suptitle() == "":
        raise ValueError(f"figure {key!r} has no title; give it one that states what it shows")
    from myst_nb import glue

    glue(key, fig, display=True)
    plt.close(fig)
