"""Bayesian networks: a joint distribution as a product of one small table per variable.

A directed graph without cycles says which table each variable has, p(variable | parents); their
product is the joint distribution, and the graph alone says which variables are independent given
which others (Pearl 1988). Exports ``BayesNet`` and ``d_separated``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["BayesNet", "d_separated"]


class BayesNet:
    """Variables with a table each: p(x_1, ..., x_n) = prod_i p(x_i | parents of x_i).

    Attributes
    ----------
    parents : dict of str to tuple of str
        The graph, in the order in which variables were added.
    tables : dict of str to numpy.ndarray
        One axis for each parent, in order, and a last one for the variable itself.

    Examples
    --------
    >>> net = BayesNet()
    >>> net.add("rain", [0.8, 0.2])
    >>> net.add("wet", [[0.9, 0.1], [0.2, 0.8]], parents=["rain"])
    >>> net.joint().round(2).tolist()
    [[0.72, 0.08], [0.04, 0.16]]
    """

    def __init__(self) -> None:
        self.parents: dict[str, tuple[str, ...]] = {}
        self.tables: dict[str, np.ndarray] = {}

    def add(self, name: str, table: ArrayLike, parents: Sequence[str] = ()) -> None:
        """Add a variable below variables that are already there, so that no cycle can arise.

        Parameters
        ----------
        name : str
        table : array-like of float, shape (size of parent 1, ..., size of the variable)
            p(variable | parents); sums to one along the last axis.
        parents : sequence of str

        Raises
        ------
        ValueError
            If the name is taken, a parent unknown or named twice, or the table has another shape
            or does not hold distributions.

        Examples
        --------
        >>> BayesNet().add("coin", [0.5, 0.5])
        """
        table = np.asarray(table, dtype=float)
        if name in self.parents:
            raise ValueError(f"name is {name!r}, which the network has; choose another")
        unknown = [parent for parent in parents if parent not in self.parents]
        if unknown or len(set(parents)) < len(parents):
            raise ValueError(f"parents is {parents}; name variables added before, each once")
        sizes = tuple(self.tables[parent].shape[-1] for parent in parents)
        if table.ndim == 0 or table.shape[:-1] != sizes or table.shape[-1] == 0:
            raise ValueError(f"table has shape {table.shape}; give {(*sizes, 'size of ' + name)}")
        if not ((table >= 0).all() and np.allclose(table.sum(axis=-1), 1)):
            raise ValueError(f"table of {name!r} holds no distributions; divide rows by their sums")
        self.parents[name], self.tables[name] = tuple(parents), table

    def joint(self) -> np.ndarray:
        """Multiply all tables into the joint distribution, one axis for each variable.

        Returns
        -------
        numpy.ndarray of float
            As many numbers as there are joint values: for small networks only.

        Examples
        --------
        >>> net = BayesNet()
        >>> net.add("coin", [0.5, 0.5])
        >>> net.joint().tolist()
        [0.5, 0.5]
        """
        axis = {name: i for i, name in enumerate(self.parents)}
        operands: list = []
        for name, table in self.tables.items():
            operands += [table, [axis[parent] for parent in (*self.parents[name], name)]]
        return np.einsum(*operands, list(range(len(axis))))

    def logprob(self, values: Mapping[str, int]) -> float:
        """Natural logarithm of the joint probability, as a sum over the tables.

        Parameters
        ----------
        values : mapping from str to int
            A value for every variable.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If a variable has no value, or one that it cannot take.

        Examples
        --------
        >>> net = BayesNet()
        >>> net.add("coin", [0.5, 0.5])
        >>> round(net.logprob({"coin": 1}), 4)
        -0.6931
        """
        for name, table in self.tables.items():
            value, size = values.get(name), table.shape[-1]
            if value not in range(size):
                raise ValueError(f"values[{name!r}] is {value}; give a number from 0 to {size - 1}")
        with np.errstate(divide="ignore"):
            return float(
                sum(
                    np.log(table[tuple(values[v] for v in (*self.parents[name], name))])
                    for name, table in self.tables.items()
                )
            )

    def sample(self, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw joint values, parents before children (ancestral sampling).

        Parameters
        ----------
        n : int
            Number of draws.
        rng : numpy.random.Generator

        Returns
        -------
        dict of str to numpy.ndarray of int, shape (n,)

        Examples
        --------
        >>> net = BayesNet()
        >>> net.add("coin", [0.0, 1.0])
        >>> net.sample(3, np.random.default_rng(0))["coin"].tolist()
        [1, 1, 1]
        """
        drawn: dict[str, np.ndarray] = {}
        for name, table in self.tables.items():
            rows = table[tuple(drawn[parent] for parent in self.parents[name])]  # (n, v) or (v,)
            edges = np.cumsum(np.broadcast_to(rows, (n, table.shape[-1])), axis=-1)
            drawn[name] = (rng.random((n, 1)) * edges[:, -1:] >= edges).sum(axis=-1)
        return drawn


def d_separated(
    parents: Mapping[str, Collection[str]], x: str, y: str, given: Collection[str] = ()
) -> bool:
    """Tell whether the graph alone makes two variables independent given others.

    The Bayes ball (Shachter 1998) rolls from x along every walk that is not blocked. At a given
    variable it passes only between two parents; at any other it passes in every way but that.

    Parameters
    ----------
    parents : mapping from str to collection of str
        The parents of each variable; the graph must have no cycle.
    x, y : str
        Two different variables.
    given : collection of str
        The variables whose values are known.

    Returns
    -------
    bool
        True if every walk from x to y is blocked; then x and y are independent given ``given``
        in every distribution that factorizes over the graph.

    Raises
    ------
    ValueError
        If a variable is unknown, x, y and ``given`` overlap, or the graph has a cycle.

    Examples
    --------
    >>> graph = {"rain": (), "sprinkler": (), "wet": ("rain", "sprinkler")}
    >>> d_separated(graph, "rain", "sprinkler")
    True
    >>> d_separated(graph, "rain", "sprinkler", given=["wet"])
    False
    """
    named = [x, y, *given]
    unknown = [name for name in named if name not in parents]
    if unknown or x == y or {x, y} & set(given):
        raise ValueError(
            f"x is {x!r}, y {y!r} and given {given!r}; name different variables of the graph"
        )
    _check_acyclic(parents)
    children: dict[str, list[str]] = {name: [] for name in parents}
    for child, own in parents.items():
        for parent in own:
            children[parent].append(child)
    balls, seen = [(x, "from a child")], set()
    while balls:
        ball = balls.pop()
        if ball in seen:
            continue
        seen.add(ball)
        name, origin = ball
        if name == y:
            return False
        if (name in given) == (origin == "from a parent"):
            balls += [(parent, "from a child") for parent in parents[name]]
        if name not in given:
            balls += [(child, "from a parent") for child in children[name]]
    return True


def _check_acyclic(parents: Mapping[str, Collection[str]]) -> None:
    """Raise a ValueError if a parent is no variable of the graph or arrows run in a circle."""
    for name, own in parents.items():
        unknown = [parent for parent in own if parent not in parents]
        if unknown:
            raise ValueError(f"parents[{name!r}] has {unknown[0]!r}, which is no key of parents")
    try:
        TopologicalSorter(parents).prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise ValueError(f"parents has the cycle {circle}; take out an arrow") from None
