"""Read labeled text as people keep it, and count what cannot be used and why.

:func:`read` takes a table (CSV, or JSON Lines) or a folder with a folder for each class;
:func:`clean` leaves out what would spoil an experiment: rows without text or label, the same text
twice (in a support and a query set it gives the answer away), a text with two labels, and classes
with too few examples. :class:`LeftOut` counts, so that nothing disappears in silence.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

DELIMITERS = ",;\t"
_END = "\x00end of the table\x00"  # a row that no table has


class LeftOut(NamedTuple):
    """How many rows were left out, by reason.

    Parameters
    ----------
    malformed : int
        Rows with too many or too few fields, lines that are not a JSON object, files that are not
        ``.txt``.
    undecodable : int
        Rows with bytes that are not text in the given encoding.
    empty : int
        Rows without text or without label.
    ambiguous : int
        Rows whose text stands under more than one label.
    repeated : int
        Rows that say again what a row before them says.
    rare : int
        Rows of classes with too few examples.
    """

    malformed: int = 0
    undecodable: int = 0
    empty: int = 0
    ambiguous: int = 0
    repeated: int = 0
    rare: int = 0


class Rows(NamedTuple):
    """Texts, the label of each, and what is not among them; None stands for a missing value."""

    texts: tuple[str | None, ...]
    labels: tuple[str | None, ...]
    left_out: LeftOut


def read(
    path: str | Path, text: str | None = None, label: str | None = None, encoding: str = "utf-8"
) -> Rows:
    """Read texts and labels from a table or from a folder of text files.

    Parameters
    ----------
    path : str or Path
        A ``.csv`` with a header and commas, semicolons or tabs between the fields, a ``.tsv``, a
        ``.jsonl`` or ``.ndjson`` with an object a line, or a folder in which each folder is a class
        and each ``.txt`` file an example.
    text, label : str, optional
        The columns of a table; a folder has none.
    encoding : str
        A byte order mark at the beginning of a file wins over the default.

    Returns
    -------
    Rows
        Bytes that are not text are kept as lone surrogates, for :func:`clean` to count.

    Raises
    ------
    FileNotFoundError
        If there is nothing at ``path``.
    ValueError
        If it is none of these, a column is missing, or the file as a whole is not readable.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "mail.csv"
    ...     _ = path.write_text("body,kind,kind of day\\nhello,ham,fine\\nwin!,spam,\\n")
    ...     read(path, text="body", label="kind")[:2]
    (('hello', 'win!'), ('ham', 'spam'))
    """
    path = Path(path)
    try:
        " ".encode(encoding)
    except LookupError:
        raise ValueError(
            f"encoding is {encoding!r}, which is unknown; give for instance utf-8, utf-16, cp1252, "
            "gb18030 or shift_jis"
        ) from None
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}; give a .csv or .jsonl file, or a folder")
    readers = {".csv": _csv, ".tsv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines}
    if path.is_dir():
        if text is not None or label is not None:
            raise ValueError(f"{path} is a folder and has no columns; leave out text and label")
        return _folder(path, encoding)
    if path.suffix.lower() not in readers:
        raise ValueError(
            f"{path.name} ends in {path.suffix!r}; give {', '.join(readers)} or a folder "
            "(a spreadsheet can be saved as CSV)"
        )
    if text == label and text is not None:
        raise ValueError(f"text and label are both {text!r}; name two columns")
    content = _decode(path, encoding)
    if not content.strip():
        raise ValueError(f"{path.name} is empty")
    return readers[path.suffix.lower()](path, content, text, label)


def clean(texts: Iterable[object], labels: Iterable[object], at_least: int = 2) -> Rows:
    """Keep each usable text once, with white space evened out, and count the others.

    Two texts are the same if they differ in case, white space or Unicode composition only.

    Parameters
    ----------
    texts : iterable of str, None or NaN
    labels : iterable of anything with a name
        As many; None, NaN and blanks are missing labels.
    at_least : int
        Classes with fewer examples are left out.

    Returns
    -------
    Rows
        In the given order.

    Raises
    ------
    TypeError
        If texts or labels are one string, or a text is neither a string nor missing.
    ValueError
        If there are not as many labels as texts.

    Examples
    --------
    >>> rows = clean(["Hi", "hi ", "Ho", "", "He", "he"], ["a", "a", "a", "a", "a", "b"])
    >>> rows.texts, rows.left_out
    (('Hi', 'Ho'), LeftOut(malformed=0, undecodable=0, empty=1, ambiguous=2, repeated=1, rare=0))
    """
    for name, values in (("texts", texts), ("labels", labels)):
        if isinstance(values, str):
            raise TypeError(f"{name} is the string {values[:30]!r}; give a list of them")
    texts, labels = list(texts), list(labels)
    if len(texts) != len(labels):
        raise ValueError(f"texts has {len(texts)} entries and labels {len(labels)}; give pairs")
    left_out: Counter[str] = Counter()
    usable: list[tuple[str, str, str]] = []  # what is compared, text, label
    for row, (text, label) in enumerate(zip(texts, labels)):
        text, label = _text(text, row), "" if _missing(label) else str(label).strip()
        if any("\ud800" <= c <= "\udfff" for c in text + label):
            left_out["undecodable"] += 1
        elif not text or not label:
            left_out["empty"] += 1
        else:
            usable.append((text.casefold(), text, label))
    labels_of: dict[str, set[str]] = {}
    for key, _, label in usable:
        labels_of.setdefault(key, set()).add(label)
    kept: dict[str, tuple[str, str]] = {}
    for key, text, label in usable:
        if len(labels_of[key]) > 1:
            left_out["ambiguous"] += 1
        elif key in kept:
            left_out["repeated"] += 1
        else:
            kept[key] = text, label
    sizes = Counter(label for _, label in kept.values())
    pairs = [(text, label) for text, label in kept.values() if sizes[label] >= at_least]
    left_out["rare"] = len(kept) - len(pairs)
    return Rows(tuple(t for t, _ in pairs), tuple(l for _, l in pairs), LeftOut(**left_out))


def _text(value: object, row: int) -> str:
    if _missing(value):
        return ""
    if not isinstance(value, str):
        raise TypeError(f"texts has {value!r} of type {type(value).__name__} at {row}; give str")
    return " ".join(unicodedata.normalize("NFC", value).split())


def _missing(value: object) -> bool:
    pandas = sys.modules.get("pandas")
    is_na = pandas is not None and (value is pandas.NA or value is pandas.NaT)
    return value is None or is_na or (isinstance(value, float) and value != value)


def _decode(path: Path, encoding: str) -> str:
    """The text of a file, with a lone surrogate for each byte that is none."""
    raw = path.read_bytes()
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
        encoding = "utf-16" if utf16 else "utf-8-sig"
    try:
        content = raw.decode(encoding, errors="surrogateescape")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not text in {encoding}: {error.reason}") from None
    if "\x00" in content:
        raise ValueError(
            f"{path.name} has zero bytes, as no text in {encoding} has; it may be in utf-16"
        )
    return content


def _csv(path: Path, content: str, text: str | None, label: str | None) -> Rows:
    header = next(line for line in content.splitlines() if line.strip())
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(DELIMITERS, key=header.count)
    lines = io.StringIO(f"{content.removesuffix(chr(10))}\n{_END}", newline="")
    reader = csv.reader(lines, delimiter=delimiter)
    table, start = [], 0
    try:
        for row in reader:
            table.append(row)
            last, start = start, reader.line_num
    except csv.Error as error:
        raise ValueError(
            f"{path.name}: {error} in the row that begins at line {start + 1}; see its quotes"
        ) from None
    if table.pop() != [_END]:
        raise ValueError(
            f"{path.name}: a quotation mark in the row that begins at line {last + 1} never closes"
        )
    while not table[0]:
        table.pop(0)
    columns, *table = table
    columns = [name.strip() for name in columns]
    text_at, label_at = (
        _place(path, columns, name, which) for name, which in ((text, "text"), (label, "label"))
    )
    good = [row for row in table if len(row) in (0, len(columns))]
    texts = tuple(row[text_at] if row else None for row in good)
    labels = tuple(row[label_at] if row else None for row in good)
    return Rows(texts, labels, LeftOut(malformed=len(table) - len(good)))


def _place(path: Path, columns: Sequence[str], name: str | None, which: str) -> int:
    """Where a column stands."""
    if columns.count(name) != 1:
        fault = "names several columns" if name in columns else "is not a column"
        shown = ", ".join(map(repr, columns[:12])) + (" ..." if len(columns) > 12 else "")
        raise ValueError(f"{path.name}: {which} is {name!r}, which {fault}; there are {shown}")
    return columns.index(name)


def _json_lines(path: Path, content: str, text: str | None, label: str | None) -> Rows:
    objects: list[dict] = []
    malformed = 0
    for line in content.removesuffix("\n").split("\n"):
        try:
            value = json.loads(line) if line.strip() else {}
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            objects.append(value)
        else:
            malformed += 1
    columns = list(dict.fromkeys(key for value in objects for key in value))
    if not columns:
        raise ValueError(f"{path.name}: no line is a JSON object; write one object a line")
    for name, which in ((text, "text"), (label, "label")):
        _place(path, columns, name, which)
    texts, labels = [], []
    for value in objects:
        pair = value.get(text), value.get(label)
        if any(isinstance(item, dict | list) for item in pair):
            malformed += 1
            continue
        for item, column in zip(pair, (texts, labels)):
            column.append(item if isinstance(item, str) or _missing(item) else json.dumps(item))
    return Rows(tuple(texts), tuple(labels), LeftOut(malformed=malformed))


def _folder(path: Path, encoding: str) -> Rows:
    texts, labels, malformed, undecodable = [], [], 0, 0
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise ValueError(f"{path} has no folders; put the text files of each class into one")
    for folder in folders:
        for file in sorted(folder.iterdir()):
            if file.name.startswith("."):
                continue
            if file.suffix.lower() != ".txt" or not file.is_file():
                malformed += 1
                continue
            try:
                texts.append(_decode(file, encoding))
                labels.append(folder.name)
            except ValueError:
                undecodable += 1
    if not texts:
        raise ValueError(f"{path}: no folder in it has a .txt file that is text")
    return Rows(tuple(texts), tuple(labels), LeftOut(malformed, undecodable))
