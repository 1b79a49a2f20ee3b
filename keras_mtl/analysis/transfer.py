"""What each task gains from being trained with each other one."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

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
        chosen = TaskSet(recipe.tasks[name] for name in tasks)
        model, _, _ = train_once(
            recipe,
            splits,
            chosen,
            Fixed({name: factors[name] for name in tasks}),
            seed=seed,
            epochs=epochs,
        )
        return judged(
            evaluate(model, recipe, splits, "validation", chosen), metrics
        )

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
