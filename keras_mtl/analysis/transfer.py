"""What each task gains from being trained with each other one."""

import itertools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_mtl import _files
from keras_mtl.analysis.results import to_json
from keras_mtl.analysis.training import (
    evaluate,
    judged,
    judging_metrics,
    train_once,
)
from keras_mtl.balancers import Fixed
from keras_mtl.metrics import task_deltas
from keras_mtl.recipe import Recipe, Splits
from keras_mtl.tasks import TaskSet


def pairwise_transfer(
    recipe: Recipe,
    splits: Splits,
    *,
    seeds: int,
    epochs: int,
    weights: Mapping[str, float] | None = None,
    on_training: Callable[[str, int], None] | None = None,
    kept: Path | None = None,
) -> Any:
    """Trains each task alone and each pair of tasks, and compares them.

    Every training has the same epochs, batch size and, seed by seed, data
    order. Tasks are judged on validation data.

    Args:
        recipe: What to train; pairs share in its first way.
        splits: From `load_splits`.
        seeds: How often, with the seeds 0, 1, ….
        epochs: Of every training.
        weights: Factors on the losses by task, beside the tasks' own; by
            default 1.
        on_training: Called before each with what is trained and the seed.
        kept: A directory of what the same arguments have given before, and
            are to give again; None to keep nothing.

    Returns:
        An array `(seeds, T, T)`: entry s, i, j is how much better task j was
        together with task i than alone, in percent of the metric that it is
        judged by; the diagonal is 0. NaN where the metric was 0 alone.

    Reference:
        Standley et al., "Which Tasks Should Be Learned Together in Multi-task
        Learning?", ICML 2020, arXiv:1905.07553.
    """
    metrics = judging_metrics(recipe)
    directions = {name: metric.direction for name, metric in metrics.items()}
    names = list(recipe.tasks)
    factors = dict.fromkeys(names, 1.0) if weights is None else weights

    def scores(tasks: tuple[str, ...], seed: int) -> dict[str, float]:
        if on_training is not None:
            on_training(" + ".join(tasks), seed)
        numbers = "-".join(str(names.index(name)) for name in tasks)
        file = kept and kept / f"tasks-{numbers}-seed-{seed}.json"
        if file and (known := _read(file, tasks)) is not None:
            return known
        chosen = TaskSet(recipe.tasks[name] for name in tasks)
        model, _, _ = train_once(
            recipe,
            splits,
            chosen,
            Fixed({name: factors[name] for name in tasks}),
            seed=seed,
            epochs=epochs,
        )
        found = judged(
            evaluate(model, recipe, splits, "validation", chosen), metrics
        )
        if file:
            _files.write_text(file, to_json(found))
        return found

    gains = np.zeros((seeds, len(names), len(names)))
    for seed in range(seeds):
        alone = {name: scores((name,), seed)[name] for name in names}
        for pair in itertools.combinations(names, 2):
            deltas = task_deltas(
                scores(pair, seed),
                {name: alone[name] for name in pair},
                {name: directions[name] for name in pair},
            )
            i, j = map(names.index, pair)
            gains[seed, i, j], gains[seed, j, i] = (
                deltas[pair[1]],
                deltas[pair[0]],
            )
    return gains


def _read(file: Path, tasks: tuple[str, ...]) -> dict[str, float] | None:
    """What was found before; None if there is no good file."""
    try:
        scores = _files.read_json(file)
        # There is no NaN in JSON.
        return {
            name: math.nan if scores[name] is None else float(scores[name])
            for name in tasks
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None
