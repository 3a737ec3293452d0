"""The command line: the doctor has a mark and a remedy for everything, and never a traceback."""

import subprocess
import sys
import warnings
from importlib.metadata import PackageNotFoundError

import pytest

from nlpmeta import __main__ as cli
from nlpmeta import pretrained
from nlpmeta.corpora import benchmarks, docs


@pytest.fixture
def well(monkeypatch, tmp_path):
    """A machine on which everything is there, without computing it."""
    monkeypatch.setenv("NLPMETA_CACHE", str(tmp_path / "not" / "yet" / "there"))
    monkeypatch.setattr(cli, "_measure", lambda name: (3, "abc", "abc"))
    monkeypatch.setattr(benchmarks, "is_present", lambda name: True)
    monkeypatch.setattr(pretrained, "find_encoder", lambda: "here")
    monkeypatch.setattr(cli, "requires", lambda _: ["numpy>=2", 'pandas>=2; extra == "labs"'])
    monkeypatch.setattr(cli, "version", lambda package: "9.9")
    return monkeypatch


def report(capsys):
    captured = capsys.readouterr()
    assert "Traceback" not in captured.out + captured.err
    return captured.out


def test_doctor_finds_all_well(well, capsys):
    assert cli.main(["doctor"]) == 0
    *lines, verdict = report(capsys).splitlines()
    assert all(line.startswith(("[ok]   ", "[--]   ")) for line in lines)
    assert verdict == "Everything the book needs is here."
    for found in (
        "Python 3",
        "numpy 9.9",
        "cores",
        "memory",
        "cache folder",
        "names: 3 records",
        "encoder: here",
    ):
        assert any(found in line for line in lines), found


def missing(*packages):
    def version(package):
        if package in packages:
            raise PackageNotFoundError(package)
        return "9.9"

    return version


def test_doctor_misses_a_package(well, capsys):
    well.setattr(cli, "version", missing("numpy", "pandas"))
    assert cli.main(["doctor"]) == 1
    out = report(capsys)
    assert "[fail] numpy is not installed; run `pip install numpy`" in out
    assert "[--]   pandas is not installed; for the labs, run" in out
    assert out.endswith("1 to mend: see [fail].\n")


def test_doctor_without_the_package_s_metadata(well, capsys):
    def unknown(_):
        raise PackageNotFoundError("nlpmeta")

    well.setattr(cli, "requires", unknown)
    assert cli.main(["doctor"]) == 1
    assert "[fail] nlpmeta is not installed; run `pip install" in report(capsys)


def test_doctor_on_an_old_python(well, capsys):
    well.setattr(cli.sys, "version_info", (3, 10, 2, "final", 0))
    assert cli.main(["doctor"]) == 1
    assert "[fail] Python 3.10.2; install 3.11 or newer" in report(capsys)


def test_doctor_sees_another_hash_and_why(well, capsys):
    def measure(name):
        warnings.warn(f"{name}: babel 2.19.0 is installed", stacklevel=2)
        return 3, "abc", "abc" if name == "names" else "def"

    well.setattr(cli, "_measure", measure)
    assert cli.main(["doctor"]) == 1
    out = report(capsys)
    assert "[ok]   names: 3 records, sha256 abc; names: babel 2.19.0 is installed" in out
    assert "[fail] docs: sha256 abc, the book has def; docs: babel 2.19.0 is installed; run" in out


@pytest.mark.parametrize("error", [ImportError("no babel"), OSError("disk"), ValueError("two\nl")])
def test_doctor_survives_a_broken_corpus(well, capsys, error):
    def measure(name):
        raise error

    well.setattr(cli, "_measure", measure)
    assert cli.main(["doctor"]) == 1
    out = report(capsys)
    assert out.count("[fail]") == len(cli.CORPORA) + 1  # and the verdict
    assert f"[fail] names: {type(error).__name__}: " in out
    assert "pip install -r requirements.txt" in out


def test_doctor_on_a_full_disk(well, capsys):
    well.setattr(cli.shutil, "disk_usage", lambda _: cli.shutil._ntuple_diskusage(10, 10, 0))
    assert cli.main(["doctor"]) == 1
    assert "0.0 GB free; set NLPMETA_CACHE to a folder" in report(capsys)


def test_doctor_with_a_file_for_a_folder(well, capsys, tmp_path):
    (tmp_path / "file").write_text("in the way")
    well.setenv("NLPMETA_CACHE", str(tmp_path / "file"))
    assert cli.main(["doctor"]) == 1
    assert "set NLPMETA_CACHE to a folder" in report(capsys)


