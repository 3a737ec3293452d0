"""A corpus is extracted once, kept as one text file with its sha256, and checked at every reading.

The file opens with one JSON line, the header: which versions the text was extracted from (the
*fingerprint*), how many lines follow and their sha256. A file that fails the check is extracted
again; a file of another fingerprint is replaced. Files appear whole or not at all, because they
are written beside their place and moved there. Exports ``cache_dir``, ``write_atomic``,
``sha256_of``, ``cached_lines`` and ``CorpusWarning``.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import platformdirs


class CorpusWarning(UserWarning):
    """A corpus differs from the book's, or could not be kept in the cache."""


def cache_dir() -> Path:
    """Give the folder where extracted and downloaded text is kept; it need not exist yet.

    It is the environment variable ``NLPMETA_CACHE`` where that is set, and otherwise the user's
    cache folder of this operating system.

    Returns
    -------
    pathlib.Path

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, NLPMETA_CACHE="corpora"):
    ...     cache_dir().name
    'corpora'
    """
    chosen = os.environ.get("NLPMETA_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("nlpmeta"))


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that readers see the old file or the whole new one, never a part.

    The bytes go to a temporary file in the same folder, are flushed to the disk, and the file is
    then moved into place. The temporary file goes away if anything stops the writing.

    Parameters
    ----------
    path : pathlib.Path
        Where the file is to be; its folder is made if missing.
    data : bytes
        The whole content.

    Raises
    ------
    OSError
        If the folder cannot be written to or the disk is full.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomic(Path(folder) / "a.txt", b"whole")
    ...     (Path(folder) / "a.txt").read_bytes()
    b'whole'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:  # an interrupt (Ctrl-C) must not leave a part behind either
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def sha256_of(lines: Iterable[str]) -> str:
    """Compute the sha256 of `lines` as UTF-8 text, a newline after each.

    Parameters
    ----------
    lines : iterable of str

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> sha256_of(["a", "b"])[:12]
    '911169ddaaf1'
    """
    return hashlib.sha256(_content(lines)).hexdigest()


def cached_lines(
    name: str,
    fingerprint: Mapping[str, str],
    extract: Callable[[], Iterable[str]],
    *,
    expected: str,
    book: Mapping[str, str],
) -> list[str]:
    """Return the lines of a corpus from the cache, or extract them and keep them there.

    A damaged file is reported and extracted again. A cache folder that cannot be written costs a
    warning, not the corpus. Lines whose hash differs from the book's cost a warning that says
    which package's version differs.

    Parameters
    ----------
    name : str
        The corpus, which is also the stem of its file ``<name>.txt``.
    fingerprint : mapping from str to str
        What the lines depend on: package names with their installed versions, and under
        ``"extraction"`` the version of the extracting code. Another fingerprint extracts again.
    extract : callable
        Gives the lines when called without arguments; no line contains a newline.
    expected : str
        The sha256 of the lines that the book was computed with.
    book : mapping from str to str
        The package versions that the book was computed with, as in `fingerprint`.

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        If an extracted line contains a newline.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, NLPMETA_CACHE=folder):
    ...     cached_lines("toy", {"toy": "1"}, lambda: ["a", "b"], expected=sha256_of("ab"), book={})
    ['a', 'b']
    """
    path = cache_dir() / f"{name}.txt"
    lines = _read(path, name, dict(fingerprint))
    if lines is None:
        lines = list(extract())
        _keep(path, name, dict(fingerprint), lines)
    if (found := sha256_of(lines)) != expected:
        warnings.warn(_difference(name, fingerprint, book, found), CorpusWarning, stacklevel=3)
    return lines


def _content(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _read(path: Path, name: str, fingerprint: dict[str, str]) -> list[str] | None:
    """Read the lines at `path`; None if there is no file, or not one of this fingerprint."""
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    head, _, content = raw.partition(b"\n")
    try:
        header = json.loads(head)
        if header["sha256"] != hashlib.sha256(content).hexdigest():
            raise ValueError("the content does not have the sha256 of the header")
        if header["fingerprint"] != fingerprint:
            return None
        return content.decode().split("\n")[:-1]
    except (ValueError, KeyError, TypeError):
        warnings.warn(
            f"{name}: the cached file {path} is damaged; extracting it again",
            CorpusWarning,
            stacklevel=4,
        )
        return None


def _keep(path: Path, name: str, fingerprint: dict[str, str], lines: list[str]) -> None:
    """Write the cached file, or say why that was not possible."""
    content = _content(lines)
    if content.count(b"\n") != len(lines):
        raise ValueError(f"{name}: an extracted line contains a newline; escape it (json.dumps)")
    sha256 = hashlib.sha256(content).hexdigest()
    header = {"corpus": name, "fingerprint": fingerprint, "lines": len(lines), "sha256": sha256}
    try:
        write_atomic(path, json.dumps(header, sort_keys=True).encode() + b"\n" + content)
    except OSError as error:
        reason = error.strerror or error
        warnings.warn(
            f"{name}: extracted, but not kept in {path.parent} ({reason}); "
            "set NLPMETA_CACHE to a folder with room that you can write to",
            CorpusWarning,
            stacklevel=4,
        )


def _difference(
    name: str, installed: Mapping[str, str], book: Mapping[str, str], found: str
) -> str:
    """Say in one line why the lines of a corpus are not the book's."""
    changed = [
        f"{package} {installed.get(package, 'nothing')} is installed, "
        f"the book was computed with {version}"
        for package, version in book.items()
        if installed.get(package) != version
    ]
    if changed:
        return f"{name}: {'; '.join(changed)}; numbers may differ"
    return (
        f"{name}: sha256 {found[:12]} is not the book's, with the same package versions; report it"
    )
