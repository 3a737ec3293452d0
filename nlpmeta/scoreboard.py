"""One scoreboard for every language model: the same texts, the same unit, what the model costs.

The texts are the docstrings of :mod:`nlpmeta.corpora.docs`, whole modules in an order that has
nothing to do with their names, so that any beginning of a text holds some of every library
(Shannon 1951 scored printed English in bits per letter; a smaller score is a better model).
Exports ``SIZES``, ``train_text``, ``validation_text``, ``test_text``, ``Row``, ``measure`` and
``sample``.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, Protocol

import numpy as np

from nlpmeta.corpora import docs
from nlpmeta.information import LanguageModel, bits_per_character

__all__ = [
    "SIZES",
    "MeasuredModel",
    "Row",
    "measure",
    "sample",
    "test_text",
    "train_text",
    "validation_text",
]

SIZES = (200_000, 1_000_000, None)  # characters to train on; None is the whole text
TEST_CHARACTERS = 200_000


class MeasuredModel(LanguageModel, Protocol):
    """A language model of characters that knows how many numbers it has learned."""

    vocabulary: Sequence[str]
    n_parameters: int


class Row(NamedTuple):
    """A line of the scoreboard: who, trained on how much, how good and at what cost.

    Bits are per character of the test text; parameters are the numbers the fitted model stores;
    seconds are those of ``fit`` on the machine that ran the lab.
    """

    model: str
    train_characters: int
    bits: float
    parameters: int
    seconds: float


def train_text(size: int | None = None) -> str:
    """Give the first ``size`` characters of the text to train on, all of it by default.

    Parameters
    ----------
    size : int or None
        One of ``SIZES``.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If ``size`` is not one of ``SIZES``.

    Examples
    --------
    >>> len(train_text(200_000))
    200000
    """
    if size not in SIZES:
        raise ValueError(f"size is {size!r}; the scoreboard has {', '.join(map(str, SIZES))}")
    return _text("train")[:size]


def validation_text() -> str:
    """Give the text on which settings are chosen: 200,000 characters of the validation part.

    Returns
    -------
    str

    Examples
    --------
    >>> len(validation_text())
    200000
    """
    return _text("validation")[:TEST_CHARACTERS]


def test_text() -> str:
    """Give the text on which the scoreboard counts: 200,000 characters of the test part.

    Returns
    -------
    str

    Examples
    --------
    >>> len(test_text())
    200000
    """
    return _text("test")[:TEST_CHARACTERS]


test_text.__test__ = False  # a text, not a test, whatever pytest makes of its name


def measure(name: str, model: MeasuredModel, train: str, test: str) -> Row:
    """Train a language model of characters, score it, and write down what it cost.

    Parameters
    ----------
    name : str
        What the scoreboard calls the model.
    model : MeasuredModel
        Not yet fitted; after ``fit`` it must have an attribute ``n_parameters``.
    train, test : str

    Returns
    -------
    Row

    Raises
    ------
    ValueError
        If a text is empty.

    Examples
    --------
    >>> class Uniform:
    ...     def fit(self, tokens):
    ...         self.n_parameters = len(set(tokens))
    ...         return self
    ...     def logprobs(self, tokens):
    ...         return np.full(len(tokens), -np.log(self.n_parameters))
    >>> measure("uniform", Uniform(), "abcd", "dada")._replace(seconds=0.0)
    Row(model='uniform', train_characters=4, bits=2.0, parameters=4, seconds=0.0)
    """
    if not train or not test:
        empty = "test" if train else "train"
        raise ValueError(f"{empty} is empty; give at least one character")
    tokens = list(train)
    start = time.perf_counter()
    model.fit(tokens)
    seconds = time.perf_counter() - start
    bits = bits_per_character(model, test)
    return Row(name, len(train), round(bits, 4), int(model.n_parameters), round(seconds, 2))


def sample(
    model: MeasuredModel, length: int, rng: np.random.Generator, context: Sequence[str] = ()
) -> str:
    """Let a language model write: draw each token from its distribution given those before it.

    Parameters
    ----------
    model : MeasuredModel
        A fitted model.
    length : int
        How many tokens to draw.
    rng : numpy.random.Generator
    context : sequence of str
        What stands before the first drawn token; not returned.

    Returns
    -------
    str
        The drawn tokens, joined.

    Raises
    ------
    ValueError
        If ``length`` is below zero.

    Examples
    --------
    >>> class Alternate:
    ...     vocabulary = ("a", "b")
    ...     def next_logprobs(self, context):
    ...         last = context[-1] if context else "b"
    ...         return np.array([0.0, -np.inf] if last == "b" else [-np.inf, 0.0])
    >>> sample(Alternate(), 5, np.random.default_rng(0))
    'ababa'
    """
    if length < 0:
        raise ValueError(f"length is {length}; it must be at least 0")
    tokens = list(context)
    for _ in range(length):
        edges = np.cumsum(np.exp(model.next_logprobs(tokens)))
        tokens.append(model.vocabulary[np.searchsorted(edges, rng.random() * edges[-1], "right")])
    return "".join(tokens[len(tokens) - length :])


@cache
def _text(part: str) -> str:
    """The sentences of a part, module by module, the modules in the order of their hashes."""
    modules: dict[str, list[str]] = {}
    for sentence in docs.load(part):
        modules.setdefault(sentence.module, []).append(sentence.text)
    order = sorted(modules, key=lambda module: hashlib.sha256(module.encode()).digest())
    return "\n".join(text for module in order for text in modules[module])
