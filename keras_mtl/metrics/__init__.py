"""Measures of a multi-task model as a whole, and of boxes."""

from keras_mtl.metrics.average_precision import (
    average_precision,
    mean_average_precision,
)
from keras_mtl.metrics.delta_m import delta_m, task_deltas

__all__ = [
    "average_precision",
    "delta_m",
    "mean_average_precision",
    "task_deltas",
]
