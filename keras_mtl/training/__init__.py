"""The model that trains several tasks at once."""

from keras_mtl.training.model import MultiTaskModel

__all__ = ["MultiTaskModel"]
