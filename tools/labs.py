"""Run labs from top to bottom, write their outputs and run times, and keep their form uniform.

``python -m tools.labs [LAB.ipynb ...]`` runs the named labs, or all of them. A lab that raises,
writes to standard error or takes longer than its budget is reported and left as it was.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from PIL import Image

from tools.address import colab_source

ROOT = Path(__file__).resolve().parent.parent
LAB_SECONDS, CELL_SECONDS = 90, 45
# One thread per process: results do not depend on the number of cores, and two labs side by side
# do not spin against each other. No bars: they would be recorded as output.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "TQDM_DISABLE": "1",
    "HF_HUB_OFFLINE": "1",
}


def all_labs() -> list[Path]:
    """Every lab of the book, in a fixed order."""
    return sorted(
        path
        for path in (ROOT / "notebooks").rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts and "coursework" not in path.parts
    )


def with_colab_cell(lab: NotebookNode) -> NotebookNode:
    """Put the cell that installs the package on Colab before the first code cell."""
    cells = [c for c in lab.cells if "colab" not in c.metadata.get("tags", [])]
    first = next(i for i, cell in enumerate(cells) if cell.cell_type == "code")
    colab = nbformat.v4.new_code_cell(colab_source())
    colab.metadata["tags"] = ["colab", "nbval-skip", "remove-cell"]
    lab.cells = [*cells[:first], colab, *cells[first:]]
    return lab


def normalized(lab: NotebookNode) -> NotebookNode:
    """Drop what differs from run to run: timings, identifiers, the interpreter's version."""
    lab.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python", "file_extension": ".py"},
            "nlpmeta": dict(lab.metadata.get("nlpmeta", {})),
        }
    )
    for number, cell in enumerate(lab.cells):
        cell["id"] = f"cell-{number:03d}"
        cell.metadata.pop("execution", None)
        cell.metadata.pop("lines_to_next_cell", None)
    lab.nbformat, lab.nbformat_minor = 4, 5
    return lab


def with_smaller_pictures(lab: NotebookNode) -> NotebookNode:
    """Store every figure with 128 colors: a third of the size, no difference to the eye."""
    for cell in lab.cells:
        for output in cell.get("outputs", []):
            if png := output.get("data", {}).get("image/png"):
                picture, small = Image.open(io.BytesIO(base64.b64decode(png))), io.BytesIO()
                picture = picture.convert("RGBA").quantize(128, method=Image.Quantize.FASTOCTREE)
                picture.save(small, "PNG", optimize=True)
                output["data"]["image/png"] = base64.b64encode(small.getvalue()).decode()
    return lab


def run(path: Path) -> list[str]:
    """Run one lab in its folder and write it back; return what is wrong with it."""
    lab = with_colab_cell(nbformat.read(path, as_version=4))
    os.environ.update(ENVIRONMENT)
    start = time.perf_counter()
    try:
        NotebookClient(
            lab,
            timeout=CELL_SECONDS * 4,
            kernel_name="python3",
            resources={"metadata": {"path": str(path.parent)}},
        ).execute()
    except CellExecutionError as error:
        return [f"{path.name}: a cell failed, nothing written\n{error}"]
    seconds = time.perf_counter() - start
    slowest = max(map(cell_seconds, lab.cells))
    problems = [
        f"{path.name}: cell {number} writes to standard error: {output.text[:200]}"
        for number, cell in enumerate(lab.cells)
        for output in cell.get("outputs", [])
        if output.get("name") == "stderr"
    ]
    if seconds > LAB_SECONDS:
        problems.append(f"{path.name}: took {seconds:.0f} s, the budget is {LAB_SECONDS} s")
    if slowest > CELL_SECONDS:
        problems.append(f"{path.name}: a cell took {slowest:.0f} s, at most {CELL_SECONDS} s")
    lab.metadata["nlpmeta"] = {"seconds": round(seconds, 1), "slowest_cell": round(slowest, 1)}
    nbformat.write(normalized(with_smaller_pictures(lab)), path)
    print(f"{path.relative_to(ROOT)}: {seconds:.0f} s, slowest cell {slowest:.0f} s")
    return problems


def cell_seconds(cell: NotebookNode) -> float:
    """Seconds that a cell took, from the time stamps the client recorded."""
    times = cell.metadata.get("execution", {})
    if "iopub.execute_input" not in times or "shell.execute_reply" not in times:
        return 0.0
    begin, end = (time_of_day(times[key]) for key in ("iopub.execute_input", "shell.execute_reply"))
    return (end - begin) % 86400


def time_of_day(stamp: str) -> float:
    """Seconds since midnight of an ISO time stamp."""
    hours, minutes, seconds = stamp.split("T")[1].rstrip("Z").split("+")[0].split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def main(arguments: list[str] | None = None) -> int:
    """Run the labs named on the command line; 0 when all are in order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labs", nargs="*", type=Path, help="labs to run (default: all)")
    labs = [path.resolve() for path in parser.parse_args(arguments).labs] or all_labs()
    problems = [problem for path in labs for problem in run(path)]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
