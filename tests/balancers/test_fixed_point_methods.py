"""NashMTL and FairGrad, by closed forms and by second accounts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from keras_mtl.balancers import FairGrad, NashMTL, aggregate

few = settings(derandomize=True, max_examples=8, deadline=None, database=None)
seeds = st.integers(0, 10**6)


def random_rows(seed, num_tasks=4, columns=10):
    rng = np.random.default_rng(seed)
    scales = 10.0 ** rng.uniform(-2, 2, size=(num_tasks, 1))
    return scales * rng.normal(size=(num_tasks, columns))


def raw_nash():
    return NashMTL(max_norm=None)


@few
@given(seed=seeds)
@pytest.mark.parametrize("make", [raw_nash, FairGrad])
def test_two_tasks_in_closed_form(make, seed):
    rows = random_rows(seed, num_tasks=2)
    (a, inner), (_, b) = rows @ rows.T
    _, weights = aggregate(make(), rows)
    first = 1 / np.sqrt(a + inner * np.sqrt(a / b))
    expected = [first, first * np.sqrt(a / b)]
    np.testing.assert_allclose(weights, expected, rtol=1e-10)


@few
@given(seed=seeds, alpha=st.sampled_from([0.5, 1.0, 2.0, 5.0]))
def test_fairgrad_raises_no_loss_and_meets_its_equation(seed, alpha):
    rows = random_rows(seed)
    direction, weights = aggregate(FairGrad(alpha=alpha), rows)
    gains = rows @ direction
    assert (gains > 0).all()
    np.testing.assert_allclose(gains, weights ** (-1 / alpha), rtol=1e-8)


@few
@given(seed=seeds, alpha=st.sampled_from([0.5, 2.0]))
def test_fairgrad_s_direction_is_the_fairest_in_its_ball(seed, alpha):
    rows = np.random.default_rng(seed).normal(size=(3, 6)) + 0.3
    direction, _ = aggregate(FairGrad(alpha=alpha), rows)
    radius = np.linalg.norm(direction)

    def unfairness(d):
        gains = rows @ d
        if (gains <= 0).any():
            return 1e9
        return -(gains ** (1 - alpha) / (1 - alpha)).sum()

    found = minimize(
        unfairness,
        0.9 * direction + 0.05 * rows.mean(axis=0),
        constraints={"type": "ineq", "fun": lambda d: radius**2 - d @ d},
        method="SLSQP",
        options={"ftol": 1e-13, "maxiter": 500},
    )
    np.testing.assert_allclose(direction, found.x, atol=1e-3 * radius)
    assert unfairness(direction) <= found.fun + 1e-7 * abs(found.fun)


@few
@given(seed=seeds)
def test_nash_does_not_see_the_scale_of_a_loss(seed):
    rows = np.random.default_rng(seed).normal(size=(3, 8))
    scales = np.array([1e-3, 1.0, 1e3])
    direction, weights = aggregate(raw_nash(), rows)
    moved, rescaled = aggregate(raw_nash(), rows * scales[:, None])
    np.testing.assert_allclose(moved, direction, atol=1e-9)
    np.testing.assert_allclose(rescaled * scales, weights, rtol=1e-9)


@few
@given(seed=seeds)
def test_nash_direction_has_the_largest_product_of_gains(seed):
    rows = np.random.default_rng(seed).normal(size=(3, 6)) + 0.3
    preference = [2.0, 1.0, 0.5]
    direction, _ = aggregate(NashMTL(1.0, preference), rows)
    assert np.linalg.norm(direction) == pytest.approx(1.0)

    def product(d):
        return preference @ np.log(rows @ d)

    best = product(direction)
    rng = np.random.default_rng(seed + 1)
    for step in 10.0 ** rng.uniform(-4, -1, size=50):
        other = direction + step * rng.normal(size=6)
        other /= np.linalg.norm(other)
        if (rows @ other > 0).all():
            assert product(other) <= best + 1e-12


def test_nash_is_cut_to_its_norm():
    rows = random_rows(0, num_tasks=3)
    direction, _ = aggregate(raw_nash(), rows)
    assert np.linalg.norm(direction) == pytest.approx(3**0.5)
    for norm in (0.1, 1.0):
        shorter, _ = aggregate(NashMTL(max_norm=norm), rows)
        np.testing.assert_allclose(
            shorter, direction * norm / 3**0.5, atol=1e-10
        )
    same, _ = aggregate(NashMTL(max_norm=2.0), rows)
    np.testing.assert_allclose(same, direction, atol=1e-10)


def test_a_task_with_more_power_gains_more():
    rows = np.array([[3.0, 4.0], [-1.0, 0.5]])
    gains = [
        rows @ aggregate(NashMTL(preference=[power, 1.0]), rows)[0]
        for power in (0.5, 1.0, 2.0)
    ]
    assert gains[0][0] < gains[1][0] < gains[2][0]
    assert gains[0][1] > gains[1][1] > gains[2][1]


@pytest.mark.parametrize("make", [NashMTL, FairGrad])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_opposite_gradients_leave_nothing(make, dtype):
    rows = np.array([[1.0, 0.0], [-3.0, 0.0]], dtype)
    direction, weights = aggregate(make(), rows)
    assert np.isfinite(weights).all()
    assert np.linalg.norm(direction) <= 1e-3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NashMTL(max_norm=0), "`max_norm` must be a positive number"),
        (lambda: NashMTL(preference=[1.0, 0.0]), "`preference` must be a fin"),
        (lambda: FairGrad(alpha=0), "`alpha` must be a positive number"),
        (lambda: FairGrad(alpha=float("inf")), "`alpha` must be a positive"),
    ],
)
def test_wrong_arguments_are_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()
