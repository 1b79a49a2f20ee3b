"""Whose gradients are the longest: which task leads the shared part."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mtl.analysis.look_ahead import Look


def gradient_norms(looks: Sequence[Look]) -> Any:
    """Lengths of the tasks' gradients in the shared variables `(S, T)`.

    NaN where a task has no label.
    """
    squares = np.stack([np.diag(look.gram) for look in looks])
    present = np.stack([look.present for look in looks])
    return np.sqrt(np.where(present, squares, np.nan))


def dominance(norms: Any) -> Any:
    """Typical length of each task's gradient against all tasks' `(T,)`.

    Geometric means, over the looks and then over the tasks, so that twice as
    long and half as long lie equally far from 1.

    Args:
        norms: `(S, T)`, from `gradient_norms`; zeros and NaN are left out.

    Returns:
        Factors whose product is 1; NaN for a task without a gradient.
    """
    known = np.isfinite(norms) & (norms > 0)
    logs = np.log(np.where(known, norms, 1.0)).sum(axis=0)
    number = known.sum(axis=0)
    typical = np.divide(
        logs, number, where=number > 0, out=np.full(logs.shape, np.nan)
    )
    if np.isnan(typical).all():
        return typical
    return np.exp(typical - np.nanmean(typical))
