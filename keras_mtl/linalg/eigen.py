"""Eigenvalues and eigenvectors of symmetric matrices."""

from typing import Any

from keras import ops

from keras_mtl.linalg.precision import epsilon

_MAX_SWEEPS = 8


def eigenpairs(matrix: Any) -> tuple[Any, Any]:
    """Eigenvalues `(T,)` and, as columns, eigenvectors `(T, T)`.

    XLA's decomposition stops at 1e-7, in float64 too. What is left beside
    the diagonal is removed by Jacobi rotations, T/2 at a time: some sweeps in
    float64, none in float32 or where LAPACK is called.

    Args:
        matrix: Symmetric and finite `(T, T)`.
    """
    size = matrix.shape[0]
    _, vectors = ops.linalg.eigh(matrix)
    # Rotations by the hundred leave columns some eps from orthonormal; one
    # step of Newton's method squares that.
    defect = ops.matmul(ops.transpose(vectors), vectors)
    defect = ops.eye(size, dtype=matrix.dtype) - defect
    vectors = vectors + 0.5 * ops.matmul(vectors, defect)
    if size == 1:
        return ops.diagonal(matrix), vectors
    columns = ops.transpose(vectors)
    rotated = ops.matmul(columns, ops.matmul(matrix, vectors))
    eps = epsilon(matrix)
    half = (size + 1) // 2
    if size % 2:  # One more row of zeros pairs up with zero rotations.
        rotated = ops.pad(rotated, ((0, 1), (0, 1)))
        columns = ops.pad(columns, ((0, 1), (0, 0)))

    def beside(rotated: Any) -> Any:
        diagonal = ops.diagonal(rotated)
        rest = rotated - ops.diag(diagonal)
        return ops.sqrt(ops.sum(ops.square(rest))), ops.max(ops.abs(diagonal))

    def unfinished(rotated: Any, columns: Any, before: Any) -> Any:
        rest, largest = beside(rotated)
        # Sweeps that make it no smaller have come down to rounding.
        noise = (8 + size) * eps * largest
        return ops.logical_and(rest > noise, rest < 0.7 * before)

    def sweep(rotated: Any, columns: Any, before: Any) -> Any:
        rest, _ = beside(rotated)
        rotated, columns = ops.fori_loop(
            0, 2 * half - 1, rotate, (rotated, columns)
        )
        return rotated, columns, rest

    def rotate(_: Any, state: tuple[Any, Any]) -> tuple[Any, Any]:
        """Rotates each row t of the first half against row t of the second."""
        rotated, columns = state
        diagonal = ops.diagonal(rotated)
        beside = ops.diagonal(rotated[:half, half:])
        gap = diagonal[half:] - diagonal[:half]
        # The tangent of the smaller of the two angles that annul `beside`.
        sign = ops.where(gap < 0, -ops.ones_like(gap), ops.ones_like(gap))
        divisor = gap + sign * ops.sqrt(gap * gap + 4.0 * beside * beside)
        safe = ops.where(divisor == 0, ops.ones_like(gap), divisor)
        tangent = ops.where(divisor == 0, 0.0 * gap, 2.0 * beside / safe)
        cosine = 1.0 / ops.sqrt(1.0 + tangent * tangent)
        sine = tangent * cosine

        def turn(rows: Any) -> Any:
            first, second = rows[:half], rows[half:]
            first, second = (
                cosine[:, None] * first - sine[:, None] * second,
                sine[:, None] * first + cosine[:, None] * second,
            )
            # As in a round robin: the first row stays, the others move on by
            # one place, so that after a sweep each has met each.
            rows = [first[:1], second[:1], first[1:-1], second[1:], first[-1:]]
            if half == 1:
                rows = [first, second]
            return ops.concatenate(rows, axis=0)

        rotated = ops.transpose(turn(ops.transpose(turn(rotated))))
        return rotated, turn(columns)

    rotated, columns, _ = ops.while_loop(
        unfinished,
        sweep,
        (rotated, columns, ops.full_like(rotated[0, 0], float("inf"))),
        maximum_iterations=_MAX_SWEEPS,
    )
    return ops.diagonal(rotated)[:size], ops.transpose(columns[:size])
