"""A training that goes on where it was killed, and a server of such.

`python -m tests.faults.job` imports TensorFlow once. For each line of its
input, `KIND FOLDER`, it forks a process that trains; it answers `pid PID`,
then the process `begun` when training begins, and in the end `ended CODE`.
"""

import io
import json
import os
import sys
import traceback
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_mtl import Task, _files, balancers, builders
from keras_mtl.analysis.batches import Batches
from keras_mtl.callbacks import Checkpoint, TaskTensorBoard, load_checkpoint
from keras_mtl.data import Mixture, rates

EPOCHS = 30
MODEL, LOGS, FINAL = "model.keras", "logs", "final.npz"
TASKS = [Task("a", "regression"), Task("b", "binary")]


def numbers(n, seed):
    x = np.random.default_rng(seed).normal(size=(n, 6)).astype("float32")
    return x, {"a": x[:, :1] * 2, "b": (x[:, 1] > 0).astype("float32")}


def arrays():
    """All state that there is: of layers, balancer, schedule, optimizer."""
    x, y = numbers(96, 0)
    y["a"][::5] = np.nan
    batches = Batches(x, y, batch_size=8, seed=5)
    return batches, [batches.callback], None


def mixture():
    """Rates that depend on the logs of the epochs before."""
    (x, y), (u, v) = numbers(80, 0), numbers(40, 1)
    mixed = Mixture(
        {"one": (x, {"a": y["a"]}), "two": (u, {"b": v["b"]})},
        TASKS,
        batch_size=8,
        rates=rates.ByLoss({"one": "a_loss", "two": "b_loss"}),
        steps_per_epoch=12,
    )
    return mixed, [], mixed


KINDS = {"arrays": arrays, "mixture": mixture}


def model(kind):
    keras.utils.set_random_seed(1)
    made = builders.hard_sharing(
        keras.Input((6,)),
        TASKS,
        [
            keras.layers.Dense(64, activation="relu", name="low"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dropout(0.3, seed=2, name="drop"),
        ],
    )
    optimizer = keras.optimizers.Adam(0.01, clipnorm=1.0)
    if kind == "arrays":
        made.compile(
            optimizer,
            balancer=balancers.RandomWeighting(seed=4),
            schedule="loss_driven",
        )
    else:
        made.compile(optimizer, balancer=balancers.GradDrop(seed=4))
    return made


class Begun(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        # After what Checkpoint does before the first epoch.
        if self.tell:
            say("begun")
        self.tell = False

    tell = True


def train(kind, folder):
    """Trains to the end, from wherever the folder's checkpoint is."""
    folder = Path(folder)
    tf.config.experimental.enable_op_determinism()
    data, callbacks, mixed = KINDS[kind]()
    keras.utils.set_random_seed(9)
    path = folder / MODEL
    if path.exists():
        trained, done, history = load_checkpoint(path, mixture=mixed)
    else:
        trained, done, history = model(kind), 0, {}
    checkpoint = Checkpoint(path, history, mixture=mixed)
    trained.fit(
        data,
        initial_epoch=done,
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
        callbacks=[
            *callbacks,
            TaskTensorBoard(folder / LOGS, every=3),
            Begun(),
            checkpoint,
        ],
    )
    state = [*trained.variables, *trained.optimizer.variables]
    found = {f"{i}": np.asarray(v) for i, v in enumerate(state)}
    written = io.BytesIO()
    np.savez(written, history=json.dumps(checkpoint.history), **found)
    _files.write_bytes(folder / FINAL, written.getvalue())


def say(words):
    # One write, so that two processes do not mix their lines.
    os.write(1, f"{words}\n".encode())


def serve():
    for line in sys.stdin:
        kind, folder = line.split()
        pid = os.fork()
        if pid == 0:
            try:
                train(kind, folder)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        say(f"pid {pid}")
        say(f"ended {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}")


if __name__ == "__main__":
    serve()
