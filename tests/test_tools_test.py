"""The runner of the tests: stops at the first failure, counts, and shuts the network off."""

import pytest

from tools import test as runner
from tools.test import Counts, Step, counted

REPORT = """<?xml version="1.0"?><testsuites>
<testsuite name="pytest" errors="1" failures="2" skipped="3" tests="10"/></testsuites>"""


def test_counts_add_up_and_read_well():
    total = Counts(1, 2, 3) + Counts(10, 20, 30)
    assert total == (11, 22, 33)
    assert str(total) == "11 passed, 22 failed, 33 skipped"


def test_a_report_is_counted(tmp_path):
    path = tmp_path / "report.xml"
    assert counted(path) == Counts()
    path.write_text(REPORT)
    assert counted(path) == Counts(passed=4, failed=3, skipped=3)


@pytest.fixture
def chosen(monkeypatch):
    """Make the runner run these steps."""

    def choose(*steps):
        monkeypatch.setattr(runner, "steps", lambda: list(steps))

    return choose


GOOD = Step("good", ["compileall", "-q", "tools/__init__.py"], "none")
BAD = Step("bad", ["no_such_module_here"], "Mend it so.")
SLOW = Step("slow", ["no_such_module_here"], "never", quick=False)


def test_it_stops_at_the_first_failure_and_says_what_helps(chosen, capfd):
    chosen(GOOD, BAD, GOOD)
    assert runner.main([]) == 1
    said = capfd.readouterr()
    assert "== 2/3 bad" in said.out
    assert "== 3/3" not in said.out
    assert "Stopped at: bad\nMend it so." in said.err
    assert said.out.endswith("0 passed, 0 failed, 0 skipped\n")


def test_it_passes_when_every_step_does(chosen, capfd):
    chosen(GOOD, GOOD)
    assert runner.main([]) == 0
    assert "Stopped" not in capfd.readouterr().err


def test_a_warning_fails_a_step_that_must_be_silent(chosen, capfd, tmp_path, monkeypatch):
    (tmp_path / "grumble.py").write_text("import sys; print('damaged', file=sys.stderr)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    chosen(Step("grumble", ["grumble"], "none"))
    assert runner.main([]) == 0
    chosen(Step("grumble", ["grumble"], "none", silent=True))
    assert runner.main([]) == 1
    assert "damaged\n" in capfd.readouterr().err


def test_quick_leaves_out_what_is_slow(chosen, capfd):
    chosen(GOOD, SLOW)
    assert runner.main(["--quick"]) == 0
    assert "== 1/1 good" in capfd.readouterr().out


def test_a_step_of_tests_is_counted(chosen, capfd, tmp_path):
    (tmp_path / "test_two.py").write_text("def test_a(): pass\ndef test_b(): assert False\n")
    tests = ["pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    chosen(Step("tests", tests, "Mend it."))
    assert runner.main([]) == 1
    assert capfd.readouterr().out.endswith("1 passed, 1 failed, 0 skipped\n")


def test_the_network_is_off_in_every_step(chosen, capfd, tmp_path, monkeypatch):
    (tmp_path / "reach.py").write_text("import socket; socket.create_connection(('192.0.2.1', 9))")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    chosen(Step("reach", ["reach"], "none"))
    assert runner.main([]) == 1
    assert "the tests run with the network off" in capfd.readouterr().err


def test_the_real_steps_cover_what_they_must():
    commands = [" ".join(step.command) for step in runner.steps()]
    for wanted in ("ruff check", "ruff format --check", "nlpmeta data", "--doctest-modules"):
        assert any(wanted in command for command in commands), wanted
    for wanted in ("--nbval ", "tools.build", "-m site", "-m slow and not site"):
        assert any(wanted in command for command in commands), wanted
    order = [next(i for i, c in enumerate(commands) if w in c) for w in ("tools.build", "-m site")]
    assert order == sorted(order)
    for command in commands:
        if command.startswith("pytest"):
            assert "--allow-hosts=127.0.0.1,::1" in command
    assert next(step for step in runner.steps() if "data" in step.command).silent
    assert runner.environment()["OMP_NUM_THREADS"] == "1"
