"""Trains one shared model in a run of its own, which can be resumed."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_mtl import _files
from keras_mtl.analysis.results import Metric, to_json
from keras_mtl.analysis.run_directory import describe_run, new_run
from keras_mtl.analysis.stored import OPTIONAL_TEXT, check_fields
from keras_mtl.analysis.training import (
    evaluate,
    first_batch,
    judged,
    judging_metrics,
    load_splits,
    named_balancers,
    other_metrics,
    train_once,
)
from keras_mtl.callbacks import Checkpoint, TaskTensorBoard, load_checkpoint
from keras_mtl.callbacks.checkpoint import restore_mixture
from keras_mtl.recipe import Recipe, Splits

_CONFIG, _MODEL, _RESULTS = "config.json", "model.keras", "results.json"
_FIELDS = {
    "recipe": str,
    "batch_size": int,
    "tasks": list,
    "source": str,
    "data_dir": OPTIONAL_TEXT,
    "seed": int,
    "epochs": int,
    "balancer": str,
    "balancer_config": (dict, type(None)),
}


@dataclass(frozen=True)
class TrainingRun:
    """A finished run.

    Attributes:
        directory: Where it is.
        balancer: Its name.
        sharing: The way of sharing, if the recipe lets choose.
        epochs: How many were done in all.
        validation: The judging metric of each task on validation data.
        test: The same on test data.
        metrics: What each task is judged by.
        others: What else it is measured by.
        measures: All of them on each split, as `{task}_{measure}`.
    """

    directory: Path
    balancer: str
    sharing: str | None
    epochs: int
    validation: dict[str, float]
    test: dict[str, float]
    metrics: dict[str, Metric]
    others: dict[str, list[Metric]]
    measures: dict[str, dict[str, float]]


def train(
    recipe: Recipe,
    *,
    balancer: Any = None,
    sharing: str | None = None,
    epochs: int | None = None,
    seed: int = 0,
    source: str | None = None,
    data_dir: str | None = None,
    out: str | Path = "runs",
    origin: Mapping[str, Any] | None = None,
    on_start: Callable[[Path], None] | None = None,
    on_epoch: Callable[[int, int], None] | None = None,
) -> TrainingRun:
    """Trains all tasks of a recipe in one model, saved after every epoch.

    Args:
        recipe: What to train.
        balancer: A name or config; None for equal weights.
        sharing: One of the recipe's ways of sharing; by default its first.
        epochs: By default the recipe's.
        seed: Of weights and data order.
        source: One of the recipe's data sources; by default its first.
        data_dir: Where its data lies, for the recipe's `load`.
        out: Where runs are kept.
        origin: More to record in `config.json`: command, file.
        on_start: Called with the run's directory.
        on_epoch: Called with the epochs done and the epochs to do.

    Raises:
        ValueError: An argument, the recipe or its data does not suit.
        OSError: The run's directory cannot be written.
    """
    source = recipe.source(source)
    recipe = recipe.for_source(source)
    epochs = recipe.epochs if epochs is None else epochs
    if epochs < 1:
        raise ValueError(f"`epochs` must be 1 or more. Received: {epochs}")
    ((name, config),) = named_balancers([balancer]).items()
    run = new_run(out, recipe)
    settings = {
        "source": source,
        "data_dir": data_dir and str(data_dir),
        "seed": seed,
        "epochs": epochs,
        "sharing": recipe.sharing(sharing),
        "balancer": name,
        "balancer_config": config,
    }
    # Opens the place first: data may take long to load.
    with _files.hidden_directory(run):
        splits = load_splits(recipe, settings["source"], settings["data_dir"])
    _files.write_text(
        run / _CONFIG, to_json(describe_run(recipe, settings, origin))
    )
    if on_start is not None:
        on_start(run)
    return _train(recipe, run, settings, splits, on_epoch=on_epoch)


def resume(
    recipe: Recipe,
    run: str | Path,
    *,
    epochs: int | None = None,
    on_epoch: Callable[[int, int], None] | None = None,
) -> TrainingRun:
    """Goes on with a run of `train` at the epoch after the last saved one.

    Model, optimizer, balancer and random state come from the run's
    `model.keras`, and the data order of an epoch depends on nothing but the
    seed and the epoch: the result is that of a run without interruption.

    Args:
        recipe: The one that the run was started with.
        run: Its directory.
        epochs: To train longer than the run was meant to.
        on_epoch: Called with the epochs done and the epochs to do.

    Raises:
        ValueError: `run` is no such run, is of another recipe, or is done.
        FileNotFoundError: There is no such run, or no epoch was finished.
    """
    run = Path(run)
    config = _read_config(run)
    recipe = recipe.for_source(recipe.source(config["source"]))
    tasks = [task.get_config() for task in recipe.tasks.values()]
    for what, before, now in (
        ("recipe", config["recipe"], recipe.name),
        ("batch_size", config["batch_size"], recipe.batch_size),
        ("tasks", config["tasks"], json.loads(to_json(tasks))),
    ):
        if before != now:
            raise ValueError(
                f"`{what}` must be what the run {str(run)!r} was started "
                f"with. Expected: {before!r}. Received: {now!r}. Start a new "
                "run instead."
            )
    model, done, history = load_checkpoint(run / _MODEL)
    epochs = config["epochs"] if epochs is None else epochs
    if done >= epochs and (done > epochs or (run / _RESULTS).exists()):
        raise ValueError(
            f"The run {str(run)!r} has done its {done} epochs. To train it "
            f"further, give more `epochs` than that. Received: {epochs}"
        )
    if epochs != config["epochs"]:
        config["epochs"] = epochs
        _files.write_text(run / _CONFIG, to_json(config))
    splits = load_splits(recipe, config["source"], config["data_dir"])
    if (mixture := _mixture(splits)) is not None:
        restore_mixture(run / _MODEL, mixture)
    return _train(recipe, run, config, splits, model, done, history, on_epoch)


def _train(
    recipe: Recipe,
    run: Path,
    settings: Mapping[str, Any],
    splits: Splits,
    model: Any = None,
    done: int = 0,
    history: dict[str, list[float]] | None = None,
    on_epoch: Callable[[int, int], None] | None = None,
) -> TrainingRun:
    epochs, sharing = settings["epochs"], settings.get("sharing")
    checkpoint = Checkpoint(run / _MODEL, history, _mixture(splits))
    seen = first_batch(splits.validation, recipe.batch_size)
    callbacks = [TaskTensorBoard(run / "tensorboard", x=seen), checkpoint]
    if on_epoch is not None:
        on_epoch(done, epochs)
        callbacks.append(
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: on_epoch(epoch + 1, epochs)
            )
        )
    if done < epochs:
        model, _, _ = train_once(
            recipe,
            splits,
            recipe.tasks,
            settings["balancer_config"],
            seed=settings["seed"],
            epochs=epochs,
            callbacks=callbacks,
            model=model,
            initial_epoch=done,
            sharing=sharing,
        )
    measures = {
        split: evaluate(model, recipe, splits, split, recipe.tasks)
        for split in ("validation", "test")
    }
    metrics = judging_metrics(recipe)
    scores = {split: judged(each, metrics) for split, each in measures.items()}
    record = {
        "recipe": recipe.name,
        "sharing": sharing,
        "balancer": settings["balancer"],
        "seed": settings["seed"],
        "epochs": epochs,
        **scores,
        "measures": measures,
        "history": checkpoint.history,
    }
    _files.write_text(run / _RESULTS, to_json(record))
    return TrainingRun(
        run,
        settings["balancer"],
        sharing,
        epochs,
        **scores,
        metrics=metrics,
        others=other_metrics(recipe),
        measures=measures,
    )


def _read_config(run: Path) -> dict[str, Any]:
    if not run.is_dir():
        raise FileNotFoundError(
            f"There is no run {str(run)!r}. Expected: the directory that "
            "`keras-mtl train` has made."
        )
    try:
        config = check_fields(_files.read_json(run / _CONFIG), _FIELDS)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"`run` must be a run of `keras-mtl train`. Received: {str(run)!r}"
            f", which has no {_CONFIG} of one: {error}."
        ) from error
    return config


def _mixture(splits: Splits) -> Any:
    """The training data, if they are a mixture: its rates may follow logs."""
    return splits.train if hasattr(splits.train, "for_fit") else None
