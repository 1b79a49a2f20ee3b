"""my_recipe: two tasks from one table.

    keras-mtl compare my_recipe.py

Say here what the tasks are, where the data comes from, and what to expect from
the command above, so that others can tell whether it works for them.
"""

import keras
import numpy as np

import keras_mtl

# What is learned. A task's name is the key of its labels, its output and its
# logs. Its kind brings loss, metric and head: "binary", "multiclass",
# "multilabel", "ordinal", "regression", "quantile", "tagging", and more.
TASKS = [
    keras_mtl.Task("level", "regression", unit="m"),
    keras_mtl.Task("alarm", "binary"),
]


def load(source, data_dir):
    """The data in three parts; models are chosen by validation data.

    Yours may come from anywhere: arrays, or `tf.data.Dataset`s of batches.
    `source` is what `--data` says, one of the recipe's `sources`; `data_dir`
    is what `--data-dir` says, or None. Split before you cut, pair or augment:
    nothing may be on two sides. Where a row has no label of a task, write NaN,
    or -1 for classes.
    """
    draw = np.random.default_rng(0)
    mixing = draw.normal(size=(6, 2))

    def rows(count):
        x = draw.normal(size=(count, 6)).astype("float32")
        hidden = np.tanh(x @ mixing)
        noise = 0.1 * draw.normal(size=count)
        return x, {
            "level": (hidden.sum(axis=1) + noise).astype("float32"),
            "alarm": (hidden[:, 0] + noise > 0.5).astype("int64"),
        }

    return keras_mtl.Splits(
        train=rows(2000), validation=rows(500), test=rows(500)
    )


def build(hp, tasks):
    """A model for `tasks`: all of them, or one alone for comparison.

    `hp` holds what a search may change; what stands here as `default` is used
    by all other commands.
    """
    sharing = hp.Choice("sharing", WAYS)
    width = hp.Int("width", 16, 128, step=16, default=64)
    layers = keras.layers
    return keras_mtl.builders.registry[sharing](
        keras.Input((6,), name="measurements"),
        tasks,
        # Any Keras layers or models, or a backbone taken apart by
        # `keras_mtl.builders.cut`.
        blocks=[
            layers.Dense(width, activation="relu", name="low"),
            layers.Dense(width, activation="relu", name="high"),
        ],
    )


def optimizer(hp):
    """A new optimizer."""
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3)
    return keras.optimizers.Adam(rate)


# See `keras_mtl.builders`, and `keras-mtl balancers`.
WAYS = ["hard_sharing", "cross_stitch"]

recipe = keras_mtl.Recipe(
    name="my_recipe",
    tasks=TASKS,
    load=load,
    build=build,
    optimizer=optimizer,
    batch_size=32,
    epochs=10,
    balancers=["uncertainty", "pcgrad"],
    sharings=WAYS,
)
