"""Whole numbers of draws from rates."""

from typing import Any

import numpy as np


def apportion(weights: Any, total: int) -> Any:
    """Whole numbers proportional to weights, by largest remainders.

    Args:
        weights: Positive numbers, `(S,)`.
        total: Their sum.

    Returns:
        Integers `(S,)` that sum to `total`, each less than 1 away from its
        exact share.
    """
    shares = np.asarray(weights, "float64") / np.sum(weights) * total
    counts = np.floor(shares).astype("int64")
    # Ties go to the first, so that every process decides alike.
    order = np.argsort(-(shares - counts), kind="stable")
    counts[order[: total - int(counts.sum())]] += 1
    return counts


def apportion_within(weights: Any, total: int, limits: Any) -> Any:
    """As `apportion`, where what is above a limit goes to the others.

    Args:
        weights: Positive numbers, `(S,)`.
        total: The sum of what is given out.
        limits: The most of each, `(S,)`, some of them perhaps infinite.

    Returns:
        Integers `(S,)`; they sum to `total`, or to all limits if that is less.
    """
    counts = np.zeros(len(limits), "int64")
    free = np.asarray(limits) > 0
    while free.any() and counts.sum() < total:
        left = total - int(counts[~free].sum())
        counts[free] = apportion(np.asarray(weights)[free], left)
        full = free & (counts >= limits)
        if not full.any():
            break
        counts[full] = np.asarray(limits)[full]
        free &= ~full
    return counts
