"""What is known about the tasks of a recipe when advice is given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_mtl.analysis.affinity import affinity, relative
from keras_mtl.analysis.conflict import conflict_share, mean_cosine
from keras_mtl.analysis.cosines import cosines_by_layer, cosines_over_training
from keras_mtl.analysis.dominance import dominance, gradient_norms
from keras_mtl.analysis.label_checks import LabelCheck
from keras_mtl.analysis.overfitting import OverfittingGap
from keras_mtl.analysis.watched_training import WatchedTraining


@dataclass(frozen=True)
class Evidence:
    """Measurements of T tasks in S trainings, one for each seed.

    Attributes:
        tasks: T names.
        losses: Before training, times the tasks' weights.
        weights: What the losses were multiplied by in the trainings, beside
            the tasks' weights.
        affinity: TAG's affinity `(S, T, T)`: of row onto column.
        relative: The same as a share of what the column's own steps do.
        steps: Steps of the looks `(L,)`.
        cosines: Cosines of the gradients at each look, mean over the seeds
            `(L, T, T)`.
        mean_cosines: Mean over the looks `(S, T, T)`.
        conflict_shares: Share of the looks with a negative cosine
            `(S, T, T)`.
        layer_cosines: Mean over seeds and looks `(T, T)`, by shared layer.
        lengths: Relative lengths of the tasks' gradients `(S, T)`.
        labels: What the labels look like, by task.
        gaps: Losses by epoch of each seed, by task.
        transfer: Measured transfer in percent `(S, T, T)`, or None.
    """

    tasks: tuple[str, ...]
    losses: Mapping[str, float]
    weights: Mapping[str, float]
    affinity: Any
    relative: Any
    steps: Any
    cosines: Any
    mean_cosines: Any
    conflict_shares: Any
    layer_cosines: Mapping[str, Any]
    lengths: Any
    labels: Mapping[str, LabelCheck]
    gaps: Mapping[str, Sequence[OverfittingGap]]
    transfer: Any = None

    @property
    def seeds(self) -> int:
        """S."""
        return len(self.affinity)


def gather(
    tasks: Sequence[str],
    trainings: Sequence[WatchedTraining],
    losses: Mapping[str, float],
    weights: Mapping[str, float],
    labels: Mapping[str, LabelCheck],
    transfer: Any = None,
) -> Evidence:
    """Evidence from some trainings of all tasks; see `Evidence`."""
    affinities = np.stack([affinity(t.looks) for t in trainings])
    courses = [cosines_over_training(t.looks) for t in trainings]
    length = min(len(steps) for steps, _ in courses)
    # Under the names of the first: Keras numbers layers without a name anew.
    layers = trainings[0].layers
    by_layer = [cosines_by_layer(t.looks, layers) for t in trainings]
    return Evidence(
        tasks=tuple(tasks),
        losses=losses,
        weights=weights,
        affinity=affinities,
        relative=np.stack([relative(a) for a in affinities]),
        steps=courses[0][0][:length],
        cosines=mean_cosine(np.stack([c[:length] for _, c in courses])),
        mean_cosines=np.stack([mean_cosine(c) for _, c in courses]),
        conflict_shares=np.stack([conflict_share(c) for _, c in courses]),
        layer_cosines={
            layer: mean_cosine(np.concatenate([b[layer] for b in by_layer]))
            for layer in by_layer[0]
        },
        lengths=np.stack(
            [dominance(gradient_norms(t.looks)) for t in trainings]
        ),
        labels=labels,
        gaps={task: [t.gaps[task] for t in trainings] for task in tasks},
        transfer=transfer,
    )
