"""The bars that `benchmarks/residuals.py` states, on a slice and in full."""

import numpy as np
import pytest

from keras_mtl.balancers import aggregate

from .matrices import SIZES
from .optimality import problems
from .residuals import residuals

BARS = {"float32": 1e-5, "float64": 1e-10}
ROWS = [
    pytest.param(problem, dtype, id=f"{problem.label}-{dtype}")
    for dtype in BARS
    for problem in problems(dtype)
]


def check(problem, dtype, size, matrices):
    for kind, value in residuals(problem, dtype, size, matrices):
        assert value <= BARS[dtype], (kind, size)


@pytest.mark.parametrize(("problem", "dtype"), ROWS)
def test_every_method_solves_its_problem(problem, dtype):
    check(problem, dtype, size=5, matrices=150)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("problem", "dtype"), ROWS)
def test_every_method_solves_its_problem_thousands_of_times(
    problem, dtype, size
):
    check(problem, dtype, size, matrices=100 if size < 64 else 25)


def test_imtlg_takes_no_noise_for_a_direction():
    # Parallel but for rounding, in both senses alike: only 0 is equal for all.
    rng = np.random.default_rng(0)
    signs = np.array([1, -1, -1, 1, -1, 1, -1, 1.0])[:, None]
    rows = signs * rng.normal(size=26)
    rows += 1e-7 * rng.normal(size=rows.shape)
    direction, _ = aggregate("imtlg", rows.astype("float32"))
    np.testing.assert_allclose(direction, np.zeros(26), atol=1e-3)
