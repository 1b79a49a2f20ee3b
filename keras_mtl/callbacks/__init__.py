"""Keras callbacks for multi-task training."""

from keras_mtl.callbacks.checkpoint import Checkpoint, load_checkpoint
from keras_mtl.callbacks.sharing_tensorboard import SharingTensorBoard
from keras_mtl.callbacks.temperature_decay import TemperatureDecay
from keras_mtl.callbacks.tensorboard import TaskTensorBoard

__all__ = [
    "Checkpoint",
    "SharingTensorBoard",
    "TaskTensorBoard",
    "TemperatureDecay",
    "load_checkpoint",
]
