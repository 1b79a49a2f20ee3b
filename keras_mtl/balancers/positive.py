"""Losses that a logarithm or an inverse is taken of."""

from typing import Any

import keras
from keras import ops

from keras_mtl.linalg import at_least_float32


def least_invertible(losses: Any) -> float:
    """The size below which 1/L counts as overflowed in the dtype given."""
    dtype = keras.backend.standardize_dtype(losses.dtype)
    return 2e-5 if dtype == "float16" else 1e-30


def positive_losses(losses: Any, present: Any) -> tuple[Any, Any]:
    """Losses of which logarithm and inverse are finite, and which are real.

    Args:
        losses: Losses `(T,)`.
        present: Which tasks are present, boolean `(T,)`.

    Returns:
        At least float32 losses `(T,)`, 1 for tasks that are absent or whose
        loss is not positive, and a boolean `(T,)`: False for those.
    """
    here = ops.logical_and(present, losses > least_invertible(losses))
    wide = at_least_float32(losses)
    return ops.where(here, wide, ops.ones_like(wide)), here
