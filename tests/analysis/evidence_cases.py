"""Evidence made by hand, without training."""

import numpy as np

from keras_mtl.analysis.evidence import Evidence
from keras_mtl.analysis.label_checks import LabelCheck
from keras_mtl.analysis.overfitting import OverfittingGap

SEEDS = 5


def evidence(relative, spread=0.01, **changes):
    """Evidence from mean effects `(T, T)`; changes are matrices or dicts."""
    relative = np.asarray(relative, float)
    tasks = tuple("abcdefgh"[: len(relative)])
    shift = spread * np.linspace(-1, 1, SEEDS)[:, None, None]
    arguments = {
        "tasks": tasks,
        "losses": dict.fromkeys(tasks, 1.0),
        "weights": dict.fromkeys(tasks, 1.0),
        "affinity": 0.1 * relative + shift,
        "relative": relative + shift,
        "steps": np.arange(4),
        "cosines": np.zeros((4, len(tasks), len(tasks))),
        "mean_cosines": np.zeros((SEEDS, len(tasks), len(tasks))),
        "conflict_shares": np.full((SEEDS, len(tasks), len(tasks)), 0.5),
        "layer_cosines": {"low": np.zeros((len(tasks), len(tasks)))},
        "lengths": np.ones((SEEDS, len(tasks))),
        "labels": {
            task: LabelCheck(100, 0.0, 0.0, 1.0, np.nan, ()) for task in tasks
        },
        "gaps": {
            task: [OverfittingGap([1.0, 0.5], [1.0, 0.6])] * SEEDS
            for task in tasks
        },
    }
    return Evidence(**{**arguments, **changes})
