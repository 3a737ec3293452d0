"""The table of speeds: how rows are made, printed and displayed, and that the results are whole."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.peers import PAIRS
from tools import bench

ROOT = Path(__file__).resolve().parent.parent


def measured(side: str, seconds: float, quality: float) -> dict:
    """One entry of pytest-benchmark's report."""
    info = {
        "pair": "topics", "side": side, "task": "LDA", "data": "two documents", "peer": "numpy",
        "measure": "perplexity", "why_behind": "It is short.", "quality": quality,
    }  # fmt: skip
    return {"extra_info": info, "stats": {"min": seconds, "rounds": 3}}


def rows(ours: float, theirs: float) -> dict:
    return bench.rows_of(
        [measured("ours", ours, 7.123456789), measured("theirs", theirs, 7.2)], "2026-01-02"
    )


def extension():
    """The directive's module; `book/_ext` is no package."""
    path = ROOT / "book" / "_ext" / "benchmarks.py"
    spec = importlib.util.spec_from_file_location("benchmarks_extension", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_row_holds_both_sides() -> None:
    row = rows(0.5, 2.0)["topics"]
    assert row["ratio"] == 4
    assert (row["ours_seconds"], row["theirs_seconds"]) == (0.5, 2.0)
    assert (row["ours_quality"], row["theirs_quality"]) == (7.1234568, 7.2)
    assert (row["rounds"], row["date"]) == (3, "2026-01-02")


@pytest.mark.parametrize(("ours", "theirs", "behind"), [(1.0, 3.0, False), (3.0, 1.0, True)])
def test_what_is_behind_is_called_so(ours: float, theirs: float, behind: bool) -> None:
    found = rows(ours, theirs)
    printed = "\n".join(bench.table(list(found.values())))
    shown = "\n".join(extension().lines_of({"machine": bench.machine(), "pairs": found}))
    for text in (printed, shown):
        assert ("(behind)" in text) == behind
    assert ("It is short." in shown) == behind
    assert "| LDA | two documents |" in shown


def test_durations_are_readable() -> None:
    seconds = extension().seconds
    assert [seconds(v) for v in (0.000123, 0.5, 12.345)] == ["0.123 ms", "500 ms", "12.3 s"]


def test_ratios_are_readable() -> None:
    ratio = extension().ratio
    assert [ratio(v) for v in (0.8221, 2.0, 156.2, 6583.0)] == ["0.822", "2", "156", "6,580"]
    assert [extension().judged(v) for v in (4.636861, -1901760.4)] == ["4.63686", "-1,901,760"]


def test_the_committed_results_are_those_of_the_pairs() -> None:
    if not bench.RESULTS.is_file():
        pytest.skip("no results yet: `python -m tools.bench` writes tests/benchmarks/results.json")
    results = json.loads(bench.RESULTS.read_text(encoding="utf8"))
    assert list(results["pairs"]) == list(PAIRS)
    for row in results["pairs"].values():
        assert row["ratio"] == pytest.approx(row["theirs_seconds"] / row["ours_seconds"], rel=0.01)
        assert row["why_behind"]
    assert extension().lines_of(results)


@pytest.mark.slow
@pytest.mark.parametrize("present", [True, False])
def test_the_directive_shows_the_results_or_stops_the_build(tmp_path: Path, present: bool) -> None:
    conf = f"import sys\nsys.path.insert(0, {str(ROOT / 'book' / '_ext')!r})\n"
    conf += 'extensions = ["myst_parser", "benchmarks"]\n'
    (tmp_path / "conf.py").write_text(conf, encoding="utf8")
    (tmp_path / "index.md").write_text("# Speed\n\n```{benchmarks}\n```\n", encoding="utf8")
    if present:
        path = tmp_path / "tests" / "benchmarks" / "results.json"
        path.parent.mkdir(parents=True)
        results = {"machine": bench.machine(), "pairs": rows(3.0, 1.0)}
        path.write_text(json.dumps(results), encoding="utf8")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-b", "html", ".", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if not present:
        assert done.returncode
        assert "run make bench" in done.stderr.replace("`", "")
        return
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf8")
    assert "<td><p>two documents</p></td>" in page
    assert "0.333 (behind)" in page
    assert "It is short." in page
