"""Equal projections on all gradients."""

from typing import Any

from keras import ops

from keras_mtl.balancers.base import GradientBalancer, registry
from keras_mtl.linalg import at_least_float32, pseudo_inverse_solve, unit_rows
from keras_mtl.linalg.precision import epsilon


@registry.register("imtlg")
class IMTLG(GradientBalancer):
    """Makes the direction project equally on every task's unit gradient.

    Impartial to the scale of the losses: multiplying a loss by a constant
    only changes the direction's length. With u_t = g_t / ‖g_t‖:

        dᵀu_1 = … = dᵀu_T,   d = Σ_t w_t g_t,   Σ_t w_t = 1

    Solved on the cosine matrix C by the pseudo-inverse, w_t ∝ (C⁺1)_t / ‖g_t‖,
    so that duplicate gradients share their weight and zero ones get none.
    Weights may be negative. Where they would sum to zero or less, the
    paper's direction is infinite or leads uphill for every task; they are
    then divided by Σ|w| instead. Where the gradients balance each other out,
    no equal projection but zero can be had, and the weights are zero.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> direction, weights = aggregate(
    ...     IMTLG(), [[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]
    ... )
    >>> [round(w, 4) for w in weights.tolist()]
    [0.5923, 0.4077]

    Reference:
        Liu et al., "Towards Impartial Multi-task Learning", ICLR 2021,
        https://openreview.net/forum?id=IMPnRXEWpvr. LibMTL inverts a
        (T−1)×(T−1) matrix and raises on duplicate rows; TorchJD uses the
        pseudo-inverse of G, and zero weights where their sum vanishes.
    """

    def task_weights(self, gram: Any, losses: Any, present: Any) -> Any:
        """The weights of equal projections; they sum to 1."""
        wide = at_least_float32(gram)
        angles, lengths, active = unit_rows(wide, present)
        zeros = ops.zeros_like(lengths)
        ones = ops.cast(active, wide.dtype)
        solution = pseudo_inverse_solve(angles, ones)
        # If no equal projection above zero can be had, the solution is noise.
        projections = ops.matmul(angles, solution[:, None])[:, 0] * ones
        noise = 32 * wide.shape[0] * epsilon(wide)
        real = ops.max(ops.abs(projections)) > noise
        solution = ops.where(real, solution, zeros)
        shortest = ops.min(ops.where(active, lengths, ops.max(lengths)))
        weights = ops.where(active, solution * (shortest / lengths), zeros)
        total, size = ops.sum(weights), ops.sum(ops.abs(weights))
        divisor = ops.where(total > 1e-3 * size, total, size)
        weights = weights / ops.where(divisor > 0, divisor, 1.0)
        finite = ops.all(ops.isfinite(wide))
        weights = ops.where(finite, weights, zeros + float("nan"))
        return ops.cast(weights, gram.dtype)
