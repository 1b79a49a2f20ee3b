import numpy as np
import pytest
from keras import ops

from keras_mtl.linalg.sorting import sorted_rows


@pytest.mark.parametrize("num_rows", [*range(1, 18), 31, 64])
def test_every_column_is_sorted(num_rows):
    rng = np.random.default_rng(num_rows)
    # Zeros and ones find every fault of a sorting network.
    matrix = rng.integers(0, 2, size=(num_rows, 3000)).astype("float32")
    matrix[:, :1000] = rng.normal(size=(num_rows, 1000))
    rows = sorted_rows(ops.array(matrix))
    np.testing.assert_array_equal(np.stack(rows), np.sort(matrix, axis=0))


def test_infinite_rows_go_last():
    rows = sorted_rows(ops.array([[np.inf, np.inf], [2.0, 1.0], [1.0, 3.0]]))
    np.testing.assert_array_equal(
        np.stack(rows), [[1, 1], [2, 3], [np.inf, np.inf]]
    )
