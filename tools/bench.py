"""Time our modules beside the field's implementations: `make bench`, `python -m tools.bench`.

Each pair of ``tests/benchmarks/peers.py`` runs in one process, one thread, our side and the peer's
in turn; the test behind it fails unless both reach the same quality. The shortest of the rounds
counts. Prints one table and writes ``tests/benchmarks/results.json``, which the page Benchmarks
displays. ``python -m tools.bench NAME ...`` runs some pairs only and keeps the other rows.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.peers import PAIRS
from tools.labs import ENVIRONMENT

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests" / "benchmarks"
RESULTS = TESTS / "results.json"


def run(names: list[str]) -> list[dict[str, Any]]:
    """Run the pairs of these names (all if none), and give what pytest-benchmark measured."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            *(sys.executable, "-m", "pytest", str(TESTS), "--quiet", "-p", "no:cacheprovider"),
            *("--benchmark-only", "--benchmark-disable-gc", f"--benchmark-json={report}"),
            *("--benchmark-columns=min", "--benchmark-group-by=group"),
        ]
        if names:
            command += ["-k", " or ".join(f"{name}-" for name in names)]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | ENVIRONMENT, check=False)
        if done.returncode:
            raise SystemExit(
                "bench: a pair failed or does not reach equal quality (see above); nothing written"
            )
        return json.loads(report.read_text(encoding="utf8"))["benchmarks"]


def rows_of(benchmarks: list[dict[str, Any]], date: str) -> dict[str, dict[str, Any]]:
    """One row for each pair: seconds and quality of both sides, and the ratio peer / ours."""
    rows: dict[str, dict[str, Any]] = {}
    for benchmark in benchmarks:
        info = benchmark["extra_info"]
        row = rows.setdefault(info["pair"], {})
        side = info["side"]
        row |= {key: info[key] for key in ("task", "data", "peer", "measure", "why_behind")}
        row[f"{side}_seconds"] = round(benchmark["stats"]["min"], 6)
        row[f"{side}_quality"] = float(f"{info['quality']:.8g}")
        row |= {"rounds": benchmark["stats"]["rounds"], "date": date}
        row["peer_version"] = importlib.metadata.version(info["peer"])
    for row in rows.values():
        row["ratio"] = float(f"{row['theirs_seconds'] / row['ours_seconds']:.3g}")
    return rows


def table(rows: list[dict[str, Any]]) -> list[str]:
    """The lines of the table that is printed."""
    header = ("Task", "Peer", "Ours, s", "Peer, s", "Ratio")
    cells = [
        (
            row["task"],
            f"{row['peer']} {row['peer_version']}",
            f"{row['ours_seconds']:.4f}",
            f"{row['theirs_seconds']:.4f}",
            f"{row['ratio']:.3g}" + (" (behind)" if row["ratio"] < 1 else ""),
        )
        for row in rows
    ]
    widths = [max(len(line[i]) for line in [header, *cells]) for i in range(len(header))]
    lines = []
    for line in [header, *cells]:
        text = [f"{cell:<{w}}" if i < 2 else f"{cell:>{w}}" for i, (cell, w) in
                enumerate(zip(line, widths))]  # fmt: skip
        lines.append("  ".join(text).rstrip())
    return lines


def machine() -> dict[str, Any]:
    """Where the measurement ran."""
    return {
        "cores": os.cpu_count(),
        "threads": int(ENVIRONMENT["OMP_NUM_THREADS"]),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in ("numpy", "scipy")},
    }


def main() -> None:
    """Time, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", help="pairs to run, as in PAIRS of peers.py; else all")
    names = parser.parse_args().names
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    found = rows_of(run(names), today)
    kept = {}
    if names and RESULTS.is_file():
        kept = json.loads(RESULTS.read_text(encoding="utf8"))["pairs"]
    pairs = {name: row for name in PAIRS if (row := (kept | found).get(name))}
    text = json.dumps({"machine": machine(), "pairs": pairs}, indent=1, ensure_ascii=False)
    RESULTS.write_text(text + "\n", encoding="utf8")
    print("\n".join(table(list(pairs.values()))))
    print(f"\nWritten to {RESULTS.relative_to(ROOT)}. Ratio: time of the peer over ours.")


if __name__ == "__main__":
    main()
