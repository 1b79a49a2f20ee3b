"""The training step on TensorFlow: the only place that takes gradients."""

from keras_mtl.training.backends.tensorflow.errors import explain
from keras_mtl.training.backends.tensorflow.step import train_step

__all__ = ["explain", "train_step"]
