"""What two devices do; for a process of its own, where there are two."""

import functools

import keras
import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

from keras_mtl import MultiTaskModel, Task, balancers, export
from keras_mtl.callbacks import TaskTensorBoard
from keras_mtl.serving.session import open_session
from tests.distribution.training import data, model, trained


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


def board_and_export(folder):
    """A training that is watched, whose model is exported, from two devices.

    Returns:
        Outputs of the model and of its export, by task, and the tags of the
        board.
    """
    with strategy().scope():
        x = keras.Input((4,), name="x")
        h = keras.layers.BatchNormalization()(keras.layers.Dense(5)(x))
        own = MultiTaskModel(
            x,
            {"kind": keras.layers.Dense(3)(h), "age": keras.layers.Dense(1)(h)},
            tasks=[
                Task("kind", "multiclass", units=3),
                Task("age", "regression"),
            ],
        )
        own.compile("sgd", balancer="mgda", jit_compile=False)
    x, y = data()
    y.pop("old")
    board = TaskTensorBoard(folder / "logs", every=1, batch=(x, y))
    own.fit(x, y, batch_size=3, verbose=0, callbacks=[board])
    events = EventAccumulator(str(folder / "logs" / "train")).Reload()
    with open_session(export(own, folder / "saved")) as saved:
        served = saved.run("serving_default", {"x": x})
    return own.predict(x, verbose=0), served, events.Tags()["tensors"]


def text_on_two():
    """Losses of a model of strings, from two devices."""
    with strategy().scope():
        text = keras.Input((), dtype="string")
        words = keras.layers.TextVectorization(
            output_sequence_length=4, vocabulary=["a", "b"]
        )(text)
        h = keras.layers.Embedding(4, 3)(words)
        h = keras.layers.GlobalAveragePooling1D()(h)
        own = MultiTaskModel(
            text,
            {"left": keras.layers.Dense(1)(h), "age": keras.layers.Dense(1)(h)},
            tasks=[Task("left", "regression"), Task("age", "regression")],
        )
        own.compile("sgd", balancer="mgda", jit_compile=False)
    x = np.array(["a b", "b", "a a", "c", "b a"])
    y = {name: np.ones(5, "float32") for name in own.output}
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    return own.fit(batches, shuffle=False, verbose=0).history["loss"]


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
