"""Small published networks, with their numbers typed in from the tables of their sources.

``burglary`` (Pearl 1988, with the numbers of Russell and Norvig 1995), ``asia`` (Lauritzen and
Spiegelhalter 1988), ``student`` and ``misconception`` (Koller and Friedman 2009). Each function
returns a fresh :class:`nlpmeta.factor_graph.FactorGraph`, parents before children; value 1 is the
yes of a yes-or-no variable. They are for teaching and for checking one program against another.
"""

from __future__ import annotations

from nlpmeta.factor_graph import FactorGraph


def burglary() -> FactorGraph:
    """Build the burglar alarm: a burglary or an earthquake may set it off, two neighbors may call.

    The story is Pearl's (1988); the numbers are those of Russell and Norvig (1995, figure 15.2).

    Returns
    -------
    FactorGraph
        Over ``burglary``, ``earthquake``, ``alarm``, ``john``, ``mary``.

    Examples
    --------
    >>> burglary().exact({"john": 1, "mary": 1}).marginals["burglary"].round(3)
    array([0.716, 0.284])
    """
    graph = FactorGraph()
    graph.add_factor(["burglary"], [0.999, 0.001])
    graph.add_factor(["earthquake"], [0.998, 0.002])
    graph.add_factor(
        ["burglary", "earthquake", "alarm"],
        [[[0.999, 0.001], [0.71, 0.29]], [[0.06, 0.94], [0.05, 0.95]]],
    )
    graph.add_factor(["alarm", "john"], [[0.95, 0.05], [0.10, 0.90]])
    graph.add_factor(["alarm", "mary"], [[0.99, 0.01], [0.30, 0.70]])
    return graph


def asia() -> FactorGraph:
    """Build the chest clinic: a visit to Asia and smoking, three diseases, an X-ray and dyspnea.

    ``either`` is the logical *or* of ``tuberculosis`` and ``lung``, so its table holds zeros, and
    smoking reaches dyspnea on two ways, so the graph has a loop (Lauritzen and Spiegelhalter 1988).

    Returns
    -------
    FactorGraph
        Over ``asia``, ``smoking``, ``tuberculosis``, ``lung``, ``bronchitis``, ``either``,
        ``xray``, ``dyspnea``.

    Examples
    --------
    >>> asia().exact({"asia": 1, "dyspnea": 1}).marginals["bronchitis"].round(3)
    array([0.189, 0.811])
    """
    graph = FactorGraph()
    graph.add_factor(["asia"], [0.99, 0.01])
    graph.add_factor(["smoking"], [0.5, 0.5])
    graph.add_factor(["asia", "tuberculosis"], [[0.99, 0.01], [0.95, 0.05]])
    graph.add_factor(["smoking", "lung"], [[0.99, 0.01], [0.90, 0.10]])
    graph.add_factor(["smoking", "bronchitis"], [[0.70, 0.30], [0.40, 0.60]])
    graph.add_factor(
        ["tuberculosis", "lung", "either"],
        [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]],
    )
    graph.add_factor(["either", "xray"], [[0.95, 0.05], [0.02, 0.98]])
    graph.add_factor(
        ["either", "bronchitis", "dyspnea"],
        [[[0.9, 0.1], [0.2, 0.8]], [[0.3, 0.7], [0.1, 0.9]]],
    )
    return graph


def student() -> FactorGraph:
    """Build the student who wants a letter: difficulty, intelligence, grade, SAT score, letter.

    Koller and Friedman (2009, figure 3.4). A grade of 0 is an A, of 2 a C.

    Returns
    -------
    FactorGraph
        Over ``difficulty``, ``intelligence``, ``grade`` (three values), ``sat``, ``letter``.

    Examples
    --------
    >>> student().exact({"grade": 2}).marginals["intelligence"].round(3)
    array([0.921, 0.079])
    """
    graph = FactorGraph()
    graph.add_factor(["difficulty"], [0.6, 0.4])
    graph.add_factor(["intelligence"], [0.7, 0.3])
    graph.add_factor(
        ["intelligence", "difficulty", "grade"],
        [[[0.3, 0.4, 0.3], [0.05, 0.25, 0.7]], [[0.9, 0.08, 0.02], [0.5, 0.3, 0.2]]],
    )
    graph.add_factor(["intelligence", "sat"], [[0.95, 0.05], [0.2, 0.8]])
    graph.add_factor(["grade", "letter"], [[0.1, 0.9], [0.4, 0.6], [0.99, 0.01]])
    return graph


def misconception() -> FactorGraph:
    """Build four students in a ring, each of whom may hold a misconception: an undirected loop.

    Koller and Friedman (2009, figure 4.1): Alice and Bob, Bob and Charles, Charles and Debbie,
    Debbie and Alice study together; Charles and Debbie tend to disagree.

    Returns
    -------
    FactorGraph
        Over ``alice``, ``bob``, ``charles``, ``debbie``.

    Examples
    --------
    >>> import math
    >>> round(math.exp(misconception().exact().log_z))
    7201840
    """
    graph = FactorGraph()
    graph.add_factor(["alice", "bob"], [[30.0, 5.0], [1.0, 10.0]])
    graph.add_factor(["bob", "charles"], [[100.0, 1.0], [1.0, 100.0]])
    graph.add_factor(["charles", "debbie"], [[1.0, 100.0], [100.0, 1.0]])
    graph.add_factor(["debbie", "alice"], [[100.0, 1.0], [1.0, 100.0]])
    return graph
