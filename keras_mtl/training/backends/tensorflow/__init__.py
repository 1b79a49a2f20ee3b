"""The training step on TensorFlow: the only place that takes gradients."""

from keras_mtl.training.backends.tensorflow.errors import explain
from keras_mtl.training.backends.tensorflow.look_ahead import (
    gradient_look,
    look_ahead,
)
from keras_mtl.training.backends.tensorflow.step import train_step

__all__ = ["explain", "gradient_look", "look_ahead", "train_step"]
