"""FiLM: against a loop in numpy; its coefficients; what it refuses."""

import keras
import numpy as np
import pytest

from keras_mtl.layers import FiLM

from .central_differences import assert_gradients_are_differences

RNG = np.random.default_rng(0)
SHAPES = {
    "vectors": ((5, 3), None),
    "maps": ((2, 3, 2, 4), None),
    "vectors_by_condition": ((5, 3), (5, 2)),
    "sequences_by_condition": ((3, 4, 3), (3, 2)),
    # Batch, height and channels are one number, so that no axis can be
    # taken for another unnoticed.
    "maps_by_condition": ((3, 3, 2, 3), (3, 3)),
}
each_shape = pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)


def made(shapes):
    keras.utils.set_random_seed(0)
    layer = FiLM(dtype="float64")
    x = [RNG.normal(size=shape) for shape in shapes if shape]
    x = x if len(x) == 2 else x[0]
    layer(x)
    for v in layer.variables:
        v.assign(RNG.normal(size=v.shape))
    return layer, x


def by_loops(layer, x):
    x, z = x if isinstance(x, list) else (x, None)
    channels, bias = x.shape[-1], np.array(layer.bias)
    result = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        c = index[-1]
        delta, beta = bias[c], bias[channels + c]
        if z is not None:
            for k in range(z.shape[1]):
                delta += z[index[0], k] * np.array(layer.kernel)[k, c]
                beta += z[index[0], k] * np.array(layer.kernel)[k, channels + c]
        result[index] = (1 + delta) * x[index] + beta
    return result


@each_shape
def test_forward_by_loops(shapes):
    layer, x = made(shapes)
    np.testing.assert_allclose(layer(x), by_loops(layer, x), rtol=1e-12)


@each_shape
def test_gradients_by_differences(shapes):
    layer, x = made(shapes)
    assert_gradients_are_differences(layer, x)


def test_without_a_condition_it_starts_as_the_identity():
    x = RNG.normal(size=(2, 5, 3)).astype("float32")
    np.testing.assert_array_equal(FiLM()(x), x)


def test_coefficients_are_what_it_applies():
    layer, x = made(SHAPES["maps"])
    gamma, beta = layer.coefficients()
    assert gamma.shape == beta.shape == (4,)
    np.testing.assert_allclose(layer(x), gamma * x + beta)
    layer, (x, z) = made(SHAPES["sequences_by_condition"])
    gamma, beta = layer.coefficients(z)
    assert gamma.shape == beta.shape == (3, 3)
    np.testing.assert_allclose(
        layer([x, z]), gamma[:, None] * x + beta[:, None]
    )


@pytest.mark.parametrize("name", ["vectors", "vectors_by_condition"])
def test_coefficients_need_the_condition_that_the_layer_has(name):
    layer, x = made(SHAPES[name])
    condition = None if isinstance(x, list) else np.ones((1, 2))
    with pytest.raises(ValueError, match=r"`condition`.*if and only if"):
        layer.coefficients(condition)


def test_regularizers_pull_to_the_identity():
    layer = FiLM(bias_regularizer=keras.regularizers.L2(1.0))
    layer(np.ones((1, 3), "float32"))
    assert float(layer.losses[0]) == 0.0
    layer.bias.assign([1, 0, 0, 0, 2, 0])
    assert float(layer.losses[0]) == pytest.approx(5.0)


BAD = {
    "condition": ([(None, 4), (None, 5, 2)], "shape .batch, size."),
    "size": ([(None, 4), (None, None)], "shape .batch, size."),
    "three": ([(None, 4)] * 3, "Received: 3 tensors"),
    "channels": ((None, 4, None), "of a known number"),
}


@pytest.mark.parametrize(("shape", "message"), BAD.values(), ids=BAD)
def test_other_inputs_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        FiLM().build(shape)
