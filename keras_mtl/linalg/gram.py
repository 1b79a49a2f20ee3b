"""Gram matrices of task gradients, and the angles in them."""

from typing import Any

from keras import ops

from keras_mtl.linalg.precision import at_least_float32, smallest


def gram(jacobian: Any) -> Any:
    """The Gram matrix `(T, T)` of the rows of a Jacobian `(T, P)`."""
    return ops.matmul(jacobian, ops.transpose(jacobian))


def unit_rows(gram: Any, present: Any) -> tuple[Any, Any, Any]:
    """Splits a Gram matrix into lengths and angles.

    Solvers work on angles: rows a million times longer than others then
    cost no digits.

    Args:
        gram: Gram matrix `(T, T)`.
        present: Which tasks count, boolean `(T,)`.

    Returns:
        The cosines `(T, T)`, with those of the identity where a row is absent
        or zero; the lengths `(T,)`, 1 there; and which rows are neither.
    """
    squares = ops.diagonal(gram)
    active = ops.logical_and(present, squares > smallest(gram))
    lengths = ops.sqrt(ops.where(active, squares, ops.ones_like(squares)))
    angles = gram / lengths[:, None] / lengths[None, :]
    both = ops.logical_and(active[:, None], active[None, :])
    identity = ops.eye(gram.shape[0], dtype=gram.dtype)
    angles = ops.where(both, ops.clip(angles, -1.0, 1.0), 0.0 * identity)
    diagonal = identity > 0
    return ops.where(diagonal, identity, angles), lengths, active


def cosines(gram: Any) -> Any:
    """The cosines `(T, T)` between gradients; 0 beside a zero gradient."""
    wide = at_least_float32(gram)
    everyone = ops.ones((gram.shape[0],), dtype="bool")
    return ops.cast(unit_rows(wide, everyone)[0], gram.dtype)


def min_cosine(gram: Any, present: Any) -> Any:
    """The smallest cosine between two present, non-zero gradients.

    1 if there are fewer than two of them: nothing conflicts.
    """
    wide = at_least_float32(gram)
    angles, _, active = unit_rows(wide, present)
    pairs = ops.logical_and(active[:, None], active[None, :])
    # The diagonal is 1, which no pair exceeds.
    smallest_one = ops.min(ops.where(pairs, angles, ops.ones_like(angles)))
    return ops.cast(smallest_one, gram.dtype)


def mean_cosines(gram: Any, present: Any) -> tuple[Any, Any]:
    """Each gradient's mean cosine with the others present and not zero.

    Args:
        gram: Gram matrix `(T, T)`.
        present: Which tasks count, boolean `(T,)`.

    Returns:
        The means `(T,)`, 0 where there is no other gradient to compare with,
        and where there is one, boolean `(T,)`.
    """
    wide = at_least_float32(gram)
    angles, _, active = unit_rows(wide, present)
    pairs = ops.logical_and(active[:, None], active[None, :])
    others = ops.logical_and(pairs, ops.eye(gram.shape[0]) == 0)
    number = ops.sum(ops.cast(others, angles.dtype), axis=1)
    total = ops.sum(ops.where(others, angles, 0.0 * angles), axis=1)
    means = ops.divide_no_nan(total, number)
    return ops.cast(means, gram.dtype), number > 0
