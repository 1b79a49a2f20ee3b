"""Keras callbacks for multi-task training."""

from keras_mtl.callbacks.checkpoint import Checkpoint, load_checkpoint
from keras_mtl.callbacks.sharing_tensorboard import SharingTensorBoard
from keras_mtl.callbacks.temperature_decay import TemperatureDecay
from keras_mtl.callbacks.tensorboard import TaskTensorBoard
from keras_mtl.callbacks.terminate_on_non_finite import TerminateOnNonFinite

__all__ = [
    "Checkpoint",
    "SharingTensorBoard",
    "TaskTensorBoard",
    "TemperatureDecay",
    "TerminateOnNonFinite",
    "load_checkpoint",
]
