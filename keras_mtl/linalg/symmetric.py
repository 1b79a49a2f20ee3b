"""Symmetric systems that may be singular."""

from typing import Any

from keras import ops

from keras_mtl.linalg.precision import epsilon, solver


@solver
def pseudo_inverse_solve(matrix: Any, right: Any) -> Any:
    """The shortest least-squares solution x `(T,)` of a symmetric Ax = b.

    Eigenvalues below `8·T·eps` times the largest count as zero, so that
    duplicate and dependent rows share their weight evenly.

    Args:
        matrix: A `(T, T)`, symmetric and positive semi-definite.
        right: b `(T,)`.
    """
    right = ops.cast(right, matrix.dtype)
    values, vectors = ops.linalg.eigh(matrix)
    cutoff = 8 * matrix.shape[0] * epsilon(matrix) * ops.max(ops.abs(values))
    kept = values > cutoff
    inverses = ops.where(kept, 1.0 / ops.where(kept, values, 1.0), 0.0 * values)
    along = ops.matmul(ops.transpose(vectors), right[:, None])[:, 0]
    return ops.matmul(vectors, (inverses * along)[:, None])[:, 0]
