import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_mtl.linalg.eigen import eigenpairs

from .matrices import random_rows


def check(gram, dtype, compiled):
    function = tf.function(eigenpairs, jit_compile=compiled, autograph=False)
    found = function(tf.constant(gram, dtype))
    values, vectors = (np.asarray(part, "float64") for part in found)
    gram = gram.astype(dtype).astype("float64")
    tolerance = 40 * np.finfo(dtype).eps
    largest = np.linalg.norm(gram, 2)
    identity = np.eye(len(gram))
    np.testing.assert_allclose(vectors.T @ vectors, identity, atol=tolerance)
    rebuilt = vectors * values @ vectors.T
    np.testing.assert_allclose(rebuilt, gram, atol=tolerance * largest)
    np.testing.assert_allclose(
        np.sort(values), np.linalg.eigvalsh(gram), atol=tolerance * largest
    )


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_rebuilds_the_matrix(size, dtype, compiled):
    for kind in ("ordinary", "dependent", "badly scaled", "opposite"):
        rows = random_rows(np.random.default_rng(size), kind, size)
        check(rows @ rows.T, dtype, compiled)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_repeated_eigenvalues(dtype):
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))
    values = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    check(turn * values @ turn.T, dtype, True)
    check(np.zeros((3, 3)), dtype, True)
    check(np.ones((4, 4)), dtype, True)


def test_without_a_graph():
    values, _ = eigenpairs(ops.array([[18.0, -22.0], [-22.0, 38.0]]))
    expected = 28 + np.array([-1, 1]) * np.hypot(10, 22)
    np.testing.assert_allclose(np.sort(values), expected, rtol=1e-6)
