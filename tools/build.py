"""Build the book: corpora, mathematics, pages, checks. ``python -m tools.build`` or `make book`."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools import site
from tools.labs import ENVIRONMENT

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
MATHJAX_FILE = "tex-mml-chtml.js"


def step(message: str) -> None:
    """Say what happens next."""
    print(f"== {message}", flush=True)


def copy_mathjax() -> None:
    """Put MathJax from the installed package beside the pages, so that formulas need no network."""
    target = ROOT / "_extra" / "mathjax"
    if (target / "complete").is_file():
        return
    files = importlib.metadata.files("sphinx-mathjax-offline") or []
    script = next((file for file in files if file.name == MATHJAX_FILE), None)
    if script is None:
        raise SystemExit(
            "Stopped: the package sphinx-mathjax-offline is missing or incomplete.\n"
            "Run: .venv/bin/python -m pip install -r requirements.txt -c constraints.txt"
        )
    source = Path(script.locate()).parent
    shutil.rmtree(target, ignore_errors=True)
    fonts = Path("output", "chtml", "fonts", "woff-v2")
    shutil.copytree(source / fonts, target / fonts)
    shutil.copy(source / MATHJAX_FILE, target)
    (target / "complete").write_text(importlib.metadata.version("sphinx-mathjax-offline"))


def build_pages() -> None:
    """Run Jupyter Book with warnings as errors; end with its own messages if there are any."""
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    command += ["build", ".", "-W", "-n", "--keep-going", "-q"]
    environment = dict(os.environ, **ENVIRONMENT, PYTHONWARNINGS="ignore")
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if result.returncode != 0:
        # Pages that were read are not read again, and their warnings would be gone next time.
        shutil.rmtree(HTML.parent / ".doctrees", ignore_errors=True)
        print(result.stdout[-6000:], result.stderr[-6000:], sep="\n", file=sys.stderr)
        raise SystemExit("Stopped: the book does not build; the warnings above say where.")


def main(arguments: list[str] | None = None) -> int:
    """Build everything and check it; 0 when the site is whole."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages-only", action="store_true", help="leave out corpora and checks")
    options = parser.parse_args(arguments)
    if not options.pages_only:
        step("Corpora: extracting the text that is on this machine")
        if subprocess.run([sys.executable, "-m", "nlpmeta", "data"], cwd=ROOT).returncode != 0:
            raise SystemExit("Stopped: a corpus could not be extracted; see above.")
    step("Pages: building the HTML (a minute or two the first time)")
    copy_mathjax()
    build_pages()
    if not options.pages_only:
        step("Checks: links, anchors, pictures, offline use")
        if problems := site.problems(HTML):
            print("\n".join(problems), file=sys.stderr)
            raise SystemExit(f"Stopped: {len(problems)} faults in the built pages.")
    print(f"The book is ready. Open in a browser:\n  {(HTML / 'index.html').as_uri()}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Interrupted. Run the same command again: it goes on where it stopped.")
