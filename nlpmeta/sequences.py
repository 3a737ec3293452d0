"""Sequences of integers: checked, laid end to end, and dealt to blocks that are worked on together.

The algorithms of ``nlpmeta.lattice`` are fastest over some hundred chains of like length, and those
of ``nlpmeta.long_chain`` over one long chain at a time; ``blocks`` decides which. Exports
``several``, ``flatten``, ``labeled``, ``blocks`` and ``Block``; ``nlpmeta.hmm`` stands on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from nlpmeta import lattice, long_chain

__all__ = ["Block", "blocks", "flatten", "labeled", "several"]

BLOCK = 2**16  # numbers in one step of Viterbi's algorithm: what fits into a processor's cache
FEW = 30  # so many long sequences or more are faster side by side than one by one in pieces


class Block(NamedTuple):
    """Some sequences of similar length."""

    symbols: np.ndarray  # (n,) packed
    layout: lattice.Packed
    numbers: np.ndarray  # (b,) which sequences these are


def several(sequences: Sequence) -> tuple[Sequence, bool]:
    """The sequences, and whether only one was given.

    Parameters
    ----------
    sequences : sequence of int, or sequence of such sequences

    Returns
    -------
    sequences : sequence of sequences
    single : bool

    Raises
    ------
    ValueError
        If it is empty or no sequence.

    Examples
    --------
    >>> several([0, 1]), several([[0, 1], [1]])
    (([[0, 1]], True), ([[0, 1], [1]], False))
    """
    if np.isscalar(sequences) or sequences is None:
        raise ValueError(f"sequences is {sequences!r}; give a sequence of integers")
    if len(sequences) == 0:
        raise ValueError("sequences is empty; give at least one symbol")
    single = np.isscalar(sequences[0]) or np.ndim(sequences[0]) == 0
    return ([sequences], True) if single else (sequences, False)


def flatten(
    sequences: Sequence, n_values: int, name: str = "sequences"
) -> tuple[np.ndarray, np.ndarray]:
    """Sequences end to end, and their lengths.

    Parameters
    ----------
    sequences : sequence of sequences of int
    n_values : int
        The integers may be 0 ... ``n_values`` - 1.
    name : str
        What an error message calls them.

    Returns
    -------
    flat : numpy.ndarray of int64, shape (n,)
    lengths : numpy.ndarray of int, shape (b,)

    Raises
    ------
    ValueError
        If a sequence is empty or holds anything but these integers.

    Examples
    --------
    >>> flat, lengths = flatten([[0, 1], [1]], 2)
    >>> flat.tolist(), lengths.tolist()
    ([0, 1, 1], [2, 1])
    """
    arrays = [np.asarray(sequence) for sequence in sequences]
    for i, array in enumerate(arrays):
        if array.ndim != 1 or array.size == 0:
            found = "empty" if array.size == 0 else f"of shape {array.shape}"
            raise ValueError(f"{name}[{i}] is {found}; give sequences of at least one integer")
    flat = np.concatenate(arrays) if arrays else np.empty(0, dtype=np.int64)
    if flat.dtype.kind not in "iu":
        wrong = next((x for x in flat.tolist() if x not in range(n_values)), flat.tolist()[0])
        raise ValueError(f"{name} holds {wrong!r}; give integers from 0 to {n_values - 1}")
    if flat.size and not (flat.min() >= 0 and flat.max() < n_values):
        wrong = flat[(flat < 0) | (flat >= n_values)][0]
        raise ValueError(f"{name} holds {wrong}; it must be from 0 to {n_values - 1}")
    return flat.astype(np.int64, copy=False), np.array([len(array) for array in arrays])


def labeled(
    sequences: Sequence, states: Sequence, n_symbols: int, n_states: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Symbols and states end to end, and the lengths of the sequences.

    Parameters
    ----------
    sequences, states : sequence of sequences of int
    n_symbols, n_states : int

    Returns
    -------
    symbols, states : numpy.ndarray of int64, shape (n,)
    lengths : numpy.ndarray of int, shape (b,)

    Raises
    ------
    ValueError
        As for :func:`flatten`, and if there is not one state for each symbol.

    Examples
    --------
    >>> [array.tolist() for array in labeled([[0, 2], [1]], [[1, 1], [0]], 3, 2)]
    [[0, 2, 1], [1, 1, 0], [2, 1]]
    """
    if len(sequences) != len(states):
        raise ValueError(
            f"there are {len(sequences)} sequences and {len(states)} paths of states; "
            "give one path for each sequence"
        )
    if len(sequences) == 0:
        raise ValueError("sequences is empty; give at least one sequence")
    x, lengths = flatten(sequences, n_symbols)
    z, paths = flatten(states, n_states, "states")
    if (lengths != paths).any():
        i = int(np.argmax(lengths != paths))
        raise ValueError(
            f"states[{i}] has {paths[i]} states for {lengths[i]} symbols; give one for each"
        )
    return x, z, lengths


def blocks(
    flat: np.ndarray, lengths: np.ndarray, transition: np.ndarray, *, pairs_at_once: bool = False
) -> Iterator[Block]:
    """Deal sequences to blocks, the longest first.

    Parameters
    ----------
    flat, lengths
        As :func:`flatten` returns them.
    transition : numpy.ndarray of float, shape (k, k)
        Decides whether a long sequence is worked on in pieces, and so gets a block of its own.
    pairs_at_once : bool
        Whether the algorithm holds all pairs of states at once, as Viterbi's does: then blocks are
        smaller and no sequence is cut.

    Yields
    ------
    Block

    Examples
    --------
    >>> [block] = blocks(np.array([0, 1, 1]), np.array([1, 2]), np.eye(2))
    >>> block.symbols.tolist(), block.numbers.tolist()
    ([1, 0, 1], [1, 0])
    """
    width = max(1, (BLOCK if pairs_at_once else 4 * BLOCK) // len(transition) ** 2)
    cut = not pairs_at_once and len(lengths) < FEW and long_chain.pays(transition)
    order = np.argsort(-lengths, kind="stable")
    starts = np.cumsum(lengths) - lengths
    first = 0
    while first < len(order):
        alone = cut and lengths[order[first]] > long_chain.SHORTEST
        chosen = order[first : first + (1 if alone else width)]
        first += len(chosen)
        own = lengths[chosen]
        symbols = flat[np.arange(own.sum()) + np.repeat(starts[chosen] - np.cumsum(own) + own, own)]
        layout = lattice.pack(own)
        yield Block(layout.pack(symbols), layout, chosen)
