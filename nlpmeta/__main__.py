"""The command line: ``python -m nlpmeta doctor`` says whether this machine can compute the book,
``python -m nlpmeta data`` extracts the corpora, or with ``--download`` fetches the benchmarks, and
``python -m nlpmeta fewshot`` tries few-shot learners on labeled texts of your own, and
``python -m nlpmeta coursework`` releases, collects and grades problem sets.

Versions are read from the installed packages' metadata, and a corpus is imported only when it is
looked at, so that a missing package is a line of the report and not a traceback.
"""

import argparse
import importlib
import os
import re
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from typing import TypeVar

import nlpmeta

CORPORA = ("names", "docs", "docs.lines", "reviews")
BENCHMARKS = ("clinc150", "banking77", "tinyshakespeare", "ud_english_ewt", "intent_splits")
NEEDED_DISK = 200e6  # bytes: the three corpora and the four benchmarks take less than half
NEEDED_MEMORY = 4e9  # bytes: the largest lab
REINSTALL = "run `pip install -r requirements.txt`, which has the versions of the book"

# A line of the report: a mark, what was found, and what to do about it or to know.
Finding = tuple[str, str, str]
Result = TypeVar("Result")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    arguments : list of str, optional
        What stands after ``python -m nlpmeta``; taken from the command line when left out.

    Returns
    -------
    int
        0 if all is well, 1 if something failed, 130 if it was interrupted.
    """
    parser = argparse.ArgumentParser(prog="python -m nlpmeta", description=nlpmeta.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("doctor", help="check versions, machine, corpora and benchmarks")
    data = commands.add_parser("data", help="extract the corpora, or download benchmarks")
    data.add_argument(
        "--download",
        metavar="NAME",
        choices=[*BENCHMARKS, "all"],
        help=f"fetch a benchmark instead: {', '.join(BENCHMARKS)} or all",
    )
    _add_fewshot(commands)
    coursework = commands.add_parser("coursework", help="release, collect and grade problem sets")
    if (sys.argv[1:] if arguments is None else arguments)[:1] == ["coursework"]:
        importlib.import_module("nlpmeta.coursework.command").add_arguments(coursework)
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "doctor":
            return doctor()
        if chosen.command == "coursework":
            return importlib.import_module("nlpmeta.coursework.command").run(chosen)
        if chosen.command == "fewshot":
            return importlib.import_module("nlpmeta.fewshot_command").run(chosen)
        if chosen.download:
            return download(BENCHMARKS if chosen.download == "all" else (chosen.download,))
        return extract()
    except KeyboardInterrupt:
        print("\nInterrupted. No half-written file was left behind; run it again.", file=sys.stderr)
        return 130


def _add_fewshot(commands: "argparse._SubParsersAction") -> None:
    fewshot = commands.add_parser(
        "fewshot",
        help="try few-shot learners on labeled texts of your own",
        description="Draw tasks from labeled texts, score every learner on them, and print a table "
        "with intervals.",
    )
    fewshot.add_argument("data", help="a .csv, .tsv or .jsonl file, or a folder with a folder of "
                         ".txt files for each class")  # fmt: skip
    fewshot.add_argument("--text", metavar="COLUMN", help="the column with the texts")
    fewshot.add_argument("--label", metavar="COLUMN", help="the column with the classes")
    fewshot.add_argument("--encoding", default="utf-8", help="of the file; utf-8 by default")
    fewshot.add_argument("--plot", metavar="FILE", help="draw the table into a .png, .svg or .pdf")
    for name, value, what in (
        ("n-way", None, "classes of a task; 5, or all if there are fewer"),
        ("k-shot", 5, "examples of a class to learn from"),
        ("n-query", 5, "examples of a class to be tested on"),
        ("episodes", 600, "tasks in all"),
        ("splits", 5, "times that the classes are divided, where they are"),
        ("steps", 200, "steps of meta-training; 0 for none"),
        ("seed", 0, "of everything that is drawn"),
    ):
        what += "" if value is None else f"; {value} by default"
        fewshot.add_argument(f"--{name}", type=int, default=value, metavar="N", help=what)


def doctor() -> int:
    """Print a line for everything the book needs, with a remedy where it is missing.

    Returns
    -------
    int
        1 if a line says ``[fail]``, otherwise 0.
    """
    failures = 0
    for look in (_packages, _machine, _corpora, _encoder, _benchmarks):
        for mark, found, remedy in look():
            print(f"{f'[{mark}]':<7}{found}" + (f"; {remedy}" if remedy else ""), flush=True)
            failures += mark == "fail"
    print(f"{failures} to mend: see [fail]." if failures else "Everything the book needs is here.")
    return 1 if failures else 0


def extract() -> int:
    """Extract all corpora and print their sizes, hashes and seconds.

    Returns
    -------
    int
        1 if a corpus could not be had, otherwise 0.
    """
    failures = 0
    for name in CORPORA:
        start = time.perf_counter()
        try:
            (size, hashed, _), notes = _noting(lambda name=name: _measure(name))
        except Exception as error:  # whatever is wrong with one corpus, try the others
            print(f"{name}: {_one_line(error)}; {REINSTALL}", file=sys.stderr)
            failures += 1
            continue
        seconds = time.perf_counter() - start
        print(f"{name:<10}{size:>8,} records  {seconds:5.1f} s  sha256 {hashed}", flush=True)
        for note in notes:
            print(note, file=sys.stderr)
    return 1 if failures else 0


def download(names: Iterable[str]) -> int:
    """Fetch benchmarks into the cache folder, checking each file's sha256.

    Parameters
    ----------
    names : iterable of str
        Some of ``BENCHMARKS``.

    Returns
    -------
    int
        1 if a file could not be had, otherwise 0.
    """
    failures = 0
    for name in names:
        try:
            benchmarks = importlib.import_module("nlpmeta.corpora.benchmarks")
            for file in benchmarks.SOURCES[name].files:
                print(f"{name}: {benchmarks.fetch(name, file)}", flush=True)
        except (ImportError, RuntimeError) as error:
            print(" ".join(str(error).split()), file=sys.stderr)
            failures += 1
    return 1 if failures else 0


def _packages() -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    too_old = sys.version_info < (3, 11)
    yield "fail" if too_old else "ok", f"Python {python}", "install 3.11 or newer" * too_old
    try:
        wanted = requires("nlpmeta") or []
    except PackageNotFoundError:
        wanted = []
        yield "fail", "nlpmeta is not installed", "run `pip install -e .` beside pyproject.toml"
    else:
        yield "ok", f"nlpmeta {nlpmeta.__version__}", ""
    for requirement in wanted:
        package = re.match(r"[\w.-]+", requirement)[0]
        extra = re.search(r"extra == [\"'](\w+)", requirement)
        try:
            yield "ok", f"{package} {version(package)}", ""
        except PackageNotFoundError:
            if extra:
                remedy = f"for the labs, run `pip install 'nlpmeta[{extra[1]}]'`"
                yield "--", f"{package} is not installed", remedy
            else:
                yield "fail", f"{package} is not installed", f"run `pip install {package}`"


def _machine() -> Iterator[Finding]:
    usable = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
    yield "ok", f"cores: {len(usable(0))}", ""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # no such question on this operating system
        yield "--", "memory: unknown", "the largest lab takes 4 GB"
    else:
        little = memory < NEEDED_MEMORY
        remedy = "the largest lab takes 4 GB; close other programs" if little else ""
        yield "--" if little else "ok", f"memory: {memory / 1e9:.1f} GB", remedy
    try:
        folder = importlib.import_module("nlpmeta.corpora._cache").cache_dir()
    except ImportError as error:
        yield "fail", f"cache folder: {_one_line(error)}", REINSTALL
        return
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    found = f"cache folder: {folder}, {free / 1e9:.1f} GB free"
    if there.is_dir() and os.access(there, os.W_OK) and free >= NEEDED_DISK:
        yield "ok", found, ""
    else:
        yield "fail", found, "set NLPMETA_CACHE to a folder with 0.2 GB that you can write to"


def _corpora() -> Iterator[Finding]:
    for name in CORPORA:
        try:
            (size, found, expected), notes = _noting(lambda name=name: _measure(name))
        except Exception as error:  # a report on what is broken must not break
            yield "fail", f"{name}: {_one_line(error)}", REINSTALL
            continue
        if found == expected:
            yield "ok", f"{name}: {size:,} records, sha256 {found}", "; ".join(notes)
        else:
            what = f"{name}: sha256 {found}, the book has {expected}"
            again = "then delete its file, if it has one, in the cache folder, to extract it anew"
            yield "fail", what, "; ".join([*notes, REINSTALL, again])


def _encoder() -> Iterator[Finding]:
    try:
        found = importlib.import_module("nlpmeta.pretrained").find_encoder()
    except Exception as error:  # missing, damaged, or torch cannot be imported
        yield "fail", f"encoder: {_one_line(error)}", REINSTALL
    else:
        yield "ok", f"encoder: {found}, its weights are the book's", ""


def _benchmarks() -> Iterator[Finding]:
    for name in BENCHMARKS:
        try:
            present = importlib.import_module("nlpmeta.corpora.benchmarks").is_present(name)
        except (ImportError, OSError) as error:
            yield "--", f"{name}: {_one_line(error)}", ""
            continue
        if present:
            yield "ok", f"{name}: present", ""
        else:
            remedy = f"to fetch it, run `python -m nlpmeta data --download {name}`"
            yield "--", f"{name}: not here (no chapter needs it to run)", remedy


def _measure(name: str) -> tuple[int, str, str]:
    """The number of records of a corpus, its hash and the book's."""
    module, _, own = name.partition(".")
    corpus = importlib.import_module(f"nlpmeta.corpora.{module}")
    if own == "lines":
        return len(corpus.lines()), corpus.lines_hash(), corpus.LINES_EXPECTED
    return len(corpus.load()), corpus.content_hash(), corpus.EXPECTED


def _noting(action: Callable[[], Result]) -> tuple[Result, list[str]]:
    """Do something; return its result and, each once, what it warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = action()
    return result, list(dict.fromkeys(str(warning.message) for warning in caught))


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


if __name__ == "__main__":
    sys.exit(main())
