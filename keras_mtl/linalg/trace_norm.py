"""The trace norm of a matrix of few rows."""

from typing import Any

from keras import ops

from keras_mtl.linalg.eigen import eigenpairs
from keras_mtl.linalg.precision import epsilon, solver


def trace_norm(rows: Any) -> Any:
    """The sum of the singular values of `(T, p)`, a scalar.

    With W = U S Vᵀ and G = W Wᵀ `(T, T)` it is the trace of S, and its
    gradient U Vᵀ = G^(-1/2) W. Directions whose singular value is zero but
    for rounding have no part in the gradient: the shortest subgradient. The
    decomposition itself is never differentiated, so that equal singular
    values do no harm.

    Args:
        rows: W, T small against p or not.
    """
    # Squaring halves the digits: in float32 singular values below 3e-4 of
    # the largest would be lost.
    wide = ops.cast(rows, "float64")
    gram = ops.matmul(wide, ops.transpose(wide))
    root = ops.stop_gradient(_inverse_root(ops.stop_gradient(gram)))
    # tr(G^(-1/2) G)/2 has the norm's gradient, and half its value.
    half = 0.5 * ops.sum(root * gram)
    return ops.cast(half + ops.stop_gradient(half), rows.dtype)


@solver
def _inverse_root(gram: Any) -> Any:
    """G^(-1/2) on the range of a symmetric G `(T, T)`, zero beside it."""
    values, vectors = eigenpairs(gram)
    noise = 4 * gram.shape[0] ** 0.5 * epsilon(gram)
    kept = values > noise * ops.max(ops.abs(gram))
    safe = ops.where(kept, values, ops.ones_like(values))
    roots = ops.where(kept, ops.rsqrt(safe), ops.zeros_like(values))
    return ops.matmul(vectors * roots, ops.transpose(vectors))
