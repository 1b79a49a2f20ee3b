"""The model that trains several tasks at once."""

from keras_mtl.training.fit_on_workers import fit_on_workers
from keras_mtl.training.inspect_sharing import inspect_sharing
from keras_mtl.training.model import MultiTaskModel
from keras_mtl.training.soft_sharing import SoftSharing

__all__ = ["MultiTaskModel", "SoftSharing", "fit_on_workers", "inspect_sharing"]
