"""Factor graphs: a distribution as a product of small tables, and three ways to ask it questions.

p(x) is proportional to the product of factors f_a(x_a), each a nonnegative table over a few
variables (Kschischang, Frey and Loeliger 2001). ``FactorGraph`` answers by elimination (exact;
Zhang and Poole 1994, Dechter 1999), by messages (``sum_product``, ``max_product``: exact on trees,
Pearl 1988, and an approximation with loops) and ``gibbs`` by sampling (Geman and Geman 1984).
Exports ``FactorGraph``, ``Factor``, ``Marginals``, ``Best``, ``Exact`` and ``gibbs``. All
computation is in log space; a variable's values are the integers from 0.
"""

from __future__ import annotations

import operator
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from nlpmeta import elimination
from nlpmeta.elimination import product
from nlpmeta.message_passing import CONTRADICTION, Messages, Reduce, decode, logsumexp, settle

IMPOSSIBLE_START = (
    "start has weight zero; pass start=graph.max_product(evidence).assignment or another possible "
    "assignment"
)
Evidence = Mapping[Hashable, int] | None


class Factor(NamedTuple):
    """A table of log-weights and the variables along its axes."""

    variables: tuple[Hashable, ...]
    log_table: np.ndarray


class Marginals(NamedTuple):
    """What sum-product found: beliefs, log Z and how the messages settled.

    ``factors`` holds the joint belief over the free variables of each factor, in the order in which
    they were added. ``log_z`` is exact on a forest and the Bethe approximation with loops.
    """

    marginals: dict[Hashable, np.ndarray]
    factors: tuple[np.ndarray, ...]
    log_z: float
    converged: bool
    sweeps: int
    change: float


class Best(NamedTuple):
    """What max-product found: an assignment, its log-weight and how the messages settled.

    ``max_marginals`` gives, for each value of a variable, the weight of the best assignment that
    has it, relative to the best of all.
    """

    assignment: dict[Hashable, int]
    log_score: float
    max_marginals: dict[Hashable, np.ndarray]
    converged: bool
    sweeps: int
    change: float


class Exact(NamedTuple):
    """Exact marginals, log Z, a most probable assignment and its log-weight."""

    marginals: dict[Hashable, np.ndarray]
    log_z: float
    assignment: dict[Hashable, int]
    log_score: float


