"""The command ``python -m nlpmeta fewshot data.csv --text COLUMN --label COLUMN``.

It reads a table or a folder, says what it left out, has :mod:`nlpmeta.fewshot` score every learner,
prints a table with intervals and draws it. Exports :func:`run`, which is the command,
:func:`describe` and :func:`plot`.
"""

from __future__ import annotations

import io
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from nlpmeta import plotting
from nlpmeta.fewshot import ENCODER, MOST, FewShotReport, evaluate_table
from nlpmeta.labeled_text import LeftOut, read
from nlpmeta.tables import from_table

WHY = {
    "malformed": "malformed (too many or too few fields, no JSON object, no .txt file)",
    "undecodable": "not text in this encoding; --encoding names another, such as cp1252 or gb18030",
    "empty": "without text or without label",
    "ambiguous": "whose text stands under more than one label",
    "repeated": "that repeat a text of the same label",
    "rare": "of classes with fewer than k_shot + n_query examples",
}


def describe(report: FewShotReport) -> str:
    """The report as lines of text: a table with intervals, and what the intervals mean.

    Parameters
    ----------
    report : FewShotReport

    Returns
    -------
    str
    """
    way, shot = f"{report.n_way}-way {report.k_shot}-shot", f"{report.n_query} queries a class"
    if report.n_train:
        classes = f"{report.n_train} classes to learn from, {report.n_test} others to be tested on"
        repeats = f"{report.n_splits} draws of the classes, {report.n_episodes} tasks each"
        interval = f"{report.n_splits} draws of the classes"
    else:
        classes, repeats = f"{report.n_test} classes", f"{report.n_episodes} tasks"
        interval = f"{report.n_episodes} tasks; other classes may differ by more"
    width = max(len(row.name) for row in report.rows)
    lines = [f"{way}, {shot}; {classes}; {repeats}", ""]
    lines += [f"{'learner':<{width}}  {'accuracy':>14}  {'to the best':>15}"]
    for row in report.rows:
        behind = str(row.to_best) if row is not report.rows[0] else ""
        lines.append(f"{row.name:<{width}}  {row.score!s:>14}  {behind:>15}".rstrip())
    lines += ["", f"chance is {100 / report.n_way:.1f} %; ± is the 95 % interval over {interval}"]
    if report.n_train == 0 and report.n_test < 3 * report.n_way:
        remedy = f"; --n-way {report.n_test // 3} would do" if report.n_test >= 6 else ""
        lines.append(
            "no prototypical network: to learn from classes and be tested on others it needs three "
            f"times as many as a task has{remedy}"
        )
    return "\n".join(lines)


def plot(report: FewShotReport) -> Figure:
    """Draw the accuracies with their intervals, and chance as a line.

    Parameters
    ----------
    report : FewShotReport

    Returns
    -------
    matplotlib.figure.Figure
        In the style of :mod:`nlpmeta.plotting`; it belongs to no window.
    """
    with mpl.rc_context():
        plotting.style()
        fig = Figure(figsize=(5.5, 1.3 + 0.35 * len(report.rows)))
        FigureCanvasAgg(fig)
        ax = fig.add_subplot()
        places = np.arange(len(report.rows))[::-1]
        means = [100 * row.score.mean for row in report.rows]
        half_widths = [100 * row.score.ci95 for row in report.rows]
        ax.errorbar(means, places, xerr=half_widths, fmt="o", color=plotting.COLORS[0], capsize=3)
        ax.axvline(100 / report.n_way, color=plotting.INK, linestyle="--", linewidth=1)
        ax.annotate("chance", (100 / report.n_way, places[0] + 0.35), xytext=(3, 0),
                    textcoords="offset points", va="center")  # fmt: skip
        ax.set_yticks(places, [row.name for row in report.rows])
        ax.set(xlabel="accuracy, %", ylim=(-0.6, len(report.rows) - 0.3))
        ax.set_title(
            f"{report.n_way}-way {report.k_shot}-shot: {means[0]:.0f} % by the best",
            loc="left",
        )
    return fig


def run(arguments: Namespace) -> int:
    """The command: read, evaluate, print, draw.

    Parameters
    ----------
    arguments : argparse.Namespace
        As the command line parses them.

    Returns
    -------
    int
        0, or 1 after a message on the standard error that says what to mend.
    """
    try:
        _fewshot(arguments)
    except (OSError, ValueError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 1
    return 0


def _fewshot(chosen: Namespace) -> None:
    target = None if chosen.plot is None else _writable(Path(chosen.plot))
    rows = read(chosen.data, chosen.text, chosen.label, chosen.encoding)
    _say(rows.left_out)
    table = from_table(rows.texts, rows.labels, at_least=max(1, chosen.k_shot + chosen.n_query))
    _say(table.left_out)
    print(f"{chosen.data}: {len(table.texts):,} examples of {len(table.data['']):,} classes")
    if max(len(x) for x in table.data[""].values()) > MOST:
        print(f"used: {MOST} examples a class at most, drawn at random")
    report = evaluate_table(
        table,
        _embed(),
        n_way=chosen.n_way,
        k_shot=chosen.k_shot,
        n_query=chosen.n_query,
        n_episodes=chosen.episodes,
        n_splits=chosen.splits,
        steps=chosen.steps,
        seed=chosen.seed,
    )
    print(describe(report))
    if target is not None:
        image = io.BytesIO()
        plot(report).savefig(image, format=target.suffix[1:].lower())
        target.write_bytes(image.getvalue())
        print(f"drawn in {target}")


def _say(left_out: LeftOut) -> None:
    for reason, count in left_out._asdict().items():
        if count:
            print(f"left out: {count:,} {WHY[reason]}", flush=True)


def _embed() -> Callable[[list[str]], Tensor] | None:
    """What makes vectors of texts, or None, after a message, where the encoder is not there."""
    from nlpmeta.pretrained import load_encoder

    try:
        return load_encoder().embed
    except (ImportError, FileNotFoundError, ValueError) as error:
        print(f"without {ENCODER}: {' '.join(str(error).split())}", file=sys.stderr)
        return None


def _writable(path: Path) -> Path:
    """The path, if a figure can be written there."""
    formats = FigureCanvasAgg(Figure()).get_supported_filetypes()
    if path.suffix[1:].lower() not in formats:
        raise ValueError(f"--plot {path}: give a name that ends in .{', .'.join(formats)}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"--plot {path}: there is no folder {path.parent}")
    return path
