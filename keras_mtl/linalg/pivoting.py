"""Principal pivots: the step that the active-set solvers are made of.

A linear complementarity problem y = Qx + q, with x ≥ 0, y ≥ 0 and xᵀy = 0,
is kept as a tableau `[Q | q]`. A pivot on k exchanges the roles of x_k and
y_k; a second one exchanges them back. Only sums, products and one division
are needed, so nothing raises inside a compiled graph.
"""

from typing import Any

from keras import ops


def pivot(tableau: Any, index: Any) -> Any:
    """The tableau `(T, T + columns)` after exchanging x_k and y_k."""
    size, width = tableau.shape
    in_row = ops.arange(size) == index
    in_column = ops.arange(width) == index
    row = ops.take(tableau, index, axis=0)
    column = ops.take(tableau, index, axis=1)
    value = ops.take(row, index)
    # Three cases rather than one rank-one formula, which would cancel when
    # the pivot is far from 1.
    rest = tableau - column[:, None] * row[None, :] / value
    rest = ops.where(in_column[None, :], (column / value)[:, None], rest)
    rest = ops.where(in_row[:, None], (-row / value)[None, :], rest)
    corner = ops.logical_and(in_row[:, None], in_column[None, :])
    return ops.where(corner, 1.0 / value, rest)


def refine(inverse: Any, matrix: Any, right: Any, solution: Any) -> Any:
    """One step of iterative refinement of `matrix @ solution = right`."""
    residual = right - ops.matmul(matrix, solution[:, None])[:, 0]
    return solution + ops.matmul(inverse, residual[:, None])[:, 0]


def block(matrix: Any, members: Any) -> Any:
    """`matrix` with zeros outside the rows and columns of `members`."""
    both = ops.logical_and(members[:, None], members[None, :])
    return ops.where(both, matrix, ops.zeros_like(matrix))
