import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy.optimize import brentq

from keras_mtl.linalg import project_on_simplex, shares


def reference(point):
    """max(v − θ, 0) with θ found by bisection of the sum."""

    def excess(level):
        return np.maximum(point - level, 0).sum() - 1

    level = brentq(excess, point.max() - 2, point.max(), xtol=1e-15)
    return np.maximum(point - level, 0)


def project(point, present=None, dtype="float64"):
    point = np.asarray(point, dtype)
    present = np.ones(len(point), bool) if present is None else present
    return ops.convert_to_numpy(
        project_on_simplex(ops.array(point), ops.array(present))
    )


@settings(derandomize=True, max_examples=80, deadline=None, database=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.sampled_from([1, 2, 3, 7, 64]),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
)
def test_is_the_nearest_point(seed, size, scale):
    point = scale * np.random.default_rng(seed).normal(size=size)
    weights = project(point)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(weights, reference(point), atol=1e-12 * scale)


def test_no_point_of_a_fine_grid_is_nearer():
    point = np.array([0.9, 0.4, -0.7])
    steps = np.linspace(0, 1, 201)
    first, second = np.meshgrid(steps, steps)
    grid = np.stack([first, second, 1 - first - second], axis=-1)
    grid = grid[grid[..., 2] >= 0]
    best = np.linalg.norm(grid - point, axis=-1).min()
    distance = np.linalg.norm(project(point) - point)
    assert distance <= best + 1e-12
    assert distance == pytest.approx(best, abs=0.01)


def test_a_point_of_the_simplex_stays():
    np.testing.assert_allclose(project([0.2, 0.5, 0.3]), [0.2, 0.5, 0.3])


def test_large_entries_lose_no_digits():
    np.testing.assert_array_equal(
        project([1e7 + 1.0, 1e7, -1e30], dtype="float32"), [1.0, 0.0, 0.0]
    )
    np.testing.assert_array_equal(
        project([2.0**23 + 0.5, 2.0**23 + 0.5], dtype="float32"), [0.5, 0.5]
    )


def test_absent_tasks_take_nothing():
    present = np.array([True, False, True])
    weights = project([0.1, 9.0, 0.5], present)
    np.testing.assert_allclose(weights, [0.3, 0.0, 0.7])
    np.testing.assert_array_equal(project([1.0, 2.0], [False, False]), [0, 0])


def test_compiles_with_xla():
    point = np.random.default_rng(0).normal(size=6)
    compiled = tf.function(project_on_simplex, jit_compile=True)
    weights = compiled(tf.constant(point), tf.ones(6, "bool"))
    np.testing.assert_allclose(weights, reference(point), atol=1e-12)


def test_shares_of_present_tasks_sum_to_one():
    weights, present = ops.array([1.0, 5.0, 3.0]), [True, False, True]
    found, total = shares(weights, ops.array(present))
    np.testing.assert_allclose(found, [0.25, 0, 0.75])
    assert float(total) == 4
    found, total = shares(0.0 * weights, ops.array(present))
    np.testing.assert_allclose(found, [0.5, 0, 0.5])
    assert float(total) == 0
    found, _ = shares(weights, ops.zeros((3,), dtype="bool"))
    np.testing.assert_array_equal(found, np.zeros(3))
