"""Messages between factors and variables: the engine under sum-product and max-product.

A factor sends a variable the product of its table and of the messages from its other variables,
summed (or maximized) over those (Kschischang, Frey and Loeliger 2001). Everything is in logarithms,
so long chains do not underflow and zeros are minus infinity. Factors whose tables have one shape
are stacked and send their messages in one step. Exports ``Messages``, ``settle``, ``decode``,
``walk``, ``two_passes``, ``flooding``, ``sequential`` and ``logsumexp``;
:class:`nlpmeta.factor_graph.FactorGraph` is the way in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

SCHEDULES = ("two-pass", "flooding", "sequential")
CONTRADICTION = (
    "the factors and the evidence contradict each other: no assignment has a weight above zero, so "
    "there is nothing to normalize; look for a zero in a table that rules the evidence out"
)
Reduce = Callable[[np.ndarray, tuple[int, ...]], np.ndarray]


class Batch(NamedTuple):
    """Messages of one kind: to the variable at ``position`` of the factors ``rows`` of a stack."""

    stack: int
    rows: np.ndarray
    position: int


class Visit(NamedTuple):
    """A factor on a breadth-first walk, and the positions whose variables were reached before."""

    factor: int
    depth: int
    known: tuple[int, ...]


class Report(NamedTuple):
    """Whether messages settled, in how many sweeps, and the largest change of the last."""

    converged: bool
    sweeps: int
    change: float


class _Stack(NamedTuple):
    """Factors whose tables have one shape."""

    factors: np.ndarray  # (n,) where they stand in the graph
    tables: np.ndarray  # (n, s_1, ..., s_r) log-weights
    edges: np.ndarray  # (n, r) numbers of their messages


def logsumexp(x: np.ndarray, axis: tuple[int, ...]) -> np.ndarray:
    """Logarithm of the sum of exponentials along axes, minus infinity where nothing is left.

    Parameters
    ----------
    x : numpy.ndarray of float
    axis : tuple of int

    Returns
    -------
    numpy.ndarray

    Examples
    --------
    >>> logsumexp(np.array([[0.0, np.log(3.0)], [-np.inf, -np.inf]]), (1,)).round(4)
    array([1.3863,   -inf])
    """
    top = x.max(axis=axis, keepdims=True)
    top = np.where(top == -np.inf, 0.0, top)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(x - top).sum(axis=axis)) + top.squeeze(axis)


class Messages:
    """All messages from factors to variables of a graph, with the sums that cavities need.

    Parameters
    ----------
    sizes : sequence of int
        Number of values of each variable.
    factors : sequence of (tuple of int, numpy.ndarray)
        Numbers of a factor's variables and its table of log-weights.
    reduce : callable
        :func:`logsumexp` for sum-product, ``numpy.max`` for max-product.

    Examples
    --------
    >>> table = np.log([[1.0, 2.0], [3.0, 4.0]])
    >>> messages = Messages([2, 2], [((0, 1), table)], np.max)
    >>> np.exp(messages.outgoing(Batch(0, np.array([0]), 1)))
    array([[0.75, 1.  ]])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        factors: Sequence[tuple[tuple[int, ...], np.ndarray]],
        reduce: Reduce,
    ) -> None:
        self.sizes, self.factors, self.reduce = list(sizes), list(factors), reduce
        self.owner = np.array([v for variables, _ in factors for v in variables], dtype=int)
        first = np.cumsum([0] + [len(variables) for variables, _ in factors])
        shapes: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for i, (_, table) in enumerate(factors):
            shapes[table.shape].append(i)
        self.stacks = [
            _Stack(
                np.array(members),
                np.stack([factors[i][1] for i in members]),
                first[members][:, None] + np.arange(len(shape)),
            )
            for shape, members in shapes.items()
        ]
        self.place = {
            int(i): (s, row)
            for s, stack in enumerate(self.stacks)
            for row, i in enumerate(stack.factors)
        }
        width = max(sizes, default=1)
        self.finite = np.zeros((len(self.owner), width))  # the message, 0 where it is -inf
        self.blocked = np.zeros((len(self.owner), width), dtype=int)  # 1 where it is -inf
        self.total = np.zeros((len(sizes), width))  # sums of `finite` over a variable's messages
        self.barriers = np.zeros((len(sizes), width), dtype=int)

    def belief(self, variable: int) -> np.ndarray:
        """Log of the product of all messages to a variable, shape (s,)."""
        s = self.sizes[variable]
        blocked = self.barriers[variable, :s] > 0
        return np.where(blocked, -np.inf, self.total[variable, :s])

    def cavity(self, edges: np.ndarray, size: int) -> np.ndarray:
        """Log-product of the messages to an edge's variable but its own, shape (n, size)."""
        owner = self.owner[edges]
        rest = self.total[owner, :size] - self.finite[edges, :size]
        others = self.barriers[owner, :size] - self.blocked[edges, :size]
        return np.where(others > 0, -np.inf, rest)

    def joint(self, stack: int, rows: np.ndarray, but: int = -1) -> np.ndarray:
        """Tables times the messages from the variables, leaving out the one at position ``but``."""
        chosen = self.stacks[stack]
        joint = chosen.tables[rows]  # (n, s_1, ..., s_r)
        rank = joint.ndim - 1
        for i in range(rank):
            if i != but:
                incoming = self.cavity(chosen.edges[rows, i], joint.shape[i + 1])
                shape = [1] * rank
                shape[i] = -1
                joint = joint + incoming.reshape(len(incoming), *shape)
        return joint

    def joint_of(self, factor: int) -> np.ndarray:
        """Log-belief over the variables of one factor, not normalized."""
        stack, row = self.place[factor]
        return self.joint(stack, np.array([row]))[0]

    def factor_beliefs(self) -> tuple[tuple[np.ndarray, ...], list[float]]:
        """Beliefs over the variables of each factor, and the log-sums they were divided by."""
        beliefs: dict[int, np.ndarray] = {}
        totals: dict[int, float] = {}
        for s, stack in enumerate(self.stacks):
            joint = self.joint(s, np.arange(len(stack.factors)))
            axes = tuple(range(1, joint.ndim))
            total = logsumexp(joint, axes)
            shift = np.where(total == -np.inf, 0.0, total)
            joint = np.exp(joint - np.expand_dims(shift, axes))
            beliefs.update(zip(stack.factors, joint))
            totals.update(zip(stack.factors, total.tolist()))
        order = range(len(self.factors))
        return tuple(np.asarray(beliefs[i]) for i in order), [totals[i] for i in order]

    def outgoing(self, batch: Batch) -> np.ndarray:
        """The new messages of a batch, shape (n, s), scaled to a maximum of 0."""
        joint = self.joint(batch.stack, batch.rows, but=batch.position)
        others = tuple(i for i in range(1, joint.ndim) if i != batch.position + 1)
        new = self.reduce(joint, others) if others else joint
        top = new.max(axis=1, keepdims=True)
        if (top == -np.inf).any():
            raise ValueError(CONTRADICTION)
        return new - top

    def send(self, batch: Batch, new: np.ndarray, damping: float) -> float:
        """Put new messages in place of the old and return the largest change of a weight."""
        edges = self.stacks[batch.stack].edges[batch.rows, batch.position]
        size = new.shape[1]
        old = np.where(self.blocked[edges, :size] > 0, -np.inf, self.finite[edges, :size])
        change = float(np.abs(np.exp(new) - np.exp(old)).max())
        if damping:
            new = (1 - damping) * new + damping * old
        blocked = new == -np.inf
        finite = np.where(blocked, 0.0, new)
        owner = self.owner[edges]
        np.add.at(self.total[:, :size], owner, finite - self.finite[edges, :size])
        np.add.at(self.barriers[:, :size], owner, blocked - self.blocked[edges, :size])
        self.finite[edges, :size], self.blocked[edges, :size] = finite, blocked
        return change

    def sweep(self, rounds: Sequence[Sequence[Batch]], damping: float = 0.0) -> float:
        """Go once through a schedule; the batches of a round do not see each other's news."""
        change = 0.0
        for batches in rounds:
            news = [self.outgoing(batch) for batch in batches]
            for batch, new in zip(batches, news):
                change = max(change, self.send(batch, new, damping))
        return change


