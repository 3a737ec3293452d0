"""What all tests share: where data and the built book are, and how hypothesis searches."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
collect_ignore = ["offline"]  # what processes import to have no network; see its text

# As in the labs: one thread, no window, no question to a model hub.
for name, value in {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
    "HF_HUB_OFFLINE": "1",
}.items():
    os.environ.setdefault(name, value)

# The same examples on every machine and every run: a failure in continuous integration is a
# failure here. No deadline: a busy machine is not a fault.
settings.register_profile(
    "book",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("book")


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder with copies of the public benchmarks; skip where there is none."""
    path = Path(os.environ.get("NLPMETA_MIRROR") or ROOT.parent / "shared" / "data")
    if not path.is_dir():
        pytest.skip(f"no copies of the benchmarks in {path.name}; set NLPMETA_MIRROR to test them")
    return path


@pytest.fixture(scope="session")
def html() -> Path:
    """The folder of the built book; skip where it is not built, but never under `make test`."""
    path = ROOT / "_build" / "html"
    if not (path / "book" / "index.html").is_file():
        if "NLPMETA_BOOK_IS_BUILT" in os.environ:
            pytest.fail(f"make test has built the book, but {path.relative_to(ROOT)} is empty")
        pytest.skip("run make book first")
    return path
