"""Shares of the present tasks: points of the probability simplex."""

from typing import Any

from keras import ops


def project_on_simplex(point: Any, present: Any) -> Any:
    """The nearest weights that are not negative and sum to 1.

    argmin ‖w − v‖² over w ≥ 0, Σw = 1 is max(v − θ, 0), with the one θ that
    makes the sum 1, found by sorting.

    Args:
        point: v `(T,)`, in float32 or float64.
        present: Which tasks count, boolean `(T,)`.

    Returns:
        w `(T,)`; zero for absent tasks, and for all if none is present.
    """
    lowest = ops.full_like(point, float("-inf"))
    highest = ops.max(ops.where(present, point, lowest))
    # What all entries have in common does not matter; without it, sums of
    # large entries lose no digits.
    zeros = ops.zeros_like(point)
    shifted = ops.where(present, point - highest, zeros)
    # Entries a whole 1 below the highest end at zero, as absent ones do.
    shifted = ops.where(present, ops.maximum(shifted, -2.0), zeros - 2.0)
    falling = -ops.sort(-shifted)
    counts = ops.cast(ops.arange(1, point.shape[0] + 1), point.dtype)
    thresholds = (ops.cumsum(falling) - 1.0) / counts
    supported = ops.cast(falling > thresholds, "int32")
    last = ops.maximum(ops.sum(supported) - 1, 0)
    threshold = ops.take(thresholds, last)
    weights = ops.maximum(shifted - threshold, 0.0)
    return ops.where(present, weights, zeros)


def shares(weights: Any, present: Any) -> tuple[Any, Any]:
    """The weights of the present tasks, scaled to sum to 1.

    Args:
        weights: Weights `(T,)`, not negative.
        present: Which tasks count, boolean `(T,)`.

    Returns:
        The shares `(T,)`, even where all weights are zero, and zero for
        absent tasks; and the sum that the present tasks' weights had.
    """
    here = ops.cast(present, weights.dtype)
    total = ops.sum(weights * here)
    count = ops.maximum(ops.sum(here), 1.0)
    even = here / count
    divisor = ops.where(total > 0, total, ops.ones_like(total))
    return ops.where(total > 0, weights * here / divisor, even), total
