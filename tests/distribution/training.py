"""A small training, on whatever devices, and what is left of it."""

import keras
import numpy as np

from keras_mtl import MultiTaskModel, Task, balancers
from tests.balancers.cases import CASES, make

BY_NAME = {case.name: case for case in CASES}


def model(small=False):
    """Three tasks; two, without metrics, if it is to be traced fast."""
    keras.utils.set_random_seed(0)
    x = keras.Input((4,))
    h = keras.layers.Dense(
        5, activation="tanh", kernel_regularizer=keras.regularizers.L2(0.1)
    )(x)
    options = {"metrics": []} if small else {}
    tasks = [
        Task("kind", "multiclass", units=3, **options),
        Task("age", "regression", **options),
        Task("old", "binary"),
    ]
    outputs = {
        "kind": keras.layers.Dense(3, activation="softmax")(h),
        "age": keras.layers.Dense(1)(h),
        "old": keras.layers.Dense(1, activation="sigmoid")(h),
    }
    if small:
        tasks.pop()
        outputs.pop("old")
    return MultiTaskModel(x, outputs, tasks=tasks)


def data():
    """For batches of 3, the last of 1; parts of them miss other labels."""
    rng = np.random.default_rng(0)
    age = rng.normal(size=13).astype("float32")
    age[[1, 2, 5, 6, 7, 9]] = np.nan
    old = rng.integers(0, 2, 13)
    old[4:8] = -1
    kind = rng.integers(0, 3, 13)
    x = rng.normal(size=(13, 4)).astype("float32")
    return x, {"kind": kind, "age": age, "old": old}


def balancer(row, tasks):
    """The balancer of a row `(name, place of the variant, more)`."""
    name, variant, more = row
    if name is None:
        return None
    if variant is None:
        return balancers.get(name, **more)
    case = BY_NAME[name]
    return make(case, {**case.variants[variant], **more}, tasks)


def trained(row, small=False):
    """Weights, state of the balancer and logs after a training.

    Args:
        row: See `balancer`. Model and balancer are made in the scope that the
            caller is in.
        small: Whether one epoch of a smaller model, not validated, will do.
    """
    own = model(small)
    own.compile(
        keras.optimizers.Adam(0.05, clipnorm=0.5),
        balancer=balancer(row, len(own.output)),
        jit_compile=False,
    )
    x, y = data()
    y = {name: y[name] for name in own.output}
    logs = own.fit(
        x,
        y,
        batch_size=3,  # of which no two devices have as much
        epochs=1 if small else 2,
        shuffle=False,
        verbose=0,
        validation_data=None if small else (x, y),
    ).history
    state = own.balancer.variables if own.balancer is not None else []
    return {
        "weights": [np.asarray(v) for v in own.trainable_variables],
        "state": [np.asarray(v, "float64") for v in state],
        "logs": logs,
    }
