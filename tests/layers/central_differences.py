"""Gradients of a layer held against central differences in float64."""

import keras
import numpy as np
import tensorflow as tf


def draw(*shapes, seed=0):
    """Arrays in float64, one for each shape."""
    generator = np.random.default_rng(seed)
    return [generator.normal(size=shape) for shape in shapes]


def disturb(layer, seed=1):
    """Moves weights off their beginning, where some gradients vanish."""
    generator = np.random.default_rng(seed)
    for v in layer.trainable_variables:
        v.assign(v + generator.normal(size=v.shape) * 0.3)


def assert_gradients_are_differences(layer, inputs, step=1e-5, **call):
    """Gradients of weights and inputs of a built float64 layer.

    The loss weights each output differently, and counts what the layer adds.

    Args:
        layer: The layer.
        inputs: What it is called on: an array, or a list of them.
        step: Half the distance of the points.
        **call: Further arguments of the call.
    """
    several = isinstance(inputs, list)
    leaves = [tf.Variable(x) for x in (inputs if several else [inputs])]
    watched = [*leaves, *(v.value for v in layer.trainable_variables)]

    @tf.function
    def loss():
        given = [tf.convert_to_tensor(x) for x in leaves]
        outputs = layer(given if several else given[0], **call)
        factors = np.cos(np.arange(np.prod(outputs.shape)))
        total = tf.reduce_sum(
            tf.sin(outputs) * factors.reshape(outputs.shape).astype("float64")
        )
        return tf.add_n([total, *layer.losses])

    with tf.GradientTape() as tape:
        total = loss()
    gradients = tape.gradient(total, watched)
    for variable, gradient in zip(watched, gradients, strict=True):
        value = keras.ops.convert_to_numpy(variable)
        expected = np.zeros_like(value)
        for index in np.ndindex(*value.shape):
            ends = []
            for sign in (1, -1):
                moved = value.copy()
                moved[index] += sign * step
                variable.assign(moved)
                ends.append(float(loss()))
            expected[index] = (ends[0] - ends[1]) / (2 * step)
        variable.assign(value)
        assert np.any(expected != 0)
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-7)
