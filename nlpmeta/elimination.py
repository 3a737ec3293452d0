"""Exact answers: multiply the tables around one variable, sum it out, go on with what is left.

Variable elimination (Zhang and Poole 1994; bucket elimination, Dechter 1999). Going back over the
steps turns the sums into all marginals, and the maxima into a best assignment. The cost is the size
of the largest product, not the number of assignments. Everything is in logarithms. Exports
``eliminate``, ``marginals``, ``best``, ``product`` and ``LARGEST``;
:meth:`nlpmeta.factor_graph.FactorGraph.exact` is the way in.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from nlpmeta.message_passing import Reduce

LARGEST = 2**24  # entries of the largest table that may be built: 128 MB
Table = tuple[tuple[Hashable, ...], np.ndarray]  # variables along the axes, log-weights


class Step(NamedTuple):
    """A variable sums out of the product over ``(*scope, variable)`` and leaves the message."""

    variable: Hashable
    scope: tuple[Hashable, ...]
    joint: np.ndarray
    message: np.ndarray


def product(
    tables: Sequence[Table], sizes: Mapping[Hashable, int], axes: Sequence[Hashable]
) -> np.ndarray:
    """Multiply tables (add their logarithms) into one over the given axes.

    Parameters
    ----------
    tables : sequence of (tuple of hashable, numpy.ndarray)
    sizes : mapping from hashable to int
    axes : sequence of hashable
        At least the variables of the tables.

    Returns
    -------
    numpy.ndarray of float, one axis for each of ``axes``

    Raises
    ------
    ValueError
        If the product has more than ``LARGEST`` entries.

    Examples
    --------
    >>> tables = [(("b",), np.log([1.0, 2.0])), (("a", "b"), np.log([[1.0, 2.0], [3.0, 4.0]]))]
    >>> np.exp(product(tables, {"a": 2, "b": 2}, ["a", "b"])).round(6)
    array([[1., 4.],
           [3., 8.]])
    """
    shape = tuple(sizes[v] for v in axes)
    if math.prod(shape) > LARGEST:
        raise ValueError(
            f"the exact answer needs a table of {math.prod(shape):,} entries, above {LARGEST:,}; "
            "give more evidence, or use sum_product, max_product or gibbs"
        )
    place = {v: i for i, v in enumerate(axes)}
    result = np.zeros(shape)
    for scope, table in tables:
        order = sorted(range(len(scope)), key=lambda i: place[scope[i]])
        spread = [sizes[v] if v in scope else 1 for v in axes]
        result += table.transpose(order).reshape(spread)
    return result


def eliminate(
    tables: Sequence[Table], sizes: Mapping[Hashable, int], reduce: Reduce
) -> tuple[list[Step], float]:
    """Sum (or maximize) out all variables, always the one whose product is smallest.

    Parameters
    ----------
    tables : sequence of (tuple of hashable, numpy.ndarray)
        Log-weights.
    sizes : mapping from hashable to int
    reduce : callable
        ``logsumexp`` or ``numpy.max``.

    Returns
    -------
    list of Step, float
        The steps in order, and the logarithm of what is left: log Z, or that of the largest weight.

    Examples
    --------
    >>> from nlpmeta.message_passing import logsumexp
    >>> steps, log_z = eliminate([(("a",), np.log([1.0, 2.0]))], {"a": 2, "b": 2}, logsumexp)
    >>> [step.variable for step in steps], round(float(np.exp(log_z)), 6)
    (['a', 'b'], 6.0)
    """
    order = {v: i for i, v in enumerate(sizes)}
    live = dict(enumerate(tables))
    touching: dict[Hashable, set[int]] = {v: set() for v in sizes}
    for i, (scope, _) in live.items():
        for v in scope:
            touching[v].add(i)
    neighbors = {v: {u for i in touching[v] for u in live[i][0]} - {v} for v in sizes}
    cost = {v: math.prod(sizes[u] for u in neighbors[v]) * sizes[v] for v in sizes}
    steps: list[Step] = []
    while cost:
        v = min(cost, key=cost.__getitem__)
        del cost[v]
        scope = tuple(sorted(neighbors[v], key=order.__getitem__))
        chosen = sorted(touching[v])
        joint = product([live.pop(i) for i in chosen], sizes, (*scope, v))
        message = reduce(joint, (joint.ndim - 1,))
        steps.append(Step(v, scope, joint, message))
        new = len(tables) + len(steps)
        live[new] = (scope, message)
        for u in scope:
            touching[u] = touching[u].difference(chosen) | {new}
            neighbors[u] = (neighbors[u] | neighbors[v]) - {u, v}
            cost[u] = math.prod(sizes[w] for w in neighbors[u]) * sizes[u]
    return steps, float(sum(table for _, table in live.values()))


def marginals(steps: Sequence[Step]) -> dict[Hashable, np.ndarray]:
    """All marginals, from the steps of ``eliminate`` with ``logsumexp``, last step first.

    The table of a step says p(variable | scope) and, by a later step, p(scope) is known.

    Parameters
    ----------
    steps : sequence of Step

    Returns
    -------
    dict from hashable to numpy.ndarray, shape (s,)

    Examples
    --------
    >>> from nlpmeta.message_passing import logsumexp
    >>> table = np.log([[1.0, 2.0], [3.0, 4.0]])
    >>> steps, _ = eliminate([(("a", "b"), table)], {"a": 2, "b": 2}, logsumexp)
    >>> {v: p.round(6).tolist() for v, p in marginals(steps).items()}
    {'b': [0.4, 0.6], 'a': [0.3, 0.7]}
    """
    turn = {step.variable: i for i, step in enumerate(steps)}
    cliques: dict[Hashable, Table] = {}  # p over the product of each step
    result = {}
    for step in reversed(steps):
        possible = step.message > -np.inf
        shift = np.where(possible, step.message, 0.0)[..., None]
        conditional = np.exp(step.joint - shift)  # (..., s)
        if step.scope:
            axes, joint = cliques[min(step.scope, key=turn.__getitem__)]
            drop = tuple(i for i, u in enumerate(axes) if u not in step.scope)
            kept = [u for u in axes if u in step.scope]
            order = [kept.index(u) for u in step.scope]
            conditional = joint.sum(axis=drop).transpose(order)[..., None] * conditional
        cliques[step.variable] = ((*step.scope, step.variable), conditional)
        p = conditional.reshape(-1, conditional.shape[-1]).sum(axis=0)
        result[step.variable] = p / p.sum()
    return result


def best(steps: Sequence[Step]) -> dict[Hashable, int]:
    """A best assignment, from the steps of ``eliminate`` with ``numpy.max``, last step first.

    Parameters
    ----------
    steps : sequence of Step

    Returns
    -------
    dict from hashable to int

    Examples
    --------
    >>> table = np.log([[1.0, 2.0], [4.0, 3.0]])
    >>> best(eliminate([(("a", "b"), table)], {"a": 2, "b": 2}, np.max)[0])
    {'b': 0, 'a': 1}
    """
    chosen: dict[Hashable, int] = {}
    for step in reversed(steps):
        at = tuple(chosen[u] for u in step.scope)
        chosen[step.variable] = int(step.joint[at].argmax())
    return chosen
