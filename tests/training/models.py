"""Small models and data for the tests of training."""

import keras
import numpy as np

from keras_mtl import MultiTaskModel, Task

CLASSES = 3


def graph(dropout=0.0, batch_norm=False, regularizer=None):
    x = keras.Input((5,), name="x")
    h = keras.layers.Dense(
        8, activation="tanh", name="trunk", kernel_regularizer=regularizer
    )(x)
    if batch_norm:
        h = keras.layers.BatchNormalization(name="norm")(h)
    if dropout:
        h = keras.layers.Dropout(dropout, seed=7)(h)
    outputs = {}
    # "zoo" comes first, so that sorted order and ours differ.
    outputs["zoo"] = keras.layers.Dense(
        CLASSES, activation="softmax", name="zoo", dtype="float32"
    )(h)
    hidden = keras.layers.Dense(4, activation="tanh", name="age_hidden")(h)
    outputs["age"] = keras.layers.Dense(1, name="age", dtype="float32")(hidden)
    return x, outputs


def tasks():
    return [
        Task("zoo", "multiclass", units=CLASSES),
        Task("age", "regression"),
    ]


def model(seed=0, with_tasks=True, cls=MultiTaskModel, **options):
    keras.utils.set_random_seed(seed)
    x, outputs = graph(**options)
    if cls is MultiTaskModel and with_tasks:
        return MultiTaskModel(x, outputs, tasks=tasks())
    return cls(x, outputs)


def data(n=24, seed=0, missing=False):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5)).astype("float32")
    zoo = rng.integers(0, CLASSES, n)
    age = rng.normal(size=n).astype("float32")
    if missing:
        zoo[::3] = -1
        age[1::3] = np.nan
    return x, {"zoo": zoo, "age": age}
