"""How sure a difference between seeds is."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats


def interval(
    values: Sequence[float], level: float = 0.95
) -> tuple[float, float]:
    """Student's confidence interval of the mean.

    Args:
        values: One for each seed.
        level: Its probability.

    Returns:
        Both ends; NaN from fewer than two values.
    """
    array = np.asarray(values, "float64")
    if len(array) < 2:
        return math.nan, math.nan
    error = array.std(ddof=1) / math.sqrt(len(array))
    reach = float(stats.t.ppf((1 + level) / 2, len(array) - 1)) * error
    return float(array.mean() - reach), float(array.mean() + reach)


def paired_p(values: Sequence[float], others: Sequence[float]) -> float:
    """The p value of a two-sided paired t-test, seed by seed.

    Returns:
        NaN from fewer than two pairs, or where all differences are equal.
    """
    differences = np.subtract(values, others)
    count = len(differences)
    # Differences that are equal but for rounding have no spread to test by.
    if count < 2 or np.allclose(differences, differences[0], atol=1e-12):
        return math.nan
    error = differences.std(ddof=1) / math.sqrt(count)
    return float(2 * stats.t.sf(abs(differences.mean()) / error, count - 1))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusts p values for how many there are; NaN stays, and does not count.

    Reference:
        Holm, "A Simple Sequentially Rejective Multiple Test Procedure",
        Scandinavian Journal of Statistics, 1979.
    """
    known = {k: p for k, p in p_values.items() if not math.isnan(p)}
    adjusted, largest = dict(p_values), 0.0
    for rank, key in enumerate(sorted(known, key=known.__getitem__)):
        largest = max(largest, min(1.0, (len(known) - rank) * known[key]))
        adjusted[key] = largest
    return adjusted


def ranks(scores: Mapping[str, float], direction: str) -> dict[str, float]:
    """1 for the best; equals share the mean of their ranks, NaN comes last."""
    sign = -1 if direction == "max" else 1
    values = [sign * value for value in scores.values()]
    worst = [math.inf if math.isnan(value) else value for value in values]
    return dict(zip(scores, map(float, stats.rankdata(worst)), strict=True))
