"""What the few-shot chapters draw their tasks from: texts with a class, and classes with a domain.

Each function gives :class:`Examples`; :func:`nlpmeta.tables.by_class` groups them, once the texts
are numbers or vectors, for an :class:`nlpmeta.episodes.EpisodeSampler`. A domain is what the
classes of one task have in common. Exports ``Examples``, ``families``,
``languages``, ``latin_names`` and ``modules``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from nlpmeta.corpora import docs, names

__all__ = ["Examples", "families", "languages", "latin_names", "modules"]


class Examples(NamedTuple):
    """Texts, the class of each, and the domain of each.

    Parameters
    ----------
    texts, labels, domains : tuple of str
        Of one length.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    domains: tuple[str, ...]


def families(part: str | None = None, most: int | None = None) -> Examples:
    """Names in Latin script: the class is what kind of thing is named, the domain the language.

    Parameters
    ----------
    part : str, optional
        ``"train"``, ``"validation"`` or ``"test"``: other languages and other things named. All
        names, if left out.
    most : int, optional
        At most so many names of each class of a language, drawn with a fixed seed.

    Returns
    -------
    Examples

    Raises
    ------
    ValueError
        If the part is not known, or ``most`` is below 1.

    Examples
    --------
    >>> names_ = families("test", most=1)
    >>> sorted(set(names_.labels))[:3]
    ['city', 'currency', 'day']
    """
    kept = latin_names(part)
    return _at_most(most, [(r.text, r.family, r.language) for r in kept])


def languages(part: str | None = None, most: int | None = None) -> Examples:
    """The same names: the class is the language, and there is one domain.

    Parameters
    ----------
    part, most
        As for :func:`families`.

    Returns
    -------
    Examples

    Raises
    ------
    ValueError
        As :func:`families`.

    Examples
    --------
    >>> set(languages("test", most=1).domains)
    {''}
    """
    return _at_most(most, [(r.text, r.language, "") for r in latin_names(part)])


def modules(part: str | None = None, least: int = 25, most: int | None = None) -> Examples:
    """Sentences of docstrings: the class is the module, the domain the library.

    Parameters
    ----------
    part : str, optional
        ``"train"``, ``"validation"`` or ``"test"``: other modules. All, if left out.
    least, most : int
        Modules with fewer sentences are left out; of the others at most so many are drawn.

    Returns
    -------
    Examples

    Raises
    ------
    ValueError
        If the part is not known, or ``least`` or ``most`` is below 1.

    Examples
    --------
    >>> Counter(modules("test", least=25, most=25).labels).most_common(1)[0][1]
    25
    """
    _check("least", least)
    found = docs.load(part)
    size = Counter(s.module for s in found)
    kept = [(s.text, s.module, s.library) for s in found if size[s.module] >= least]
    return _at_most(most, kept)


def latin_names(part: str | None = None) -> list[names.Name]:
    """The names in Latin script, without near copies: those of a part, or all.

    Parameters
    ----------
    part : str, optional
        As for :func:`families`.

    Returns
    -------
    list of Name

    Raises
    ------
    ValueError
        If the part is not known.

    Examples
    --------
    >>> {name.script for name in latin_names("test")}
    {'Latn'}
    """
    everything = names.load(near_copies=False)
    latin = {code for code, script in names.main_scripts(everything).items() if script == "Latn"}
    kept = [r for r in everything if r.language in latin and r.script == "Latn"]
    return kept if part is None else list(names.split(kept, part))


def _at_most(most: int | None, rows: Iterable[tuple[str, str, str]]) -> Examples:
    """Examples of the rows, or some of each class of a domain, in their order."""
    rows = list(rows)
    if most is not None:
        _check("most", most)
        seen: Counter[tuple[str, str]] = Counter()
        kept = []
        for i in np.random.default_rng(0).permutation(len(rows)):
            key = rows[i][1:]
            seen[key] += 1
            if seen[key] <= most:
                kept.append(i)
        rows = [rows[i] for i in sorted(kept)]
    return Examples(*map(tuple, zip(*rows)))


def _check(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} is {value}; give at least 1")
