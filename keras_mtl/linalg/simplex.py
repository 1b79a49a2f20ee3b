"""Points of the convex hull of the task gradients."""

from typing import Any

from keras import ops

from keras_mtl.linalg.gram import unit_rows
from keras_mtl.linalg.nonnegative import nonnegative_quadratic
from keras_mtl.linalg.precision import solver


@solver
def min_norm_point(gram: Any, present: Any) -> Any:
    """Weights of the shortest vector in the convex hull of the gradients.

    argmin wᵀGw over w ≥ 0, Σw = 1. With unit rows, v_t = w_t n_t / min n and
    a_t = min n / n_t, it is the direction of the minimum over v ≥ 0 of
    vᵀCv + (aᵀv − 1)², a problem without scale and without an equality.

    Args:
        gram: Gram matrix `(T, T)`.
        present: Which tasks count, boolean `(T,)`.

    Returns:
        Weights `(T,)` that sum to 1; zero for absent tasks. A present task
        without a gradient takes the whole weight: the shortest vector is 0.
    """
    angles, lengths, active = unit_rows(gram, present)
    zeros = ops.zeros_like(lengths)
    infinite = ops.full_like(lengths, float("inf"))
    shortest = ops.min(ops.where(active, lengths, infinite))
    inverse_lengths = ops.where(active, shortest / lengths, zeros)
    point = nonnegative_quadratic(
        angles + inverse_lengths[:, None] * inverse_lengths[None, :],
        inverse_lengths,
        active,
    )
    weights = point * inverse_lengths
    still = ops.logical_and(present, ops.logical_not(active))
    weights = ops.where(ops.any(still), ops.cast(still, gram.dtype), weights)
    total = ops.sum(weights)
    return weights / ops.where(total > 0, total, ops.ones_like(total))
