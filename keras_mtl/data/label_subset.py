"""A part of the labels, to measure how much data a model needs."""

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np

from keras_mtl.tasks import Task, TaskSet
from keras_mtl.tasks.kinds import MISSING_CLASS
from keras_mtl.tasks.task_set import check_keys


def keep_labels(
    y: Mapping[str, Any],
    tasks: TaskSet | Mapping[str, Task] | Iterable[Task],
    fraction: float | Mapping[str, float],
    seed: int = 0,
) -> dict[str, Any]:
    """Keeps a fraction of each task's labels and marks the others as missing.

    The order in which labels are kept is a function of the seed and the task
    alone: what is kept at 1 % is kept at 10 %, too, so that models trained on
    more labels have seen all that those trained on fewer have. Tasks are drawn
    independently of each other. Inputs stay as they are: a row without a label
    still serves the tasks that have one.

    Args:
        y: Labels by task, arrays `(examples, …)`.
        tasks: The tasks; those not in `y` are left alone.
        fraction: In (0, 1], for all tasks or by task; tasks that are left out
            of the dict keep all labels.
        seed: Of the orders.

    Returns:
        New arrays by task. Of n rows with labels, `ceil(fraction · n)` keep
        them; in the others labels are -1 (classes in integers) or NaN.

    Raises:
        ValueError: A fraction out of range, or keys that are no tasks.

    Example:
        >>> import numpy as np
        >>> tasks = [Task("a", "multiclass", units=5)]
        >>> y = {"a": np.array([0, 1, 2, 3, 4, -1])}
        >>> keep_labels(y, tasks, 0.4)["a"].tolist()
        [-1, 1, 2, -1, -1, -1]
        >>> keep_labels(y, tasks, 0.8)["a"].tolist()
        [0, 1, 2, -1, 4, -1]
    """
    tasks = tasks if isinstance(tasks, TaskSet) else TaskSet(tasks)
    check_keys(y, tasks, argument="y", all_needed=False)
    if isinstance(fraction, Mapping):
        check_keys(fraction, tasks, argument="fraction", all_needed=False)
    kept: dict[str, Any] = {}
    for name, labels in y.items():
        share = (
            fraction.get(name, 1.0)
            if isinstance(fraction, Mapping)
            else fraction
        )
        if not isinstance(share, Real) or not 0 < share <= 1:
            raise ValueError(
                "`fraction` must be above 0 and at most 1. Received: "
                f"{share!r} for task {name!r}"
            )
        kept[name] = _kept(tasks[name], np.asarray(labels), float(share), seed)
    return kept


def _kept(task: Task, labels: Any, share: float, seed: int) -> Any:
    missing = np.isnan(labels) if labels.dtype.kind == "f" else labels != labels
    if task.classifies:
        missing |= labels == MISSING_CLASS
    there = np.flatnonzero(~missing.reshape(len(labels), -1).all(axis=1))
    order = np.random.default_rng([seed, *task.name.encode()]).permutation(
        there
    )
    dropped = order[int(np.ceil(share * len(there) - 1e-9)) :]
    if labels.dtype.kind in "iu" and task.classifies:
        result = labels.astype(np.promote_types(labels.dtype, "int8"))
        result[dropped] = MISSING_CLASS
        return result
    result = labels.astype(np.promote_types(labels.dtype, "float32"))
    result[dropped] = np.nan
    return result
