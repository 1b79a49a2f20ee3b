"""Whether what a model has learned is still of use."""

from typing import Any

import keras
from keras import ops


def weights_are_finite(model: Any) -> bool:
    """Whether no weight of a model is NaN or infinite.

    State of callbacks, balancers and schedules, such as a best loss so far,
    may be infinite, and is not looked at.

    Args:
        model: A Keras model.
    """
    weights = {id(v): v for v in model.trainable_variables}
    for layer in model.layers:
        weights.update((id(v), v) for v in layer.variables)
    return all(
        bool(ops.all(ops.isfinite(v)))
        for v in weights.values()
        if keras.backend.is_float_dtype(v.dtype)
    )
