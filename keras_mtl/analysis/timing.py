"""How long one batch takes in one shared model and in separate ones."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mtl.analysis.model_inputs import own_inputs
from keras_mtl.analysis.results import Inference

_ROUNDS = 40


def time_inference(
    shared: Any, separate: Sequence[Any], x: Any, batch_size: int
) -> Inference:
    """Times `predict_on_batch` of one model against several on one batch.

    The two sides take turns, so that a busy machine slows both alike.

    Args:
        shared: One model for all tasks.
        separate: A model for each task.
        x: Inputs of one batch.
        batch_size: Examples in it, for the report.
    """
    sides = ([shared], list(separate))
    times: tuple[list[float], list[float]] = ([], [])
    inputs = {id(m): own_inputs(m, x) for m in [shared, *separate]}
    for model in [shared, *separate]:  # compile
        model.predict_on_batch(inputs[id(model)])
    for _ in range(_ROUNDS):
        for models, seconds in zip(sides, times, strict=True):
            start = time.perf_counter()
            for model in models:
                model.predict_on_batch(inputs[id(model)])
            seconds.append(time.perf_counter() - start)
    return Inference(batch_size, *(_quartiles(t) for t in times))


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return float(low), float(middle), float(high)
