"""Numerics on T×T matrices, in `keras.ops`, for compiled graphs."""

from keras_mtl.linalg.alignment import aligned_weights
from keras_mtl.linalg.cone import dual_cone_projection
from keras_mtl.linalg.fixed_point import fair_fixed_point
from keras_mtl.linalg.gram import (
    cosines,
    gram,
    mean_cosines,
    min_cosine,
    unit_rows,
)
from keras_mtl.linalg.max_min import max_min_in_ball
from keras_mtl.linalg.nonnegative import nonnegative_quadratic
from keras_mtl.linalg.precision import at_least_float32
from keras_mtl.linalg.simplex import min_norm_point
from keras_mtl.linalg.simplex_projection import project_on_simplex, shares
from keras_mtl.linalg.symmetric import pseudo_inverse_solve

__all__ = [
    "aligned_weights",
    "at_least_float32",
    "cosines",
    "dual_cone_projection",
    "fair_fixed_point",
    "gram",
    "max_min_in_ball",
    "mean_cosines",
    "min_cosine",
    "min_norm_point",
    "nonnegative_quadratic",
    "project_on_simplex",
    "pseudo_inverse_solve",
    "shares",
    "unit_rows",
]
