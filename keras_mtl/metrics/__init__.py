"""Measures of a multi-task model as a whole, of boxes and of spans."""

from keras_mtl.metrics.average_precision import (
    average_precision,
    mean_average_precision,
)
from keras_mtl.metrics.delta_m import delta_m, task_deltas
from keras_mtl.metrics.hypervolume import hypervolume
from keras_mtl.metrics.span_f1 import span_f1, spans_of

__all__ = [
    "average_precision",
    "delta_m",
    "hypervolume",
    "mean_average_precision",
    "span_f1",
    "spans_of",
    "task_deltas",
]
