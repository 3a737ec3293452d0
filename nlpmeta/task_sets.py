"""What the few-shot chapters draw their tasks from: texts with a class, and classes with a domain.

Each function gives :class:`Examples`; :func:`nlpmeta.tables.by_class` groups them, once the texts
are numbers or vectors, for an :class:`nlpmeta.episodes.EpisodeSampler`. A domain is what the
classes of one task have in common. Exports ``Examples``, ``blanks``,
``families``, ``intents``, ``languages``, ``latin_names`` and ``modules``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from nlpmeta.corpora import benchmarks, docs, names

__all__ = ["Examples", "blanks", "families", "intents", "languages", "latin_names", "modules"]

BLANK = "[BLANK]"


INTENTS = {"clinc150": ("train", "validation", "test"), "banking77": ("train", "test")}


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


def intents(name: str, most: int | None = None) -> Examples:
    """Queries of users: the class is the intent, the domain what the intent is about.

    Few-shot protocols divide intents, not queries, so all parts of a data set are joined. CLINC150
    has 150 intents in ten domains; its queries without an intent are left out. The 77 intents of
    BANKING77 are one domain.

    Parameters
    ----------
    name : str
        ``"clinc150"`` or ``"banking77"``; downloaded on the first use, see
        :mod:`nlpmeta.corpora.benchmarks`.
    most : int, optional
        At most so many queries of each intent, drawn with a fixed seed.

    Returns
    -------
    Examples
        Each text once for each intent that it has.

    Raises
    ------
    ValueError
        If the data set is another one, or ``most`` is below 1.
    RuntimeError
        If its files cannot be had.

    Examples
    --------
    >>> intents("reviews")
    Traceback (most recent call last):
    ValueError: name is 'reviews'; choose 'clinc150' or 'banking77'
    """
    if name not in INTENTS:
        raise ValueError(f"name is {name!r}; choose {' or '.join(map(repr, INTENTS))}")
    found = (query for part in INTENTS[name] for query in benchmarks.load(name, part))
    return _at_most(most, dict.fromkeys((q.text.strip(), q.label, q.domain) for q in found))


def blanks(sentences: Sequence[Sequence[str]], least: int = 20, most: int = 40) -> Examples:
    """Tasks without labels: the class is the word that was blanked out of a sentence.

    Subset masked language modeling (Bansal et al., 2020): of the sentences that hold a word, the
    word is replaced by one mark, and has to be told from other words that were blanked out
    elsewhere. Each sentence serves one word only, the rarest of those that have sentences enough.

    Parameters
    ----------
    sentences : sequence of sequences of str
        Words; those of no letters, and of fewer than three, are never blanked out.
    least, most : int
        A word needs so many sentences, and gets at most so many.

    Returns
    -------
    Examples
        Words joined by spaces, in one domain.

    Raises
    ------
    ValueError
        If ``least`` is below 1 or above ``most``, or no word has enough sentences.

    Examples
    --------
    >>> found = blanks([["a", "red", "car"], ["a", "red", "hat"]], least=2)
    >>> found.texts, found.labels
    (('a [BLANK] car', 'a [BLANK] hat'), ('red', 'red'))
    """
    _check("least", least)
    if most < least:
        raise ValueError(f"most is {most} and least {least}; give most >= least")
    held = [
        {w for w in sentence if len(w) > 2 and w.isalpha()} for sentence in map(tuple, sentences)
    ]
    size = Counter(word for words in held for word in words)
    found: dict[str, list[str]] = {}
    for words, sentence in zip(held, sentences):
        wanting = [w for w in words if size[w] >= least and len(found.get(w, ())) < most]
        if wanting:
            word = min(wanting, key=lambda w: (size[w], w))
            text = " ".join(BLANK if w == word else w for w in sentence)
            found.setdefault(word, []).append(text)
    rows = [(t, w, "") for w, texts in sorted(found.items()) if len(texts) >= least for t in texts]
    if not rows:
        raise ValueError(f"no word has least = {least} sentences of its own; lower it")
    return _at_most(None, rows)


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
