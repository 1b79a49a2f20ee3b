"""One of several processes that train a model together.

    python worker_script.py PLACE PORTS DIRECTORY EPOCHS [--die-in EPOCH]

Without PORTS ("-") it trains alone, on one device.
"""

import argparse
import json
import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("place", type=int)
parser.add_argument("ports")
parser.add_argument("directory", type=Path)
parser.add_argument("epochs", type=int)
parser.add_argument("--die-in", type=int, default=-1)
parser.add_argument("--balancer", default="mgda")
parser.add_argument("--stop-after", type=int, default=-1)
args = parser.parse_args()
several = args.ports != "-"
if several:
    os.environ["TF_CONFIG"] = json.dumps(
        {
            "cluster": {
                "worker": [f"127.0.0.1:{p}" for p in args.ports.split(",")]
            },
            "task": {"type": "worker", "index": args.place},
        }
    )

import tensorflow as tf  # noqa: E402

# Before anything else of TensorFlow: it opens the server of this process.
strategy = tf.distribute.MultiWorkerMirroredStrategy() if several else None

import keras  # noqa: E402
import numpy as np  # noqa: E402

from keras_mtl import MultiTaskModel, Task  # noqa: E402
from keras_mtl.callbacks import (  # noqa: E402
    Checkpoint,
    TaskTensorBoard,
    load_checkpoint,
)
from keras_mtl.training import fit_on_workers  # noqa: E402


class Dies(keras.callbacks.Callback):
    """Kills this process in the middle of an epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == args.die_in and batch == 1:
            os.kill(os.getpid(), signal.SIGKILL)


class Stops(keras.callbacks.Callback):
    """Asks for the end after a batch, in this process alone."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == args.stop_after:
            self.model.stop_training = True


def new_model():
    keras.utils.set_random_seed(0)
    x = keras.Input((4,))
    h = keras.layers.Dense(5, activation="tanh")(x)
    model = MultiTaskModel(
        x,
        {
            "kind": keras.layers.Dense(3, activation="softmax")(h),
            "age": keras.layers.Dense(1)(h),
        },
        tasks=[
            Task("kind", "multiclass", units=3),
            Task("age", "regression"),
        ],
    )
    model.compile(
        keras.optimizers.Adam(0.05, clipnorm=0.5), balancer=args.balancer
    )
    return model


def data(seed):
    rng = np.random.default_rng(seed)
    age = rng.normal(size=27).astype("float32")
    age[[0, 1, 4, 5, 6, 11]] = np.nan
    arrays = (
        rng.normal(size=(27, 4)).astype("float32"),
        {"kind": rng.integers(0, 3, 27), "age": age},
    )
    return tf.data.Dataset.from_tensor_slices(arrays).batch(4)


path = args.directory / "model.keras"
epoch, history = 0, {}
with strategy.scope() if several else nullcontext():
    if (args.directory / "resume").exists():
        model, epoch, history = load_checkpoint(path)
    else:
        model = new_model()
# What one process writes may not wait for the others.
watched = next(iter(data(0)))
callbacks = [
    Checkpoint(path, history),
    TaskTensorBoard(args.directory / "logs", every=2, batch=watched),
]
if args.die_in >= 0:
    callbacks.append(Dies())
if args.stop_after >= 0:
    callbacks.append(Stops())
arguments = {
    "epochs": args.epochs,
    "initial_epoch": epoch,
    "callbacks": callbacks,
    "validation_data": data(1),
}
try:
    if several:
        logs = fit_on_workers(model, data(0), **arguments)
    else:
        logs = model.fit(data(0), verbose=0, **arguments)
except ConnectionError as error:
    (args.directory / f"lost_{args.place}").write_text(str(error))
    sys.exit(3)
weights = {
    v.path: np.asarray(v).tolist()
    for v in [*model.trainable_variables, *model.balancer.variables]
}
(args.directory / f"end_{args.place}.json").write_text(
    json.dumps({"history": logs.history, "weights": list(weights.values())})
)
