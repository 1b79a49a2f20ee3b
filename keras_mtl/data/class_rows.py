"""The rows of each class in a source, for drawing classes equally often."""

from typing import Any

import numpy as np

from keras_mtl.data.sources import Source
from keras_mtl.tasks import TaskSet


def class_rows(source: Source, task: str, tasks: TaskSet) -> list[Any]:
    """The rows of each class of a task; those without a label are in none.

    Args:
        source: The source.
        task: The task.
        tasks: All tasks.

    Raises:
        ValueError: The source has no classes of the task in an array.
    """
    labels = (source.arrays or {}).get(f"y/{task}")
    if labels is None or not tasks[task].classifies or labels.ndim > 1:
        raise ValueError(
            f"`balance[{source.name!r}]` must be a task of classes that the "
            "source, in arrays, has one label an example for. Received: "
            f"{task!r}"
        )
    there = labels[(labels >= 0) & (labels == labels)]  # not NaN
    if there.size == 0:
        raise ValueError(
            f"`balance[{source.name!r}]` needs labels. Received: {task!r}, of "
            "which the source has none."
        )
    return [np.flatnonzero(labels == one) for one in np.unique(there)]
