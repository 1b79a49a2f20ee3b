"""The mixture over layers: against loops, and at its beginning."""

import keras
import numpy as np
import pytest

from keras_mtl.layers import LayerMixture

from .central_differences import (
    assert_gradients_are_differences,
    disturb,
    draw,
)


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (2, 3, 2, 4)])
def test_forward_and_gradients(shape):
    inputs = draw(shape, shape, shape)
    mixture = LayerMixture(dtype="float64")
    mixture(inputs)
    disturb(mixture)
    beta = mixture.coefficients()
    expected = np.zeros(shape)
    for index in np.ndindex(*shape):
        for layer in range(3):
            expected[index] += beta[layer] * inputs[layer][index]
    np.testing.assert_allclose(mixture(inputs), expected, rtol=1e-12)
    assert_gradients_are_differences(mixture, inputs)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (None, [1 / 3, 1 / 3, 1 / 3]),
        (0.9, [0.05, 0.05, 0.9]),
        (0, [0.5, 0.5, 0]),
    ],
)
def test_coefficients_at_the_beginning(last, expected):
    mixture = LayerMixture(last=last, dtype="float64")
    mixture(draw((2, 4), (2, 4), (2, 4)))
    np.testing.assert_allclose(mixture.coefficients(), expected)


@pytest.mark.parametrize("last", [-0.1, 1.1, True, "x"])
def test_bad_share_of_the_last(last):
    with pytest.raises(ValueError, match="`last` must be a number from 0 to"):
        LayerMixture(last=last)


def test_unequal_shapes():
    with pytest.raises(ValueError, match=r"'beta'.*equal shapes"):
        LayerMixture(name="beta")([keras.Input((4,)), keras.Input((8,))])
