"""Holds what sources have against the tasks, and finds what is broken."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl.tasks import Task, TaskSet
from keras_mtl.tasks.kinds import KINDS, MISSING_CLASS


def check_range(source: str, task: Task, labels: Any) -> None:
    """Holds class indices in an array against the number of classes.

    Args:
        source: The source's name.
        task: The task.
        labels: Its labels.

    Raises:
        ValueError: A label that is neither a class nor missing.
    """
    if not _has_range(task):
        return
    bad = is_there(task, labels) & ~((labels >= 0) & (labels < task.units))
    if bad.any():
        index = int(np.argwhere(bad)[0][0])
        fault = _out_of_range(task, index, labels[bad][0])
        raise ValueError(f"The source {source!r} {fault}")


def check_drawn(
    tasks: TaskSet, flat: Mapping[str, Any], origin: Callable[[Any], Any]
) -> None:
    """Holds class indices against the number of classes, in the graph.

    Args:
        tasks: All tasks.
        flat: Columns of a batch.
        origin: Tells the name of the source and the row in it by the place in
            the batch. It is asked only where a label is out of range.

    Raises:
        InvalidArgumentError: In the graph, where a label is neither a class
            nor missing.
    """
    bad = {}
    for name, task in tasks.items():
        if _has_range(task):
            labels = flat[f"y/{name}"]
            # NaN is neither; the mark of a missing class is below all others.
            bad[name] = (labels < MISSING_CLASS) | (labels >= task.units)
    if not bad:
        return

    def fail() -> None:
        for name, wrong in bad.items():
            place = tf.cond(
                tf.reduce_any(wrong),
                lambda wrong=wrong: tf.where(wrong)[0],
                lambda wrong=wrong: tf.zeros(wrong.shape.rank, "int64"),
            )
            source, row = origin(place[0])
            fault = tf.strings.format(
                _out_of_range(tasks[name], "{}", "{}"),
                (row, tf.gather_nd(flat[f"y/{name}"], place)),
            )
            text = tf.strings.join(["The source '", source, "' ", fault])
            tf.debugging.Assert(~tf.reduce_any(wrong), [text])

    found = tf.stack([tf.reduce_any(wrong) for wrong in bad.values()])
    tf.cond(tf.reduce_any(found), fail, lambda: None)


def broken_record(name: str, dataset: tf.data.Dataset) -> str | None:
    """Reads a dataset to say where it cannot be read, if it cannot."""
    place = 0
    try:
        for _ in dataset:
            place += 1
    except tf.errors.OpError as error:
        reason = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", error.message).strip()
        return (
            f"The source {name!r} cannot be read at example {place}: "
            f"{type(error).__name__}: {reason}. Mend the record, or leave out "
            "what is broken with `dataset.ignore_errors()`."
        )
    return None


def is_there(task: Task, labels: Any) -> Any:
    """Which values of an array of labels are not missing."""
    there = np.ones(labels.shape, bool)
    if task.classifies:
        there &= labels != MISSING_CLASS
    if labels.dtype.kind == "f":
        there &= ~np.isnan(labels)
    return there


def _has_range(task: Task) -> bool:
    return KINDS[task.kind].indexed and task.units is not None


def _out_of_range(task: Task, index: Any, label: Any) -> str:
    assert task.units is not None
    return (
        f"has a label out of range: task {task.name!r}, example {index}. "
        f"Expected: 0 to {task.units - 1}, or {MISSING_CLASS} where it is "
        f"missing. Received: {label}."
    )
