"""How much training one task lowers the loss of another: TAG's affinity."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_mtl.analysis.look_ahead import Look


def affinity(looks: Iterable[Look]) -> Any:
    """The inter-task affinity of TAG, averaged over the looks.

        Z[i, j] = mean over looks of 1 − L_j(θ_i) / L_j(θ)

    where θ_i are the shared variables after one step for task i. Above 0, a
    step for task i lowers the loss of task j. A look counts where both tasks
    have labels and L_j is positive, for else the ratio means nothing.

    Args:
        looks: From `LookAhead`, taken while a model of all tasks trains.

    Returns:
        An array `(T, T)`; NaN where no look counts.

    Reference:
        Fifty et al., "Efficiently Identifying Task Groupings for Multi-Task
        Learning", NeurIPS 2021, arXiv:2109.04617, equation 1 and section 4.
    """
    looks = list(looks)
    losses = np.stack([look.losses for look in looks])[:, np.newaxis]
    ahead = np.stack([look.ahead for look in looks])
    present = np.stack([look.present for look in looks])
    counts = present[:, :, np.newaxis] & present[:, np.newaxis]
    counts = counts & (losses > 0) & np.isfinite(losses) & np.isfinite(ahead)
    gains = 1 - np.divide(ahead, losses, where=counts, out=np.ones_like(ahead))
    number = counts.sum(axis=0)
    total = gains.sum(axis=0, where=counts, dtype="float64")
    return np.divide(
        total, number, where=number > 0, out=np.full(total.shape, np.nan)
    )


def relative(affinity: Any) -> Any:
    """What steps of other tasks do, as a share of what a task's own do.

        R[i, j] = Z[i, j] / Z[j, j]

    Free of units and of the learning rate: 1 where a step for task i does as
    much for task j as one for task j, 0 where it does nothing, and below 0
    where it does harm. NaN where the task's own steps do not help it.
    """
    own = np.diag(affinity)
    return np.divide(
        affinity, own, where=own > 0, out=np.full(affinity.shape, np.nan)
    )
