"""Find the minimum of a smooth convex function, with or without an L1 penalty on its arguments.

L-BFGS keeps the last few steps and changes of the gradient and makes of them an estimate of the
curvature (Nocedal 1980; Liu and Nocedal 1989); without L1 penalty SciPy runs it. With one the
function has kinks wherever an argument is zero, and the orthant-wise method (Andrew and Gao 2007)
takes over: it lets no argument change its sign within a step. Exports ``minimize`` and ``Minimum``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import optimize

Function = Callable[[np.ndarray], tuple[float, np.ndarray]]

MEMORY = 10
NARROWEST = 1e-16  # the smallest share of a step that is tried


class Minimum(NamedTuple):
    """Where a minimization ended: the argument, the value after each step, and how flat it is."""

    x: np.ndarray
    values: np.ndarray
    slope: float


def minimize(
    function: Function,
    start: np.ndarray,
    l1: np.ndarray,
    *,
    tol: np.ndarray,
    max_iter: int,
) -> Minimum:
    """Minimize ``function(x) + sum_i l1_i |x_i|`` by (orthant-wise) L-BFGS.

    Parameters
    ----------
    function : callable
        From x to the value and the gradient of the smooth part.
    start : numpy.ndarray of float, shape (d,)
    l1 : numpy.ndarray of float, shape (d,)
        The penalty of each argument, not negative.
    tol : numpy.ndarray of float, shape (d,)
        Stop when no component of the (pseudo-)gradient is larger than its own.
    max_iter : int

    Returns
    -------
    Minimum
        ``slope`` is the largest component of the (pseudo-)gradient, divided by its ``tol``; above
        1 the search did not converge.

    Examples
    --------
    >>> found = minimize(lambda x: (0.5 * (x - 3) @ (x - 3), x - 3), np.zeros(2),
    ...                  np.array([1.0, 4.0]), tol=np.full(2, 1e-9), max_iter=50)
    >>> found.x.round(6).tolist()
    [2.0, 0.0]
    """
    if l1.any():
        return _orthantwise(function, start, l1, tol, max_iter)
    values: list[float] = []
    slope = np.inf

    def watched(x: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal slope
        value, gradient = function(x)
        slope = _largest(gradient, tol)
        return value, gradient

    def after_step(intermediate_result: optimize.OptimizeResult) -> None:
        values.append(float(intermediate_result.fun))
        if slope <= 1:  # at the last point evaluated, which is the one the step ended at
            raise StopIteration

    options = {"maxcor": MEMORY, "maxiter": max_iter, "maxfun": 10 * max_iter, "maxls": 50}
    options |= {"gtol": 0.0, "ftol": 0.0}
    found = optimize.minimize(
        watched, start, jac=True, method="L-BFGS-B", callback=after_step, options=options
    )
    return Minimum(found.x, np.array(values), _largest(function(found.x)[1], tol))


def _orthantwise(
    function: Function, x: np.ndarray, l1: np.ndarray, tol: np.ndarray, max_iter: int
) -> Minimum:
    steps: deque[np.ndarray] = deque(maxlen=MEMORY)
    changes: deque[np.ndarray] = deque(maxlen=MEMORY)
    values: list[float] = []
    value, gradient = function(x)
    value += l1 @ np.abs(x)
    slope = _pseudo_gradient(x, gradient, l1)
    while len(values) < max_iter and _largest(slope, tol) > 1:
        direction = -_curved(slope, steps, changes)
        direction[direction * slope >= 0] = 0  # never uphill
        orthant = np.where(x != 0, np.sign(x), -np.sign(slope))
        share = 1.0 if steps else 1 / max(1.0, float(np.linalg.norm(direction)))
        while True:
            ahead = x + share * direction
            ahead[ahead * orthant <= 0] = 0  # stop at zero instead of crossing it
            new_value, new_gradient = function(ahead)
            new_value += l1 @ np.abs(ahead)
            if new_value <= value + 1e-4 * slope @ (ahead - x):
                break
            share /= 2
            if share < NARROWEST:  # nothing is lower within double precision
                return Minimum(x, np.array(values), _largest(slope, tol))
        step, change = ahead - x, new_gradient - gradient
        if step @ change > 1e-10 * (change @ change):
            steps.append(step)
            changes.append(change)
        x, value, gradient = ahead, new_value, new_gradient
        slope = _pseudo_gradient(x, gradient, l1)
        values.append(float(value))
    return Minimum(x, np.array(values), _largest(slope, tol))


def _largest(slope: np.ndarray, tol: np.ndarray) -> float:
    return float((np.abs(slope) / tol).max())


def _pseudo_gradient(x: np.ndarray, gradient: np.ndarray, l1: np.ndarray) -> np.ndarray:
    """The steepest of the one-sided derivatives, and zero where both sides rise."""
    at_zero = np.sign(gradient) * np.maximum(np.abs(gradient) - l1, 0)
    return np.where(x != 0, gradient + l1 * np.sign(x), at_zero)


def _curved(slope: np.ndarray, steps: deque[np.ndarray], changes: deque[np.ndarray]) -> np.ndarray:
    """The slope times the inverse curvature that past steps suggest: the two-loop recursion."""
    q, pulls = slope.copy(), []
    for step, change in zip(reversed(steps), reversed(changes)):
        pulls.append((step @ q) / (step @ change))
        q -= pulls[-1] * change
    if steps:
        q *= (steps[-1] @ changes[-1]) / (changes[-1] @ changes[-1])
    for step, change, pull in zip(steps, changes, reversed(pulls)):
        q += (pull - (change @ q) / (step @ change)) * step
    return q
