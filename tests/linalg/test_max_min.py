import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from keras_mtl.linalg import max_min_in_ball

from .matrices import jacobians, solve

RADII = st.sampled_from([0.1, 0.4, 0.9, 1.5])


def dual(gram, weights, radius):
    """wᵀGb + c‖g₀‖√(wᵀGw): the least worst-case gain that w proves."""
    mean = np.full(len(gram), 1 / len(gram))
    length = np.sqrt(max(weights @ gram @ weights, 0))
    return mean @ gram @ weights + radius * norm(gram, mean) * length


def norm(gram, weights):
    return np.sqrt(max(weights @ gram @ weights, 0))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-5)]
)
@settings(derandomize=True, max_examples=60, deadline=None, database=None)
@given(drawn=jacobians(), radius=RADII)
def test_primal_meets_dual(dtype, tolerance, drawn, radius):
    _, rows = drawn
    gram = (rows.astype(dtype) @ rows.astype(dtype).T).astype("float64")
    move = solve(max_min_in_ball, gram, radius, dtype=dtype)
    mean = np.full(len(gram), 1 / len(gram))
    mean_length = norm(gram, mean)
    assert (move >= 0).all()
    assert norm(gram, move) <= radius * mean_length * (1 + tolerance)
    worst = (gram @ (mean + move)).min()
    scale = mean_length * np.sqrt(np.diag(gram).max())
    if move.sum() > 0:
        # Weak duality: worst ≤ dual for every w; equality proves both.
        proof = dual(gram, move / move.sum(), radius)
        if norm(gram, move) < radius * mean_length * (1 - tolerance):
            # Stopped short: no level above zero can be had.
            proof = 0.0
        assert worst >= proof - tolerance * scale


@settings(derandomize=True, max_examples=25, deadline=None, database=None)
@given(drawn=jacobians(kinds=("ordinary", "dependent")), radius=RADII)
def test_no_worse_than_what_scipy_finds(drawn, radius):
    _, rows = drawn
    gram = rows @ rows.T
    size = len(gram)
    best = min(
        _slsqp(gram, start, radius)
        for start in np.vstack([np.eye(size), np.full(size, 1 / size)])
    )
    move = solve(max_min_in_ball, gram, radius)
    worst = (gram @ (np.full(size, 1 / size) + move)).min()
    assert worst == pytest.approx(best, abs=1e-6 * np.trace(gram))


def _slsqp(gram, start, radius):
    return minimize(
        lambda w: dual(gram, w, radius),
        start,
        bounds=[(0, 1)] * len(gram),
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    ).fun


@settings(derandomize=True, max_examples=40, deadline=None, database=None)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([2, 3, 8]))
def test_exactly_stationary_gradients_harm_no_task(seed, size):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(size, 1)) * rng.normal(size=(1, 5))
    gram = rows @ rows.T
    move = solve(max_min_in_ball, gram, 2.0)
    worst = (gram @ (np.full(size, 1 / size) + move)).min()
    assert worst >= -1e-9 * np.trace(gram)


def test_hand_value():
    gram = np.array([[18.0, -22.0], [-22.0, 38.0]])
    move = solve(max_min_in_ball, gram, 0.5)
    # All on the first row: c‖g₀‖ / ‖g₁‖ = .5 √3 / √18.
    np.testing.assert_allclose(move, [0.5 * np.sqrt(3 / 18), 0], atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "rows",
    [
        [[1.0, 0.0], [-1.0, 0.0]],
        [[1.0, 0.0], [-3.0, 0.0]],
        [[1.0, 0.0], [0.0, 0.0]],
        [[0.0, 0.0], [0.0, 0.0]],
        [[1.0, 0.0], [1.0, 0.0]],
        [[1.0, 0.0], [-1.0, 1e-6], [0.0, 1e-6]],
    ],
)
def test_degenerate_gradients_give_bounded_moves(rows, dtype):
    rows = np.array(rows)
    move = solve(max_min_in_ball, rows @ rows.T, 1.5, dtype=dtype)
    mean = rows.mean(axis=0)
    assert np.isfinite(move).all()
    assert np.linalg.norm(rows.T @ move) <= 1.51 * np.linalg.norm(mean) + 1e-6
    assert (rows @ (mean + rows.T @ move)).min() >= -1e-6


def test_a_radius_of_zero_moves_nothing():
    gram = np.array([[18.0, -22.0], [-22.0, 38.0]])
    np.testing.assert_array_equal(solve(max_min_in_ball, gram, 0.0), [0, 0])
