"""Take in what students handed in: a folder or a zip from Canvas, Moodle or anywhere, or the
``inbound`` folder of nbgrader's exchange, into ``submitted/<student>/<set>/``.

Only notebooks are taken, and from an exchange what nbgrader needs to return feedback. Links, paths
that lead outside and files that unpack to more than is allowed are left where they are and
reported. Exports ``collect`` and ``student_of``.
"""

from __future__ import annotations

import io
import re
import shutil
import stat
import zipfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path, PurePosixPath

from nlpmeta.corpora._cache import write_atomic
from nlpmeta.coursework.course import Course
from nlpmeta.coursework.repair import LARGEST

MOST_FILES, MOST_BYTES = 20_000, 4_000_000_000
MOODLE = re.compile(r"(?P<who>[^/]+?)_(?P<id>\d+)_assignsubmission_file")
CANVAS = re.compile(r"(?P<who>[a-z0-9]+)(?:_LATE)?_(?P<id>\d+)_\d+_(?P<file>.+)", re.IGNORECASE)
EXCHANGE = re.compile(  # nbgrader names a folder by student, set, time and random letters
    r"(?P<who>.+)\+(?P<set>[^+]+)\+(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?) (?P<zone>\w+)"
    r"(\+[^+]+)?"
)
SECRET = re.compile(rb"[0-9a-f]{16,256}")  # by which a student's own nbgrader finds the feedback
KEPT = {".ipynb", ".json"}


def student_of(path: str) -> str:
    """Who handed in a file, from its path in an archive.

    Examples
    --------
    >>> student_of("Ada Lovelace_1234_assignsubmission_file_/hmm.ipynb")
    'ada-lovelace-1234'
    >>> student_of("lovelaceada_LATE_77_8888_maximum-entropy-1.ipynb")
    'lovelaceada-77'
    >>> student_of("ada/maximum-entropy/maximum-entropy.ipynb"), student_of("ada.ipynb")
    ('ada', 'ada')
    """
    parts = PurePosixPath(path).parts
    for part in parts:
        if found := MOODLE.match(part) or CANVAS.match(part):
            return _plain(f"{found['who']}-{found['id']}")
    return _plain(parts[0] if len(parts) > 1 else PurePosixPath(path).stem)


def _plain(name: str) -> str:
    return re.sub(r"[^\w.@]+", "-", name.lower()).strip("-.") or "unknown"


def collect(course: Course, name: str, origin: Path) -> tuple[list[str], list[str]]:
    """Copy submissions into the course folder.

    A student's later file replaces the earlier one, and a second run brings the same.

    Returns
    -------
    students : list of str
    problems : list of str
        One sentence for everything that was left out.

    Raises
    ------
    ValueError
        If ``origin`` is neither a folder nor a zip file.
    """
    problems: list[str] = []
    if origin.is_dir() and any(EXCHANGE.fullmatch(path.name) for path in origin.iterdir()):
        return _from_exchange(course, name, origin, problems), problems
    if origin.is_dir():
        files = _in_folder(origin, problems)
    elif zipfile.is_zipfile(origin):
        files = _in_zip(zipfile.ZipFile(origin), problems, str(origin.name))
    else:
        raise ValueError(f"{origin} is neither a folder nor a zip file")
    handed: dict[str, dict[str, bytes]] = {}
    for path, content in files:
        student, file = student_of(path), PurePosixPath(path).name
        if found := CANVAS.fullmatch(file):  # Canvas numbers what is handed in again
            file = re.sub(r"-\d+(?=\.\w+$)", "", found["file"])
        handed.setdefault(student, {})[_plain(file)] = content
    for student, contents in sorted(handed.items()):
        _put(course, name, student, contents)
    return sorted(handed), problems


def _put(course: Course, name: str, student: str, contents: dict[str, bytes]) -> None:
    folder = course.root / "submitted" / student / name
    if folder.is_dir():
        shutil.rmtree(folder)
    for file, content in contents.items():
        write_atomic(folder / file, content)