class FactorGraph:
    """An undirected model of discrete variables, p(x) = (1/Z) prod_a f_a(x_a).

    Parameters
    ----------
    sizes : mapping from hashable to int, optional
        Number of values of each variable; a factor over any other variable is then an error. By
        default a variable appears with the first factor that names it and takes its size from that
        table.

    Attributes
    ----------
    sizes : dict
    factors : list of Factor

    Examples
    --------
    Rain makes the grass wet, and so may a sprinkler:

    >>> graph = FactorGraph()
    >>> rain = graph.add_factor(["rain"], [0.8, 0.2])
    >>> wet = graph.add_factor(["rain", "wet"], [[0.9, 0.1], [0.2, 0.8]])
    >>> graph.sum_product({"wet": 1}).marginals["rain"].round(3)
    array([0.333, 0.667])
    >>> graph.exact().assignment
    {'rain': 0, 'wet': 0}
    """

    def __init__(self, sizes: Mapping[Hashable, int] | None = None) -> None:
        self._closed = sizes is not None
        self.sizes: dict[Hashable, int] = {}
        for variable, size in (sizes or {}).items():
            if operator.index(size) < 1:
                raise ValueError(f"sizes gives {variable!r} {size} values; it needs at least one")
            self.sizes[variable] = operator.index(size)
        self.factors: list[Factor] = []

    @property
    def variables(self) -> tuple[Hashable, ...]:
        """All variables, in the order in which they appeared."""
        return tuple(self.sizes)

    def add_factor(
        self, variables: Sequence[Hashable], table: ArrayLike, log: bool = False
    ) -> Self:
        """Multiply the model by a table.

        Parameters
        ----------
        variables : sequence of hashable
            Distinct; none at all makes the factor a constant.
        table : array-like of float, shape (s_1, ..., s_r)
            Nonnegative finite weights, one axis a variable.
        log : bool
            Whether the table holds natural logarithms of weights; minus infinity is then a zero.

        Returns
        -------
        FactorGraph
            The graph itself.

        Raises
        ------
        ValueError
            If a variable is repeated or unknown, the shape does not fit, or an entry is negative,
            NaN or infinite.
        """
        variables = (variables,) if isinstance(variables, str) else tuple(variables)
        table = np.array(table, dtype=float)
        if len(set(variables)) < len(variables):
            raise ValueError(f"variables {variables} repeats one; give each axis its own variable")
        if table.ndim != len(variables) or table.size == 0:
            raise ValueError(
                f"table has shape {table.shape} for the variables {variables}; give it one axis, "
                "of length at least one, for each"
            )
        unknown = [v for v in variables if v not in self.sizes]
        if unknown and self._closed:
            raise ValueError(self._unknown(unknown[0]))
        for variable, size in zip(variables, table.shape):
            if self.sizes.get(variable, size) != size:
                raise ValueError(
                    f"table has {size} entries along {variable!r}, which has "
                    f"{self.sizes[variable]} values; make the two equal"
                )
        wrong = np.isnan(table) | (table == np.inf) | ((table < 0) & (not log))
        if wrong.any():
            raise ValueError(
                f"table over {variables} holds {table[wrong][0]}; weights are finite numbers from "
                "0 up (with log=True, anything below infinity)"
            )
        if not log:
            with np.errstate(divide="ignore"):
                table = np.log(table)
        self.sizes.update(zip(variables, table.shape))
        self.factors.append(Factor(variables, table))
        return self

    def log_score(self, assignment: Mapping[Hashable, int]) -> float:
        """Log-weight of a complete assignment, sum_a log f_a(x_a), minus infinity where it is zero.

        Parameters
        ----------
        assignment : mapping from every variable to one of its values

        Returns
        -------
        float
        """
        self._check(assignment)
        missing = [v for v in self.sizes if v not in assignment]
        if missing:
            raise ValueError(f"assignment lacks {missing[0]!r}; give every variable a value")
        return float(sum(t[tuple(assignment[v] for v in scope)] for scope, t in self.factors))

    def condition(self, evidence: Mapping[Hashable, int]) -> FactorGraph:
        """Fix some variables: the graph of the others, with each table cut at the fixed values.

        Its Z is the sum of the weights of all assignments that agree with the evidence.

        Parameters
        ----------
        evidence : mapping from variables to values

        Returns
        -------
        FactorGraph
            With as many factors as this one; those that lost all their variables are constants.
        """
        self._check(evidence)
        rest = FactorGraph({v: size for v, size in self.sizes.items() if v not in evidence})
        for scope, table in self.factors:
            at = tuple(evidence.get(v, slice(None)) for v in scope)
            rest.factors.append(Factor(tuple(v for v in scope if v not in evidence), table[at]))
        return rest

    def sum_product(
        self,
        evidence: Evidence = None,
        *,
        schedule: str | None = None,
        damping: float = 0.0,
        max_sweeps: int = 1000,
        tolerance: float = 1e-10,
    ) -> Marginals:
        """Marginals by belief propagation: exact on a forest, an approximation with loops.

        m_{a->v}(x_v) = sum over x_a without x_v of f_a(x_a) prod_{u in a, u != v} m_{u->a}(x_u),
        where m_{u->a} is the product of the messages to u from its other factors (Pearl 1988;
        Kschischang, Frey and Loeliger 2001). With loops, log Z is that of Bethe (Yedidia, Freeman
        and Weiss 2005).

        Parameters
        ----------
        evidence : mapping from variables to values, optional
            What is observed; it may cut loops.
        schedule : {"two-pass", "flooding", "sequential"}, optional
            By default two passes on a forest and flooding (all messages at once) otherwise.
        damping : float
            Share of the old message, in logarithms, kept in the new one: from 0 to below 1.
        max_sweeps : int
            Sweeps after which a loopy schedule gives up; ``converged`` is then False.
        tolerance : float
            A loopy schedule has converged when no weight of a message, scaled to a maximum of 1,
            changes by more than this in a sweep.

        Returns
        -------
        Marginals
            ``change`` is the largest change in the last sweep.

        Raises
        ------
        ValueError
            If the messages show that every assignment has weight zero (with loops they may fail to
            show it), or an argument is out of range.
        """
        graph = self.condition(evidence or {})
        messages = graph._messages(logsumexp)
        _, report = settle(messages, schedule, damping, max_sweeps, tolerance)
        beliefs = [messages.belief(v) for v in range(len(graph.sizes))]
        z_variables = list(map(_total, beliefs))
        joints, z_factors = messages.factor_beliefs()
        if -np.inf in z_factors + z_variables:
            raise ValueError(CONTRADICTION)
        degrees = np.bincount(messages.owner, minlength=len(beliefs))
        log_z = sum(z_factors) - sum((degrees - 1) * z_variables)
        found = dict(zip(graph.sizes, map(_normalized, beliefs)))
        return Marginals(
            self._with_evidence(found, evidence),
            joints,
            float(log_z),
            *report,
        )

    def max_product(
        self,
        evidence: Evidence = None,
        *,
        schedule: str | None = None,
        damping: float = 0.0,
        max_sweeps: int = 1000,
        tolerance: float = 1e-10,
    ) -> Best:
        """A most probable assignment: exact on a forest, ties included; a guess with loops.

        Sum-product with the sum replaced by a maximum. The assignment is read off along a walk of
        the graph, so that tied values are chosen together and not one by one.

        Parameters
        ----------
        evidence, schedule, damping, max_sweeps, tolerance
            As for :meth:`sum_product`.

        Returns
        -------
        Best
            The log-score is that of the assignment found; with loops it may be minus infinity.

        Raises
        ------
        ValueError
            As for :meth:`sum_product`.
        """
        graph = self.condition(evidence or {})
        messages = graph._messages(np.max)
        visits, report = settle(messages, schedule, damping, max_sweeps, tolerance)
        assignment = self._completed(dict(zip(graph.sizes, decode(messages, visits))), evidence)
        beliefs = [messages.belief(v) for v in range(len(graph.sizes))]
        if -np.inf in messages.factor_beliefs()[1] + [belief.max() for belief in beliefs]:
            raise ValueError(CONTRADICTION)
        found = {v: np.exp(b - b.max()) for v, b in zip(graph.sizes, beliefs)}
        return Best(
            assignment,
            self.log_score(assignment),
            self._with_evidence(found, evidence),
            *report,
        )

    def exact(self, evidence: Evidence = None, method: str = "elimination") -> Exact:
        """Exact marginals, log Z and a most probable assignment.

        Elimination multiplies the factors around one variable, sums (or maximizes) it out, and goes
        on with the smaller graph; walking back gives all marginals (Zhang and Poole 1994; Dechter
        1999). Next comes the variable whose product table is smallest. Enumeration builds the table
        of all assignments.

        Parameters
        ----------
        evidence : mapping from variables to values, optional
        method : {"elimination", "enumeration"}

        Returns
        -------
        Exact

        Raises
        ------
        ValueError
            If every assignment has weight zero, or a table would need more than 2^24 entries.
        """
        graph = self.condition(evidence or {})
        if method == "elimination":
            steps, log_z = elimination.eliminate(graph.factors, graph.sizes, logsumexp)
            if log_z == -np.inf:
                raise ValueError(CONTRADICTION)
            marginals = elimination.marginals(steps)
            chosen = elimination.best(elimination.eliminate(graph.factors, graph.sizes, np.max)[0])
        elif method == "enumeration":
            joint = product(graph.factors, graph.sizes, graph.variables)
            log_z = _total(joint)
            if log_z == -np.inf:
                raise ValueError(CONTRADICTION)
            p = np.exp(joint - log_z)
            axes = range(p.ndim)
            marginals = {
                v: p.sum(axis=tuple(a for a in axes if a != i)) for i, v in enumerate(graph.sizes)
            }
            chosen = dict(zip(graph.sizes, np.unravel_index(joint.argmax(), joint.shape)))
        else:
            raise ValueError(f"method is {method!r}; choose 'elimination' or 'enumeration'")
        assignment = self._completed(chosen, evidence)
        return Exact(
            self._with_evidence(marginals, evidence), log_z, assignment, self.log_score(assignment)
        )

    def _messages(self, reduce: Reduce) -> Messages:
        number = {v: i for i, v in enumerate(self.sizes)}
        factors = [(tuple(number[v] for v in scope), table) for scope, table in self.factors]
        return Messages(list(self.sizes.values()), factors, reduce)

    def _completed(self, chosen: Mapping[Hashable, int], evidence: Evidence) -> dict:
        """Values of all variables in the order of the graph."""
        values = {**chosen, **(evidence or {})}
        return {v: int(values[v]) for v in self.sizes}

    def _with_evidence(self, found: Mapping[Hashable, np.ndarray], evidence: Evidence) -> dict:
        """Distributions of all variables in the order of the graph; the observed are certain."""
        fixed = {v: np.eye(self.sizes[v])[x] for v, x in (evidence or {}).items()}
        every = {**found, **fixed}
        return {v: every[v] for v in self.sizes}

    def _check(self, values: Mapping[Hashable, int]) -> None:
        for variable, value in values.items():
            if variable not in self.sizes:
                raise ValueError(self._unknown(variable))
            if not 0 <= operator.index(value) < self.sizes[variable]:
                raise ValueError(
                    f"{variable!r} is given the value {value}; its values are the integers from 0 "
                    f"to {self.sizes[variable] - 1}"
                )

    def _unknown(self, variable: Hashable) -> str:
        return f"{variable!r} is no variable of this graph; it has {list(self.sizes)[:10]}"


