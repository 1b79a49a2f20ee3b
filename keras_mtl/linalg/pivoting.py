"""Principal pivots: the step that the active-set solvers are made of.

A linear complementarity problem y = Qx + q, with x ≥ 0, y ≥ 0 and xᵀy = 0,
is kept as a tableau `[Q | q]`. A pivot on k exchanges the roles of x_k and
y_k; a second one exchanges them back. Only sums, products and one division
are needed, so nothing raises inside a compiled graph.
"""

from typing import Any

from keras import ops


def pivot(tableau: Any, index: Any, exchanged: Any) -> Any:
    """The tableau after exchanging x_k and y_k.

    Args:
        tableau: `(T, T + columns)`, of a symmetric Q; or several at once,
            with leading axes.
        index: k, one for each tableau.
        exchanged: Which pairs have been exchanged so far, boolean `(T,)`.
    """
    size, width = tableau.shape[-2:]
    in_row = ops.arange(size) == index[..., None]
    in_column = ops.arange(width) == index[..., None]
    rows = ops.reshape(tableau, (-1, width))
    starts = ops.arange(0, rows.shape[0], size, dtype=index.dtype)
    row = ops.take(rows, starts + ops.reshape(index, (-1,)), axis=0)
    row = ops.reshape(row, (*tableau.shape[:-2], width))
    # A tableau stays symmetric but for the signs between the exchanged and
    # the others, so that a column need not be gathered.
    own = ops.any(ops.logical_and(exchanged, in_row), axis=-1, keepdims=True)
    column = row[..., :size]
    column = ops.where(ops.equal(exchanged, own), column, -column)
    value = ops.sum(
        ops.where(in_column, row, ops.zeros_like(row)), axis=-1, keepdims=True
    )
    # Three cases rather than one rank-one formula, which would cancel when
    # the pivot is far from 1.
    row = row / value
    rest = tableau - column[..., :, None] * row[..., None, :]
    column = column / value
    rest = ops.where(in_column[..., None, :], column[..., None], rest)
    rest = ops.where(in_row[..., None], -row[..., None, :], rest)
    corner = ops.logical_and(in_row[..., None], in_column[..., None, :])
    return ops.where(corner, 1.0 / value[..., None], rest)


def refine(inverse: Any, matrix: Any, right: Any, solution: Any) -> Any:
    """One step of iterative refinement of `matrix @ solution = right`."""
    residual = right - ops.matmul(matrix, solution[..., None])[..., 0]
    return solution + ops.matmul(inverse, residual[..., None])[..., 0]


def block(matrix: Any, members: Any) -> Any:
    """`matrix` with zeros outside the rows and columns of `members`."""
    both = ops.logical_and(members[..., :, None], members[..., None, :])
    return ops.where(both, matrix, ops.zeros_like(matrix))
