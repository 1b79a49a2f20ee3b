"""Means of a model's logs over the steps since they were last read."""

import math
from typing import Any

import keras
import numpy as np

from keras_mtl.training.logs import Means


class WindowMeans:
    """Differences of running sums: a running mean forgets nothing.

    Made when an epoch begins, for Keras then sets all sums to 0.

    Args:
        model: A compiled `MultiTaskModel`.
    """

    def __init__(self, model: Any) -> None:
        self._means = [m for m in model.metrics if isinstance(m, Means)]
        self._totals = [
            m
            for m in model.metrics
            if isinstance(m, keras.metrics.Mean) and m.name == "loss"
        ]
        self._before: dict[int, tuple[Any, Any]] = {}

    def take(self) -> dict[str, float]:
        """The means by log key, without those of which there is nothing."""
        found: dict[str, float] = {}
        for metric in self._means:
            means = self._mean(metric)
            found.update(zip(metric.keys, means.tolist(), strict=True))
        for metric in self._totals:
            found[metric.name] = float(self._mean(metric))
        return {k: v for k, v in found.items() if not math.isnan(v)}

    def _mean(self, metric: Any) -> Any:
        now = _numbers(metric.total), _numbers(metric.count)
        zero = np.zeros_like(now[0]), np.zeros_like(now[1])
        before = self._before.get(id(metric), zero)
        self._before[id(metric)] = now
        total, count = now[0] - before[0], now[1] - before[1]
        return np.divide(
            total, count, where=count > 0, out=np.full(total.shape, np.nan)
        )


def _numbers(variable: Any) -> Any:
    """What the replicas of this process have added up.

    To read the variable itself would wait for the other processes, which do
    not read it.
    """
    value = variable.value
    parts = getattr(value, "values", (value,))
    return np.sum(
        [keras.ops.convert_to_numpy(part) for part in parts], 0, "float64"
    )
