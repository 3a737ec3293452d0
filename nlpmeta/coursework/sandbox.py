"""The walls: one process for each submission, inside bubblewrap, with limits.

bubblewrap (Larsson et al.) gives it a file system that holds the Python environment, this package
and the corpora, read-only, and an empty temporary folder; no network; and a process space of its
own, so that all that it started ends with it. Time, memory, processes and output are watched from
outside. Exports ``Sandbox``, ``Limits``, ``Ended`` and ``why_not``.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import platformdirs
import psutil

from nlpmeta.corpora._cache import cache_dir

PACKAGE = Path(__file__).resolve().parents[1]
LIBRARY, DATA = "/sandbox/library", "/sandbox/data"
FONTS = Path(platformdirs.user_cache_dir("matplotlib"))
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
SETTINGS = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts", "/etc/localtime")
GRACE = 3.0  # seconds between the alarm in a cell and the end of its process
LOOK = 0.1  # seconds between two looks at memory and processes


class Limits(NamedTuple):
    """What a submission may use."""

    total: float = 300.0  # seconds for all its cells
    cell: float = 60.0  # seconds for one
    memory: int = 3_000_000_000  # bytes, of all its processes together
    processes: int = 64
    output: int = 16_000_000  # bytes that it may send out
    files: int = 200_000_000  # bytes of one file, and of its temporary folder

    def of_a_process(self) -> dict[str, int]:
        """What the system itself holds every process of the sandbox to."""
        return {
            "RLIMIT_CORE": 0,
            "RLIMIT_FSIZE": self.files,
            "RLIMIT_NPROC": self.processes * 4,
            "RLIMIT_NOFILE": 512,
            "RLIMIT_CPU": int(self.total) + 5,
            "RLIMIT_AS": self.memory + 8_000_000_000,  # libraries reserve far more than they use
        }


class Ended(Exception):
    """The process in the sandbox is gone: ``why`` is time, memory, processes, output or exit."""

    def __init__(self, why: str, said: str) -> None:
        super().__init__(said)
        self.why = why


@cache
def why_not() -> str | None:
    """What keeps bubblewrap from working on this machine, in one sentence; None if it works."""
    if not shutil.which("bwrap"):
        return "bubblewrap is not installed (on Debian and Ubuntu: apt install bubblewrap)"
    command = [*_walls(Limits()), "--", sys.executable, "-c", "print(1)"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode == 0:
        return None
    return f"bubblewrap cannot make a sandbox here: {tried.stderr.strip()[:200]}"


def _walls(limits: Limits) -> list[str]:
    """The bubblewrap command, up to the program that it runs."""
    command = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]
    command += ["--cap-drop", "ALL", "--hostname", "sandbox"]
    if os.geteuid() == 0:  # inside it is nobody in particular
        command += ["--unshare-user", "--uid", "1000", "--gid", "1000"]
    # First of all, so that it does not hide an environment that lies in the machine's own /tmp.
    command += ["--size", str(limits.files), "--tmpfs", "/tmp", "--dir", "/tmp/work"]
    seen = set()
    for path in (*SYSTEM, *SETTINGS, sys.base_prefix, sys.prefix):
        if os.path.exists(path) and path not in seen:
            seen.add(path)
            if os.path.islink(path) and path in SYSTEM:
                command += ["--symlink", os.readlink(path), path]
            else:
                command += ["--ro-bind", os.path.realpath(path), path]
    command += ["--ro-bind", str(PACKAGE), f"{LIBRARY}/nlpmeta"]
    if cache_dir().is_dir():
        command += ["--ro-bind", str(cache_dir()), DATA]
    command += ["--proc", "/proc", "--dev", "/dev"]
    for fonts in FONTS.glob("fontlist-*.json"):  # or every run looks for fonts, for three seconds
        command += ["--ro-bind", str(fonts), f"/tmp/matplotlib/{fonts.name}"]
    command += ["--remount-ro", "/", "--chdir", "/tmp/work"]
    for name, value in _environment("/tmp").items():
        command += ["--setenv", name, value]
    return command


def _environment(home: str) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": home,
        "LANG": "C.UTF-8",
        "PYTHONPATH": LIBRARY,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "NLPMETA_CACHE": DATA,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": f"{home}/matplotlib",
        "IPYTHONDIR": f"{home}/ipython",
        "HF_HUB_OFFLINE": "1",
        "TQDM_DISABLE": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


class Sandbox:
    """One process for one submission; use it in a ``with``, after which nothing of it is left.

    Parameters
    ----------
    limits : Limits
    trust : bool
        Run without bubblewrap: the code may then read and change whatever this user may.
    """

    def __init__(self, limits: Limits, trust: bool = False) -> None:
        self.limits, self.trust = limits, trust

    def __enter__(self) -> Self:
        program = [sys.executable, str(PACKAGE / "coursework" / "inside.py")]
        if self.trust:
            command, home = program, os.environ.get("TMPDIR", "/tmp")
            variables = _environment(home)
            variables |= {"PYTHONPATH": str(PACKAGE.parent), "NLPMETA_CACHE": str(cache_dir())}
        else:
            program[1] = f"{LIBRARY}/nlpmeta/coursework/inside.py"
            command, variables = [*_walls(self.limits), "--", *program], {"PATH": os.defpath}
        self.process = subprocess.Popen(
            command,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.start, self.sent_out, self.rest = time.monotonic(), 0, b""
        self._send({"limits": self.limits.of_a_process()})
        return self

    def __exit__(self, *_: object) -> None:
        if self.trust:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    def ask(self, order: str, seconds: float | None = None, **details: Any) -> dict[str, Any]:
        """Give an order and wait for the reply to it.

        Raises
        ------
        Ended
            If the process broke a limit or ended by itself.
        """
        ticket = secrets.token_hex(8)
        seconds = seconds or self.limits.cell
        self._send({"order": order, "ticket": ticket, "seconds": seconds, **details})
        deadline = time.monotonic() + seconds + GRACE
        while True:
            line = self._line(deadline)
            try:
                reply = json.loads(line)
            except (ValueError, RecursionError):
                continue  # a cell wrote into our pipe
            if isinstance(reply, dict) and reply.get("ticket") == ticket:
                return reply

    def _send(self, message: dict) -> None:
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise Ended("exit", "the process ended by itself") from None

    def _line(self, deadline: float) -> bytes:
        """The next line that comes out, while the limits are watched."""
        pipe = self.process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            looked = 0.0
            while b"\n" not in self.rest:
                now = time.monotonic()
                if now > min(deadline, self.start + self.limits.total):
                    raise Ended("time", "it ran out of time and did not stop when told to")
                if now - looked > LOOK:
                    looked = now
                    self._look()
                if selector.select(LOOK):
                    part = os.read(pipe.fileno(), 1 << 16)
                    if not part:
                        raise Ended("exit", "the process ended by itself")
                    self.rest += part
                    self.sent_out += len(part)
                    if self.sent_out > self.limits.output:
                        raise Ended("output", "it sent out more than the limit")
        line, self.rest = self.rest.split(b"\n", 1)
        return line

    def _look(self) -> None:
        """Add up the memory and the processes of the sandbox."""
        memory = count = 0
        try:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    memory += child.memory_info().rss
                    count += 1
            if self.trust:
                memory += psutil.Process(self.process.pid).memory_info().rss
        except psutil.Error:
            return
        if count > self.limits.processes:
            raise Ended("processes", f"it started more than {self.limits.processes} processes")
        if memory > self.limits.memory:
            raise Ended("memory", f"it used more than {self.limits.memory / 1e9:.1f} GB")
