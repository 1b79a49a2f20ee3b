import numpy as np
import pytest
from keras import ops

from keras_mtl.linalg import pseudo_inverse_solve


@pytest.mark.parametrize("rank", [1, 2, 4])
@pytest.mark.parametrize("scale", [1e-10, 1.0, 1e10])
def test_agrees_with_the_pseudo_inverse(rank, scale):
    rng = np.random.default_rng(rank)
    factor = rng.normal(size=(4, rank))
    matrix, right = scale * factor @ factor.T, rng.normal(size=4)
    found = pseudo_inverse_solve(ops.array(matrix), ops.array(right))
    expected = np.linalg.pinv(matrix, rcond=1e-10) @ right
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9 / scale)


def test_zero_matrix_gives_zero():
    found = pseudo_inverse_solve(ops.zeros((3, 3)), ops.ones((3,)))
    np.testing.assert_array_equal(found, np.zeros(3))


def test_not_a_number_comes_back_without_raising():
    matrix = ops.array([[float("nan"), 0.0], [0.0, 1.0]])
    assert np.isnan(pseudo_inverse_solve(matrix, ops.ones((2,)))).all()