def test_doctor_does_not_know_the_memory(well, capsys):
    def unknown(_):
        raise ValueError("unrecognized configuration name")

    well.setattr(cli.os, "sysconf", unknown)
    assert cli.main(["doctor"]) == 0
    assert "[--]   memory: unknown" in report(capsys)


@pytest.mark.parametrize(
    "error", [FileNotFoundError("no model"), ValueError("sha256 abc"), ImportError("no torch")]
)
def test_doctor_misses_the_encoder(well, capsys, error):
    def find():
        raise error

    well.setattr(pretrained, "find_encoder", find)
    assert cli.main(["doctor"]) == 1
    out = report(capsys)
    assert f"[fail] encoder: {type(error).__name__}: {error}; run `pip install -r" in out


def test_doctor_tells_how_to_get_a_benchmark(well, capsys):
    well.setattr(benchmarks, "is_present", lambda name: name != "clinc150")
    assert cli.main(["doctor"]) == 0
    out = report(capsys)
    assert "[--]   clinc150: not here" in out
    assert "python -m nlpmeta data --download clinc150" in out
    assert "[ok]   banking77: present" in out


def test_data_prints_size_and_hash(well, capsys):
    assert cli.main(["data"]) == 0
    lines = report(capsys).splitlines()
    assert [line.split()[0] for line in lines] == list(cli.CORPORA)
    assert all("3 records" in line and line.endswith("sha256 abc") for line in lines)


def test_data_goes_on_after_a_broken_corpus(well, capsys):
    def measure(name):
        if name == "docs":
            raise OSError("broken")
        return 3, "abc", "abc"

    well.setattr(cli, "_measure", measure)
    assert cli.main(["data"]) == 1
    captured = capsys.readouterr()
    assert "docs: OSError: broken; run" in captured.err
    assert captured.out.count("records") == len(cli.CORPORA) - 1


def test_the_lines_of_docs_are_measured_apart(monkeypatch):
    """They are extracted with the other corpora, and have a size and a hash of their own."""
    monkeypatch.setattr(docs, "lines", lambda: (1, 2, 3))
    monkeypatch.setattr(docs, "lines_hash", lambda: "abc")
    assert "docs.lines" in cli.CORPORA
    assert cli._measure("docs.lines") == (3, "abc", docs.LINES_EXPECTED)


def test_download_one_and_all(well, capsys):
    well.setattr(benchmarks, "fetch", lambda name, file: f"cache/{name}/{file}")
    assert cli.main(["data", "--download", "banking77"]) == 0
    assert report(capsys).splitlines() == [
        "banking77: cache/banking77/train.csv",
        "banking77: cache/banking77/test.csv",
    ]
    assert cli.main(["data", "--download", "all"]) == 0
    assert {line.split(":")[0] for line in report(capsys).splitlines()} == set(cli.BENCHMARKS)


def test_download_without_a_network(well, capsys):
    def fetch(name, file):
        raise RuntimeError(f"{name}: the download failed.\nSet NLPMETA_MIRROR")

    well.setattr(benchmarks, "fetch", fetch)
    assert cli.main(["data", "--download", "all"]) == 1
    error = capsys.readouterr().err
    assert error.splitlines()[0] == "clinc150: the download failed. Set NLPMETA_MIRROR"
    assert len(error.splitlines()) == len(cli.BENCHMARKS)


def test_command_line_and_module_know_the_same_benchmarks():
    assert list(cli.BENCHMARKS) == list(benchmarks.SOURCES) == list(benchmarks.PARTS)


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["data", "--download"], ["data", "--download", "mnist"]]
)
def test_wrong_arguments(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    assert "usage: python -m nlpmeta" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["doctor", "data"])
def test_interrupt(well, capsys, command):
    def interrupted(name):
        raise KeyboardInterrupt

    well.setattr(cli, "_measure", interrupted)
    assert cli.main([command]) == 130
    assert "Interrupted. No half-written file was left behind" in capsys.readouterr().err


def test_starting_imports_nothing_heavy():
    code = (
        "import sys, nlpmeta.__main__\n"
        "print([m for m in ('numpy', 'torch', 'babel', 'pooch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_run_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "nlpmeta", "--help"], capture_output=True, text=True, check=True
    )
    assert "doctor" in done.stdout
    assert "data" in done.stdout
