"""Trends against curves with known parameters, SciPy's own fits, and bad input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import curve_fit, minimize_scalar
from scipy.stats import linregress

from nlpmeta.trends import FORMS, Trend, bootstrap, compute_split, fit_trend

N = np.array([1.0, 2, 4, 8, 16, 32])


@given(st.floats(0.05, 0.9), st.floats(0.1, 2.0), st.floats(0.0, 0.3))
def test_each_form_finds_the_curve_that_made_the_points(a, b, c):
    for form, floor in (("power", 0.0), ("floor", c), ("logistic", 0.0)):
        made = Trend(form, a, b, floor)
        assert np.allclose(fit_trend(N, made(N), form)(2 * N), made(2 * N), rtol=1e-3)


@pytest.mark.parity(
    "trends", "`fit_trend`, power law", "`scipy.stats.linregress` of logarithms", "`1e-5`"
)
def test_power_equals_a_regression_on_logarithms():
    error = np.array([0.5, 0.41, 0.28, 0.21, 0.17, 0.12])
    line = linregress(np.log(N), np.log(error))
    trend = fit_trend(N, error)
    assert np.isclose(trend.b, -line.slope)
    assert np.isclose(trend.a, np.exp(line.intercept))


@pytest.mark.parity("trends", "`fit_trend` with a floor", "`scipy.optimize.curve_fit`", "`1e-3`")
def test_floor_equals_scipy_with_relative_weights():
    error = np.array([0.5, 0.36, 0.29, 0.25, 0.22, 0.215])
    found, _ = curve_fit(
        lambda n, a, b, c: a * n**-b + c, N, error, p0=(0.4, 0.5, 0.1), sigma=error
    )
    trend = fit_trend(N, error, "floor")
    assert np.allclose([trend.a, trend.b, trend.c], found, rtol=1e-3)


def test_a_floor_is_never_negative():
    assert fit_trend(N, 0.5 - 0.09 * np.log2(N), "floor").c >= 0


def test_a_power_law_through_two_points_of_a_floored_one_is_below_it_beyond():
    made = Trend("floor", 0.4, 0.6, 0.1)
    assert fit_trend(N[:2], made(N[:2]))(64) < made(64)


def test_bootstrap_of_equal_draws_is_one_number():
    found = bootstrap(N, np.tile(0.5 * N**-0.3, (4, 1)), [64, 128], "power", 10)
    assert found.shape == (10, 2)
    assert np.allclose(found, 0.5 * np.array([64.0, 128]) ** -0.3)
    draws = np.random.default_rng(0).uniform(0.1, 0.9, (3, 6))
    again = [bootstrap(N, draws, [64], "logistic", 5, seed) for seed in (0, 0, 1)]
    assert (again[0] == again[1]).all()
    assert (again[0] != again[2]).any()


@pytest.mark.parity(
    "trends", "`compute_split`", "`scipy.optimize.minimize_scalar`", "`1e-9`, absolute"
)
@given(st.floats(1.1, 9), st.floats(0.2, 0.9), st.floats(0.2, 0.9))
def test_the_split_is_the_minimum(a, alpha, beta):
    n, d = compute_split(6e9, a, alpha, 2.0, beta)
    assert np.isclose(6 * n * d, 6e9)
    loss = lambda log_n: a * np.exp(log_n) ** -alpha + 2.0 * (1e9 / np.exp(log_n)) ** -beta  # noqa: E731
    best = minimize_scalar(loss, bounds=(-20, 40), method="bounded", options={"xatol": 1e-9})
    assert loss(np.log(n)) <= best.fun + 1e-9


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: fit_trend([1, 2], [0.2, 0.1], "line"), "form is 'line'"),
        (lambda: fit_trend([1, 1], [0.2, 0.1]), "at least 2"),
        (lambda: fit_trend([1, 2], [0.2, 0.1], "floor"), "at least 3"),
        (lambda: fit_trend([1, 2, 3], [0.2, 0.1]), "shapes"),
        (lambda: fit_trend([1, 2], [0.2, 0.0]), "positive"),
        (lambda: fit_trend([0, 2], [0.2, 0.1]), "positive"),
        (lambda: fit_trend([1, 2], [1.2, 0.1], "logistic"), "below 1"),
        (lambda: bootstrap([1, 2], [0.2, 0.1], [4], "power", 3), "shape"),
        (lambda: bootstrap([1, 2], [[0.2, 0.1]], [4], "power", 0), "times is 0"),
        (lambda: compute_split(0, 1, 1, 1, 1), "compute is 0"),
    ],
)
def test_bad_input(call, said):
    with pytest.raises(ValueError, match=said):
        call()
    assert FORMS == ("power", "floor", "logistic")
