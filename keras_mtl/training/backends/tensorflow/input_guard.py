"""Notices what an infinite input does to gradients, and to them alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl.training.backends.tensorflow import replicas
from keras_mtl.training.backends.tensorflow.branches import usually


def unless_broken(
    model: Any, inputs: Any, gradients: Sequence[Any], usable: Any
) -> Any:
    """Which tasks took part, without those whose gradients are not finite.

    Losses and gradients at the outputs can be finite where an input is not:
    tanh makes 1 of infinity, with a derivative of 0, and ∞ · 0 is NaN in the
    gradient of the layer beneath. A model may also mean an infinite input, as
    a mask is: so gradients decide. They are looked at if an input is not
    finite, and else no step has to wait for the last of them.

    Args:
        model: A compiled `MultiTaskModel`.
        inputs: What it was given, in any structure.
        gradients: One, or None, for each of its trainable variables, added up
            over the replicas.
        usable: Which tasks took part by what else is known `(T,)`.

    Returns:
        Booleans `(T,)`.
    """
    floats = [
        x
        for x in tf.nest.flatten(inputs)
        if isinstance(x, tf.Tensor) and x.dtype.is_floating
    ]
    there, moves = [], []
    for v, gradient in zip(model.trainable_variables, gradients, strict=True):
        reach = model.partition.reach.get(id(v))
        if reach and gradient is not None:
            there.append(gradient)
            moves.append([task in reach for task in model.partition.tasks])
    if not floats or not there:
        return usable

    def finite() -> Any:
        others = np.logical_not(moves)  # (variables, T)
        return tf.reduce_all(_finite(there)[:, None] | others, axis=0)

    if replicas.count() > 1:
        # Which inputs are finite differs between them, the sums do not.
        return usable & finite()
    fine = tf.reduce_all(_finite(floats))
    return usually(fine, lambda: usable, lambda: usable & finite())


def _finite(tensors: Sequence[Any]) -> Any:
    """Which tensors are finite throughout."""
    # The sum is finite if all are; it is cheaper to test.
    sums = [
        tf.cast(
            tf.reduce_sum(x.values if isinstance(x, tf.IndexedSlices) else x),
            "float32",
        )
        for x in tensors
    ]
    return tf.math.is_finite(tf.stack(sums))
