"""The training step on TensorFlow: the only place that takes gradients."""

from keras_mtl.training.backends.tensorflow.errors import explain
from keras_mtl.training.backends.tensorflow.look_ahead import (
    gradient_look,
    look_ahead,
)
from keras_mtl.training.backends.tensorflow.replicas import added_totals
from keras_mtl.training.backends.tensorflow.step import train_step
from keras_mtl.training.backends.tensorflow.strategies import (
    check_fit,
    check_strategy,
)
from keras_mtl.training.backends.tensorflow.workers import Workers

__all__ = [
    "Workers",
    "added_totals",
    "check_fit",
    "check_strategy",
    "explain",
    "gradient_look",
    "look_ahead",
    "train_step",
]
