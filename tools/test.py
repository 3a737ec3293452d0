"""Run every test of the book: code, labs, pages, site, wheel. `make test`, `python -m tools.test`.

The steps run in order and the first that fails ends the run with a sentence that helps. The network
is shut off throughout: pytest-socket guards the tests, and `tests/offline` every process that they
start, the kernels of the labs and the build of the book too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from tools.labs import ENVIRONMENT, all_labs

ROOT = Path(__file__).resolve().parent.parent
PYTEST = [
    *("pytest", "--quiet", "-rs", "--numprocesses=2", "--benchmark-disable"),
    *("--allow-hosts=127.0.0.1,::1", "--allow-unix-socket"),
]
LABS = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=180", "--dist=loadfile"]


class Step(NamedTuple):
    """One command, what it is for, and what to do when it fails."""

    title: str
    command: list[str]
    remedy: str
    quick: bool = True  # whether `--quick` runs it
    silent: bool = False  # whether a word on standard error is a failure


class Counts(NamedTuple):
    """How many tests passed, failed and were skipped."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Counts) -> Counts:  # type: ignore[override]
        return Counts(*map(sum, zip(self, other)))

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def steps() -> list[Step]:
    """What `make test` does, in order."""
    labs = [str(path.relative_to(ROOT)) for path in all_labs()]
    return [
        Step(
            "Code: rules",
            ["ruff", "check", "."],
            "Run `make format`; it mends most of this.",
        ),
        Step("Code: format", ["ruff", "format", "--check", "."], "Run `make format`."),
        Step(
            "Corpora: extracting the text that is on this machine",
            ["nlpmeta", "data"],
            "A damaged copy has been made anew by now: if that was it, run the same command again. "
            "Else `.venv/bin/python -m nlpmeta doctor` says what is missing and how to get it.",
            silent=True,
        ),
        Step(
            "Package, labs as committed, pages as written: unit tests, properties, doctests",
            [*PYTEST, "tests", "nlpmeta", "--doctest-modules", "-m", "not site and not slow"],
            "Run the test named above alone: .venv/bin/python -m pytest PATH::TEST",
        ),
        Step(
            f"Labs: running all {len(labs)} a second time and comparing what they print",
            [*PYTEST, *LABS, *labs],
            "Where the new output is right, run the lab again with "
            "`.venv/bin/python -m tools.labs LAB.ipynb` and commit it.",
            quick=False,
        ),
        Step(
            "Book: building and checking it",
            ["tools.build"],
            "The warnings above name the page and the line.",
            quick=False,
        ),
        Step(
            "Site: every page in a browser",
            [*PYTEST, "tests/book", "tests/coursework", "-m", "site"],
            "Open the page from _build/html and look; accessibility faults name their element.",
            quick=False,
        ),
        Step(
            "Wheel and other slow tests",
            [*PYTEST, "tests", "-m", "slow and not site"],
            "Run the test named above alone: .venv/bin/python -m pytest PATH::TEST",
            quick=False,
        ),
    ]


def environment() -> dict[str, str]:
    """One thread, no bars, no network: what the labs were computed with, for every process."""
    paths = [str(ROOT / "tests" / "offline"), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        **ENVIRONMENT,
        "MPLBACKEND": "Agg",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }


def counted(report: Path) -> Counts:
    """The counts in a report that pytest wrote."""
    if not report.is_file():
        return Counts()
    total = Counts()
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        tests, failures, errors, skipped = (
            int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")
        )
        total += Counts(tests - failures - errors - skipped, failures + errors, skipped)
    return total


def run(step: Step, report: Path) -> tuple[bool, Counts]:
    """Run one step; whether it went well, and what it counted."""
    command = [sys.executable, "-m", *step.command]
    variables = environment()
    if step.command[0] == "pytest":
        command += [f"--junitxml={report}"]
        if "site" in step.command:
            variables["NLPMETA_BOOK_IS_BUILT"] = "1"
    stderr = subprocess.PIPE if step.silent else None
    result = subprocess.run(command, cwd=ROOT, env=variables, stderr=stderr, text=True)
    if result.stderr:
        print(result.stderr, end="", file=sys.stderr, flush=True)
    return result.returncode == 0 and not result.stderr, counted(report)


def main(arguments: list[str] | None = None) -> int:
    """Run the steps up to the first that fails; 0 when there is none."""
    parser = argparse.ArgumentParser(description="Run every test of the book.")
    parser.add_argument("--quick", action="store_true", help="leave out labs, site and wheel")
    quick = parser.parse_args(arguments).quick
    chosen = [step for step in steps() if step.quick or not quick]
    start, total, failed = time.monotonic(), Counts(), None
    with tempfile.TemporaryDirectory() as folder:
        for number, step in enumerate(chosen, start=1):
            print(f"\n== {number}/{len(chosen)} {step.title}", flush=True)
            good, counts = run(step, Path(folder) / f"{number}.xml")
            total += counts
            if not good:
                failed = step
                break
    minutes = (time.monotonic() - start) / 60
    if failed:
        print(f"\nStopped at: {failed.title}\n{failed.remedy}", file=sys.stderr, flush=True)
    print(f"\n{minutes:.1f} minutes\n{total}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nInterrupted. Nothing is broken: run the same command again.", file=sys.stderr)
        sys.exit(130)
