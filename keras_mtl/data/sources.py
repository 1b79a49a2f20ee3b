"""The sources of a mixture, each completed to the examples of all tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl.tasks import Task, TaskSet
from keras_mtl.tasks.kinds import KINDS, MISSING_CLASS
from keras_mtl.tasks.task_set import check_keys

# Examples are flat while they are mixed: "x" or "x/<input>", "y/<task>",
# "weight/<task>".
Flat = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One part of every example.

    Attributes:
        shape: Its shape.
        dtype: Its dtype.
        missing: What stands where a source does not have it.
    """

    shape: tuple[int | None, ...]
    dtype: str
    missing: Any


@dataclass(frozen=True)
class Source:
    """One data set.

    Attributes:
        name: Its name in the mixture.
        size: How many examples it has.
        arrays: Its columns as arrays; None for a dataset.
        dataset: The dataset; None for arrays.
        specs: Shape and dtype of each of its columns.
    """

    name: str
    size: int
    arrays: Flat | None
    dataset: Any
    specs: dict[str, tuple[tuple[int | None, ...], str]]


def read_source(name: str, data: Any, tasks: TaskSet) -> Source:
    """Checks a data set and flattens its examples.

    Args:
        name: Its name.
        data: `(x, y)` or `(x, y, sample_weight)` in arrays, or a
            `tf.data.Dataset` of single examples of this kind. `x` is an array
            or a dict of them, `y` and `sample_weight` are dicts by task.
        tasks: All tasks of the mixture.

    Raises:
        ValueError: Another kind of data, an unknown task, columns of different
            lengths, a label out of range, or no example.
    """
    is_dataset = isinstance(data, tf.data.Dataset)
    structure = data.element_spec if is_dataset else data
    _check_structure(name, structure, tasks)
    flat = flatten(structure)
    if is_dataset:
        specs = {k: (tuple(v.shape), v.dtype.name) for k, v in flat.items()}
        source = Source(
            name,
            _cardinality(data),
            None,
            data,
            specs,
        )
    else:
        arrays = {key: np.asarray(value) for key, value in flat.items()}
        sizes = {key: len(array) for key, array in arrays.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(
                f"The source {name!r} must hold the same number of examples "
                f"in all its arrays. Received: {sizes}."
            )
        for key, task in tasks.items():
            if f"y/{key}" in arrays:
                _check_range(name, task, arrays[f"y/{key}"])
        specs = {k: (v.shape[1:], v.dtype.name) for k, v in arrays.items()}
        source = Source(
            name, sizes["y/" + next(iter(data[1]))], arrays, None, specs
        )
    if source.size == 0:
        raise ValueError(
            f"The source {name!r} is empty. Expected: at least one example. "
            "Look at its filters, or leave it out."
        )
    return source


def columns(sources: Sequence[Source], tasks: TaskSet) -> dict[str, Column]:
    """What every example of the mixture holds.

    Raises:
        ValueError: Two sources disagree about a column, or a task has a label
            in none.
    """
    found: dict[str, Column] = {}
    keys = list(dict.fromkeys(k for s in sources for k in s.specs))
    bare = [s.name for s in sources if "x" in s.specs]
    if bare and len(bare) < len(sources):
        raise ValueError(
            "The sources must have inputs of one kind: an array in all of "
            f"them, or dicts by input in all. Received: an array in {bare}, "
            "dicts in the others."
        )
    for key in keys:
        specs = {s.name: s.specs[key] for s in sources if key in s.specs}
        shapes = {shape for shape, _ in specs.values()}
        if len(shapes) > 1:
            received = {name: shape for name, (shape, _) in specs.items()}
            raise ValueError(
                f"The sources must agree about the shape of `{key}`. "
                f"Received: {received}. Pad, crop or resize before mixing."
            )
        dtypes = [dtype for _, dtype in specs.values()]
        part, _, name = key.partition("/")
        found[key] = Column(
            shapes.pop(),
            *_dtype_and_missing(part, tasks.get(name), dtypes, key),
        )
    for name in tasks:
        if f"y/{name}" not in found:
            labelled = {s.name: _tasks_of(s) for s in sources}
            raise ValueError(
                f"No source has labels of the task {name!r}. Expected: labels "
                f"of every task in at least one source. Received: {labelled}. "
                "Drop the task or bring a source for it."
            )
        if any(k.startswith("weight/") for k in keys):
            found.setdefault(f"weight/{name}", Column((), "float32", 1.0))
    return found


def complete(flat: Flat, wanted: dict[str, Column], count: Any = None) -> Flat:
    """Puts in what a source does not have.

    Args:
        flat: Columns of one example, or of a batch of `count`.
        wanted: All columns.
        count: Examples in a batch; None for a single example.
    """
    result = {}
    for key, column in wanted.items():
        if key in flat:
            value = tf.cast(flat[key], column.dtype)
        else:
            shape = [d or 1 for d in column.shape]
            if count is not None:
                shape = tf.concat([[count], tf.constant(shape, "int32")], 0)
            value = tf.fill(shape, tf.constant(column.missing, column.dtype))
        result[key] = value
    return result


def unflatten(flat: Flat) -> tuple[Any, ...]:
    """`(x, y)` or `(x, y, sample_weight)` from flat columns."""
    parts: dict[str, Any] = {"x": {}, "y": {}, "weight": {}}
    for key, value in flat.items():
        part, _, name = key.partition("/")
        if name:
            parts[part][name] = value
        else:
            parts[part] = value
    x, y, weight = parts.values()
    return (x, y, weight) if weight else (x, y)


def flatten(parts: Any) -> Flat:
    """Flat columns from `(x, y)` or `(x, y, sample_weight)`."""
    x, y = parts[:2]
    flat = (
        {f"x/{k}": v for k, v in x.items()}
        if isinstance(x, Mapping)
        else {"x": x}
    )
    flat |= {f"y/{name}": value for name, value in y.items()}
    if len(parts) == 3:
        flat |= {f"weight/{name}": value for name, value in parts[2].items()}
    return flat


def _tasks_of(source: Source) -> list[str]:
    return [k.removeprefix("y/") for k in source.specs if k.startswith("y/")]


def _check_structure(name: str, data: Any, tasks: TaskSet) -> None:
    if not isinstance(data, tuple) or not 2 <= len(data) <= 3:
        raise ValueError(
            f"`sources[{name!r}]` must be (x, y) or (x, y, sample_weight) in "
            "arrays, or a tf.data.Dataset of such examples, not batched. "
            f"Received: {type(data).__name__}."
        )
    for argument, part in zip(("y", "sample_weight"), data[1:], strict=False):
        check_keys(
            part,
            tasks,
            argument=f"{argument} of the source {name!r}",
            all_needed=False,
            remedy="A source has labels for some of the tasks.",
        )
    if not data[1]:
        raise ValueError(
            f"The source {name!r} has no labels. Expected: a dict with some "
            f"of the keys {list(tasks)}. Received: an empty one."
        )


def _dtype_and_missing(
    part: str, task: Task | None, dtypes: list[str], key: str
) -> tuple[str, Any]:
    whole = all(d.startswith(("int", "uint", "bool")) for d in dtypes)
    if part == "weight":
        return "float32", 1.0
    if part == "y":
        assert task is not None
        if task.classifies:
            return ("int32", MISSING_CLASS) if whole else ("float32", np.nan)
        return "float32", np.nan
    distinct = {"float32" if d == "float64" else d for d in dtypes}
    if len(distinct) > 1:
        raise ValueError(
            f"The sources must agree about the dtype of `{key}`. Received: "
            f"{sorted(distinct)}."
        )
    dtype = distinct.pop()
    return dtype, "" if dtype == "string" else 0


def _check_range(source: str, task: Task, labels: Any) -> None:
    """Holds class indices against the number of classes."""
    if not KINDS[task.kind].indexed or task.units is None:
        return
    there = labels != MISSING_CLASS
    if labels.dtype.kind == "f":
        there &= ~np.isnan(labels)
    bad = there & ~((labels >= 0) & (labels < task.units))
    if bad.any():
        index = int(np.argwhere(bad)[0][0])
        raise ValueError(
            f"The source {source!r} has a label out of range: task "
            f"{task.name!r}, example {index}. Expected: 0 to {task.units - 1}, "
            f"or {MISSING_CLASS} where it is missing. Received: "
            f"{labels[bad][0]}."
        )


def _cardinality(dataset: Any) -> int:
    size = int(dataset.cardinality())
    if size == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            "A source must be finite, for it is repeated by the mixture. "
            "Received: an infinite dataset. Leave its `repeat` out."
        )
    if size == tf.data.UNKNOWN_CARDINALITY:
        size = int(dataset.reduce(np.int64(0), lambda n, *_: n + 1))
    return size
