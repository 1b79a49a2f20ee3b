"""Training steps: one file a Keras backend, chosen here."""

import functools
from types import ModuleType

import keras


@functools.cache
def backend() -> ModuleType:
    """The module that trains on the Keras backend in use.

    Raises:
        ImportError: Keras runs on a backend that has no training step here.
    """
    name = keras.backend.backend()
    if name != "tensorflow":
        raise ImportError(
            "keras_mtl trains on the TensorFlow backend of Keras. Received: "
            f"backend {name!r}. Set KERAS_BACKEND=tensorflow."
        )
    from keras_mtl.training.backends import tensorflow

    return tensorflow
