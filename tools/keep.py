"""Keep what the runs of a study gave, so that one that was cut off goes on where it was."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def keep(folder: Path, name: str, run: Callable[[], object]) -> Any:
    """What ``run`` gives; if it was kept in the folder under that name before, as it was.

    Parameters
    ----------
    folder : Path
        Made if it is not there. Delete it after a change of what is run.
    name : str
        Of the run. The file takes its letters and digits.
    run : function
        Its result is written as JSON when it ends, so what comes back is what JSON makes of it:
        tuples become lists.

    Raises
    ------
    ValueError
        If the file of that name holds another run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{re.sub('[^a-z0-9]+', '-', name.lower())}.json"
    if not path.exists():
        start = time.process_time()
        found = run()
        seconds = round(time.process_time() - start, 1)
        half = path.with_suffix(".part")
        record = {"name": name, "found": found, "seconds": seconds}
        try:
            half.write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
            half.replace(path)
        finally:
            half.unlink(missing_ok=True)
        print(name, seconds, flush=True)
    record = json.loads(path.read_text(encoding="utf-8"))
    if (kept := record.get("name")) != name:  # a file without a name is of an older script
        raise ValueError(f"{path} holds the run {kept!r}, not {name!r}; rename one or delete it")
    return record["found"]
