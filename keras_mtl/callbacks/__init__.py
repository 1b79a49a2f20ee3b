"""Keras callbacks for multi-task training."""

from keras_mtl.callbacks.checkpoint import Checkpoint, load_checkpoint
from keras_mtl.callbacks.tensorboard import TaskTensorBoard

__all__ = ["Checkpoint", "TaskTensorBoard", "load_checkpoint"]
