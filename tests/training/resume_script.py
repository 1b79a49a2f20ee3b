"""Trains a model with dropout; run as a script by test_saving.py.

    resume_script.py PATH FIRST_EPOCH LAST_EPOCH BALANCER [die]

Starts from PATH if FIRST_EPOCH is not 0, saves it after each epoch, and with
"die" kills itself after the last.
"""

import os
import signal
import sys

import keras
import numpy as np
import tensorflow as tf

from tests.training import models


def main():
    path, first, last, balancer = sys.argv[1:5]
    tf.config.experimental.enable_op_determinism()
    if int(first):
        model = keras.saving.load_model(path)
    else:
        model = models.model(seed=1, dropout=0.5, batch_norm=True)
        model.compile(keras.optimizers.Adam(0.01), balancer=balancer)
    x, y = models.data(40)
    y["age"][20:30] = np.nan
    for epoch in range(int(first), int(last)):
        order = np.random.default_rng([7, epoch]).permutation(len(x))
        model.fit(
            x[order],
            {k: v[order] for k, v in y.items()},
            batch_size=8,
            shuffle=False,
            verbose=0,
            initial_epoch=epoch,
            epochs=epoch + 1,
        )
        model.save(path)
    if sys.argv[5:] == ["die"]:
        os.kill(os.getpid(), signal.SIGKILL)
    variables = {
        f"{i}": v.numpy()
        for i, v in enumerate([*model.variables, *model.optimizer.variables])
    }
    np.savez(f"{path}.npz", **variables)


if __name__ == "__main__":
    main()
