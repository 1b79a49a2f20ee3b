"""Weights in half precision on disk, in full precision in memory."""

import secrets
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

_LARGEST = float(np.finfo(np.float16).max)


class HalfWeight(tf.saved_model.experimental.TrackableResource):
    """A variable whose value is cast from float16 when a model is loaded.

    Not by every request, as a cast in the signature would be.

    Args:
        variable: The Keras variable.
        name: Of the variable in memory, like no other in the process.
    """

    def __init__(self, variable: Any, name: str) -> None:
        super().__init__()
        value = variable.numpy()
        if (worst := float(np.abs(value).max(initial=0.0))) > _LARGEST:
            raise ValueError(
                "`float16=True` needs weights between -65504 and 65504. "
                f"Received: weight {variable.path!r}, of which one is "
                f"{worst:.4g}; export with float16=False."
            )
        self.stored = tf.Variable(value.astype("float16"), trainable=False)
        self._dtype = tf.as_dtype(variable.dtype)
        self._shape = tf.TensorShape(variable.shape)
        self._name = name
        self._initialize()

    def value(self) -> Any:
        """The weight in full precision."""
        tensor = tf.raw_ops.ReadVariableOp(
            resource=self.resource_handle, dtype=self._dtype
        )
        tensor.set_shape(self._shape)
        return tensor

    def _create_resource(self) -> Any:
        return tf.raw_ops.VarHandleOp(
            dtype=self._dtype, shape=self._shape, shared_name=self._name
        )

    def _initialize(self) -> None:
        tf.raw_ops.AssignVariableOp(
            resource=self.resource_handle,
            value=tf.cast(self.stored, self._dtype),
        )

    def _destroy_resource(self) -> None:
        tf.raw_ops.DestroyResourceOp(
            resource=self.resource_handle, ignore_lookup_error=True
        )


def half_weights(variables: Iterable[Any]) -> dict[int, HalfWeight]:
    """Float16 copies of the weights that are float32 or float64.

    Args:
        variables: Keras variables.

    Returns:
        The copies by the `id` of the variable.

    Raises:
        ValueError: A weight is too large.
    """
    # Two exports loaded in one process must not share their variables.
    prefix = secrets.token_hex(8)
    return {
        id(v): HalfWeight(v, f"{prefix}/{number}")
        for number, v in enumerate(variables)
        if v.dtype in ("float32", "float64")
    }
