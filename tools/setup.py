"""Create `.venv` and install everything the book needs; do nothing where that is done already.

Run by the Makefile with whatever Python 3 there is, so this file uses the standard library only
and finds a Python that is new enough by itself. Safe to interrupt and to run again.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST = (3, 11)
CANDIDATES = ("python3.11", "python3.12", "python3.13", "python3.14", "python3", "python")


def stop(problem, remedy):
    """Print one sentence that says what is wrong and one that helps, and end with status 1."""
    print("Stopped: " + problem + "\n" + remedy, file=sys.stderr)
    sys.exit(1)


def new_enough(command):
    """Whether `command` is a Python of version 3.11 or newer that can make environments."""
    test = "import sys, venv, ensurepip; sys.exit(sys.version_info[:2] < %r)" % (OLDEST,)  # noqa: UP031
    try:
        return subprocess.run([command, "-c", test], capture_output=True).returncode == 0
    except OSError:
        return False


def find_python():
    """The Python to build the environment with: the running one if it will do."""
    named = os.environ.get("NLPMETA_PYTHON")
    if named:
        if not new_enough(named):
            stop(
                "NLPMETA_PYTHON names " + named + ", which is not Python 3.11 or newer.",
                "Name another, or unset it.",
            )
        return named
    for command in [sys.executable, *filter(None, map(shutil.which, CANDIDATES))]:
        if new_enough(command):
            return command
    return stop(
        "no Python 3.11 or newer with the venv module was found.",
        "Install one (on Debian and Ubuntu: apt install python3 python3-venv), or name it: "
        "make book NLPMETA_PYTHON=/path/to/python3.12",
    )


def fingerprint(files):
    """A hash of what is to be installed, to see whether it has changed."""
    digest = hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in files))
    return digest.hexdigest() + "\n"


def install(arguments, what):
    """Run pip in the environment."""
    print("Installing " + what, flush=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run(pip + arguments, cwd=ROOT).returncode != 0:
        stop(
            "pip could not install " + what + " (its own message is above).",
            "Check the network and that 4 GB of disk are free, then run the same command again: "
            "it goes on where it stopped.",
        )


def ensure(stamp_name, requirements, what):
    """Install `requirements` unless the stamp says that just these are installed."""
    inputs = [*requirements, "constraints.txt", "pyproject.toml"]
    stamp = VENV / stamp_name
    if stamp.is_file() and stamp.read_text() == fingerprint(inputs):
        return
    stamp.unlink(missing_ok=True)
    arguments = ["--constraint", "constraints.txt"]
    for name in requirements:
        arguments += ["--requirement", name]
    install(arguments, what)
    install(["--no-deps", "--no-build-isolation", "--editable", "."], "the package nlpmeta")
    stamp.write_text(fingerprint(inputs))


def ensure_program(names, package, what, without):
    """In continuous integration, as root on Debian: install a program that tests need."""
    if any(map(shutil.which, names)):
        return
    if os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get"):
        print("Installing " + package + " for " + what, flush=True)
        environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        subprocess.run(["apt-get", "update", "-qq"], env=environment, stdout=subprocess.DEVNULL)
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL)
    else:
        print("No " + package + " found: " + without + " will be skipped")


def main():
    """Set up the environment; with --tests also what the tests need."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", action="store_true", help="also install what the tests need")
    options = parser.parse_args()
    if not PYTHON.exists() or not new_enough(str(PYTHON)):
        python = find_python()
        print("Creating .venv with " + python, flush=True)
        if subprocess.run([python, "-m", "venv", "--clear", str(VENV)]).returncode != 0:
            stop("the virtual environment could not be made.", "Check that the folder is writable.")
    ensure("installed-book", ["requirements.txt"], "the packages of requirements.txt (2 GB)")
    if options.tests:
        ensure("installed-tests", ["requirements-test.txt"], "what the tests need")
        browsers = ("chromium", "chromium-browser", "google-chrome")
        looking = "the tests that look at pages in a browser"
        ensure_program(browsers, "chromium", "the page tests", looking)
        grading = "the tests that run submissions in a sandbox"
        ensure_program(("bwrap",), "bubblewrap", "the grading tests", grading)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        stop("interrupted.", "Run the same command again: it goes on where it stopped.")
