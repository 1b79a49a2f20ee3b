"""Numerics on T×T matrices, in `keras.ops`, for compiled graphs."""

from keras_mtl.linalg.gram import cosines, gram, min_cosine, unit_rows
from keras_mtl.linalg.max_min import max_min_in_ball
from keras_mtl.linalg.nonnegative import nonnegative_quadratic
from keras_mtl.linalg.precision import at_least_float32
from keras_mtl.linalg.simplex import min_norm_point
from keras_mtl.linalg.symmetric import pseudo_inverse_solve

__all__ = [
    "at_least_float32",
    "cosines",
    "gram",
    "max_min_in_ball",
    "min_cosine",
    "min_norm_point",
    "nonnegative_quadratic",
    "pseudo_inverse_solve",
    "unit_rows",
]
