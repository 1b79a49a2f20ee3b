"""The kinds of tasks: what labels mean, and what suits them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from keras_mtl import heads

# The label of a class that is missing.
MISSING_CLASS = -1


@dataclass(frozen=True)
class Kind:
    """One kind of task, a row of `KINDS`.

    Attributes:
        loss: Makes the default loss of a task, whose `levels` are set by then.
        metrics: Makes the default metrics of a task.
        head: Makes the default head of a task, under a name.
        classifies: Whether labels are classes, of which -1 is none.
        indexed: Whether labels are class indices, one for the last axis of
            the output. There are at least two.
        told_by: Losses that say that a task is of this kind.
        needs_units: What `units` counts, if the default head must know it.
        width: Gives the width of the output, from the task's `levels`, where
            the kind fixes it.
        features: Axes of the features that the default head reads.
        reads_target: Whether heads are called on features and target tokens.
    """

    loss: Callable[[Any], Any]
    metrics: Callable[[Any], list[Any]]
    head: Callable[[Any, str], Any]
    classifies: bool = True
    indexed: bool = False
    told_by: tuple[type, ...] = ()
    needs_units: str | None = None
    width: Callable[[Any], int] | None = None
    features: tuple[str, ...] = ("batch", "channels")
    reads_target: bool = False


def _dense(activation: str | None) -> Callable[[Any, str], Any]:
    def make(task: Any, name: str) -> Any:
        # Probabilities and losses need float32, whatever the policy is.
        return keras.layers.Dense(
            task.units or 1, activation=activation, dtype="float32", name=name
        )

    return make


def _accuracy(task: Any) -> list[Any]:
    return ["accuracy"]


KINDS: dict[str, Kind] = {
    "binary": Kind(
        loss=lambda task: keras.losses.BinaryCrossentropy(),
        metrics=_accuracy,
        head=_dense("sigmoid"),
        told_by=(
            keras.losses.BinaryCrossentropy,
            keras.losses.BinaryFocalCrossentropy,
        ),
    ),
    "multiclass": Kind(
        loss=lambda task: keras.losses.SparseCategoricalCrossentropy(),
        metrics=_accuracy,
        head=_dense("softmax"),
        indexed=True,
        told_by=(
            keras.losses.SparseCategoricalCrossentropy,
            keras.losses.CategoricalCrossentropy,
            keras.losses.CategoricalFocalCrossentropy,
        ),
        needs_units="the number of classes",
    ),
    "multilabel": Kind(
        loss=lambda task: keras.losses.BinaryCrossentropy(),
        metrics=_accuracy,
        head=_dense("sigmoid"),
        needs_units="the number of labels",
    ),
    "ordinal": Kind(
        loss=lambda task: heads.OrdinalLoss(),
        metrics=lambda task: [heads.rank_error, "accuracy"],
        head=lambda task, name: heads.OrdinalHead(
            task.units, dtype="float32", name=name
        ),
        indexed=True,
        told_by=(heads.OrdinalLoss,),
        needs_units="the number of classes",
    ),
    "regression": Kind(
        loss=lambda task: keras.losses.MeanSquaredError(),
        metrics=lambda task: ["mae"],
        head=_dense(None),
        classifies=False,
    ),
    "quantile": Kind(
        loss=lambda task: heads.QuantileLoss(task.levels),
        metrics=lambda task: [
            heads.PinballError(task.levels),
            heads.coverage,
        ],
        head=lambda task, name: heads.QuantileHead(
            task.units, dtype="float32", name=name
        ),
        classifies=False,
        told_by=(heads.QuantileLoss,),
        width=len,
    ),
    "heteroscedastic": Kind(
        loss=lambda task: heads.GaussianLoss(),
        metrics=lambda task: [heads.mae_of_mean],
        head=lambda task, name: heads.GaussianHead(dtype="float32", name=name),
        classifies=False,
        told_by=(heads.GaussianLoss,),
        width=lambda levels: 2,
    ),
    "tagging": Kind(
        loss=lambda task: keras.losses.SparseCategoricalCrossentropy(),
        metrics=_accuracy,
        head=_dense("softmax"),
        indexed=True,
        needs_units="the number of tags",
        features=("batch", "time", "channels"),
    ),
    "sequence": Kind(
        loss=lambda task: keras.losses.SparseCategoricalCrossentropy(),
        metrics=_accuracy,
        head=lambda task, name: heads.SequenceHead(
            task.units, dtype="float32", name=name
        ),
        indexed=True,
        needs_units="the number of tokens in the vocabulary",
        features=("batch", "time", "channels"),
        reads_target=True,
    ),
}


def kind_of_loss(loss: Any) -> str:
    """The kind that a loss tells; "regression" if it tells none."""
    for name, kind in KINDS.items():
        if isinstance(loss, kind.told_by):
            return name
    return "regression"
