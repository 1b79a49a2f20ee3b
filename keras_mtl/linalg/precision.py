"""In which numbers the small problems over the tasks are solved."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

_HALVES = ("float16", "bfloat16")


def at_least_float32(x: Any) -> Any:
    """`x`, with half precision widened to float32."""
    if keras.backend.standardize_dtype(x.dtype) in _HALVES:
        return ops.cast(x, "float32")
    return x


def epsilon(x: Any) -> float:
    """The distance from 1 to the next number in the dtype of `x`."""
    return float(np.finfo(keras.backend.standardize_dtype(x.dtype)).eps)


def smallest(x: Any) -> float:
    """The smallest normal positive number in the dtype of `x`."""
    return float(np.finfo(keras.backend.standardize_dtype(x.dtype)).tiny)


def solver(function: Callable[..., Any]) -> Callable[..., Any]:
    """Guards a function of a symmetric matrix `(T, T)` that gives `(T,)`.

    Half precision is solved in float32 and given back as it came. A matrix
    that is not finite (a step that overflowed under loss scaling) gives NaN
    for the optimizer to skip; decompositions would raise or hang on it.
    """

    @functools.wraps(function)
    def guarded(matrix: Any, *args: Any, **kwargs: Any) -> Any:
        wide = at_least_float32(matrix)
        finite = ops.all(ops.isfinite(wide))
        identity = ops.eye(wide.shape[0], dtype=wide.dtype)
        result = function(ops.where(finite, wide, identity), *args, **kwargs)
        nan = ops.full_like(result, float("nan"))
        return ops.cast(ops.where(finite, result, nan), matrix.dtype)

    return guarded
