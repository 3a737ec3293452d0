"""From labeled texts to examples that a sampler draws tasks from.

:func:`by_class` groups examples of any kind by class and, where there are several, by domain;
:func:`from_table` makes such a group of texts and labels as people keep them: strings become rows
of character numbers, and what cannot be used is left out and counted. Exports as well
:class:`Table` and :func:`character_numbers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nlpmeta.labeled_text import LeftOut, clean
from nlpmeta.text import Vocabulary, pad

Classes = Mapping[str, Tensor]


class Table(NamedTuple):
    """Labeled texts, ready to be drawn from.

    Parameters
    ----------
    data : dict of dict of Tensor (n_examples, t), int64
        ``data[""][label]`` has the character numbers of that class, for an
        :class:`nlpmeta.episodes.EpisodeSampler`.
    texts, labels : tuple of str
        All examples, in their order.
    x : Tensor of int64, shape (n, t)
        Their character numbers, padded with 0.
    vocabulary : Vocabulary
        The characters; ``len(vocabulary)`` is the number of symbols of an encoder.
    left_out : LeftOut
        How many rows are not among them, and why.
    """

    data: dict[str, dict[str, Tensor]]
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    x: Tensor
    vocabulary: Vocabulary
    left_out: LeftOut


def by_class(
    x: Tensor, labels: Sequence[str], domains: Sequence[str] | None = None
) -> dict[str, dict[str, Tensor]]:
    """Group examples by domain and, inside it, by class.

    Parameters
    ----------
    x : Tensor, shape (n, ...)
        Examples.
    labels : sequence of n str
        The class of each.
    domains : sequence of n str, optional
        What the classes of a task must have in common, for instance a language; without it all
        examples are of one domain, named ``""``.

    Returns
    -------
    dict of dict of Tensor
        ``grouped[domain][label]`` holds the examples of that class, in their order.

    Raises
    ------
    ValueError
        If the lengths differ or there are no examples.

    Examples
    --------
    >>> grouped = by_class(torch.arange(4), ["b", "a", "b", "a"])
    >>> grouped[""]["b"]
    tensor([0, 2])
    """
    domains = [""] * len(labels) if domains is None else domains
    if not len(x) == len(labels) == len(domains) or len(x) == 0:
        raise ValueError(
            f"x, labels and domains have lengths {len(x)}, {len(labels)} and {len(domains)}; "
            "give each example one label and one domain, and at least one example"
        )
    rows: dict[str, dict[str, list[int]]] = {}
    for row, (label, domain) in enumerate(zip(labels, domains)):
        rows.setdefault(domain, {}).setdefault(label, []).append(row)
    return {
        domain: {label: x[torch.tensor(chosen)] for label, chosen in classes.items()}
        for domain, classes in rows.items()
    }


def from_table(
    texts: Iterable[object], labels: Iterable[object], at_least: int = 2, max_length: int = 128
) -> Table:
    """Make of texts and their labels what an episode sampler takes.

    Empty rows, texts that come twice, texts with two labels and classes with too few examples are
    left out and counted; see :func:`nlpmeta.labeled_text.clean`.

    Parameters
    ----------
    texts : iterable of str, None or NaN
        For instance a column of a data frame.
    labels : iterable
        The class of each, under any name.
    at_least : int
        How many examples a class must have: ``k_shot + n_query`` of the tasks to come.
    max_length : int
        Characters that are kept of each text.

    Returns
    -------
    Table

    Raises
    ------
    TypeError
        If texts or labels are one string, or a text is neither a string nor missing.
    ValueError
        If the lengths differ, a number is below 1, or nothing is left.

    Examples
    --------
    >>> table = from_table(["ab", "b", "ca", None, "cb"], ["x", "x", "y", "y", "y"])
    >>> {label: x.tolist() for label, x in table.data[""].items()}
    {'x': [[3, 2], [2, 0]], 'y': [[4, 3], [4, 2]]}
    >>> table.left_out.empty
    1
    """
    for name, value in (("at_least", at_least), ("max_length", max_length)):
        if value < 1:
            raise ValueError(f"{name} is {value}; give at least 1")
    rows = clean(texts, labels, at_least)
    if not rows.texts:
        reasons = ", ".join(f"{n} {why}" for why, n in rows.left_out._asdict().items() if n)
        raise ValueError(
            f"no class has {at_least} usable examples (left out: {reasons or 'none'}); "
            "ask for fewer of each class, or give more"
        )
    vocabulary = Vocabulary.from_tokens(c for text in rows.texts for c in text)
    x = character_numbers(rows.texts, vocabulary, max_length)
    return Table(by_class(x, rows.labels), rows.texts, rows.labels, x, vocabulary, rows.left_out)


def character_numbers(texts: Sequence[str], vocabulary: Vocabulary, max_length: int) -> Tensor:
    """The characters of texts as numbers, for texts that come after the table as well.

    Parameters
    ----------
    texts : sequence of str
    vocabulary : Vocabulary
        A character that is not in it gets the number of ``UNK``.
    max_length : int
        Characters that are kept of each text.

    Returns
    -------
    Tensor of int64, shape (n, t)
        Padded with 0; t is the length of the longest text, at most ``max_length``.

    Examples
    --------
    >>> vocabulary = Vocabulary.from_tokens("aab")
    >>> character_numbers(["ab", "ca"], vocabulary, 8)
    tensor([[2, 3],
            [1, 2]])
    """
    return torch.as_tensor(pad([vocabulary.encode(text[:max_length]) for text in texts]))
