import numpy as np
from hypothesis import given, settings
from scipy.optimize import nnls

from keras_mtl.linalg import nonnegative_quadratic

from .matrices import jacobians, solve


def quadratic(gram, present, linear):
    return nonnegative_quadratic(gram, linear, present)


@settings(derandomize=True, max_examples=40, deadline=None, database=None)
@given(drawn=jacobians(kinds=("ordinary", "dependent"), sizes=(2, 5)))
def test_agrees_with_scipy_s_nonnegative_least_squares(drawn):
    _, rows = drawn
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    target = np.cos(np.arange(rows.shape[1]))
    expected, _ = nnls(rows.T, target)
    found = solve(quadratic, rows @ rows.T, rows @ target)
    np.testing.assert_allclose(rows.T @ found, rows.T @ expected, atol=1e-9)


def test_stays_on_what_is_allowed():
    found = nonnegative_quadratic(
        np.eye(3), np.array([1.0, 2.0, -1.0]), np.array([True, False, True])
    )
    np.testing.assert_allclose(found, [1, 0, 0])
