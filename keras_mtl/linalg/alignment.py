"""Weights that make the principal components equally strong."""

from typing import Any

from keras import ops

from keras_mtl.linalg.eigen import eigenpairs
from keras_mtl.linalg.precision import epsilon, solver


@solver
def aligned_weights(gram: Any, shares: Any, scale_mode: str) -> Any:
    """Weights of a sum of rows after all singular values were made equal.

    With G = UΛUᵀ, the aligned rows are σ·UΛ^{−1/2}Uᵀ J, over those components
    whose eigenvalue exceeds `8·T·eps` times the largest: below, it is what
    rounding left of zero.

    Args:
        gram: Gram matrix `(T, T)`.
        shares: What each aligned row counts `(T,)`.
        scale_mode: σ: the `"min"`, `"median"` (the lower of two) or root of
            the mean square (`"rmse"`) of the singular values that count.
    """
    size = gram.shape[0]
    # Only ratios of eigenvalues matter: a trace of 1 neither over- nor
    # underflows.
    trace = ops.sum(ops.diagonal(gram))
    scaled = gram / ops.where(trace > 0, trace, ops.ones_like(trace))
    values, vectors = eigenpairs(scaled)
    kept = values > 8 * size * epsilon(gram) * ops.max(values)
    infinite = ops.full_like(values, float("inf"))
    rank = ops.sum(ops.cast(kept, "int32"))
    if scale_mode == "rmse":
        total = ops.sum(ops.where(kept, values, ops.zeros_like(values)))
        square = total / ops.cast(ops.maximum(rank, 1), gram.dtype)
    else:
        middle = (rank - 1) // 2 if scale_mode == "median" else 0 * rank
        ascending = ops.sort(ops.where(kept, values, infinite))
        square = ops.take(ascending, ops.maximum(middle, 0))
    ratios = square / ops.where(kept, values, infinite)
    factors = ops.sqrt(ops.where(kept, ratios, ops.zeros_like(values)))
    along = ops.matmul(shares[None, :], vectors)[0]
    return ops.matmul(vectors, (factors * along)[:, None])[:, 0]
