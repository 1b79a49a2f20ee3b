"""A task that overfits beside one that goes on learning.

    python benchmarks/task_early_stopping.py DIRECTORY

Task "few" has 40 noisy labels, task "many" 4,000; both share a layer. Trained
together to the end, "few" gets worse from its best epoch on. With
`TaskEarlyStopping` it is frozen near there while "many" learns on; as what is
shared moves on under the frozen head, part of what was won is lost. A file of
the model at the best epoch of "few" loses nothing: it is written by Keras's
`ModelCheckpoint`, read again and measured. Writes `task_early_stopping.png` and
`.json`; about two minutes.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from keras_mtl import MultiTaskModel, Task, schedules

FEW, MANY, INPUTS = 40, 4000, 20
EPOCHS, BATCH, PATIENCE = 40, 128, 5
# Where what is shared is narrow, it has to move further, and frozen heads lose
# more.
WIDTH = 1024


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


def train(
    seed: int, schedule: Any, file: Path
) -> tuple[dict[str, list[float]], float]:
    """History of one run, and the loss of "few" by the file of its best."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    x = keras.Input((INPUTS,))
    shared = layers.Dense(WIDTH, activation="relu", name="shared")(x)
    outputs = {}
    for name in ("few", "many"):
        tower = layers.Dense(64, activation="relu", name=f"{name}_tower")
        outputs[name] = layers.Dense(1, name=name)(tower(shared))
    model = MultiTaskModel(
        x, outputs, tasks=[Task(name, "regression") for name in outputs]
    )
    model.compile(keras.optimizers.Adam(5e-4), schedule=schedule)
    training, validation = data(seed)
    history = model.fit(
        *training,
        validation_data=validation,
        epochs=EPOCHS,
        batch_size=BATCH,
        callbacks=[
            keras.callbacks.ModelCheckpoint(
                file, monitor="val_few_loss", mode="min", save_best_only=True
            )
        ],
        verbose=0,
    ).history
    kept = keras.models.load_model(file).evaluate(
        *validation, batch_size=BATCH, return_dict=True, verbose=0
    )
    return history, kept["few_loss"]


def plot(runs: dict[str, dict[str, list[float]]], kept: float) -> Figure:
    """Validation loss of both tasks over the epochs, and that of the file."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("few", "many"), strict=True):
        for label, history in runs.items():
            losses = history[f"val_{name}_loss"]
            axes.plot(range(1, len(losses) + 1), losses, label=label)
        if name == "few":
            axes.axhline(kept, color="0.5", linestyle=":", label="its file")
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
        runs, kept = {}, {}
        for label, schedule in (
            ("to the end", None),
            (
                "task early stopping",
                # What is shared learns on to the end, for "many".
                schedules.TaskEarlyStopping(patience=PATIENCE, tasks=["few"]),
            ),
        ):
            with tempfile.TemporaryDirectory() as folder:
                runs[label], kept[label] = train(
                    seed, schedule, Path(folder) / "few.keras"
                )
            row: dict[str, Any] = {"seed": seed, "run": label}
            for name in ("few", "many"):
                losses = runs[label][f"val_{name}_loss"]
                row[name] = {"best": min(losses), "last": losses[-1]}
            row["few"]["file"] = kept[label]
            results.append(row)
            print(row)
        if seed == 0:
            plot(runs, kept["task early stopping"]).savefig(
                args.directory / "task_early_stopping.png", dpi=110
            )
    (args.directory / "task_early_stopping.json").write_text(
        json.dumps(results, indent=1) + "\n", "utf-8"
    )


if __name__ == "__main__":
    main()
