"""Linear tasks, the answers with a formula, and the layer that takes a step of descent."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import BayesianRidge, Ridge

from nlpmeta.in_context_regression import (
    LinearAttention,
    averaging,
    least_squares,
    linear_tasks,
    posterior,
)
from nlpmeta.training import fit

shapes = st.tuples(st.integers(1, 9), st.integers(1, 6), st.integers(0, 1000))  # s, d, seed


def drawn(shape, *leading):
    """Points, their targets and queries, in double precision."""
    s, d, seed = shape
    g = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(*leading, *last, generator=g, dtype=torch.float64)
        for last in ((s, d), (s, 1), (4, d))
    )


# --- tasks ----------------------------------------------------------------------------------------


def test_tasks_have_the_moments_that_they_promise():
    g = torch.Generator().manual_seed(0)
    task, w = linear_tasks(4000, 5, 3, d=2, generator=g, noise=0.5, prior=2.0)
    assert [tuple(part.shape) for part in task] == [
        (4000, 5, 2),
        (4000, 5, 1),
        (4000, 3, 2),
        (4000, 3, 1),
    ]
    assert {part.dtype for part in (*task, w)} == {torch.float32}
    error = torch.cat([task.support_y - task.support_x @ w, task.query_y - task.query_x @ w], 1)
    assert error.std().item() == pytest.approx(0.5, rel=0.02)
    assert w.std().item() == pytest.approx(2.0, rel=0.03)
    assert task.support_x.std().item() == pytest.approx(1.0, rel=0.02)
    assert abs(w.mean().item()) < 0.1


def test_the_generator_decides_the_tasks_and_nothing_else_does():
    def tasks(seed):
        return linear_tasks(2, 3, 4, d=5, generator=torch.Generator().manual_seed(seed))

    state = torch.random.get_rng_state()
    (a, v), (b, w), (c, _) = tasks(1), tasks(1), tasks(2)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(x, y) for x, y in zip((*a, v), (*b, w)))
    assert not torch.equal(a.support_x, c.support_x)
    assert torch.equal(a.query_x @ v, a.query_y), "no noise unless it is asked for"


# --- answers --------------------------------------------------------------------------------------


def test_worked_by_hand():
    """Two points (1, 2) and (2, 1): X'X = 5, X'y = 4; with r = 1 / 0.25 = 4 the mean is 4 / 9."""
    x, y = torch.tensor([[1.0], [2.0]]), torch.tensor([[2.0], [1.0]])
    found = posterior(x, y, noise=1.0, prior=0.5)
    assert found.mean.item() == pytest.approx(4 / 9)
    assert found.covariance.item() == pytest.approx(1 / 9)
    assert least_squares(x, y).item() == pytest.approx(4 / 5)
    assert averaging(x, y).item() == pytest.approx(2.0)


@pytest.mark.parity(
    "in_context_regression",
    "`posterior`",
    "`sklearn.linear_model.Ridge`; the normal distribution conditioned; `BayesianRidge` "
    "at its variances",
    "`1e-7`, `1e-8`, `1e-10`, absolute",
)
@given(shapes, st.floats(0.05, 5), st.floats(0.1, 5))
def test_the_posterior_mean_is_scikit_learns_ridge(shape, noise, prior):
    x, y, query = drawn(shape)
    found = posterior(x, y, noise, prior).mean
    peer = Ridge(alpha=(noise / prior) ** 2, fit_intercept=False).fit(x.numpy(), y.numpy().ravel())
    assert np.allclose(found.squeeze(-1), peer.coef_, atol=1e-7, rtol=0)
    assert np.allclose((query @ found).squeeze(-1), peer.predict(query.numpy()), atol=1e-7, rtol=0)


@pytest.mark.parity
@given(shapes, st.floats(0.05, 5), st.floats(0.1, 5))
def test_the_posterior_is_the_normal_distribution_of_w_conditioned_on_y(shape, noise, prior):
    """Another road: ``w`` and ``y`` are normal together, and conditioning them has a formula."""
    x, y, _ = drawn(shape)
    eye = torch.eye(shape[0], dtype=torch.float64)
    gain = prior**2 * x.T @ torch.linalg.inv(prior**2 * x @ x.T + noise**2 * eye)
    found = posterior(x, y, noise, prior)
    scale = prior + prior**2
    assert torch.allclose(found.mean, gain @ y, atol=1e-8 * scale, rtol=1e-8)
    covariance = prior**2 * (torch.eye(shape[1], dtype=torch.float64) - gain @ x)
    assert torch.allclose(found.covariance, covariance, atol=1e-8 * scale, rtol=1e-8)


@pytest.mark.parity
def test_the_covariance_is_that_of_bayesian_ridge_whose_variances_are_fixed():
    x, y, query = drawn((8, 3, 0))
    noise, prior = 0.5, 2.0
    peer = BayesianRidge(fit_intercept=False, alpha_init=noise**-2, lambda_init=prior**-2,
                         max_iter=1)  # fmt: skip
    peer.fit(x.numpy(), y.numpy().ravel())
    # after its one iteration it has the variances that it chose; ask for the posterior of those
    found = posterior(x, y, peer.alpha_**-0.5, peer.lambda_**-0.5)
    mean, deviation = peer.predict(query.numpy(), return_std=True)
    assert np.allclose((query @ found.mean).squeeze(-1), mean, atol=1e-10)
    variance = (query @ found.covariance * query).sum(-1) + 1 / peer.alpha_
    assert np.allclose(variance.sqrt(), deviation, atol=1e-10)


@pytest.mark.parity(
    "in_context_regression",
    "`least_squares`, with too few points too",
    "`numpy.linalg.lstsq`",
    "`1e-9`",
)
@given(shapes)
def test_least_squares_is_numpys_with_too_few_points_too(shape):
    x, y, _ = drawn(shape)
    peer = np.linalg.lstsq(x.numpy(), y.numpy(), rcond=None)[0]
    assert np.allclose(least_squares(x, y), peer, atol=1e-9 * (1 + abs(peer).max()), rtol=0)


def test_least_squares_of_repeated_points_is_the_shortest():
    x = torch.tensor([[1.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    y = torch.tensor([[1.0], [3.0]], dtype=torch.float64)
    assert torch.allclose(least_squares(x, y), torch.ones(2, 1, dtype=torch.float64))


@given(shapes)
def test_without_noise_the_posterior_is_the_limit_of_little_noise(shape):
    x, y, _ = drawn(shape)
    if shape[0] > shape[1]:  # no weights go through all points unless the points have some
        y = x @ torch.ones(shape[1], 1, dtype=torch.float64)
    limit, near = posterior(x, y, 0.0), posterior(x, y, 1e-5)
    assert torch.allclose(limit.mean, near.mean, atol=1e-4, rtol=1e-4)
    assert torch.allclose(limit.covariance, near.covariance, atol=1e-4)
    assert torch.allclose(limit.mean, least_squares(x, y), atol=1e-9, rtol=1e-9)


def test_no_other_predictor_beats_the_posterior_and_its_error_is_the_one_promised():
    """Over 20,000 tasks of 3 points of 4 numbers, least squares and other penalties among them."""
    noise, prior = 0.5, 1.0
    g = torch.Generator().manual_seed(0)
    task, w = linear_tasks(20_000, 3, 1, d=4, generator=g, noise=noise, prior=prior)
    task, w = [part.double() for part in task], w.double()
    x, y, query, _ = task

    def error(weights):
        return (query @ (weights - w)).square().mean().item()

    found = posterior(x, y, noise, prior)
    best = error(found.mean)
    promised = (query @ found.covariance @ query.mT).mean().item()
    assert best == pytest.approx(promised, rel=0.03)
    others = [
        least_squares(x, y),
        averaging(x, y),
        posterior(x, y, 2 * noise).mean,
        posterior(x, y, noise / 2).mean,
        torch.zeros_like(w),
    ]
    assert all(error(weights) > best for weights in others)


@given(shapes)
def test_a_batch_of_tasks_is_each_task(shape):
    x, y, _ = drawn(shape, 2, 3)
    functions = [
        lambda x, y: posterior(x, y, 0.5).mean,
        lambda x, y: posterior(x, y, 0.5).covariance,
        lambda x, y: posterior(x, y, 0.0).covariance,
        least_squares,
        averaging,
    ]
    for answer in functions:
        together = answer(x, y)
        for i in range(2):
            for j in range(3):
                assert torch.allclose(together[i, j], answer(x[i, j], y[i, j]), atol=1e-9)


def test_averaging_is_right_on_average_and_is_a_step_of_descent():
    g = torch.Generator().manual_seed(0)
    task, w = linear_tasks(1, 200_000, 1, d=3, generator=g)
    assert torch.allclose(averaging(task.support_x, task.support_y), w, atol=0.03)
    x, y, _ = drawn((5, 3, 0))
    assert torch.allclose(averaging(x, y), descent(x, y, rate=1.0, steps=1), atol=1e-12)


# --- one layer ------------------------------------------------------------------------------------


def descent(x, y, rate, steps):
    """Gradient descent on ``mean (y - x w)^2 / 2`` from 0, with gradients by PyTorch."""
    w = torch.zeros(x.shape[-1], 1, dtype=x.dtype, requires_grad=True)
    for _ in range(steps):
        (gradient,) = torch.autograd.grad((y - x @ w).square().mean() / 2, w)
        w = (w - rate * gradient).detach().requires_grad_()
    return w.detach()


@pytest.mark.parity(
    "in_context_regression",
    "`LinearAttention.gradient_step`, one layer and several",
    "gradient descent written out",
    "`1e-10`",
)
@given(shapes, st.floats(0.01, 1.0), st.integers(1, 4))
def test_the_layer_set_by_hand_takes_steps_of_gradient_descent(shape, rate, steps):
    x, y, query = drawn(shape)
    layer = LinearAttention.gradient_step(shape[1], rate, torch.float64)
    w = descent(x, y, rate, steps)
    answers = layer.adapt(x, y, layers=steps)(query)
    assert torch.allclose(answers, query @ w, atol=1e-10, rtol=1e-10)


def test_one_step_worked_by_hand_and_the_tokens_keep_their_inputs():
    """Points (1, 2) and (2, 1), rate 0.1: w = 0.1 * (2 + 2) / 2 = 0.2."""
    layer = LinearAttention.gradient_step(1, 0.1)
    tokens = torch.tensor([[1.0, 2.0], [2.0, 1.0], [3.0, 0.0]])
    after = layer(tokens, n_support=2).detach()
    assert torch.equal(after[:, 0], tokens[:, 0])
    assert torch.allclose(after[:, 1], torch.tensor([2 - 0.2, 1 - 0.4, -0.6]))


def test_queries_do_not_see_each_other_and_a_batch_is_each_task():
    x, y, query = drawn((5, 3, 0), 2)
    layer = LinearAttention(3, torch.Generator().manual_seed(0)).double()
    together = layer.adapt(x, y, layers=2)(query)
    assert together.shape == (2, 4, 1)
    for i in range(2):
        predict = layer.adapt(x[i], y[i], layers=2)
        for j in range(4):
            assert torch.allclose(predict(query[i, j : j + 1]), together[i, j : j + 1], atol=1e-10)


def test_trained_from_random_weights_the_layer_learns_the_best_step_of_descent():
    """As von Oswald et al. found: inputs are compared by a multiple of I, the best rate."""
    d, k = 2, 6
    layer = LinearAttention(d, torch.Generator().manual_seed(1))  # from seed 0 it gets stuck

    def batch(step):
        return linear_tasks(64, k, 8, d, torch.Generator().manual_seed(step))[0]

    def loss(model, task):
        return (model.adapt(*task[:2])(task.query_x) - task.query_y).square().mean()

    fit(layer, loss, batch, steps=600, lr=1e-2, clip=1.0)
    test = linear_tasks(4000, k, 4, d, torch.Generator().manual_seed(10**6))[0]
    with torch.no_grad():
        errors = {
            rate: loss(LinearAttention.gradient_step(d, rate), test).item()
            for rate in np.linspace(0.0, 1.0, 21).tolist()
        }
        rate = min(errors, key=errors.get)
        assert loss(layer, test).item() == pytest.approx(errors[rate], rel=0.05)
        assert errors[rate] < errors[0.0] / 2
        compared = (layer.query.T @ layer.key)[:d, :d] * (layer.out @ layer.value)[-1, -1]
    assert torch.allclose(compared, -rate * torch.eye(d), atol=0.1)


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["n_tasks", "n_support", "n_query", "d"])
def test_sizes_below_one_are_refused(name):
    sizes = {"n_tasks": 1, "n_support": 1, "n_query": 1, "d": 1} | {name: 0}
    with pytest.raises(ValueError, match=f"{name} is 0"):
        linear_tasks(**sizes, generator=torch.Generator())


@pytest.mark.parametrize(("noise", "prior", "named"), [
    (-1.0, 1.0, "noise is -1"), (math.nan, 1.0, "noise is nan"), (math.inf, 1.0, "noise is inf"),
    (1.0, 0.0, "prior is 0"), (1.0, math.nan, "prior is nan"),
])  # fmt: skip
def test_deviations_out_of_range_are_refused(noise, prior, named):
    with pytest.raises(ValueError, match=named):
        linear_tasks(1, 1, 1, 1, torch.Generator(), noise, prior)
    with pytest.raises(ValueError, match=named):
        posterior(torch.ones(1, 1), torch.ones(1, 1), noise, prior)


@pytest.mark.parametrize("answer", [
    lambda x, y: posterior(x, y, 1.0), least_squares, averaging,
    LinearAttention(2, torch.Generator().manual_seed(0)).adapt,
])  # fmt: skip
@pytest.mark.parametrize(("x", "y"), [((3, 2), (3,)), ((3, 2), (2, 1)), ((0, 2), (0, 1)),
                                      ((2,), (1,))])  # fmt: skip
def test_shapes_that_do_not_fit_are_refused(answer, x, y):
    with pytest.raises(ValueError, match=r"give \(\.\.\., s, d\)"):
        answer(torch.ones(x), torch.ones(y))


def test_a_layer_without_inputs_is_refused():
    with pytest.raises(ValueError, match="d is 0"):
        LinearAttention(0, torch.Generator())
