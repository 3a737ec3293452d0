"""How many submissions a core grades in a minute: `python -m tools.coursework_speed SET`.

A class of copies of the solutions is graded with one job, the gradebook included. Counted is the
time that the processor spent, so that other work on the machine does not matter much.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
from pathlib import Path

import psutil

from nlpmeta.__main__ import main as command
from nlpmeta.coursework import running
from nlpmeta.coursework.course import Course
from nlpmeta.coursework.sandbox import Sandbox


class Counted(Sandbox):
    """A sandbox that adds up the processor time of what it is about to end."""

    seconds = 0.0

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                Counted.seconds += sum(child.cpu_times()[:2])
        super().__exit__(*error)


def spent() -> float:
    """Seconds of processor time so far: this process, and all that ran in a sandbox."""
    return time.process_time() + Counted.seconds


def measure(name: str, copies: int) -> float:
    """Submissions of a set that one core grades in a minute."""
    with tempfile.TemporaryDirectory() as folder:
        there = ["--course-dir", folder]
        course = Course.at(folder)
        if command(["coursework", "release", name, *there]):
            raise RuntimeError(f"{name} could not be released")
        answers = json.loads(course.notebook("source", name).read_text(encoding="utf8"))["cells"]
        right = {cell["id"]: cell["source"] for cell in answers}
        book = json.loads(course.notebook("release", name).read_text(encoding="utf8"))
        for cell in book["cells"]:
            if cell["id"].endswith(("-solution", "-answer")):
                cell["source"] = right[cell["id"]]
        for number in range(copies):
            path = Path(folder) / "submitted" / f"student{number:03d}" / name / f"{name}.ipynb"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(book), encoding="utf8")
        before = spent()
        if command(["coursework", "grade", name, "--jobs", "1", *there]):
            raise RuntimeError(f"{name} could not be graded")
        return 60 * copies / (spent() - before)


def main() -> None:
    """Measure the sets that are named and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", metavar="SET")
    parser.add_argument("--copies", type=int, default=30)
    options = parser.parse_args()
    running.Sandbox = Counted
    for name in options.sets:
        print(f"{name}: {measure(name, options.copies):.0f} submissions per core-minute")


if __name__ == "__main__":
    main()
