"""What two devices do; for a process of its own, where there are two."""

import functools

import keras
import tensorflow as tf

from keras_mtl import balancers
from tests.distribution.training import model, trained


@functools.cache
def strategy():
    """Two devices on one CPU, made before TensorFlow has looked for any."""
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * 2,
    )
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def trained_on_two(row, small=False):
    """What `trained` returns, from two devices."""
    with strategy().scope():
        return trained(row, small)


def refusals():
    """What `compile` says to what cannot work, by its argument."""
    devices = strategy()
    outside = model()
    seeded = balancers.PCGrad(seed=1)
    with devices.scope():
        inside = model()
        accumulating = keras.optimizers.SGD(gradient_accumulation_steps=2)
    tries = {
        "steps_per_execution": (inside, {"steps_per_execution": 2}),
        "jit_compile": (inside, {"jit_compile": True}),
        "run_eagerly": (inside, {"run_eagerly": True}),
        "gradient_accumulation_steps": (inside, {"optimizer": accumulating}),
        "balancer": (inside, {"balancer": seeded}),
        "update_every": (
            inside,
            {"balancer": balancers.MGDA(jacobian="layerwise", update_every=2)},
        ),
        "model": (outside, {}),
    }
    said = {}
    for argument, (own, options) in tries.items():
        try:
            with devices.scope():
                own.compile(**{"optimizer": "sgd", **options})
        except ValueError as error:
            said[argument] = str(error)
    return said
