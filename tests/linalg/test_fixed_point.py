import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy.optimize import root

from keras_mtl.linalg import fair_fixed_point

from .matrices import jacobians, solve

ALPHAS = st.sampled_from([0.5, 1.0, 2.0])
HAND = np.array([[18.0, -22.0], [-22.0, 38.0]])


def by_alpha(gram, present, alpha):
    # A number in the graph, as the solver wants it in Python.
    return tf.switch_case(
        tf.cast(tf.round(alpha * 2), "int32") // 2,
        [
            lambda: fair_fixed_point(gram, present, 0.5),
            lambda: fair_fixed_point(gram, present, 1.0),
            lambda: fair_fixed_point(gram, present, 2.0),
        ],
    )


def backward_error(gram, weights, alpha, preference=1.0):
    """By how much entries of G would have to change, relative to them.

    The smallest ε such that w solves the problem of a matrix each of whose
    entries differs from that of G by no more than ε times itself.
    """
    wanted = preference * weights ** (-1.0 / alpha)
    return (abs(gram @ weights - wanted) / (abs(gram) @ weights)).max()


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)]
)
@settings(derandomize=True, max_examples=100, deadline=None, database=None)
@given(drawn=jacobians(), alpha=ALPHAS)
def test_solves_the_equation(dtype, tolerance, drawn, alpha):
    _, rows = drawn
    gram = rows.astype(dtype) @ rows.astype(dtype).T
    weights = solve(by_alpha, gram, alpha, dtype=dtype)
    active = np.diag(gram) > 0
    assert (weights[~active] == 0).all()
    assert (weights[active] > 0).all()
    inner = gram.astype("float64")[np.ix_(active, active)]
    assert backward_error(inner, weights[active], alpha) <= tolerance


@settings(derandomize=True, max_examples=30, deadline=None, database=None)
@given(drawn=jacobians(kinds=("ordinary",)), alpha=ALPHAS)
def test_agrees_with_scipy_s_root(drawn, alpha):
    _, rows = drawn
    gram = rows @ rows.T
    weights = solve(by_alpha, gram, alpha)
    found = root(
        lambda x: gram @ np.exp(x) - np.exp(-x / alpha),
        np.log(weights) + 0.1 * np.cos(np.arange(len(gram))),
        tol=1e-13,
    )
    np.testing.assert_allclose(weights, np.exp(found.x), rtol=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_scale_of_the_gradients_comes_back(dtype, scale, alpha):
    # w ∝ G^{−α/(1+α)}
    weights = solve(by_alpha, HAND, alpha)
    scaled = solve(by_alpha, HAND * scale, alpha, dtype=dtype)
    expected = weights * scale ** (-alpha / (1 + alpha))
    np.testing.assert_allclose(scaled, expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_two_tasks_in_closed_form(dtype):
    for cosine in (-0.9, -0.3, 0.0, 0.7, 1.0):
        for length in (1e-3, 1.0, 1e5):
            inner = cosine * length
            gram = np.array([[1.0, inner], [inner, length**2]])
            weights = solve(by_alpha, gram, 1.0, dtype=dtype)
            first = 1 / np.sqrt(1 + inner / length)
            np.testing.assert_allclose(
                weights, [first, first / length], rtol=1e-4
            )


def test_preference_divides_the_powers():
    preference = np.array([3.0, 0.5])
    weights = fair_fixed_point(
        ops.array(HAND), np.ones(2, bool), 2.0, ops.array(preference)
    )
    weights = ops.convert_to_numpy(weights)
    assert backward_error(HAND, weights, 2.0, preference) <= 1e-12


def test_a_single_task():
    for alpha in (0.5, 1.0, 2.0):
        weights = solve(by_alpha, np.array([[9.0]]), alpha)
        expected = 9.0 ** (-alpha / (1 + alpha))
        np.testing.assert_allclose(weights, [expected], rtol=1e-12)


@pytest.mark.parametrize("alpha", [0.1, 5.0, 10.0])
def test_far_powers(alpha):
    rng = np.random.default_rng(0)
    for size in (2, 5, 16):
        rows = rng.normal(size=(size, 40))
        gram = rows @ rows.T
        weights = fair_fixed_point(ops.array(gram), np.ones(size, bool), alpha)
        weights = ops.convert_to_numpy(weights)
        assert backward_error(gram, weights, alpha) <= 1e-10


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "rows",
    [
        [[1.0, 0.0], [-1.0, 0.0]],
        [[1.0, 0.0], [-1e6, 0.0]],
        [[2.0, 0.0], [-1.0, 3**0.5], [-1.0, -(3**0.5)]],
        [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]],
    ],
)
def test_pareto_stationary_weights_are_bounded(rows, dtype):
    rows = np.array(rows)
    lengths = np.linalg.norm(rows, axis=1)
    weights = solve(by_alpha, rows @ rows.T, 1.0, dtype=dtype)
    assert np.isfinite(weights).all()
    bound = {"float32": 2e3, "float64": 1e8}[dtype]
    assert (weights * lengths).max() <= bound
    # Next to what the weights could sum up to, it is nothing; as where there
    # is a solution, it is no longer than √T.
    assert np.linalg.norm(rows.T @ weights) <= len(rows) ** 0.5 * 1.001


def test_zero_rows_and_absent_tasks_take_none():
    gram = np.diag([4.0, 0.0, 1.0])
    weights = solve(by_alpha, gram, 1.0)
    np.testing.assert_allclose(weights, [0.5, 0, 1], rtol=1e-12)
    present = np.array([True, True, False])
    weights = fair_fixed_point(ops.array(gram), present)
    np.testing.assert_allclose(weights, [0.5, 0, 0], rtol=1e-12)
    nobody = fair_fixed_point(ops.array(gram), np.zeros(3, bool))
    np.testing.assert_array_equal(nobody, np.zeros(3))


def test_half_precision_never_raises():
    # Rounded to 8 bits, G has eigenvalues well below zero.
    rng = np.random.default_rng(0)
    for size in (3, 8, 16):
        rows = rng.normal(size=(size, 1)) + 0.01 * rng.normal(size=(size, 4))
        gram = ops.cast(ops.array(rows @ rows.T), "bfloat16")
        weights = fair_fixed_point(gram, np.ones(size, bool))
        assert weights.dtype == "bfloat16"
        assert np.isfinite(ops.cast(weights, "float32")).all()


def test_not_a_number_comes_back_without_raising():
    gram = np.array([[np.nan, 1.0], [1.0, 2.0]])
    assert np.isnan(solve(by_alpha, gram, 1.0)).all()


def test_compiles_with_xla():
    compiled = tf.function(fair_fixed_point, jit_compile=True, autograph=False)
    weights = compiled(tf.constant(HAND, "float32"), tf.constant([True, True]))
    np.testing.assert_allclose(weights, [0.59146, 0.40707], atol=1e-5)
