"""Symmetric systems of linear equations."""

from typing import Any

from keras import ops

from keras_mtl.linalg.eigen import eigenpairs
from keras_mtl.linalg.precision import epsilon, solver


@solver
def pseudo_inverse_solve(matrix: Any, right: Any) -> Any:
    """The shortest least-squares solution x `(T,)` of a symmetric Ax = b.

    Eigenvalues below `4·√T·eps` times the largest entry, which is what
    rounding may leave of zero, count as zero, so that duplicate and dependent
    rows share their weight evenly.

    Args:
        matrix: A `(T, T)`, symmetric and positive semi-definite.
        right: b `(T,)`.
    """
    right = ops.cast(right, matrix.dtype)
    values, vectors = eigenpairs(matrix)
    noise = 4 * matrix.shape[0] ** 0.5 * epsilon(matrix)
    cutoff = noise * ops.max(ops.abs(matrix))
    kept = values > cutoff
    inverses = ops.where(kept, 1.0 / ops.where(kept, values, 1.0), 0.0 * values)
    along = ops.matmul(ops.transpose(vectors), right[:, None])[:, 0]
    return ops.matmul(vectors, (inverses * along)[:, None])[:, 0]


def definite_solve(matrix: Any, right: Any, least: Any) -> Any:
    """The solution x `(T,)` of Ax = b by elimination, for definite A.

    Unlike a Cholesky factorization it never raises, and XLA makes a short
    loop of it.

    Args:
        matrix: A `(T, T)`, symmetric.
        right: b `(T,)`.
        least: A bound below the eigenvalues of A, hence below all pivots,
            which keeps rounding from making one of them zero.
    """
    size = matrix.shape[0]
    indices = ops.arange(size)

    def eliminate(index: Any, tableau: Any) -> Any:
        row = ops.take(tableau, index, axis=0)
        column = ops.take(tableau, index, axis=1)
        row = row / ops.maximum(ops.take(row, index), least)
        # The pivot's own row becomes `row`: itself minus (1 − 1/pivot)·itself
        # would cancel.
        rest = tableau - column[:, None] * row[None, :]
        chosen = indices == ops.cast(index, indices.dtype)
        return ops.where(chosen[:, None], row[None, :], rest)

    tableau = ops.concatenate([matrix, right[:, None]], axis=1)
    return ops.fori_loop(0, size, eliminate, tableau)[:, -1]
