"""How often, and how much, two tasks pull in opposite directions."""

from typing import Any

import numpy as np


def conflict_share(cosines: Any) -> Any:
    """The share of looks in which two tasks' gradients point apart.

    Two unrelated gradients do so in half of all looks, by chance alone: a
    share is worth nothing without the mean cosine beside it.

    Args:
        cosines: `(S, T, T)`, from `cosines_over_training`; NaN is left out.

    Returns:
        An array `(T, T)`, NaN where no look counts.
    """
    known = np.isfinite(cosines)
    number = known.sum(axis=0)
    negative = (np.where(known, cosines, 0) < 0).sum(axis=0)
    return np.divide(
        negative, number, where=number > 0, out=np.full(number.shape, np.nan)
    )


def mean_cosine(cosines: Any) -> Any:
    """The mean over the looks `(T, T)`, NaN where no look counts."""
    known = np.isfinite(cosines)
    number = known.sum(axis=0)
    total = np.where(known, cosines, 0.0).sum(axis=0)
    return np.divide(
        total, number, where=number > 0, out=np.full(number.shape, np.nan)
    )