def _from_exchange(course: Course, name: str, inbound: Path, problems: list[str]) -> list[str]:
    """The last submission of every student, if the account that it is named after made it."""
    found = []
    for path in inbound.iterdir():
        about = EXCHANGE.fullmatch(path.name)
        if about and about["set"] == name and path.is_dir() and not path.is_symlink():
            found.append((about["time"], about["who"], path, about["zone"]))
    owners = {path: _owner(path) for _, _, path, _ in found}
    shared = len(set(owners.values())) == 1  # one account for all, as in containers
    latest = {}
    for time, who, path, zone in sorted(found):
        if not shared and owners[path] != who:
            problems.append(f"{path.name}: belongs to the account {owners[path]}, not taken")
        else:
            latest[who] = (time, path, zone)
    students = []
    for who, (time, path, zone) in sorted(latest.items()):
        student = who if re.fullmatch(r"\w[\w.@-]*", who) else _plain(who)
        contents = {_plain(PurePosixPath(f).name): text for f, text in _in_folder(path, problems)}
        secret = path / "submission_secret.txt"
        try:
            datetime.fromisoformat(time)  # nbgrader stops at a time that is none
            contents["timestamp.txt"] = f"{time} {zone}".encode()
            with secret.open("rb") as file:
                if not secret.is_symlink() and SECRET.fullmatch(text := file.read(300)):
                    contents[secret.name] = text
        except (ValueError, OSError) as error:
            problems.append(f"{path.name}: feedback cannot be returned: {str(error)[:100]}")
        _put(course, name, student, contents)
        students.append(student)
    return students


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (KeyError, NotImplementedError):  # an account of another machine; Windows
        return "unknown"


def _in_folder(folder: Path, problems: list[str]) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).as_posix()
        if path.is_symlink() or not path.resolve().is_relative_to(folder.resolve()):
            problems.append(f"{inside}: a link, not taken")
        elif path.is_file() and path.suffix.lower() == ".zip" and zipfile.is_zipfile(path):
            for deeper, content in _in_zip(zipfile.ZipFile(path), problems, inside):
                own = student_of(inside) if MOODLE.search(inside) or CANVAS.search(inside) else ""
                yield (f"{own}/{PurePosixPath(deeper).name}" if own else deeper), content
        elif path.is_file() and path.suffix.lower() in KEPT:
            if path.stat().st_size > LARGEST:
                problems.append(f"{inside}: more than {LARGEST / 1e6:.0f} MB, not taken")
            else:
                yield inside, path.read_bytes()


def _in_zip(
    archive: zipfile.ZipFile, problems: list[str], title: str, depth: int = 0
) -> Iterator[tuple[str, bytes]]:
    members = archive.infolist()
    total = 0
    if len(members) > MOST_FILES:
        problems.append(f"{title}: holds more than {MOST_FILES} files, not taken")
        return
    for member in sorted(members, key=lambda m: m.filename):
        path = PurePosixPath(member.filename.replace("\\", "/"))
        suffix = path.suffix.lower()
        where = f"{title}: {member.filename[:100]!r}"
        if member.is_dir() or "__MACOSX" in path.parts or suffix not in KEPT | {".zip"}:
            continue
        if path.is_absolute() or ".." in path.parts:
            problems.append(f"{where} leads outside, not taken")
        elif stat.S_ISLNK(member.external_attr >> 16):
            problems.append(f"{where} is a link, not taken")
        else:
            try:
                with archive.open(member) as stream:
                    content = stream.read(LARGEST + 1)  # not what the archive says, what there is
            except Exception as error:
                problems.append(f"{where} cannot be unpacked: {str(error)[:100]}")
                continue
            total += len(content)
            if len(content) > LARGEST or total > MOST_BYTES:
                problems.append(f"{where} unpacks to too much, not taken")
            elif suffix != ".zip":
                yield str(path), content
            elif depth == 0 and zipfile.is_zipfile(io.BytesIO(content)):
                inner = zipfile.ZipFile(io.BytesIO(content))
                for deeper, found in _in_zip(inner, problems, where, depth=1):
                    yield f"{student_of(str(path))}/{PurePosixPath(deeper).name}", found
            else:
                problems.append(f"{where} is an archive in an archive, not taken")
