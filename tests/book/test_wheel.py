"""The package builds as a wheel that works away from the repository, with its data files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.book.sources import ROOT

pytestmark = pytest.mark.slow

FILES = ("pyproject.toml", "README.md", "LICENSE")


def run(command: list[str], folder: Path, **environment: str) -> str:
    """Run a command; give what it prints, or fail with all that it printed."""
    result = subprocess.run(
        command, cwd=folder, env=dict(os.environ, **environment), capture_output=True, text=True
    )
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy so that the checkout stays clean."""
    source = tmp_path_factory.mktemp("a folder with spaces")
    for name in FILES:
        shutil.copy(ROOT / name, source)
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(ROOT / "nlpmeta", source / "nlpmeta", ignore=ignored)
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist"], source)
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder that holds the installed wheel and nothing else."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--no-compile"]
    run([*pip, "--quiet", "--target", str(target), str(wheel)], target)
    return target


def test_the_wheel_holds_every_module_and_every_data_file(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = [p for p in (ROOT / "nlpmeta").rglob("*.py") if "__pycache__" not in p.parts]
    data = [path for path in (ROOT / "nlpmeta" / "corpora" / "data").iterdir() if path.is_file()]
    wanted = {path.relative_to(ROOT).as_posix() for path in [*sources, *data]}
    assert data
    assert wanted - names == set()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests", "tools", "book"))]


def test_the_corpora_load_away_from_the_repository(installed, tmp_path):
    code = (
        "import nlpmeta; from nlpmeta.corpora import names, reviews; "
        "print(nlpmeta.__file__, len(reviews.load()), len(names.load()), sep='\\n')"
    )
    cache = tmp_path / "cache"
    paths = {"PYTHONPATH": str(installed), "NLPMETA_CACHE": str(cache)}
    file, reviews, names = run([sys.executable, "-c", code], tmp_path, **paths).split()
    assert Path(file).is_relative_to(installed)
    assert int(reviews) >= 420
    assert int(names) >= 100_000
    assert list(cache.iterdir())


def test_the_doctor_finds_nothing_wrong_away_from_the_repository(installed, tmp_path):
    command = [sys.executable, "-m", "nlpmeta", "doctor"]
    said = run(command, tmp_path, PYTHONPATH=str(installed))
    assert "[ok]" in said
    assert "[fail]" not in said
