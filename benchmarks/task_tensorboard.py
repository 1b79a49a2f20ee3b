"""What `TaskTensorBoard` costs: epochs with it and without, in turns.

    python benchmarks/task_tensorboard.py

Both fits are of the same model on the same data. They take turns, so that a
machine that grows slower slows both; the ratio is taken turn by turn, of the
processor's time, which other processes disturb less than a clock's. Prints
median and quartiles of the ratio for the defaults (a point every 100 steps),
and for fits without a callback on either side, which tell how far chance goes.
"""

import os
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_mtl import Task, builders
from keras_mtl.callbacks import TaskTensorBoard

TURNS = 12
STEPS = 400
BATCH = 64
WIDTH = 256
TASKS = 3


def model() -> keras.Model:
    """Three regressions on three shared layers, balanced by their Gram."""
    built = builders.hard_sharing(
        keras.Input((64,)),
        [Task(f"t{i}", "regression") for i in range(TASKS)],
        [
            keras.layers.Dense(WIDTH, activation="relu", name=f"h{i}")
            for i in range(3)
        ],
    )
    built.compile("adam", balancer="imtlg")
    return built


def main() -> None:
    """Measures and prints."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(STEPS * BATCH, 64)).astype("float32")
    y = {f"t{i}": x[:, i] for i in range(TASKS)}
    trained = model()

    def seconds(callbacks: list[keras.callbacks.Callback]) -> float:
        start = time.process_time()
        trained.fit(
            x,
            y,
            batch_size=BATCH,
            verbose=0,
            shuffle=False,
            callbacks=callbacks,
        )
        return time.process_time() - start

    with tempfile.TemporaryDirectory() as folder:
        callback = TaskTensorBoard(folder)
        seconds([])
        seconds([callback])
        ratios: dict[str, list[float]] = {"without": [], "with": []}
        for turn in range(TURNS):
            # The middle one of three is between its two neighbours in time.
            before = seconds([])
            between = seconds([callback] if turn % 2 else [])
            after = seconds([])
            kind = "with" if turn % 2 else "without"
            ratios[kind].append(2 * between / (before + after))
    for kind, values in ratios.items():
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
        print(f"{kind:8} {middle:.3f} ({low:.3f} to {high:.3f}), {len(values)}")


if __name__ == "__main__":
    main()
