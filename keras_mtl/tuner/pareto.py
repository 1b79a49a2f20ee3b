"""The best trade-offs among some points, and one of them to take.

Points are rows, objectives columns, and larger is better in each.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np


def pareto_front(points: Any) -> list[int]:
    """The rows that no other row dominates, in their order.

    A point dominates another that it equals or exceeds in every objective and
    exceeds in one. Of equal points, all are on the front.

    Args:
        points: `(n, m)`, finite.

    Raises:
        ValueError: Not such an array.

    Example:
    >>> pareto_front([[1.0, 3.0], [2.0, 2.0], [1.0, 2.0]])
    [0, 1]
    """
    array = _checked(points)
    # [i, j]: does point j dominate point i?
    at_least = (array[None] >= array[:, None]).all(axis=2)
    better = (array[None] > array[:, None]).any(axis=2)
    dominated = (at_least & better).any(axis=1)
    return [int(i) for i in np.flatnonzero(~dominated)]


def knee(points: Any) -> int:
    """The row of a front where a gain in one objective costs most in others.

    With every objective scaled to run from 0 to 1 over the front, it is the
    point nearest to the ideal one, in the sum of absolute differences.

    Args:
        points: A front, `(n, m)`; the first of equally near ones is taken.

    Raises:
        ValueError: Not such an array, or an empty one.

    Example:
    >>> knee([[0.0, 1.0], [0.9, 0.8], [1.0, 0.0]])
    1

    Reference:
        Chiu, Yen and Juan, "Minimum Manhattan Distance Approach to Multiple
        Criteria Decision Making in Multiobjective Optimization Problems",
        IEEE Transactions on Evolutionary Computation 20 (2016).
    """
    return int(np.argmin(_losses(points).sum(axis=1)))


def preferred(points: Any, preference: Sequence[float]) -> int:
    """The row of a front that suits a preference best.

    With every objective scaled to run from 0 to 1 over the front, z, it is
    the point with the smallest

        max_i p_i (1 - z_i) + 0.001 Σ_i p_i (1 - z_i)

    Unlike a weighted mean, this can reach each point of a front, also where
    the front bends inwards.

    Args:
        points: A front, `(n, m)`.
        preference: How much each objective counts, `(m,)`: not negative, and
            not all zero.

    Raises:
        ValueError: Not such arguments.

    Example:
    >>> preferred([[0.0, 1.0], [0.4, 0.4], [1.0, 0.0]], [1.0, 1.0])
    1
    >>> preferred([[0.0, 1.0], [0.4, 0.4], [1.0, 0.0]], [5.0, 1.0])
    2

    Reference:
        Steuer and Choo, "An Interactive Weighted Tchebycheff Procedure for
        Multiple Objective Programming", Mathematical Programming 26 (1983).
    """
    losses = _losses(points)
    weights = np.asarray(preference, "float64")
    if (
        weights.shape != losses.shape[1:]
        or not np.isfinite(weights).all()
        or weights.min() < 0
        or weights.max() == 0
    ):
        raise ValueError(
            "`preference` must hold a number for each of the "
            f"{losses.shape[1]} objectives, none negative and not all zero. "
            f"Received: {list(preference)}"
        )
    weighted = losses * weights / weights.sum()
    return int(np.argmin(weighted.max(axis=1) + 1e-3 * weighted.sum(axis=1)))


def _losses(points: Any) -> Any:
    """How far each point is from the ideal, 0 to 1 over the front."""
    array = _checked(points)
    if len(array) == 0:
        raise ValueError("`points` must hold at least one point.")
    best, worst = array.max(axis=0), array.min(axis=0)
    # All equal in an objective: it tells nobody apart.
    extent = np.where(best > worst, best - worst, 1.0)
    return (best - array) / extent


def _checked(points: Any) -> Any:
    array = np.asarray(points, "float64")
    if array.ndim != 2 or not np.isfinite(array).all():
        raise ValueError(
            "`points` must be finite numbers, a row for each point. "
            f"Received: {array.tolist()}"
        )
    return array
