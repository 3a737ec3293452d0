"""A JupyterHub with two students and an instructor, from fetching a set to reading its feedback.

It makes three accounts on the machine and removes them again, so it runs only when told to, as
root, with an environment of its own that holds jupyterhub, configurable-http-proxy, jupyterlab,
nbgrader and what grading needs, at a place that every account may read:

    NLPMETA_HUB=/opt/hub/bin/python .venv/bin/python -m pytest -n 0 tests/coursework/test_hub.py
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
HUB = REPOSITORY / "notebooks" / "coursework" / "hub"
PYTHON = os.environ.get("NLPMETA_HUB")
STUDENTS, TEACHER = ("nlpmeta-ada", "nlpmeta-ben"), "nlpmeta-teacher"
TOKEN = "5" * 32
LOCAL = f"""
load_subconfig({str(HUB / "jupyterhub_config.py")!r})
c = get_config()
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.services = [{{"name": "tester", "api_token": {TOKEN!r}}}]
c.JupyterHub.load_roles = [{{
    "name": "tester", "services": ["tester"],
    "scopes": ["admin:users", "admin:servers", "access:servers"],
}}]
"""

pytestmark = [
    pytest.mark.skipif(not PYTHON, reason="makes accounts and needs a JupyterHub: see the file"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start servers for others"),
]


class Hub:
    """What people do on the hub, through its own HTTP interface."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, content: dict | None = None, method: str = "") -> tuple[int, dict]:
        """Send a request and give the status and what came back."""
        data = None if content is None else json.dumps(content).encode()
        head = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
        method = method or ("GET" if content is None else "POST")
        request = urllib.request.Request(self.url + path, data, head, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                text = reply.read()
                return reply.status, json.loads(text) if text[:1] in b"[{" and text else {}
        except urllib.error.HTTPError as error:
            return error.code, {"said": error.read()[:500].decode(errors="replace")}

    def until(self, path: str, seconds: float, good=lambda status, said: status == 200) -> dict:
        """Ask again until the answer is good."""
        end = time.monotonic() + seconds
        while True:
            try:
                status, said = self.ask(path)
            except OSError as error:
                status, said = 0, {"said": str(error)}
            if good(status, said):
                return said
            assert time.monotonic() < end, (path, status, said)
            time.sleep(0.5)

    def nbgrader(self, who: str, step: str, set_name: str = "tiny") -> dict:
        """Click on a button of the list of assignments, as a student does."""
        content = {"course_id": "nlpmeta", "assignment_id": set_name}
        status, said = self.ask(f"/user/{who}/assignments/{step}", content)
        assert status == 200, (step, said)
        assert said.get("success"), (step, said)
        return said


@pytest.fixture
def place():
    """A folder that every account may enter, and three accounts; all are removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="nlpmeta-hub-", dir="/tmp"))
    folder.chmod(0o755)
    people = (*STUDENTS, TEACHER)
    try:
        for name in people:
            command = ["useradd", "--create-home", "--home-dir", str(folder / name), name]
            subprocess.run([*command, "--shell", "/bin/bash"], check=True)
        yield folder
    finally:
        for name in people:
            subprocess.run(["userdel", name], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def hub(place):
    """The hub, running; and nothing of it afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (place / "hub").mkdir(mode=0o700)
    (place / "hub" / "local.py").write_text(LOCAL)
    url = f"http://127.0.0.1:{port}"
    variables = os.environ | {
        "HUB_URL": url,
        "HUB_PEOPLE": " ".join((*STUDENTS, TEACHER)),
        "NBGRADER_EXCHANGE": str(place / "exchange"),
        "CONFIGPROXY_AUTH_TOKEN": "6" * 32,
    }
    variables.pop("PYTHONPATH", None)
    log = (place / "hub" / "log").open("wb")
    process = subprocess.Popen(
        [PYTHON, "-m", "jupyterhub", "-f", "local.py"],
        cwd=place / "hub", env=variables, stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    try:
        running = Hub(url)
        running.until("/hub/api/", 120)
        yield running
    except BaseException:
        print((place / "hub" / "log").read_text()[-6000:])
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def teach(place: Path, *words: str) -> str:
    """Run a command as the instructor, in the folder of the class."""
    variables = {
        "HOME": str(place / TEACHER),
        "PATH": f"{Path(PYTHON).parent}:/usr/bin:/bin:/usr/sbin",
        "PYTHONPATH": str(REPOSITORY),
        "NBGRADER_EXCHANGE": str(place / "exchange"),
        "JUPYTER_CONFIG_PATH": str(HUB / "shared"),
        "LANG": "C.UTF-8",
    }
    account = pwd.getpwnam(TEACHER)
    done = subprocess.run(
        [PYTHON, "-m", *words], cwd=place / TEACHER / "class", env=variables,
        user=account.pw_uid, group=account.pw_gid, extra_groups=[], capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, (words, done.stdout[-1000:], done.stderr[-3000:])
    return done.stdout + done.stderr


def test_fetch_submit_collect_grade_and_return(place, hub):
    home = place / TEACHER
    shutil.copytree(Path(__file__).parent / "tiny", home / "class")
    for path in (home / "class", *(home / "class").rglob("*")):
        shutil.chown(path, TEACHER, TEACHER)
    there = ["--course-dir", str(home / "class")]
    teach(place, "nlpmeta", "coursework", "release", "tiny", *there)
    teach(place, "nbgrader", "release_assignment", "tiny")
    source = json.loads((home / "class" / "source" / "tiny" / "tiny.ipynb").read_text())
    right = {c["id"]: c["source"] for c in source["cells"] if c["id"].endswith("-solution")}

    for student, tasks in zip(STUDENTS, (("double", "root"), ("root",))):
        status, said = hub.ask(f"/hub/api/users/{student}", {})
        status, said = hub.ask(f"/hub/api/users/{student}/server", {})
        assert status in (201, 202), said
        hub.until(f"/user/{student}/api/status", 120)
        listed = hub.until(f"/user/{student}/assignments?course_id=nlpmeta", 60)
        assert [item["assignment_id"] for item in listed["value"]] == ["tiny"]
        hub.nbgrader(student, "fetch")
        file = f"/user/{student}/api/contents/tiny/tiny.ipynb"
        book = hub.ask(file)[1]["content"]
        for cell in book["cells"]:
            if cell["id"] in {f"{task}-solution" for task in tasks}:
                cell["source"] = right[cell["id"]]
        status, said = hub.ask(file, {"type": "notebook", "content": book}, "PUT")
        assert status == 200, said
        hub.nbgrader(student, "submit")

    inbound = place / "exchange" / "nlpmeta" / "inbound"
    forged = inbound / f"{STUDENTS[0]}+tiny+2099-01-01 00:00:00 UTC+x"
    forged.mkdir()  # in her name, but not from her account
    shutil.chown(forged, STUDENTS[1])
    with pytest.raises(AssertionError, match="not taken"):
        teach(place, "nlpmeta", "coursework", "collect", "tiny", "--from", str(inbound), *there)
    teach(place, "nlpmeta", "coursework", "grade", "tiny", *there)  # in a sandbox, without root
    teach(place, "nlpmeta", "coursework", "report", "tiny", *there)
    teach(place, "nlpmeta", "coursework", "export", "tiny", *there)
    table = (home / "class" / "exported" / "tiny.all.csv").read_text()
    assert f"{STUDENTS[0]},graded,,4.0" in table
    assert f"{STUDENTS[1]},graded,,2.0" in table
    teach(place, "nbgrader", "release_feedback", "tiny")

    for student, says in zip(STUDENTS, ("passed: numbers", "not passed: numbers")):
        hub.nbgrader(student, "fetch_feedback")
        (page,) = (place / student).glob("tiny/feedback/*/tiny.html")
        assert page.owner() == student
        assert says in page.read_text()
        assert "emit(" not in page.read_text()
        for closed in ("gradebook.db", f"submitted/{STUDENTS[0]}/tiny/tiny.ipynb"):
            command = ["test", "-r", str(home / "class" / closed)]
            assert subprocess.run(command, user=student, check=False).returncode == 1
        hub.ask(f"/hub/api/users/{student}/server", method="DELETE")
