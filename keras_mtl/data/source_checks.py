"""Holds what sources have against the tasks, and finds what is broken."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl.tasks import Task, TaskSet
from keras_mtl.tasks.kinds import KINDS, MISSING_CLASS

# Kinds of tasks with one label an example.
_ONE_EACH = ("binary", "multiclass", "ordinal", "regression")


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
    bad = _far(task, labels)
    if bad.any():
        index = int(np.argwhere(bad)[0][0])
        raise ValueError(_out_of_range(source, task, index, labels[bad][0]))


def check_single(
    source: str,
    tasks: TaskSet,
    specs: Mapping[str, tuple[tuple[int | None, ...], str]],
) -> None:
    """Holds the columns of a dataset against being those of batches.

    Args:
        source: The source's name.
        tasks: All tasks.
        specs: Shape and dtype of each column.

    Raises:
        ValueError: All begin with an axis of any length, as does a label of
            which an example has one.
    """
    shapes = {key: shape for key, (shape, _) in specs.items()}
    one_each = {f"y/{name}" for name, t in tasks.items() if t.kind in _ONE_EACH}
    if all(shape[:1] == (None,) for shape in shapes.values()) and any(
        shapes[key] == (None,) for key in one_each & set(shapes)
    ):
        raise ValueError(
            f"The source {source!r} must hold examples, one by one. Received: "
            f"batches of them, in the shapes {shapes}. Take them apart with "
            "`dataset.unbatch()`, or leave its `batch` out."
        )


def check_drawn(source: str, tasks: TaskSet, flat: Mapping[str, Any]) -> None:
    """Holds class indices against the number of classes, in the graph.

    Args:
        source: The source's name.
        tasks: All tasks.
        flat: Columns of some of its examples.

    Raises:
        InvalidArgumentError: In the graph, where a label is neither a class
            nor missing. It says no more than source and task, which costs
            nothing; `far_label` finds the example.
    """
    for name, task in tasks.items():
        labels = flat.get(f"y/{name}")
        if labels is None or not _has_range(task):
            continue
        if labels.dtype.is_integer:
            labels = tf.cast(labels, "int64")
        # NaN is neither; the mark of a missing class is below all others.
        bad = (labels < MISSING_CLASS) | (labels >= task.units)
        # Not `tf.debugging.Assert`, whose `tf.cond` costs more than the check.
        tf.raw_ops.Assert(
            condition=~tf.reduce_any(bad), data=[_out_of_range(source, task)]
        )


def far_label(
    message: str, source: str, tasks: TaskSet, examples: Iterable[Any]
) -> str | None:
    """Which label an error of `check_drawn` is about, if of this source.

    Args:
        message: What the error says.
        source: The source's name.
        tasks: All tasks.
        examples: Its examples, as flat columns.
    """
    # An assertion escapes what it quotes.
    message = message.replace("\\'", "'")
    for name, task in tasks.items():
        if not _has_range(task) or _out_of_range(source, task) not in message:
            continue
        for place, flat in enumerate(examples):
            labels = np.asarray(flat[f"y/{name}"])
            if (far := labels[_far(task, labels)]).size:
                return _out_of_range(source, task, place, far[0])
    return None


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


def _far(task: Task, labels: Any) -> Any:
    """Which labels in an array are neither a class nor missing."""
    return is_there(task, labels) & ~((labels >= 0) & (labels < task.units))


def _out_of_range(
    source: str, task: Task, index: Any = None, label: Any = None
) -> str:
    assert task.units is not None
    where = "" if index is None else f", example {index}"
    received = "" if label is None else f" Received: {label:g}."
    return (
        f"The source {source!r} has a label out of range: task {task.name!r}"
        f"{where}. Expected: 0 to {task.units - 1}, or {MISSING_CLASS} where "
        f"it is missing.{received}"
    )
