"""What is checked, and how: cases from a secret seed, the right answers, and the comparison.

All of this runs on the lecturer's side. ``Check`` is one thing that a right program does, worth
some points; ``ProblemSet`` collects those of a set, in ``checks/<set>.py`` under the name
``SET``. Exports these two, ``make_cases``, ``judge`` and ``agree``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Case = dict[str, Any]


class Check(NamedTuple):
    """One check: the student's function gets every case, and all answers must be right."""

    name: str  # what the hidden cell emits under
    task: str  # the check cell that its points belong to
    points: float
    says: str  # what a student reads who fails it
    cases: Callable[[np.random.Generator], Sequence[Case]]
    expected: Callable[..., Any] | None = None  # the right answer to a case
    accept: Callable[[Any, Case], bool] | None = None  # or whether an answer to a case is right
    tolerance: float = 1e-6


class ProblemSet(NamedTuple):
    """A problem set as the lecturer's side sees it."""

    title: str
    hours: float  # that a student needs
    chapter: str  # label of the chapter that it belongs to
    goals: tuple[tuple[str, str], ...]  # what is learned, and the label of its section
    checks: tuple[Check, ...]
    corpora: tuple[str, ...] = ()  # what has to be extracted before it is run
    limits: Mapping[str, float] = {}  # that differ from the usual

    def points(self, task: str) -> float:
        """The points of a task's check cell."""
        return sum(check.points for check in self.checks if check.task == task)


def make_cases(checks: Sequence[Check], seed: str) -> dict[str, list[Case]]:
    """The cases of every check, from a seed that students do not know.

    Examples
    --------
    >>> check = Check("double", "t", 1, "", lambda rng: [{"x": int(rng.integers(9))}])
    >>> make_cases([check], "a") == make_cases([check], "a")
    True
    """
    cases = {}
    for check in checks:
        digest = hashlib.sha256(f"{seed}/{check.name}".encode()).digest()
        made = check.cases(np.random.default_rng(int.from_bytes(digest[:8], "big")))
        cases[check.name] = json.loads(json.dumps(list(made)))
    return cases


def judge(check: Check, cases: Sequence[Case], answers: Any) -> str:
    """Compare what came out of the sandbox: ``""`` if all is right, otherwise what is wrong.

    Nothing about the answers is taken for granted: they may have any form.

    Examples
    --------
    >>> check = Check("double", "t", 1, "", lambda rng: [], lambda x: 2 * x)
    >>> judge(check, [{"x": 2}], [{"value": 4}])
    ''
    >>> judge(check, [{"x": 2}], [{"value": 5}])
    'wrong'
    >>> judge(check, [{"x": 2}], [{"error": "KeyError: 3"}])
    'KeyError: 3'
    """
    if not isinstance(answers, list) or len(answers) != len(cases):
        return "nothing came out"
    for case, answer in zip(cases, answers):
        if not isinstance(answer, dict) or "value" not in answer:
            return str(answer.get("error", "wrong") if isinstance(answer, dict) else "wrong")[:300]
        expected = check.expected(**case) if check.expected else None  # an error in here is ours
        try:
            if check.accept is not None:
                right = bool(check.accept(answer["value"], case))
            else:
                right = agree(answer["value"], expected, check.tolerance)
        except Exception:  # an answer of a form that nobody thought of
            right = False
        if not right:
            return "wrong"
    return ""


def agree(answer: Any, right: Any, tolerance: float) -> bool:
    """Whether an answer is the right one: same form, numbers up to ``tolerance`` times their size.

    Parameters
    ----------
    answer, right : JSON values
        ``right`` may hold arrays. NaN agrees with nothing, infinity with itself.
    tolerance : float

    Examples
    --------
    >>> agree([0.3, "a"], [0.1 + 0.2, "a"], 1e-9), agree([1.0], 1.0, 1), agree(True, 1, 1)
    (True, False, False)
    >>> agree(float("nan"), float("nan"), 1)
    False
    """
    if hasattr(right, "tolist"):
        right = right.tolist()
    if isinstance(right, bool) or right is None or isinstance(right, str):
        return type(answer) is type(right) and answer == right
    if isinstance(right, int | float):
        if isinstance(answer, bool) or not isinstance(answer, int | float):
            return False
        if math.isinf(right):
            return answer == right
        return abs(answer - right) <= tolerance * max(1.0, abs(right))
    if isinstance(right, dict):
        return (
            isinstance(answer, dict)
            and set(answer) == {str(key) for key in right}
            and all(agree(answer[str(key)], value, tolerance) for key, value in right.items())
        )
    return (
        isinstance(answer, list)
        and len(answer) == len(right)
        and all(agree(a, b, tolerance) for a, b in zip(answer, right))
    )
