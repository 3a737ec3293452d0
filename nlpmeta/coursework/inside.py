"""The program in the sandbox: it runs cells and sends out what they print and emit.

It reads orders from its standard input, one JSON object a line, and answers each with a line on
its standard output. It knows no right answer, so that there is nothing in here to steal; the
cells share its process, so that nothing that it says is to be trusted either. Orders: ``limits``
(once, first), ``run`` (a cell), ``probe`` (a hidden cell with its cases) and ``canary`` (plain
sums and sorts, whose results the other side knows). Nothing outside the standard library and
IPython is imported.
"""

from __future__ import annotations

import builtins
import copy
import io
import json
import os
import re
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
TEXT, PICTURE = 20_000, 400_000  # most characters kept of a cell's text and of one picture
KEPT = ("image/png", "text/plain")  # no HTML and no scripts: they would run where a grader reads


class OutOfTimeError(BaseException):
    """A cell ran out of its seconds. Not an Exception, so that a bare retry does not swallow it."""


class Tape(io.TextIOBase):
    """A standard output or error that keeps the first characters and drops the rest."""

    def __init__(self, name: str, record: list[dict]) -> None:
        self.name, self.record, self.left = name, record, TEXT

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.left > 0 and text:
            last = self.record[-1] if self.record else {}
            if last.get("name") != self.name:
                last = {"output_type": "stream", "name": self.name, "text": ""}
                self.record.append(last)
            last["text"] += text[: self.left]
            self.left -= len(text)
        return len(text)


def limit(limits: dict[str, int]) -> None:
    """Set the limits of this process, which nothing in it can raise again."""
    for name, value in limits.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def make_shell(record: list[dict]) -> Any:
    """IPython's shell, with everything that it shows going to ``record``."""
    from IPython.core.displayhook import DisplayHook
    from IPython.core.displaypub import DisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    def add(kind: str, data: dict) -> None:
        kept = {k: v for k, v in data.items() if k in KEPT and len(v) <= PICTURE}
        if "text/plain" in kept:
            kept["text/plain"] = ANSI.sub("", kept["text/plain"])[:TEXT]
        if len(record) < 50:
            record.append({"output_type": kind, "data": kept, "metadata": {}})

    class Publisher(DisplayPublisher):
        def publish(self, data: dict, *_: Any, **__: Any) -> None:
            add("display_data", data)

    class Hook(DisplayHook):
        def write_output_prompt(self) -> None:
            pass

        def write_format_data(self, format_dict: dict, md_dict: dict | None = None) -> None:
            add("execute_result", format_dict)

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    shell = InteractiveShell.instance(
        config=config, display_pub_class=Publisher, displayhook_class=Hook
    )

    def show(kind: type, value: BaseException, trace: list[str]) -> None:
        lines = [ANSI.sub("", line)[:TEXT] for line in trace][-20:]
        said = ANSI.sub("", str(value))[:2000]
        record.append(
            {"output_type": "error", "ename": kind.__name__, "evalue": said, "traceback": lines}
        )

    shell._showtraceback = show
    return shell


def plain(value: Any) -> Any:
    """A value as JSON has it: arrays and tensors become lists."""
    if hasattr(value, "detach"):
        value = value.detach()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


class Runner:
    """What carries out the orders, one method for each."""

    def __init__(self) -> None:
        self.record: list[dict] = []
        self.tapes = [Tape(name, self.record) for name in ("stdout", "stderr")]
        sys.stdout, sys.stderr = self.tapes
        self.shell = make_shell(self.record)

    def run(self, source: str) -> dict:
        """Run a cell, then give its outputs and in one line what it raised."""
        self.record.clear()
        for tape in self.tapes:
            tape.left = TEXT
        result = self.shell.run_cell(source, store_history=True)
        error = result.error_before_exec or result.error_in_exec
        said = f"{type(error).__name__}: {error}"[:500] if error is not None else None
        return {"outputs": list(self.record), "error": said}

    def probe(self, source: str, cases: dict[str, list[dict]]) -> dict:
        """Run a hidden cell whose ``emit(name, function)`` calls the function on every case."""
        answers: dict[str, list[dict]] = {}

        def emit(name: str, function: Callable[..., Any]) -> None:
            answers[name] = []
            for case in cases.get(name, ()):
                try:
                    answer = {"value": plain(function(**copy.deepcopy(case)))}
                    json.dumps(answer)
                except Exception as error:
                    answer = {"error": f"{type(error).__name__}: {error}"[:300]}
                answers[name].append(answer)

        self.shell.user_ns["emit"] = emit
        return {"answers": answers, "error": self.run(source)["error"]}

    def canary(self, numbers: list[int]) -> dict:
        """Sums and sorts of numbers, and whether a false assert still raises."""
        try:
            assert numbers == [], "canary"
            raised = False
        except AssertionError:
            raised = True
        loud = self.run("assert False")["error"]
        values = [builtins.sum(numbers), builtins.sorted(numbers), builtins.len(numbers)]
        values += [builtins.round(numbers[0] / 7, 6), builtins.abs(-numbers[0]), raised]
        values.append(loud is not None and loud.startswith("AssertionError"))
        if "numpy" in sys.modules:
            np = sys.modules["numpy"]
            a = np.array(numbers, dtype=float)
            values += [float(np.sum(a)), bool(np.allclose(a, a + 1)), float(np.dot(a, a))]
        return {"values": values}


def out_of_time(*_: Any) -> None:
    raise OutOfTimeError("the time for this cell is over")


def main() -> None:
    """Carry out orders until there are no more."""
    orders, replies = os.fdopen(os.dup(0), encoding="utf8"), os.fdopen(os.dup(1), "wb", 0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    me, dump, load = os.getpid(), json.dumps, json.loads
    limit(load(orders.readline())["limits"])
    signal.signal(signal.SIGALRM, out_of_time)
    runner = Runner()
    for line in orders:
        order = load(line)
        signal.setitimer(signal.ITIMER_REAL, order.pop("seconds"))
        ticket, kind = order.pop("ticket"), order.pop("order")
        try:
            reply = getattr(runner, kind)(**order)
        except OutOfTimeError as error:
            reply = {"error": f"OutOfTimeError: {error}", "outputs": list(runner.record)}
        signal.setitimer(signal.ITIMER_REAL, 0)
        if os.getpid() != me:  # a copy of this process that a cell left behind
            os._exit(0)
        replies.write(dump({"ticket": ticket, **reply}).encode() + b"\n")


if __name__ == "__main__":
    main()
