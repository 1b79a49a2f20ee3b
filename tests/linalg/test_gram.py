import numpy as np
import pytest
from keras import ops

from keras_mtl.linalg import (
    cosines,
    gram,
    mean_cosines,
    min_cosine,
    unit_rows,
)

ROWS = np.array([[3.0, 4.0], [0.0, 0.0], [-4.0, 3.0], [-6.0, -8.0]])


def test_gram_is_the_product_of_the_rows():
    np.testing.assert_allclose(gram(ops.array(ROWS)), ROWS @ ROWS.T)


def test_cosines_of_hand_made_rows():
    expected = [[1, 0, 0, -1], [0, 1, 0, 0], [0, 0, 1, 0], [-1, 0, 0, 1]]
    found = cosines(ops.array(ROWS @ ROWS.T))
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ([1, 1, 1, 1], -1.0),
        ([1, 1, 1, 0], 0.0),
        ([1, 1, 0, 0], 1.0),
        ([0, 0, 0, 0], 1.0),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_min_cosine(present, expected, dtype):
    found = min_cosine(ops.cast(ROWS @ ROWS.T, dtype), np.array(present, bool))
    assert found.dtype == dtype
    assert float(found) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("present", "means", "known"),
    [
        ([1, 1, 1, 1], [-0.5, 0, 0, -0.5], [1, 0, 1, 1]),
        ([1, 1, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0]),
        ([1, 0, 0, 1], [-1, 0, 0, -1], [1, 0, 0, 1]),
        ([1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_mean_cosines(present, means, known, dtype):
    found, there = mean_cosines(
        ops.cast(ROWS @ ROWS.T, dtype), np.array(present, bool)
    )
    assert found.dtype == dtype
    np.testing.assert_allclose(ops.cast(found, "float64"), means, atol=1e-6)
    np.testing.assert_array_equal(there, np.array(known, bool))


def test_unit_rows_of_rows_far_apart():
    rows = np.array([[1e-9, 0.0], [1e9, 1e9]], "float32")
    angles, lengths, active = unit_rows(
        ops.array(rows @ rows.T), np.ones(2, bool)
    )
    np.testing.assert_allclose(angles, [[1, 0.5**0.5], [0.5**0.5, 1]], 1e-6)
    np.testing.assert_allclose(lengths, [1e-9, 2**0.5 * 1e9], rtol=1e-6)
    assert np.all(active)
