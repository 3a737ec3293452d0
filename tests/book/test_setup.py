"""The two commands stand on files that agree: pins, constraints, targets, the set-up script."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib

import pytest

from tests.book.sources import ROOT

PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[\w.!+]+)")


def pins(text: str) -> dict[str, str]:
    """The pinned versions of a requirements file, by normalized name; anything else is an error."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        match = PIN.fullmatch(line)
        assert match, f"{line!r} is not pinned with =="
        key = re.sub(r"[-_.]+", "-", match["name"]).lower()
        assert key not in found, f"{key} is there twice"
        found[key] = match["version"]
    return found


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf8")


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-test.txt"])
def test_every_requirement_is_pinned_as_the_constraints_say(name):
    constraints = pins(read("constraints.txt"))
    for package, version in pins(read(name)).items():
        assert constraints.get(package) == version, package


def test_the_pins_that_everything_stands_on():
    found = pins(read("requirements.txt"))
    assert found["torch"] == "2.13.0"
    assert found["jupyter-book"].split(".")[0] == "1"
    assert {"jupyterlab", "transformers", "matplotlib"} <= set(found)
    assert not {"torchao"} & set(pins(read("constraints.txt")))


def test_the_package_asks_for_what_is_pinned():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["labs"]]
    pinned = pins(read("constraints.txt"))
    for requirement in wanted:
        name, _, least = requirement.partition(">=")
        version = pinned[re.sub(r"[-_.]+", "-", name).lower()]
        assert [int(part) for part in re.findall(r"\d+", version)[:3]] >= [
            int(part) for part in least.split(".")
        ], requirement


def test_the_constraints_are_what_is_installed():
    command = [sys.executable, "-m", "pip", "list", "--format=freeze", "--exclude-editable"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    installed = pins("\n".join(line for line in listed.splitlines() if "==" in line))
    constraints = pins(read("constraints.txt"))
    assert {
        name: version
        for name, version in installed.items()
        if name in constraints
        and constraints[name] != version.partition("+")[0]  # torch 2.13.0+cpu
    } == {}


def test_the_targets_are_there():
    targets = set(re.findall(r"^([\w-]+):", read("Makefile"), re.MULTILINE))
    assert {
        "help",
        "book",
        "test",
        "lab",
        "labs",
        "setup",
        "setup-tests",
        "format",
        "clean",
    } <= targets
    assert targets - {"help"} <= set(
        re.findall(r"^\.PHONY:(.*)", read("Makefile"), re.M)[0].split()
    )


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("book", ["tools/setup.py", "tools.build"]),
        ("lab", ["tools/setup.py", "jupyterlab notebooks"]),
        ("test", ["tools/setup.py", "tools/setup.py --tests", "tools.test"]),
    ],
)
def test_a_target_runs_what_it_should(target, wanted):
    result = subprocess.run(
        ["make", "--no-print-directory", "-n", target], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    at = [result.stdout.find(text) for text in wanted]
    assert -1 not in at
    assert at == sorted(at)
    assert str(ROOT) not in result.stdout  # relative paths work from folders with spaces


def test_continuous_integration_calls_make_test_and_nothing_more():
    script = ROOT / ".ci" / "run"
    lines = [line for line in read(".ci/run").splitlines() if line and not line.startswith("#")]
    assert lines[-1].split() in (["make", "test"], ["exec", "make", "test"])
    assert [line.split()[0] for line in lines[:-1]] in (["set", "cd"], ["cd", "set"])
    assert script.stat().st_mode & 0o111


def test_the_set_up_script_is_read_by_old_pythons_too():
    ast.parse(read("tools/setup.py"), feature_version=(3, 6))
    imports = re.findall(r"^(?:import|from) (\w+)", read("tools/setup.py"), re.MULTILINE)
    assert set(imports) <= sys.stdlib_module_names


def test_an_unpinned_line_is_found():
    assert pins("A_b==1.2  # why\n\n# x\nc.d==2") == {"a-b": "1.2", "c-d": "2"}
    for line in ("torch", "torch>=2", "torch==2.*", "-r other.txt", "a==1\nA==1"):
        with pytest.raises(AssertionError):
            pins(line)