def _normalized(log_weights: np.ndarray) -> np.ndarray:
    p = np.exp(log_weights - log_weights.max())
    return p / p.sum()


def _total(log_weights: np.ndarray) -> float:
    return float(logsumexp(log_weights, tuple(range(log_weights.ndim))))


def gibbs(
    graph: FactorGraph,
    rng: np.random.Generator,
    n_sweeps: int,
    n_chains: int = 1,
    evidence: Evidence = None,
    start: Mapping[Hashable, int] | None = None,
) -> np.ndarray:
    """Draw assignments by redrawing one variable after another given all the others.

    x_v is drawn from p(x_v | x without x_v), proportional to the product of the factors around v
    (Geman and Geman 1984). In the long run the draws have the distribution of the graph, provided
    that single changes of positive weight lead from every possible assignment to every other;
    zeros in tables can break that, and the chain then stays in its corner without a sign.

    Parameters
    ----------
    graph : FactorGraph
    rng : numpy.random.Generator
    n_sweeps : int
        Each sweep redraws every variable that is not observed, in the order of the graph.
    n_chains : int
        Independent chains, advanced together.
    evidence : mapping from variables to values, optional
    start : mapping from variables to values, optional
        Where all chains start. By default each variable is drawn in order from the product of the
        factors over variables drawn so far, which for a Bayesian network in the order of its arrows
        is a draw from the model.

    Returns
    -------
    numpy.ndarray of int64, shape (n_sweeps, n_chains, number of variables)
        The state after each sweep, columns in the order of ``graph.variables``; nothing is thrown
        away at the beginning.

    Raises
    ------
    ValueError
        If ``n_sweeps`` or ``n_chains`` is below one, or the start has weight zero.

    Examples
    --------
    >>> graph = FactorGraph()
    >>> pair = graph.add_factor(["a", "b"], [[4.0, 1.0], [1.0, 4.0]])
    >>> draws = gibbs(graph, np.random.default_rng(0), n_sweeps=2000, n_chains=10)
    >>> bool(abs(np.mean(draws[..., 0] == draws[..., 1]) - 0.8) < 0.02)
    True
    """
    if n_sweeps < 1 or n_chains < 1:
        raise ValueError(f"n_sweeps is {n_sweeps} and n_chains {n_chains}; both must be at least 1")
    column = {v: i for i, v in enumerate(graph.sizes)}
    fixed = dict(evidence or {})
    graph._check(fixed)
    state = np.zeros((n_chains, len(column)), dtype=np.int64)
    for v, value in fixed.items():
        state[:, column[v]] = value
    around: dict[Hashable, list] = {v: [] for v in column}
    for scope, table in graph.factors:
        for axis, v in enumerate(scope):
            others = [column[u] for u in scope if u != v]
            around[v].append((np.moveaxis(table, axis, -1), others))

    def redraw(v: Hashable, known: set[int] | None = None) -> None:
        log_p = np.zeros((n_chains, graph.sizes[v]))
        for table, others in around[v]:
            if known is None or known.issuperset(others):
                log_p = log_p + table[tuple(state[:, i] for i in others)]  # (chains, s)
        top = log_p.max(axis=1, keepdims=True)
        if (top == -np.inf).any():
            raise ValueError(IMPOSSIBLE_START)
        p = np.exp(log_p - top).cumsum(axis=1)
        u = rng.random((n_chains, 1)) * p[:, -1:]
        state[:, column[v]] = (p <= u).sum(axis=1)

    free = [v for v in column if v not in fixed]
    if start is None:
        known = {column[v] for v in fixed}
        for v in free:
            redraw(v, known)
            known.add(column[v])
    else:
        first = graph._completed(start, evidence)
        if graph.log_score(first) == -np.inf:
            raise ValueError(IMPOSSIBLE_START)
        state[:] = list(first.values())
    draws = np.empty((n_sweeps, *state.shape), dtype=np.int64)
    for sweep in range(n_sweeps):
        for v in free:
            redraw(v)
        draws[sweep] = state
    return draws
