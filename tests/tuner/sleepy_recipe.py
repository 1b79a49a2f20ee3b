"""A recipe whose trials last as long as the environment says."""

import os
import time

import keras
import numpy as np

import keras_mtl


def load(source, data_dir):
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
    y = {"a": x[:, 0] + 1, "b": x[:, 1] - x[:, 0]}
    return keras_mtl.Splits((x, y), (x, y), (x, y))


def build(hp, tasks):
    if len(tasks) > 1:
        time.sleep(float(os.environ.get("SLEEPY_SECONDS", "0")))
    if hp.Choice("mood", ["good", "bad"]) == os.environ.get("SLEEPY_FAILS"):
        raise RuntimeError("a bad mood")
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(hp.Int("width", 2, 9))(inputs)
    return keras_mtl.MultiTaskModel(
        inputs,
        {name: task.make_head(name)(hidden) for name, task in tasks.items()},
        tasks=tasks,
    )


recipe = keras_mtl.Recipe(
    name="sleepy",
    tasks=[keras_mtl.Task(name, "regression") for name in ("a", "b")],
    load=load,
    build=build,
    epochs=1,
    balancers=(),
)
