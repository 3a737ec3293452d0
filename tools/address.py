"""The repository's address: kept in `_config.yml`, copied from there to wherever it must be text.

Change the address in `_config.yml`, then run ``python -m tools.address``: it replaces the former
address (the one in `CITATION.cff`) in the README, the metadata files and the labs. The tests fail
while the two differ.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent


def repository() -> str:
    """The ``owner/name`` in `_config.yml`, which counts."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))
    return config["repository"]["url"].removeprefix("https://github.com/").rstrip("/")


def stamped() -> list[Path]:
    """The files that hold the address as text."""
    names = ("README.md", "CONTRIBUTING.md", "CITATION.cff", "pyproject.toml", "book/setup.md")
    return [*(ROOT / name for name in names), *sorted((ROOT / "notebooks").rglob("*.ipynb"))]


def former() -> str:
    """The ``owner/name`` that the files hold now."""
    text = (ROOT / "CITATION.cff").read_text(encoding="utf8")
    return re.search(r"repository-code: https://github\.com/([\w.-]+/[\w.-]+)", text).group(1)


def colab_source() -> str:
    """The first cell of every lab: on Colab only, it fetches the book and installs its package."""
    return (
        "# On Colab only: fetch the book and install the package this lab stands on.\n"
        "import sys\n\n"
        'if "google.colab" in sys.modules:\n'
        f"    !git clone -q --depth 1 https://github.com/{repository()} book\n"
        '    %pip install -q "./book[labs]"\n'
        "    %cd -q book/notebooks/foundations"
    )


def main() -> int:
    """Write the address of `_config.yml` into every file that holds the former one."""
    old, new = former(), repository()
    for path in stamped():
        text = path.read_text(encoding="utf8")
        if old != new and old in text:
            path.write_text(text.replace(old, new), encoding="utf8")
            print(f"{path.relative_to(ROOT)}: {old} -> {new}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
