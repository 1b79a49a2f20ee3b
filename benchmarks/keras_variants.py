"""Keras models of the workloads, and the ways of training them.

A variant is written `name[:jacobian][@features][/n]`: a balancer of the
registry, with its Jacobian kept in another way, at the features instead of all
shared variables, solved every n steps. Besides there
are `plain`, which is `keras.Model.fit` on the sum of the losses, and `passes`,
which takes the T backward passes and adds them up: what an exact method costs
at least.
"""

import time
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from workloads import HEAD_WIDTH, Workload

from keras_mtl import MultiTaskModel, balancers

layers = keras.layers


def network(workload: Workload, cls: Any = keras.Model) -> Any:
    """The Functional model, from the same random state every time."""
    keras.utils.set_random_seed(0)
    x = h = keras.Input(workload.input_shape)
    *first, last = workload.widths
    if workload.network == "mlp":
        for width in first:
            h = layers.Dense(width, activation="relu")(h)
        shared = layers.Dense(last, activation="relu", name="shared")(h)
    else:
        for width in workload.widths:
            h = layers.Conv2D(
                width, 3, strides=2, padding="same", activation="relu"
            )(h)
        shared = layers.GlobalAveragePooling2D(name="shared")(h)
    outputs = {}
    for name in workload.task_names:
        hidden = layers.Dense(
            HEAD_WIDTH, activation="relu", name=f"{name}_hidden"
        )(shared)
        outputs[name] = layers.Dense(1, name=name)(hidden)
    return cls(inputs=x, outputs=outputs)


class Passes(keras.Model):
    """T backward passes and nothing else; keeps each head's gradient apart.

    One forward pass, one pass through the heads, one pass for each task
    through the shared part; the tasks' gradients are added and applied.
    """

    def build_parts(self) -> None:
        """Splits the network at the layer named "shared"."""
        self.trunk = keras.Model(
            self.inputs, self.get_layer("shared").output, name="trunk"
        )
        self.heads = {
            name: [self.get_layer(f"{name}_hidden"), self.get_layer(name)]
            for name in self.output
        }
        self.trackers = [keras.metrics.Mean(name=n) for n in self.output]

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step."""
        x, y = data
        losses, copies = [], []
        with tf.GradientTape(persistent=True) as tape:
            shared = self.trunk(x, training=True)
            for name, (hidden, output) in self.heads.items():
                with tape.stop_recording():
                    copies.append(tf.identity(shared))
                tape.watch(copies[-1])
                error = output(hidden(copies[-1])) - y[name]
                losses.append(tf.reduce_mean(tf.square(error)))
        gradients, rows = {}, []
        for loss, copy, head in zip(
            losses, copies, self.heads.values(), strict=True
        ):
            own = [v for layer in head for v in layer.trainable_variables]
            at_shared, *found = tape.gradient(loss, [copy, *own])
            gradients.update(zip(map(id, own), found, strict=True))
            rows.append(at_shared)
        trunk = self.trunk.trainable_variables
        by_task = [
            tape.gradient(shared, trunk, output_gradients=row) for row in rows
        ]
        for variable, column in zip(
            trunk, zip(*by_task, strict=True), strict=True
        ):
            gradients[id(variable)] = tf.add_n(column)
        variables = self.trainable_variables
        self.optimizer.apply([gradients[id(v)] for v in variables], variables)
        for tracker, loss in zip(self.trackers, losses, strict=True):
            tracker.update_state(loss)
        return {tracker.name: tracker.result() for tracker in self.trackers}


def compiled(workload: Workload, variant: str, jit: bool = False) -> Any:
    """A model, ready for `fit`.

    Raises:
        ValueError: No such balancer, or it needs arguments.
    """
    losses = {name: "mse" for name in workload.task_names}
    if variant == "plain":
        model = network(workload)
        model.compile("adam", loss=losses, jit_compile=jit)
        return model
    if variant == "passes":
        model = network(workload, Passes)
        model.build_parts()
        model.compile("adam", jit_compile=jit)
        return model
    method, _, every = variant.partition("/")
    method, _, wrt = method.partition("@")
    name, _, jacobian = method.partition(":")
    options: dict[str, Any] = {"wrt": wrt} if wrt else {}
    if jacobian:
        options["jacobian"] = jacobian
    if every:
        options["update_every"] = int(every)
    try:
        balancer = balancers.get(name, **options)
    except TypeError as error:
        raise ValueError(f"{name} needs arguments: {error}") from error
    model = network(workload, MultiTaskModel)
    model.compile("adam", loss=losses, balancer=balancer, jit_compile=jit)
    return model


class EpochTimer(keras.callbacks.Callback):
    """Measures the second epoch of `fit`: neither its set-up nor first steps.

    A callback after each batch would make Keras fetch that batch's logs.
    """

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts the clock anew."""
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stops it."""
        self.seconds = time.perf_counter() - self.start


def runner(
    workload: Workload, variant: str, steps: int, jit: bool = False
) -> Callable[[], float]:
    """A function that trains some steps and returns the seconds of one.

    Raises:
        ValueError: As `compiled`.
    """
    model = compiled(workload, variant, jit)
    # One iterator for all epochs: between two, TensorFlow may wait half a
    # second for the tuning thread of the first to end.
    batches = (
        tf.data.Dataset.from_tensor_slices(workload.data(steps))
        .batch(workload.batch)
        .repeat()
    )

    def run() -> float:
        timer = EpochTimer()
        model.fit(
            batches,
            epochs=2,
            steps_per_epoch=steps,
            shuffle=False,
            verbose=0,
            callbacks=[timer],
        )
        return timer.seconds / steps

    return run
