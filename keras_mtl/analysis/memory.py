"""What a training step takes of memory, computed from the model."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_mtl.analysis.model_inputs import own_inputs
from keras_mtl.training.backends.tensorflow.activations import activation_bytes


def step_memory(model: Any, x: Any) -> int | None:
    """Bytes that are needed at once in a training step, about.

    They are computed, not measured: the variables of the model and of its
    optimizer; a gradient of each variable that is trained, and one for each
    task of those that are shared, if the balancer wants them; and all tensors
    of a forward pass. An allocator may need more, and what a compiler fuses
    less.

    Args:
        model: A compiled `MultiTaskModel`.
        x: A batch of inputs, perhaps with more than the model reads.

    Returns:
        Their number; None where the graph leaves a size open.
    """
    activations = activation_bytes(model, own_inputs(model, x))
    if activations is None:
        return None
    balancer = model.balancer
    exact = getattr(balancer, "wrt", None) == "variables"
    if exact and getattr(balancer, "needs_gradients", True):
        more = (len(model.tasks) - 1) * _bytes(model.partition.shared)
    else:
        more = 0
    return (
        activations
        + _bytes(model.variables)
        + _bytes(model.optimizer.variables)
        + _bytes(model.trainable_variables)
        + more
    )


def _bytes(variables: Iterable[Any]) -> int:
    return sum(
        int(np.prod(variable.shape))
        * np.dtype(keras.backend.standardize_dtype(variable.dtype)).itemsize
        for variable in variables
    )
