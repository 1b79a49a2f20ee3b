"""A task that overfits beside one that goes on learning.

    python benchmarks/task_early_stopping.py DIRECTORY

Task "few" has 40 noisy labels, task "many" 4,000; both share a layer. Trained
together to the end, "few" gets worse from its best epoch on. With
`TaskEarlyStopping` it is frozen near there while "many" learns on; as what is
shared moves on under the frozen head, part of what was won is lost. Writes
`task_early_stopping.png` and `.json`; about a minute.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from keras_mtl import MultiTaskModel, Task, schedules

FEW, MANY, INPUTS = 40, 4000, 20
EPOCHS, PATIENCE = 40, 3


def data(seed: int) -> tuple[Any, Any]:
    """Training and validation data, `(x, y)`; validation is without noise."""
    draw = np.random.default_rng(seed)
    direction = draw.normal(size=(2, INPUTS)) / INPUTS**0.5

    def labelled(count: int) -> tuple[Any, dict[str, Any]]:
        x = draw.normal(size=(count, INPUTS)).astype("float32")
        many = np.tanh(2 * x @ direction[1]) + np.sin(3 * (x @ direction[1]))
        return x, {
            "few": (x @ direction[0]).astype("float32"),
            "many": many.astype("float32"),
        }

    x, y = labelled(MANY)
    y["few"] += draw.normal(size=MANY).astype("float32")
    y["few"][FEW:] = np.nan
    return (x, y), labelled(1000)


def train(seed: int, schedule: Any) -> tuple[dict[str, list[float]], Any]:
    """History and model of one run."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    x = keras.Input((INPUTS,))
    shared = layers.Dense(128, activation="relu", name="shared")(x)
    outputs = {}
    for name in ("few", "many"):
        tower = layers.Dense(64, activation="relu", name=f"{name}_tower")
        outputs[name] = layers.Dense(1, name=name)(tower(shared))
    model = MultiTaskModel(
        x, outputs, tasks=[Task(name, "regression") for name in outputs]
    )
    model.compile(keras.optimizers.Adam(2e-3), schedule=schedule)
    training, validation = data(seed)
    history = model.fit(
        *training,
        validation_data=validation,
        epochs=EPOCHS,
        batch_size=128,
        verbose=0,
    ).history
    return history, model


def plot(runs: dict[str, dict[str, list[float]]]) -> Figure:
    """Validation loss of both tasks over the epochs."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("few", "many"), strict=True):
        for label, history in runs.items():
            axes.plot(
                range(1, EPOCHS + 1), history[f"val_{name}_loss"], label=label
            )
        axes.set_title(f'task "{name}"', loc="left", fontsize=10)
        axes.set_xlabel("epoch")
        axes.set_ylabel("validation loss, squared error")
        axes.legend(frameon=False)
    return figure


def main() -> None:
    """Trains with and without the schedule, and writes what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    args.directory.mkdir(parents=True, exist_ok=True)
    results = []
    for seed in range(args.seeds):
        runs = {
            "to the end": train(seed, None)[0],
            "task early stopping": train(
                seed, schedules.TaskEarlyStopping(patience=PATIENCE)
            )[0],
        }
        if seed == 0:
            plot(runs).savefig(
                args.directory / "task_early_stopping.png", dpi=110
            )
        for label, history in runs.items():
            row = {"seed": seed, "run": label}
            for name in ("few", "many"):
                losses = history[f"val_{name}_loss"]
                row[name] = {"best": min(losses), "last": losses[-1]}
            results.append(row)
            print(row)
    (args.directory / "task_early_stopping.json").write_text(
        json.dumps(results, indent=1) + "\n", "utf-8"
    )


if __name__ == "__main__":
    main()
