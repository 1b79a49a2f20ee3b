"""The volume that a set of points dominates."""

from typing import Any

import numpy as np


def hypervolume(points: Any, reference: Any) -> float:
    """The volume between some points and a reference, exactly.

    It is the measure of all that is better than `reference` and no better
    than one of the points, where larger is better in every column; negate
    those columns where less is better. It grows whenever a point is added
    that none of the others dominates.

    The cost grows with the number of points n to the power of the number of
    columns m at worst; for two columns it is that of sorting.

    Args:
        points: One point a row, `(n, m)`; n may be 0.
        reference: What points are held against, `(m,)`. Points that are not
            better than it in every column add nothing.

    Raises:
        ValueError: Shapes that do not fit, or values that are not finite.

    Example:
    >>> hypervolume([[2.0, 1.0], [1.0, 3.0]], reference=[0.0, 0.0])
    4.0

    Reference:
        While, Bradstreet and Barone, "A Fast Way of Calculating Exact
        Hypervolumes", IEEE Transactions on Evolutionary Computation 16
        (2012): the algorithm WFG.
    """
    origin = np.asarray(reference, "float64")
    array = np.asarray(points, "float64")
    if array.size == 0:
        array = array.reshape(0, origin.size)
    if origin.ndim != 1 or array.ndim != 2 or array.shape[1] != origin.size:
        raise ValueError(
            "`points` must be (n, m) and `reference` (m,). Received: shapes "
            f"{array.shape} and {origin.shape}"
        )
    if not (np.isfinite(array).all() and np.isfinite(origin).all()):
        raise ValueError(
            "`points` and `reference` must be finite. Received: "
            f"{array.tolist()} and {origin.tolist()}"
        )
    extents = array - origin
    return _volume(extents[(extents > 0).all(axis=1)])


def _volume(extents: Any) -> float:
    """The volume of the union of boxes from the origin, `(n, m)`."""
    if len(extents) == 0:
        return 0.0
    if extents.shape[1] == 1:
        return float(extents.max())
    extents = _maximal(extents)
    if extents.shape[1] == 2:
        # From the widest to the tallest: steps of a staircase.
        x, y = extents[np.argsort(-extents[:, 0])].T
        return float(np.sum(x * np.diff(y, prepend=0.0)))
    extents = extents[np.argsort(extents[:, -1])]
    total = 0.0
    for i, box in enumerate(extents):
        # What the box adds to those after it: itself, less what they cover.
        covered = np.minimum(extents[i + 1 :], box)
        total += float(np.prod(box)) - _volume(covered)
    return total


def _maximal(extents: Any) -> Any:
    """The rows that no other row covers, once each."""
    extents = np.unique(extents, axis=0)
    at_least = (extents[None] >= extents[:, None]).all(axis=2)
    # Every row covers itself.
    return extents[at_least.sum(axis=1) == 1]
