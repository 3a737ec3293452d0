"""Growing beyond one machine: one job per submission, and the files for hubs that we cannot run.

The script of the job array runs here, one process after the other; what is written for Kubernetes,
Docker and The Littlest JupyterHub is only read, for mistakes that reading can show.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from traitlets.config import Config

from nlpmeta.__main__ import main
from nlpmeta.coursework.course import Course
from tests.coursework.test_restart import copy, count, handed_in, holdings, run  # noqa: F401

REPOSITORY = Path(__file__).resolve().parents[2]
HUB = REPOSITORY / "notebooks" / "coursework" / "hub"


def job(course: Course, number: int | str, **variables: str) -> subprocess.CompletedProcess:
    """One job of the array."""
    return subprocess.run(
        [str(HUB / "grade-one.sh"), "tiny", str(course.root), str(number)],
        env=os.environ | {"PYTHON": sys.executable, "PYTHONPATH": str(REPOSITORY)} | variables,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_one_job_per_submission_gives_the_gradebook_of_one_machine(handed_in, tmp_path):  # noqa: F811
    whole, parts = copy(handed_in, tmp_path / "whole"), copy(handed_in, tmp_path / "parts")
    run(whole)
    done = [job(parts, number) for number in (0, 1)]
    done += [job(parts, "", SLURM_ARRAY_TASK_ID="2"), job(parts, "", JOB_COMPLETION_INDEX="4")]
    assert [one.returncode for one in done] == [0] * 4, done[-1].stderr
    assert "1 submissions, 0 to look at" in done[0].stdout
    assert sorted(p.stem for p in parts.root.glob("results/tiny/*")) == ["ada", "ben", "cyd", "eve"]
    assert count(parts, "repaired/*") == 0  # a job leaves the gradebook alone
    ran = {path.stem: path.stat().st_mtime_ns for path in parts.root.glob("results/tiny/*.json")}
    run(parts)  # number 3 never ran: it is graded now
    assert holdings(parts) == holdings(whole)
    for student, time in ran.items():
        assert parts.result("tiny", student).stat().st_mtime_ns == time


def test_a_number_too_large_does_nothing_and_none_is_refused(handed_in, tmp_path):  # noqa: F811
    course = copy(handed_in, tmp_path / "own")
    large, none = job(course, 5), job(course, "")
    assert (large.returncode, count(course, "results/tiny/*")) == (0, 0)
    assert "There are 5 submissions of tiny, so none has number 5." in large.stdout
    assert none.returncode != 0
    assert "give the number" in none.stderr


def test_a_student_who_handed_in_nothing_is_named(handed_in, tmp_path, capsys):  # noqa: F811
    course = copy(handed_in, tmp_path / "own")
    there = ["--course-dir", str(course.root)]
    assert main(["coursework", "grade", "tiny", "--student", "fay", *there]) == 1
    assert "--student is 'fay', who has handed in no tiny" in capsys.readouterr().err


def settings(path: Path) -> Config:
    """The settings that a configuration file in Python makes."""
    config = Config()
    exec(path.read_text(encoding="utf8"), {"get_config": lambda: config})
    return config


def test_what_is_mounted_is_what_nbgrader_is_told(monkeypatch):
    values = yaml.safe_load((HUB / "z2jh-values.yaml").read_text(encoding="utf8"))["singleuser"]
    (mount,) = values["storage"]["extraVolumeMounts"]
    (volume,) = values["storage"]["extraVolumes"]
    assert mount["name"] == volume["name"]
    monkeypatch.setenv("NBGRADER_EXCHANGE", values["extraEnv"]["NBGRADER_EXCHANGE"])
    told = settings(HUB / "shared" / "nbgrader_config.py")
    assert told.Exchange.root == mount["mountPath"]
    shared = Path("/opt/book") / HUB.relative_to(REPOSITORY) / "shared"
    assert values["extraEnv"]["JUPYTER_CONFIG_PATH"] == str(shared)


def test_the_jobs_of_a_cluster_run_the_script_that_is_tested():
    job = yaml.safe_load((HUB / "grade-jobs.yaml").read_text(encoding="utf8"))["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    script, name, folder = container["command"]
    assert REPOSITORY / Path(script).relative_to("/opt/book") == HUB / "grade-one.sh"
    assert os.access(HUB / "grade-one.sh", os.X_OK)
    assert Course.at(None).checks(name)
    assert folder == container["volumeMounts"][0]["mountPath"]
    assert container["volumeMounts"][0]["name"] == pod["volumes"][0]["name"]
    assert (job["completionMode"], pod["restartPolicy"], pod["hostUsers"]) == (
        *("Indexed", "Never", False),
    )
    image = yaml.safe_load((HUB / "z2jh-values.yaml").read_text(encoding="utf8"))["singleuser"]
    assert container["image"] == "{name}:{tag}".format(**image["image"])


def test_the_littlest_hub_gets_the_settings_of_the_hub_that_is_tested(monkeypatch, tmp_path):
    text = (HUB / "tljh_config.py").read_text(encoding="utf8")
    own = tmp_path / "tljh_config.py"
    own.write_text(text.replace("/srv/nbgrader/exchange", str(tmp_path / "exchange")))
    config = Config()
    config.Spawner.environment = {"KEPT": "1"}
    exec(own.read_text(encoding="utf8"), {"get_config": lambda: config})
    environment = config.Spawner.environment
    assert set(environment) == {"KEPT", "JUPYTER_CONFIG_PATH", "NBGRADER_EXCHANGE"}
    assert (tmp_path / "exchange").stat().st_mode & 0o777 == 0o777
    assert environment["JUPYTER_CONFIG_PATH"].endswith(str(HUB.relative_to(REPOSITORY) / "shared"))


@pytest.mark.parametrize(
    "name", ["Dockerfile", "z2jh-values.yaml", "grade-jobs.yaml", "tljh_config.py"]
)
def test_what_was_not_tested_says_so(name):
    assert "Not tested" in (HUB / name).read_text(encoding="utf8").replace("\n# ", " ")


def test_results_are_not_json_of_half_a_job(handed_in, tmp_path):  # noqa: F811
    """Two jobs with one number, as after a restart of a node, leave one whole result."""
    course = copy(handed_in, tmp_path / "twice")
    variables = os.environ | {"PYTHON": sys.executable, "PYTHONPATH": str(REPOSITORY)}
    command = [str(HUB / "grade-one.sh"), "tiny", str(course.root), "0"]
    both = [subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert json.loads(course.result("tiny", "ada").read_bytes())["status"] == "graded"
    assert [path.name for path in course.root.glob("results/tiny/*")] == ["ada.json"]
