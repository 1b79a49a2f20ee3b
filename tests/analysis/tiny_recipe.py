"""A recipe that trains in moments: two tasks on made tables."""

import keras
import numpy as np

import keras_mtl


def load(source, data_dir):
    generator = np.random.default_rng(0)
    projection = generator.normal(size=(6, 2))

    def split(examples):
        x = generator.normal(size=(examples, 6)).astype("float32")
        up, size = (x @ projection).T
        return x, {
            "up": (up > 0).astype("float32"),
            "size": (size + 3).astype("float32"),
        }

    return keras_mtl.Splits(split(100), split(40), split(50))


def build(hp, tasks):
    inputs = keras.Input((6,), name="table")
    width = hp.Int("width", 4, 16, default=8)
    hidden = keras.layers.Dense(width, activation="relu")(inputs)
    hidden = keras.layers.Dropout(0.2)(hidden)
    outputs = {
        name: task.make_head(f"{name}_head")(hidden)
        for name, task in tasks.items()
    }
    return keras_mtl.MultiTaskModel(inputs, outputs, tasks=tasks)


recipe = keras_mtl.Recipe(
    name="tiny",
    description="Made <tables>.",
    tasks=[
        keras_mtl.Task("up", "binary"),
        keras_mtl.Task("size", "regression", unit="m"),
    ],
    load=load,
    build=build,
    sources=("made", "other"),
    optimizer=lambda hp: keras.optimizers.Adam(
        hp.Float("rate", 1e-3, 1e-1, default=1e-2)
    ),
    epochs=3,
    batch_size=32,
)
