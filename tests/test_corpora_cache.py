"""The cache of extracted corpora: whole files or none, damage seen, nothing lost."""

import errno
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlpmeta.corpora import _cache
from nlpmeta.corpora._cache import CorpusWarning, cached_lines, sha256_of, write_atomic

LINES = ["first line", "zweite Zeile", "第三行", "carriage\rreturn", "", "line\u2028separator"]
line_lists = st.lists(
    st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=20),
    max_size=8,
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NLPMETA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def toy(lines, extract=None, version="1.0"):
    """The toy corpus, as a corpus module would ask for it."""
    fingerprint = {"toy": version, "extraction": "1"}
    extract = extract or (lambda: iter(lines))
    return cached_lines("toy", fingerprint, extract, expected=sha256_of(lines), book=fingerprint)


def never():
    raise AssertionError("extracted again")


def test_cache_dir_follows_the_environment(monkeypatch):
    monkeypatch.setenv("NLPMETA_CACHE", "~/somewhere")
    assert _cache.cache_dir() == Path.home() / "somewhere"
    monkeypatch.setenv("NLPMETA_CACHE", "")
    assert _cache.cache_dir().name == "nlpmeta"


# A connection that another test was refused may be collected in the middle of these.
NO_WARNING = pytest.mark.filterwarnings("error", "ignore:unclosed <socket:ResourceWarning")


@NO_WARNING
def test_second_reading_extracts_nothing(folder):
    assert toy(LINES) == LINES
    assert toy(LINES, never) == LINES
    assert [path.name for path in folder.iterdir()] == ["toy.txt"]


@NO_WARNING
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(lines=line_lists)
def test_lines_come_back_as_they_were(folder, lines):
    (folder / "toy.txt").unlink(missing_ok=True)
    assert toy(lines) == lines
    assert toy(lines, never) == lines


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_damage_gets_through(folder, data):
    toy(LINES)
    raw = (folder / "toy.txt").read_bytes()
    place = data.draw(st.integers(0, len(raw) - 1), "place")
    byte = data.draw(st.integers(0, 255), "byte")
    truncated = data.draw(st.booleans(), "truncated")
    damaged = raw[:place] if truncated else raw[:place] + bytes([byte]) + raw[place + 1 :]
    (folder / "toy.txt").write_bytes(damaged)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CorpusWarning)
        assert toy(LINES) == LINES
        assert toy(LINES, never) == LINES


@pytest.mark.parametrize(
    "damaged",
    [b"", b"not a header\n", b"[]\n", b'{"sha256": 1}\nfirst line\n', b"\xff\xfe\n\xff\n"],
)
def test_damage_is_reported_in_one_line(folder, damaged):
    folder.mkdir()
    (folder / "toy.txt").write_bytes(damaged)
    with pytest.warns(CorpusWarning, match=r"toy: the cached file .*toy\.txt is damaged") as caught:
        assert toy(LINES) == LINES
    assert all("\n" not in str(warning.message) for warning in caught)


@NO_WARNING
def test_an_upgrade_extracts_again(folder):
    toy(["old"], version="1.0")
    assert toy(["new"], version="2.0") == ["new"]
    assert toy(["new"], never, version="2.0") == ["new"]


def test_another_package_version_is_named(folder):
    installed, book = {"babel": "2.19.0", "same": "1"}, {"babel": "2.18.0", "same": "1"}
    with pytest.warns(CorpusWarning) as caught:
        assert cached_lines("toy", installed, lambda: ["a"], expected="b", book=book) == ["a"]
    assert [str(warning.message) for warning in caught] == [
        "toy: babel 2.19.0 is installed, the book was computed with 2.18.0; numbers may differ"
    ]


def test_another_hash_with_the_same_versions_is_reported(folder):
    with pytest.warns(CorpusWarning, match="same package versions"):
        cached_lines("toy", {"a": "1"}, lambda: ["a"], expected="b", book={"a": "1"})


def test_a_line_with_a_newline_is_refused(folder):
    with pytest.raises(ValueError, match="newline"):
        toy(["two\nlines"])
    assert not folder.exists() or not list(folder.iterdir())


def test_a_failing_extraction_leaves_nothing(folder):
    def broken():
        yield "a line"
        raise RuntimeError("broken off")

    with pytest.raises(RuntimeError, match="broken off"):
        toy(LINES, broken)
    assert not folder.exists()


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("module", "function"), [(os, "fsync"), (os, "replace"), (_cache.tempfile, "mkstemp")]
)
def test_a_full_disk_costs_a_warning(folder, monkeypatch, module, function):
    monkeypatch.setattr(module, function, full_disk)
    with pytest.warns(CorpusWarning, match=r"No space left.*set NLPMETA_CACHE"):
        assert toy(LINES) == LINES
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_costs_a_warning(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NLPMETA_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(CorpusWarning, match="set NLPMETA_CACHE"):
        assert toy(LINES) == LINES


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may write everywhere"
)
def test_a_read_only_folder_costs_a_warning(folder):
    folder.mkdir(mode=0o500)
    with pytest.warns(CorpusWarning, match="set NLPMETA_CACHE"):
        assert toy(LINES) == LINES


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, MemoryError])
def test_an_interrupted_writing_leaves_the_old_file(tmp_path, monkeypatch, stop):
    def interrupt(_):
        raise stop

    write_atomic(tmp_path / "a.txt", b"old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(stop):
        write_atomic(tmp_path / "a.txt", b"new" * 1000)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.txt": b"old"}


def test_readers_never_see_a_part(tmp_path):
    whole = [bytes([letter]) * 300_000 for letter in b"AB"]
    path, done = tmp_path / "a.txt", threading.Event()
    write_atomic(path, whole[0])
    seen = []

    def read():
        while not done.is_set():
            seen.append(path.read_bytes() in whole)

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(30):
        write_atomic(path, whole[turn % 2])
    done.set()
    reader.join()
    assert seen
    assert all(seen)


def test_two_processes_at_once(folder):
    code = (
        "from nlpmeta.corpora._cache import cached_lines, sha256_of\n"
        "lines = [f'line {i}' for i in range(50_000)]\n"
        "for turn in range(5):\n"
        "    got = cached_lines('toy', {'turn': str(turn)}, lambda: lines,\n"
        "                       expected=sha256_of(lines), book={})\n"
        "    assert got == lines\n"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    running = [
        subprocess.Popen(command, stderr=subprocess.PIPE, env=dict(os.environ)) for _ in range(3)
    ]
    errors = [process.communicate(timeout=60)[1] for process in running]
    assert errors == [b""] * 3
    assert [path.name for path in folder.iterdir()] == ["toy.txt"]
