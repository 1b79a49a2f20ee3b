"""NDDR: the fusion against loops, its normalization, its beginning."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.layers import NDDR

from .central_differences import (
    assert_gradients_are_differences,
    disturb,
    draw,
)

SHAPES = {"vectors": (4, 3), "sequences": (2, 3, 3), "maps": (2, 2, 2, 3)}
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
each_normalization = pytest.mark.parametrize(
    "normalization", ["batch", "layer", None]
)


def fused(layer, inputs):
    """The 1×1 convolution by loops."""
    kernel = layer.coefficients()
    result = np.zeros_like(inputs[0])
    for index in np.ndindex(*result.shape):
        for t, x in enumerate(inputs):
            for c in range(x.shape[-1]):
                result[index] += x[(*index[:-1], c)] * kernel[t, c, index[-1]]
    return result


@each_normalization
@each_shape
def test_forward_is_fusion_then_normalization_then_activation(
    normalization, shape
):
    inputs = draw(shape, shape, shape)
    layer = NDDR(1, normalization=normalization, dtype="float64")
    layer(inputs)
    disturb(layer)
    y = fused(layer, inputs)
    if normalization is None:
        y = y + np.array(layer.bias)
    else:
        # Over all but the channels, or over the channels.
        axes = tuple(range(y.ndim - 1)) if normalization == "batch" else -1
        mean = y.mean(axes, keepdims=True)
        spread = np.sqrt(y.var(axes, keepdims=True) + 1e-3)
        y = (y - mean) / spread * np.array(layer.normalizer.gamma)
        y = y + np.array(layer.normalizer.beta)
    np.testing.assert_allclose(
        layer(inputs, training=True), np.maximum(y, 0), rtol=1e-9, atol=1e-12
    )


@each_normalization
@each_shape
def test_gradients_are_central_differences(normalization, shape):
    inputs = draw(shape, shape)
    layer = NDDR(
        0,
        normalization=normalization,
        activation="tanh",
        kernel_regularizer=keras.regularizers.L2(0.1),
        dtype="float64",
    )
    layer(inputs)
    disturb(layer)
    assert_gradients_are_differences(layer, inputs, training=True)


def test_the_kernel_begins_on_the_diagonals():
    layer = NDDR(2, own=0.8, dtype="float64")
    layer(draw((4, 3), (4, 3), (4, 3)))
    expected = [0.1 * np.eye(3), 0.1 * np.eye(3), 0.8 * np.eye(3)]
    np.testing.assert_allclose(layer.coefficients(), expected)


def test_plain_with_own_of_one_gives_the_own_tower():
    inputs = draw((4, 3), (4, 3))
    for tower in range(2):
        layer = NDDR(
            tower, own=1, normalization=None, activation=None, dtype="float64"
        )
        np.testing.assert_array_equal(layer(inputs), inputs[tower])


def test_weight_decay_counts_the_kernel_alone():
    layer = NDDR(0, kernel_regularizer=keras.regularizers.L2(0.5))
    layer(draw((4, 3), (4, 3)))
    (loss,) = layer.losses
    np.testing.assert_allclose(loss, 0.5 * 3 * (0.9**2 + 0.1**2), rtol=1e-6)


def test_batch_statistics_are_kept_for_inference():
    inputs = draw((64, 3), (64, 3))
    layer = NDDR(0, activation=None, dtype="float64")
    layer(inputs, training=True)
    y = fused(layer, inputs)
    # One step of 1 - .95 from zeros and ones.
    mean, variance = 0.05 * y.mean(0), 0.95 + 0.05 * y.var(0)
    for _ in range(2):
        result = layer(inputs, training=False)
        np.testing.assert_allclose(
            result, (y - mean) / np.sqrt(variance + 1e-3), rtol=1e-6
        )


def test_by_layer_each_example_is_alone():
    inputs = draw((4, 3), (4, 3))
    layer = NDDR(0, normalization="layer", dtype="float64")
    together = layer(inputs, training=True)
    alone = layer([x[:1] for x in inputs], training=True)
    np.testing.assert_allclose(together[:1], alone)


def test_padding_does_not_count_in_batch_statistics():
    x, other = draw((2, 3, 3), (2, 3, 3))
    mask = np.array([[True, True, False], [True, False, False]])

    def means(x):
        layer = NDDR(0, dtype="float64")
        given = tf.constant(x)
        given._keras_mask = tf.constant(mask)
        layer([given, tf.constant(other)], training=True)
        return np.array(layer.normalizer.moving_mean)

    padded = np.where(mask[..., None], x, 100.0)
    np.testing.assert_allclose(means(padded), means(x))
    assert np.abs(means(padded)).max() < 1


BAD = {
    "norm": ({"normalization": "group"}, "`normalization` must be.*'group'"),
    "own": ({"own": 2}, "`own` must be a number from 0 to 1.*own=2"),
    "tower": ({"tower": "a"}, "`tower` must be the place.*tower='a'"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        NDDR(**{"tower": 0, **options})


def test_unequal_towers():
    towers = [keras.Input((8, 8, 3)), keras.Input((4, 4, 3))]
    with pytest.raises(ValueError, match=r"equal shapes.*width and stride"):
        NDDR(0)(towers)
