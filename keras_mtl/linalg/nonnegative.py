"""Quadratic programs over non-negative variables."""

from typing import Any

from keras import ops

from keras_mtl.linalg.pivoting import block, pivot, refine
from keras_mtl.linalg.precision import epsilon, smallest


def nonnegative_quadratic(matrix: Any, linear: Any, allowed: Any) -> Any:
    """Argmin ½xᵀQx − cᵀx over x ≥ 0, exactly, by an active set.

    Lawson and Hanson's method: variables enter the support by the steepest
    slope and leave it where the segment to the support's minimum meets a
    bound, so the objective falls and no support comes twice.

    Rounding may leave Q with eigenvalues below zero, and then without a
    minimum: `4·√T·eps` is added to its diagonal, with eps that of the dtype
    given. On supports that nearly depend on each other, inverses are as large
    as 1/eps: the arithmetic is in float64, and eps counts as no less than
    5e-14, so that they have digits left.

    Args:
        matrix: Q `(T, T)`, positive semi-definite, with a diagonal near 1.
        linear: c `(T,)`, in the range of Q, else the minimum is at infinity.
            Or one a row, `(N, T)`, to be solved side by side.
        allowed: Which variables may differ from zero, boolean `(T,)`.

    Returns:
        x, in the shape of `linear`.
    """
    size = matrix.shape[0]
    given, eps = matrix.dtype, max(epsilon(matrix), 5e-14)
    matrix = ops.cast(matrix, "float64")
    linear = ops.cast(linear, "float64")
    ridge = 4 * size**0.5 * eps
    matrix = matrix + ridge * ops.eye(size, dtype="float64")
    tiny = smallest(matrix)
    indices = ops.arange(size)
    nobody = ops.zeros_like(linear, dtype="bool")
    zeros = ops.zeros_like(linear)
    infinite = ops.full_like(linear, float("inf"))

    def unfinished(
        tableau: Any, x: Any, support: Any, blocked: Any, done: Any
    ) -> Any:
        return ops.logical_not(ops.all(done))

    def step(
        tableau: Any, x: Any, support: Any, blocked: Any, done: Any
    ) -> Any:
        basic = tableau[..., -1]
        target = ops.where(support, basic, zeros)
        outside = ops.logical_and(support, target <= 0)
        leaves = ops.any(outside, axis=-1)
        shares = ops.where(outside, x / ops.maximum(x - target, tiny), infinite)
        share = ops.minimum(ops.min(shares, axis=-1), 1.0)
        x = x + share[..., None] * (target - x)

        candidates = ops.logical_and(allowed, ops.logical_not(support))
        candidates = ops.logical_and(candidates, ops.logical_not(blocked))
        slopes = ops.where(candidates, basic, zeros)
        tolerance = 8 * eps * (1.0 + ops.sum(ops.abs(x), axis=-1))
        improves = ops.min(slopes, axis=-1) < -tolerance

        index = ops.where(
            leaves, ops.argmin(shares, axis=-1), ops.argmin(slopes, axis=-1)
        )
        chosen = indices == ops.cast(index, indices.dtype)[..., None]
        x = ops.where(ops.logical_and(chosen, leaves[..., None]), zeros, x)
        diagonal = ops.diagonal(tableau, axis1=-2, axis2=-1)
        value = ops.sum(ops.where(chosen, diagonal, zeros), axis=-1)
        # Below the ridge, the variable depends on the support: its slope is
        # noise.
        usable = ops.logical_or(leaves, value > ridge / 4)
        moves = ops.logical_and(ops.logical_or(leaves, improves), usable)
        tableau = ops.where(
            moves[..., None, None], pivot(tableau, index, support), tableau
        )
        support = ops.logical_xor(
            support, ops.logical_and(chosen, moves[..., None])
        )
        stuck = ops.logical_or(
            ops.logical_not(usable), ops.logical_and(leaves, share <= 0)
        )
        blocked = ops.where(
            stuck[..., None],
            ops.logical_or(blocked, chosen),
            ops.logical_and(blocked, ops.logical_not(leaves)[..., None]),
        )
        done = ops.logical_not(ops.logical_or(leaves, improves))
        return tableau, x, support, blocked, done

    several = ops.broadcast_to(matrix, (*linear.shape, size))
    tableau = ops.concatenate([several, -linear[..., None]], axis=-1)
    start = (tableau, zeros, nobody, nobody, ops.any(nobody, axis=-1))
    tableau, x, support, _, _ = ops.while_loop(
        unfinished, step, start, maximum_iterations=8 * size + 8
    )
    inverse = block(tableau[..., :size], support)
    right = ops.where(support, linear, zeros)
    for _ in range(2):
        x = refine(inverse, block(matrix, support), right, x)
    return ops.cast(ops.maximum(x, 0.0), given)
