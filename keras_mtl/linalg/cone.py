"""Projections on the cone of directions that harm no task."""

from typing import Any

from keras import ops

from keras_mtl.linalg.gram import unit_rows
from keras_mtl.linalg.nonnegative import nonnegative_quadratic
from keras_mtl.linalg.precision import smallest, solver


@solver
def dual_cone_projection(gram: Any, present: Any, right: Any) -> Any:
    """Weights of the nearest direction along which no task's loss rises.

    For d₀ = Jᵀu it is the projection on the dual cone {d : Jd ≥ 0},

        argmin_d ½‖d − d₀‖²  subject to  g_tᵀd ≥ 0 for each t,

    which is d = Jᵀw with w = u + v, where v is the minimum over v ≥ 0 of
    ½vᵀGv + uᵀGv. Solved exactly, on unit rows and for a unit right-hand side,
    so that neither the scale of the rows nor that of u matters.

    Args:
        gram: Gram matrix `(T, T)`.
        present: Which tasks count, boolean `(T,)`.
        right: u `(T,)`, or one a row, `(N, T)`, projected side by side.

    Returns:
        w, in the shape of `right`; zero for absent tasks.
    """
    angles, lengths, active = unit_rows(gram, present)
    start = right * lengths
    start = ops.where(present, start, ops.zeros_like(start))
    size = ops.max(ops.abs(start), axis=-1, keepdims=True)
    start = start / ops.maximum(size, smallest(gram))
    slopes = ops.matmul(start[..., None, :], angles)[..., 0, :]
    move = nonnegative_quadratic(angles, -slopes, active)
    return (start + move) * size / lengths
