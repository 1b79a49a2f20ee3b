"""Values worked out by hand."""

import numpy as np
import pytest

from keras_mtl import balancers
from keras_mtl.balancers import aggregate

from .cases import HAND_JACOBIAN


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_hand_values(case, hand, dtype):
    direction, weights = aggregate(
        balancers.get(case.name, **hand.arguments),
        HAND_JACOBIAN.astype(dtype),
        losses=np.ones(2),
    )
    assert direction.dtype == weights.dtype == dtype
    np.testing.assert_allclose(weights, hand.weights, atol=6e-5)
    np.testing.assert_allclose(direction, hand.direction, atol=6e-5)
