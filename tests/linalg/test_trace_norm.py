"""The trace norm against numpy's singular values."""

import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.linalg.trace_norm import trace_norm

from .matrices import ALL_KINDS, random_rows

WAYS = {
    "eager": trace_norm,
    "xla": tf.function(trace_norm, jit_compile=True),
}


def value_and_gradient(rows, way=trace_norm):
    rows = tf.constant(rows)
    with tf.GradientTape() as tape:
        tape.watch(rows)
        value = way(rows)
    return value.numpy(), tape.gradient(value, rows).numpy()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("num_tasks", [2, 5])
def test_value_is_the_sum_of_singular_values(way, kind, num_tasks):
    rows = random_rows(np.random.default_rng(0), kind, num_tasks)
    expected = np.linalg.svd(rows, compute_uv=False).sum()
    for dtype, tolerance in (("float64", 1e-7), ("float32", 3e-7)):
        value, gradient = value_and_gradient(rows.astype(dtype), way)
        assert value.dtype == gradient.dtype == dtype
        np.testing.assert_allclose(value, expected, rtol=tolerance)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("shape", [(1, 4), (2, 7), (5, 40), (6, 2)])
def test_gradient_is_that_of_the_svd_and_of_differences(way, shape):
    draw = np.random.default_rng(0)
    rows, direction = draw.normal(size=(2, *shape))
    left, _, right = np.linalg.svd(rows, full_matrices=False)
    _, gradient = value_and_gradient(rows, way)
    np.testing.assert_allclose(gradient, left @ right, atol=1e-10)
    above, below = (
        np.linalg.svd(rows + step * direction, compute_uv=False).sum()
        for step in (1e-6, -1e-6)
    )
    assert np.sum(gradient * direction) == pytest.approx(
        (above - below) / 2e-6, rel=1e-6
    )


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_zero_and_equal_singular_values(way):
    value, gradient = value_and_gradient(np.zeros((3, 5)), way)
    assert value == 0.0 and not gradient.any()
    # All rows alike: rank one, of which the gradient is u vᵀ alone.
    row = np.random.default_rng(0).normal(size=5)
    value, gradient = value_and_gradient(np.stack([row] * 4), way)
    length = np.linalg.norm(row)
    np.testing.assert_allclose(value, 2 * length)
    np.testing.assert_allclose(
        gradient, np.stack([row / length / 2] * 4), atol=1e-7
    )
    _, gradient = value_and_gradient(3.0 * np.eye(3, 5), way)
    np.testing.assert_allclose(gradient, np.eye(3, 5), atol=1e-12)


def test_float32_keeps_small_singular_values():
    rows = np.diag([1.0, 1e-5]).astype("float32")
    value, gradient = value_and_gradient(rows)
    assert value == pytest.approx(1.00001, rel=1e-7)
    np.testing.assert_allclose(gradient, np.eye(2), atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_gives_nan(bad):
    rows = np.ones((3, 4))
    rows[1, 2] = bad
    value, _ = value_and_gradient(rows)
    assert np.isnan(value)
