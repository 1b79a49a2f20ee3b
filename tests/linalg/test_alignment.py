import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.linalg import aligned_weights


def solve(gram, shares, scale_mode="min", jit_compile=False):
    compiled = tf.function(
        lambda g, s: aligned_weights(g, s, scale_mode), jit_compile=jit_compile
    )
    return compiled(tf.constant(gram), tf.constant(shares, gram.dtype)).numpy()


def by_svd(rows, shares, rank, scale_mode="min"):
    """The same from the singular values of the rows themselves."""
    left, values, _ = np.linalg.svd(rows, full_matrices=False)
    left, values = left[:, :rank], values[:rank]
    common = {
        "min": values.min(),
        "median": np.sort(values)[(rank - 1) // 2],
        "rmse": np.sqrt((values**2).mean()),
    }[scale_mode]
    return common * left @ ((left.T @ shares) / values)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-9), ("float32", 2e-4)]
)
@pytest.mark.parametrize("scale_mode", ["min", "median", "rmse"])
@pytest.mark.parametrize("size", [1, 2, 3, 8, 64])
def test_agrees_with_singular_values(size, scale_mode, dtype, tolerance):
    rng = np.random.default_rng(size)
    rows = rng.normal(size=(size, 2 * size + 3))
    shares = rng.uniform(size=size)
    found = solve((rows @ rows.T).astype(dtype), shares, scale_mode)
    expected = by_svd(rows, shares, size, scale_mode)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, atol=tolerance * scale)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-3)]
)
@pytest.mark.parametrize("scale_mode", ["min", "median", "rmse"])
def test_components_that_are_rounding_do_not_count(
    scale_mode, dtype, tolerance
):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(6, 3)) @ rng.normal(size=(3, 10))
    shares = np.full(6, 1 / 6)
    found = solve((rows @ rows.T).astype(dtype), shares, scale_mode)
    expected = by_svd(rows, shares, 3, scale_mode)
    np.testing.assert_allclose(found, expected, atol=tolerance)


def test_rows_a_million_times_apart():
    rows = np.random.default_rng(0).normal(size=(3, 8))
    rows *= [[1.0], [1e3], [1e6]]
    found = solve(rows @ rows.T, np.ones(3))
    np.testing.assert_allclose(found, by_svd(rows, np.ones(3), 3), rtol=1e-3)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_scale_of_the_gradients_does_not_matter(scale):
    gram = np.array([[18.0, -22.0], [-22.0, 38.0]])
    found = solve((gram * scale).astype("float32"), [0.5, 0.5])
    np.testing.assert_allclose(found, [0.55907, 0.40826], atol=1e-5)


def test_no_gradient_at_all():
    np.testing.assert_array_equal(solve(np.zeros((3, 3)), np.ones(3)), 0)


def test_compiles_with_xla():
    rows = np.random.default_rng(1).normal(size=(5, 9)).astype("float32")
    shares = np.full(5, 0.2)
    found = solve(rows @ rows.T, shares, "median", jit_compile=True)
    expected = by_svd(rows, shares, 5, "median")
    np.testing.assert_allclose(found, expected, atol=1e-4)
