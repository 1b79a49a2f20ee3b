import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from keras import ops
from scipy.optimize import minimize

from keras_mtl.linalg import min_norm_point

from .matrices import jacobians, solve


def shortfall(gram, weights):
    """How far the optimality conditions are missed, relative to the rows.

    At the shortest point d, every g_tᵀd ≥ ‖d‖²; lengths are counted in
    those of the shortest row, so that badly scaled rows do not hide errors.
    """
    lengths = np.sqrt(np.diag(gram))
    square = weights @ gram @ weights
    return ((square - gram @ weights) / (lengths * lengths.min())).max()


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-5)]
)
@settings(derandomize=True, max_examples=60, deadline=None, database=None)
@given(drawn=jacobians())
def test_optimality(dtype, tolerance, drawn):
    _, rows = drawn
    gram = rows.astype(dtype) @ rows.astype(dtype).T
    weights = solve(min_norm_point, gram, dtype=dtype)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1, abs=10 * tolerance)
    assert shortfall(gram.astype("float64"), weights) <= tolerance


@settings(derandomize=True, max_examples=25, deadline=None, database=None)
@given(drawn=jacobians(kinds=("ordinary", "dependent", "duplicates")))
def test_no_longer_than_what_scipy_finds(drawn):
    _, rows = drawn
    gram = rows @ rows.T
    size = len(gram)
    found = minimize(
        lambda w: w @ gram @ w,
        np.full(size, 1 / size),
        jac=lambda w: 2 * gram @ w,
        bounds=[(0, 1)] * size,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-12},
    )
    weights = solve(min_norm_point, gram)
    assert weights @ gram @ weights <= found.fun + 1e-9 * np.trace(gram)
    direction = rows.T @ weights
    expected = rows.T @ found.x
    scale = np.sqrt(np.trace(gram))
    np.testing.assert_allclose(direction, expected, atol=2e-4 * scale)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_scale_of_the_gradients_does_not_matter(scale):
    gram = np.array([[18.0, -22.0], [-22.0, 38.0]])
    weights = solve(min_norm_point, gram * scale, dtype="float32")
    np.testing.assert_allclose(weights, [0.6, 0.4], atol=1e-6)


def test_rows_a_million_times_apart():
    rows = np.array([[1.0, 0.0], [-0.6e6, 0.8e6]])
    weights = solve(min_norm_point, rows @ rows.T, dtype="float32")
    # w₂ = (g₁₁ − g₁₂) / (g₁₁ + g₂₂ − 2 g₁₂)
    expected = (1 + 0.6e6) / (1 + 1e12 + 1.2e6)
    assert weights[1] == pytest.approx(expected, rel=1e-5)


def test_a_present_task_without_a_gradient_takes_the_weight():
    weights = solve(min_norm_point, np.diag([4.0, 0.0, 1.0]))
    np.testing.assert_array_equal(weights, [0, 1, 0])


def test_an_absent_task_takes_none():
    gram = np.diag([4.0, 0.0, 1.0])
    present = np.array([True, False, True])
    weights = ops.convert_to_numpy(min_norm_point(ops.array(gram), present))
    np.testing.assert_allclose(weights, [0.2, 0, 0.8], atol=1e-12)
    nobody = min_norm_point(ops.array(gram), np.zeros(3, bool))
    np.testing.assert_array_equal(ops.convert_to_numpy(nobody), np.zeros(3))


def test_not_a_number_comes_back_without_raising():
    gram = np.array([[np.nan, 1.0], [1.0, 2.0]])
    assert np.isnan(solve(min_norm_point, gram)).all()


def test_many_tasks():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 30)) + 0.2
    gram = rows @ rows.T
    assert shortfall(gram, solve(min_norm_point, gram)) <= 1e-9


def test_compiles_with_xla():
    gram = np.array([[18.0, -22.0], [-22.0, 38.0]], "float32")
    compiled = tf.function(min_norm_point, jit_compile=True)
    weights = compiled(tf.constant(gram), tf.constant([True, True]))
    np.testing.assert_allclose(weights, [0.6, 0.4], atol=1e-6)
