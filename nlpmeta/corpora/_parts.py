"""Which part of the docs corpus a module belongs to, and what counts as a copy.

Docstrings are copied between modules, with a name changed here and there. ``mask`` makes such
copies equal; ``deal`` gives whole groups of modules to the training, validation and test parts;
and ``without_leaks`` drops what a held-out part still shares with an earlier one. Exports these,
``group_of``, ``shingles`` and ``PARTS``.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence

PARTS = ("train", "validation", "test")
_CONTAINERS = frozenset({"networkx.algorithms", "pandas.core"})


def group_of(module: str) -> str:
    """Give the group of modules that stays together in one part.

    It is the first two names of the dotted module path, or three where the second is a mere
    container (``networkx.algorithms``, ``pandas.core``).

    Parameters
    ----------
    module : str

    Returns
    -------
    str

    Examples
    --------
    >>> group_of("scipy.linalg._basic"), group_of("pandas.core.frame")
    ('scipy.linalg', 'pandas.core.frame')
    """
    names = module.split(".")
    group = ".".join(names[:2])
    return ".".join(names[:3]) if group in _CONTAINERS else group


def shingles(text: str, n: int = 8) -> list[str]:
    """Give every run of `n` words in a text, in order.

    Parameters
    ----------
    text : str
        Its words are its runs of ASCII letters, digits and ``_``, in small letters.
    n : int
        Words per run.

    Returns
    -------
    list of str
        Empty if the text has fewer than `n` words.

    Examples
    --------
    >>> shingles("The cat sat down.", n=3)
    ['the cat sat', 'cat sat down']
    """
    words = re.findall(r"[a-z0-9_]+", text.casefold())
    return [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]


_NAME = re.compile(r"[A-Z0-9_]|\w[.(=/]\w")


def mask(sentence: str) -> str:
    """Replace every name and number by ``#``, so that copies that differ only in these are equal.

    A name is a word with a capital, a digit or an underscore in it, or a dotted name or a call. The
    capital that opens the sentence does not count.

    Parameters
    ----------
    sentence : str

    Returns
    -------
    str

    Examples
    --------
    >>> mask("Builds a BERT encoder of 12 layers."), mask("Builds a T5 encoder of 6 layers.")
    ('builds a # encoder of # layers', 'builds a # encoder of # layers')
    """
    words = (sentence[0].lower() + sentence[1:]).rstrip(".?!").split(" ")
    masked = ["#" if _NAME.search(word) else word for word in words]
    return " ".join(
        word for word, before in zip(masked, ["", *masked]) if (word, before) != ("#", "#")
    )


def deal(sizes: Mapping[str, int]) -> dict[str, str]:
    """Deal the groups of one library to the parts, in the order of the sha256 of their names.

    A group goes to the test part, else to validation, if that part then holds at most a tenth of
    the library's characters, and otherwise to the training part.

    Parameters
    ----------
    sizes : mapping from str to int
        The characters of each group.

    Returns
    -------
    dict from str to str
        The part of each group.

    Examples
    --------
    >>> deal({"a.b": 80, "a.c": 10, "a.d": 10})
    {'a.b': 'train', 'a.c': 'test', 'a.d': 'validation'}
    """
    room = dict.fromkeys(("test", "validation"), sum(sizes.values()) / 10)
    parts = {}
    for group in sorted(sizes, key=lambda name: hashlib.sha256(name.encode()).digest()):
        parts[group] = next((part for part in room if sizes[group] <= room[part]), "train")
        if parts[group] in room:
            room[parts[group]] -= sizes[group]
    return parts


def without_leaks(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Drop each row of a held-out part that shares eight words in a row with an earlier part.

    Parameters
    ----------
    rows : sequence of tuples of str
        Part, module, section, then one text or two.

    Returns
    -------
    list of tuples of str
        The rows that stay, in their order: all of train, what of validation is not in train, and
        what of test is in neither.
    """
    runs = [shingles(" ".join(row[3:])) for row in rows]
    held_out = {run for row, found in zip(rows, runs) if row[0] != "train" for run in found}
    taken: set[str] = set()
    stays = [False] * len(rows)
    for part in PARTS:
        mine = [i for i, row in enumerate(rows) if row[0] == part]
        for i in mine:
            stays[i] = taken.isdisjoint(runs[i])
        taken.update(run for i in mine if stays[i] for run in runs[i] if run in held_out)
    return [row for i, row in enumerate(rows) if stays[i]]