def walk(factors: Sequence[tuple[tuple[int, ...], np.ndarray]], n_variables: int) -> list[Visit]:
    """Visit all factors breadth first, component by component.

    Parameters
    ----------
    factors : sequence of (tuple of int, numpy.ndarray)
    n_variables : int

    Returns
    -------
    list of Visit
        The graph is a forest if each factor has exactly one known position, the one that it was
        reached through.

    Examples
    --------
    >>> pair = np.zeros((2, 2))
    >>> [visit.known for visit in walk([((0, 1), pair), ((1, 2), pair), ((0, 2), pair)], 3)]
    [(0,), (0,), (0, 1)]
    """
    touching: list[list[int]] = [[] for _ in range(n_variables)]
    for i, (variables, _) in enumerate(factors):
        for v in variables:
            touching[v].append(i)
    depth = [-1] * n_variables
    seen = [False] * len(factors)
    visits = []
    for root in range(n_variables):
        if depth[root] < 0:
            depth[root], queue = 0, [root]
            for v in queue:  # grows while we walk
                for i in touching[v]:
                    if seen[i]:
                        continue
                    seen[i] = True
                    variables = factors[i][0]
                    known = tuple(p for p, u in enumerate(variables) if depth[u] >= 0)
                    visits.append(Visit(i, depth[v], known))
                    fresh = [u for u in variables if depth[u] < 0]
                    for u in fresh:
                        depth[u] = depth[v] + 1
                    queue += fresh
    return visits


