"""What is odd about the labels of a task, told from the labels alone."""

from typing import Any, NamedTuple

import numpy as np

from keras_mtl.tasks import Task
from keras_mtl.tasks.kinds import KINDS, MISSING_CLASS

RARE = 0.01


class LabelCheck(NamedTuple):
    """The labels of one task in the training data.

    Attributes:
        examples: How many examples there are.
        missing: The share of labels that are missing.
        mean: The mean of the labels; NaN for classes.
        deviation: Their standard deviation; NaN for classes.
        majority: The share of the most frequent class; NaN for numbers.
        remarks: What is worth a look, in sentences.
    """

    examples: int
    missing: float
    mean: float
    deviation: float
    majority: float
    remarks: tuple[str, ...]


def check_labels(task: Task, labels: Any) -> LabelCheck:
    """Looks at the labels of one task.

    Args:
        task: The task.
        labels: An array `(n, …)`.
    """
    labels = np.asarray(labels)
    there = np.ones(labels.shape, bool)
    if labels.dtype.kind == "f":
        there &= ~np.isnan(labels)
    if task.classifies:
        there &= labels != MISSING_CLASS
    values = labels[there]
    missing = 1 - len(values) / max(labels.size, 1)
    if not len(values):
        nothing = (f"{task.name} has no label.",)
        return LabelCheck(len(labels), 1.0, np.nan, np.nan, np.nan, nothing)
    if task.classifies:
        majority, remarks = _classes(task, values)
        return LabelCheck(
            len(labels), missing, np.nan, np.nan, majority, remarks
        )
    mean, deviation = float(values.mean()), float(values.std())
    return LabelCheck(
        len(labels),
        missing,
        mean,
        deviation,
        np.nan,
        _numbers(task, mean, deviation),
    )


def _classes(task: Task, values: Any) -> tuple[float, tuple[str, ...]]:
    classes, counts = np.unique(values, return_counts=True)
    majority = float(counts.max() / counts.sum())
    remarks = []
    if len(classes) == 1:
        remarks.append(
            f"All labels of {task.name} are {classes[0]:g}: there is nothing "
            "to learn."
        )
    elif majority > 1 - RARE:
        remarks.append(
            f"{majority:.1%} of the labels of {task.name} are "
            f"{classes[counts.argmax()]:g}: accuracy says little there."
        )
    if KINDS[task.kind].indexed and task.units:
        absent = sorted(set(range(task.units)) - set(classes.astype(int)))
        if absent:
            names = ", ".join(map(str, absent[:10]))
            more = ", …" if len(absent) > 10 else ""
            remarks.append(
                f"{len(absent)} of {task.units} classes of {task.name} have no "
                f"example: {names}{more}."
            )
    return majority, tuple(remarks)


def _numbers(task: Task, mean: float, deviation: float) -> tuple[str, ...]:
    if deviation == 0:
        return (
            f"All labels of {task.name} are {mean:g}: there is nothing to "
            "learn.",
        )
    if not 0.1 <= deviation <= 10 or abs(mean) > 3 * deviation:
        return (
            f"The labels of {task.name} have mean {mean:.3g} and standard "
            f"deviation {deviation:.3g}: standardize them.",
        )
    return ()
