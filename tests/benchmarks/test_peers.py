"""Every pair reaches the same quality on both sides; `make bench` also times them.

A timed run takes the full data. Without timing (``--benchmark-disable``, as in `make test`) a small
part of them shows that both programs run and agree. No test depends on how long anything took.
"""

from __future__ import annotations

from functools import lru_cache

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.benchmarks.peers import PAIRS, Pair

QUALITY: dict[tuple[str, str], float] = {}


@lru_cache(maxsize=1)
def pair_of(name: str, full: bool) -> Pair:
    """The pair, whose data are kept for its other side."""
    return PAIRS[name](full)


def quality(name: str, pair: Pair, side: str) -> float:
    """How good a side is; it runs if it has not run in this process."""
    if (name, side) not in QUALITY:
        program: object = getattr(pair, side)
        QUALITY[name, side] = program.judge(program.run())
    return QUALITY[name, side]


@pytest.mark.filterwarnings("ignore:pkg_resources|deprecated")
@pytest.mark.parametrize("side", ["ours", "theirs"])
@pytest.mark.parametrize("name", PAIRS)
def test_equal_quality(benchmark: BenchmarkFixture, name: str, side: str) -> None:
    pair = pair_of(name, full=benchmark.enabled)
    program = getattr(pair, side)
    found = benchmark.pedantic(program.run, rounds=pair.rounds)
    QUALITY[name, side] = program.judge(found)
    ours, theirs = (quality(name, pair, s) for s in ("ours", "theirs"))
    benchmark.group = name
    benchmark.extra_info.update(
        pair=name, side=side, task=pair.task, data=pair.data, peer=pair.peer,
        measure=pair.measure, why_behind=pair.why_behind, quality=QUALITY[name, side],
    )  # fmt: skip
    assert ours == pytest.approx(theirs, rel=pair.close)
