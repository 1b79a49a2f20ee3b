"""Measures of a multi-task model as a whole."""

from keras_mtl.metrics.delta_m import delta_m, task_deltas

__all__ = ["delta_m", "task_deltas"]
