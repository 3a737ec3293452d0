"""Trends of an error: fit a few points, say how sure, and ask what lies beyond them.

Three forms are common. A power law, ``a n^-b`` (Hestness et al., 2017; Kaplan et al., 2020); the
same above a floor, ``a n^-b + c`` (Hoffmann et al., 2022); and a logistic curve, whose log odds are
linear in ``log n``. All have few parameters and pass near few points. :func:`bootstrap` repeats the
fit on draws that are drawn again, :func:`compute_split` is the division of compute between
parameters and data that follows from the second form.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

__all__ = ["FORMS", "Trend", "bootstrap", "compute_split", "fit_trend"]

FORMS = ("power", "floor", "logistic")
STEEPEST = 3.0  # largest exponent that the form with a floor may have


class Trend(NamedTuple):
    """A fitted trend; called with values of n, it gives the error there.

    Parameters
    ----------
    form : str
        ``"power"`` and ``"floor"``: ``a n^-b + c``, with ``c = 0`` in the first; ``"logistic"``:
        the error e has ``log(e / (1 - e)) = log a - b log n``.
    a, b, c : float
        Scale, exponent and floor.
    """

    form: str
    a: float
    b: float
    c: float

    def __call__(self, n: ArrayLike) -> np.ndarray:
        """Errors of the shape of ``n``."""
        power = self.a * np.asarray(n, dtype=float) ** -self.b
        return power / (1 + power) if self.form == "logistic" else power + self.c


def fit_trend(n: ArrayLike, error: ArrayLike, form: str = "power") -> Trend:
    """The trend of a form with the least squares: on logarithms, of relative errors, on log odds.

    ``"power"`` minimizes ``sum (log e - log a + b log n)^2``. ``"floor"`` minimizes
    ``sum (1 - (a n^-b + c) / e)^2`` with a and c not negative: for each b the two are the solution
    of a linear problem, and b between 0 and 3 is searched. ``"logistic"`` is the first with log
    odds in the place of ``log e``.

    Parameters
    ----------
    n : array_like, shape (m,)
        What grows: labels, steps, parameters. Positive.
    error : array_like, shape (m,)
        What falls. Positive; below 1 for ``"logistic"``.
    form : {"power", "floor", "logistic"}

    Returns
    -------
    Trend

    Raises
    ------
    ValueError
        If the form is unknown, there are fewer points than parameters, or a value is out of range.

    Examples
    --------
    >>> trend = fit_trend([1, 10, 100], [0.4, 0.2, 0.1])
    >>> round(trend.b, 3), trend(1000).round(3).item()
    (0.301, 0.05)
    >>> fit_trend([1, 4, 16, 64], [0.5, 0.3, 0.2, 0.15], "floor")(256).round(3).item()
    0.125
    """
    n, error = np.asarray(n, dtype=float), np.asarray(error, dtype=float)
    _check(n, error, form)
    if form != "floor":
        y = np.log(error if form == "power" else error / (1 - error))
        slope, intercept = np.polyfit(np.log(n), y, 1)
        return Trend(form, float(np.exp(intercept)), float(-slope), 0.0)

    grid = np.linspace(0.01, STEEPEST, 60)
    best = int(np.argmin(_weighed(n, error, grid)[2]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    b = minimize_scalar(lambda b: _weighed(n, error, b)[2], bounds=(low, high), method="bounded").x
    a, c, _ = _weighed(n, error, b)
    return Trend(form, float(a), float(b), float(c))


def bootstrap(
    n: ArrayLike, errors: ArrayLike, at: ArrayLike, form: str, times: int, seed: int = 0
) -> np.ndarray:
    """Predictions of trends that were fitted to means over draws, drawn again with replacement.

    Parameters
    ----------
    n : array_like, shape (m,)
    errors : array_like, shape (draws, m)
        A row for each independent repetition of the experiment.
    at : array_like, shape (p,)
        Where to predict.
    form : {"power", "floor", "logistic"}
    times : int
        How often the draws are drawn again, at least 1.
    seed : int

    Returns
    -------
    numpy.ndarray, shape (times, p)
        Its percentiles are intervals for the mean over draws, if the form is right.

    Raises
    ------
    ValueError
        If ``errors`` has another shape, ``times`` is below 1, or :func:`fit_trend` refuses.

    Examples
    --------
    >>> draws = [[0.40, 0.20, 0.10], [0.42, 0.20, 0.11], [0.38, 0.21, 0.10]]
    >>> found = bootstrap([1, 10, 100], draws, [1000], "power", times=200)
    >>> np.percentile(found, [2.5, 97.5]).round(3).tolist()
    [0.05, 0.055]
    """
    errors = np.asarray(errors, dtype=float)
    if errors.ndim != 2 or errors.shape[1] != len(np.asarray(n)):
        raise ValueError(f"errors has shape {errors.shape}; give (draws, {len(np.asarray(n))})")
    if times < 1:
        raise ValueError(f"times is {times}; give at least 1")
    rng = np.random.default_rng(seed)
    again = rng.integers(len(errors), size=(times, len(errors)))
    return np.array([fit_trend(n, errors[rows].mean(0), form)(at) for rows in again])


def compute_split(
    compute: float, a: float, alpha: float, b: float, beta: float, cost: float = 6.0
) -> tuple[float, float]:
    """Parameters N and tokens D with the least ``a N^-alpha + b D^-beta`` for a given compute.

    Under ``cost N D = compute``,
    ``N = (alpha a / (beta b))^(1 / (alpha + beta)) (compute / cost)^(beta / (alpha + beta))``
    (Hoffmann et al., 2022, equation 4); training costs about six operations a parameter and token.

    Parameters
    ----------
    compute : float
        Operations, all together.
    a, alpha, b, beta : float
        Scales and exponents of the two terms, positive.
    cost : float
        Operations for one parameter and one token.

    Returns
    -------
    tuple of float
        N and D.

    Raises
    ------
    ValueError
        If an argument is not positive.

    Examples
    --------
    >>> n, d = compute_split(6e6, a=1.0, alpha=0.5, b=1.0, beta=0.5)
    >>> round(n), round(d)
    (1000, 1000)
    """
    given = {"compute": compute, "a": a, "alpha": alpha, "b": b, "beta": beta, "cost": cost}
    for name, value in given.items():
        if not value > 0:
            raise ValueError(f"{name} is {value}; give a positive number")
    product = compute / cost
    n = (alpha * a / (beta * b)) ** (1 / (alpha + beta)) * product ** (beta / (alpha + beta))
    return n, product / n


def _weighed(
    n: np.ndarray, error: np.ndarray, b: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scale and floor, neither negative, with the least squares of relative errors for each b."""
    u = n ** -np.asarray(b)[..., None] / error  # (..., m)
    v = 1 / error  # (m,)
    uu, uv, vv, u1, v1 = (u * u).sum(-1), u @ v, v @ v, u.sum(-1), v.sum()
    determinant = uu * vv - uv**2
    a = (u1 * vv - uv * v1) / determinant
    c = (v1 * uu - uv * u1) / determinant
    a, c = (
        np.where(c < 0, u1 / uu, np.where(a < 0, 0.0, a)),
        np.where(c < 0, 0.0, np.where(a < 0, v1 / vv, c)),
    )
    return a, c, ((1 - a[..., None] * u - c[..., None] * v) ** 2).sum(-1)


def _check(n: np.ndarray, error: np.ndarray, form: str) -> None:
    if form not in FORMS:
        raise ValueError(f"form is {form!r}; choose {', '.join(map(repr, FORMS))}")
    least = 3 if form == "floor" else 2
    if n.shape != error.shape or n.ndim != 1 or len(np.unique(n)) < least:
        raise ValueError(
            f"n, error: shapes {n.shape} and {error.shape}; give as many values of each, at least "
            f"{least} different n for {form!r}"
        )
    top = 1.0 if form == "logistic" else np.inf
    if not ((n > 0).all() and (error > 0).all() and (error < top).all()):
        raise ValueError(f"n, error: give positive values, errors below {top}")