def two_passes(messages: Messages, visits: Sequence[Visit]) -> list[list[Batch]]:
    """On a forest: from the leaves to the roots, and back; every message is sent once.

    Parameters
    ----------
    messages : Messages
    visits : sequence of Visit
        From :func:`walk`, one known position each.

    Returns
    -------
    list of list of Batch
        A round for each depth.
    """
    up: dict[int, dict] = defaultdict(lambda: defaultdict(list))
    down: dict[int, dict] = defaultdict(lambda: defaultdict(list))
    for visit in visits:
        stack, row = messages.place[visit.factor]
        for position in range(messages.stacks[stack].edges.shape[1]):
            side = up if position in visit.known else down
            side[visit.depth][stack, position].append(row)
    levels = [up[d] for d in sorted(up, reverse=True)] + [down[d] for d in sorted(down)]
    return [[Batch(s, np.array(rows), p) for (s, p), rows in level.items()] for level in levels]


def flooding(messages: Messages) -> list[list[Batch]]:
    """All messages at once, each from the old ones: one round a sweep.

    Parameters
    ----------
    messages : Messages

    Returns
    -------
    list of list of Batch
    """
    return [
        [
            Batch(s, np.arange(len(stack.edges)), position)
            for s, stack in enumerate(messages.stacks)
            for position in range(stack.edges.shape[1])
        ]
    ]


def sequential(messages: Messages) -> list[list[Batch]]:
    """One message after another, factor by factor, each from the newest ones.

    Parameters
    ----------
    messages : Messages

    Returns
    -------
    list of list of Batch
    """
    return [
        [Batch(s, np.array([row]), position)]
        for _, (s, row) in sorted(messages.place.items())
        for position in range(messages.stacks[s].edges.shape[1])
    ]


def settle(
    messages: Messages,
    schedule: str | None,
    damping: float,
    max_sweeps: int,
    tolerance: float,
) -> tuple[list[Visit], Report]:
    """Send messages until they stop changing.

    Parameters
    ----------
    messages : Messages
        Changed in place.
    schedule : {"two-pass", "flooding", "sequential"} or None
    damping : float
    max_sweeps : int
    tolerance : float

    Returns
    -------
    list of Visit, Report

    Raises
    ------
    ValueError
        If an argument is out of range, or two passes are asked for on a graph with loops.
    """
    if schedule not in (None, *SCHEDULES):
        raise ValueError(f"schedule is {schedule!r}; choose one of {', '.join(SCHEDULES)}")
    if not 0 <= damping < 1:
        raise ValueError(f"damping is {damping}; it is a share from 0 to below 1")
    if max_sweeps < 1 or not tolerance > 0:
        raise ValueError(
            f"max_sweeps is {max_sweeps} and tolerance {tolerance}; both must be above 0"
        )
    visits = walk(messages.factors, len(messages.sizes))
    forest = all(len(visit.known) == 1 for visit in visits)
    if schedule == "two-pass" and not forest:
        raise ValueError("schedule is 'two-pass', but the graph has loops; choose 'flooding'")
    if schedule == "two-pass" or (schedule is None and forest):
        messages.sweep(two_passes(messages, visits))
        return visits, Report(True, 1, 0.0)
    rounds = sequential(messages) if schedule == "sequential" else flooding(messages)
    for sweeps in range(1, max_sweeps + 1):
        change = messages.sweep(rounds, damping)
        if change <= tolerance:
            return visits, Report(True, sweeps, change)
    return visits, Report(False, max_sweeps, change)


def decode(messages: Messages, visits: Sequence[Visit]) -> list[int]:
    """Read an assignment off max-product messages: at each factor the best completion.

    Parameters
    ----------
    messages : Messages
    visits : sequence of Visit

    Returns
    -------
    list of int
        A value for each variable; on a forest a best assignment, even if several are tied.
    """
    chosen: dict[int, int] = {}
    for visit in visits:
        scope = messages.factors[visit.factor][0]
        root = scope[visit.known[0]]
        chosen.setdefault(root, int(messages.belief(root).argmax()))
        joint = messages.joint_of(visit.factor)
        joint = joint[tuple(chosen.get(v, slice(None)) for v in scope)]
        free = [v for v in scope if v not in chosen]
        chosen.update(zip(free, map(int, np.unravel_index(joint.argmax(), joint.shape))))
    return [chosen.get(v, int(messages.belief(v).argmax())) for v in range(len(messages.sizes))]
