"""Trainings of all tasks together that are looked at as they go."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_mtl.analysis.batches import Batches
from keras_mtl.analysis.kept_looks import read_looks, write_looks
from keras_mtl.analysis.look_ahead import Look, LookAhead
from keras_mtl.analysis.overfitting import OverfittingGap
from keras_mtl.analysis.training import build_model
from keras_mtl.balancers import Fixed
from keras_mtl.recipe import Recipe, Splits

# How often in one training tasks are looked at, about.
LOOKS = 60
# TAG looks at every tenth step; so do we where nobody knows how many come.
EVERY = 10
# The losses before training are means over so many batches.
STARTING_BATCHES = 10


@dataclass(frozen=True)
class WatchedTraining:
    """What was seen while all tasks trained together.

    Attributes:
        looks: In the order of the steps.
        layers: The layer of each shared variable.
        gaps: The losses of each task on training and validation data.
        seed: Of weights and data order.
    """

    looks: list[Look]
    layers: list[str]
    gaps: dict[str, OverfittingGap]
    seed: int


def watched_trainings(
    recipe: Recipe,
    splits: Splits,
    weights: Mapping[str, float],
    *,
    seeds: int,
    epochs: int,
    on_seed: Callable[[int], None] | None = None,
    kept: Path | None = None,
) -> list[WatchedTraining]:
    """Trains all tasks of a recipe together, with constant weights.

    Each look is at the batch that the model learns from next.

    Args:
        recipe: What to train, in its first way of sharing.
        splits: From `load_splits`.
        weights: Factors on the losses by task, beside the tasks' own.
        seeds: How often, with the seeds 0, 1, … of weights and data order.
        epochs: How many epochs each time.
        on_seed: Called before each training with its seed.
        kept: A directory of what the same arguments have given before, and
            are to give again; None to keep nothing.

    Raises:
        OSError: `kept` cannot be written.
    """
    model, look_ahead = None, None
    trainings = []
    for seed in range(seeds):
        if on_seed is not None:
            on_seed(seed)
        file = kept and kept / f"seed-{seed}.npz"
        if file and (known := read_looks(file)) is not None:
            trainings.append(WatchedTraining(*known, seed))
            continue
        keras.utils.set_random_seed(seed)
        fresh = build_model(recipe, recipe.tasks, Fixed(dict(weights)))
        if model is None or look_ahead is None:
            factors = {
                name: task.weight * weights[name]
                for name, task in recipe.tasks.items()
            }
            model, look_ahead = fresh, LookAhead(fresh, factors)
        else:
            _begin_again(model, fresh)
        trainings.append(
            _watched(model, look_ahead, recipe, splits, seed, epochs)
        )
        if file:
            write_looks(trainings[-1], file)
    return trainings


def _begin_again(model: Any, fresh: Any) -> None:
    """Gives a model the state of a new one: nothing is traced anew."""
    for old, new in (
        *zip(model.variables, fresh.variables, strict=True),
        *zip(model.optimizer.variables, fresh.optimizer.variables, strict=True),
    ):
        old.assign(new)


def _watched(
    model: Any,
    look_ahead: LookAhead,
    recipe: Recipe,
    splits: Splits,
    seed: int,
    epochs: int,
) -> WatchedTraining:
    train = _as_batches(splits.train, recipe.batch_size, seed)
    validation = _as_batches(splits.validation, recipe.batch_size, 0)
    every = _every(train, epochs)
    seen: dict[str, tuple[list[float], list[float]]] = {
        name: ([], []) for name in recipe.tasks
    }
    looks: list[Look] = []
    step = 0
    for epoch in range(epochs):
        if isinstance(train, Batches):
            train.shuffle(epoch)
        for x, y in _batches(train, epoch):
            if step % every == 0:
                looks.append(look_ahead(x, y))
            model.train_on_batch(x, y)
            step += 1
        # On no more of the training data than there is of the other.
        for part, data in enumerate((train, validation)):
            losses = _losses(model, data, _count(validation))
            for name, both in seen.items():
                both[part].append(losses[name])
    return WatchedTraining(
        looks,
        look_ahead.layers,
        {name: OverfittingGap(*both) for name, both in seen.items()},
        seed,
    )


def _batches(data: Any, epoch: int = 0) -> Any:
    if isinstance(data, Batches):
        return (data[i] for i in range(len(data)))
    if hasattr(data, "for_fit"):  # a mixture
        return data.dataset(epoch)
    return data


def _as_batches(data: Any, batch_size: int, seed: int) -> Any:
    if not isinstance(data, tuple):
        return data
    x, y = data
    return Batches(x, y, batch_size, seed)


def _count(data: Any) -> int | None:
    """The number of batches; None where a dataset does not know."""
    if isinstance(data, Batches):
        return len(data)
    if hasattr(data, "for_fit"):
        return int(data.steps_per_epoch)
    count = int(data.cardinality())
    return count if count > 0 else None


def _every(data: Any, epochs: int) -> int:
    count = _count(data)
    return EVERY if count is None else max(1, count * epochs // LOOKS)


def _losses(model: Any, data: Any, most: int | None = None) -> dict[str, float]:
    """The loss of each task on some batches, as in evaluation."""
    model.reset_metrics()
    logs: dict[str, Any] = {}
    for x, y in itertools.islice(_batches(data), most):
        logs = model.test_on_batch(x, y, return_dict=True)
    model.reset_metrics()
    return {name: float(logs[f"{name}_loss"]) for name in model.tasks}


def starting_losses(recipe: Recipe, splits: Splits) -> dict[str, float]:
    """The loss of each task, times its weight, before any training.

    Args:
        recipe: Has the tasks and their weights.
        splits: From `load_splits`.
    """
    keras.utils.set_random_seed(0)
    model = build_model(recipe, recipe.tasks)
    train = _as_batches(splits.train, recipe.batch_size, seed=0)
    losses = _losses(model, train, STARTING_BATCHES)
    return {
        name: task.weight * losses[name] for name, task in recipe.tasks.items()
    }
