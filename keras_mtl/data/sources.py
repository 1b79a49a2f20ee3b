"""The sources of a mixture, each completed to the examples of all tasks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl.data.indexable import Indexed, is_indexable, read_indexable
from keras_mtl.data.source_checks import (
    broken_record,
    check_range,
    check_single,
    is_there,
)
from keras_mtl.tasks import Task, TaskSet
from keras_mtl.tasks.kinds import MISSING_CLASS
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


# 1 where an example has an input, 0 where zeros stand for it.
MARK = Column((1,), "float32", 0.0)


def mark_key(key: str) -> str:
    """The key of what tells whether an input is there."""
    return f"{key}_present"


@dataclass(frozen=True)
class Source:
    """One data set.

    Attributes:
        name: Its name in the mixture.
        size: How many examples it has.
        specs: Shape and dtype of each of its columns.
        arrays: Its columns as arrays, or None.
        dataset: A `tf.data.Dataset` of its examples, or None.
        indexed: What reads its items by their index, or None.
    """

    name: str
    size: int
    specs: Mapping[str, tuple[tuple[int | None, ...], str]]
    arrays: Flat | None = None
    dataset: Any = None
    indexed: Indexed | None = None

    @property
    def by_row(self) -> bool:
        """Whether any example can be had at any time, not only in order."""
        if self.indexed is not None:
            return self.indexed.batch_size is None
        return self.arrays is not None

    def examples(self) -> Iterator[Flat]:
        """Its examples in order, read by Python. Arrays have none to read."""
        if self.dataset is not None:
            yield from map(flatten, self.dataset.as_numpy_iterator())
        elif self.indexed is not None:
            yield from self.indexed.each()


def read_source(name: str, data: Any, tasks: TaskSet) -> Source:
    """Checks a data set and flattens its examples.

    Args:
        name: Its name.
        data: `(x, y)` or `(x, y, sample_weight)` in arrays, a
            `tf.data.Dataset` of single examples of this kind, a `PyDataset`
            of batches, or a data set of single examples by index. `x` is an
            array or a dict of them, `y` and `sample_weight` are dicts by task.
        tasks: All tasks of the mixture.

    Raises:
        ValueError: Another kind of data, an unknown task, columns of different
            lengths, a label out of range, or no example.
    """
    if isinstance(data, tf.data.Dataset):
        source = _of_dataset(name, data, tasks)
    elif is_indexable(data):
        indexed = read_indexable(
            name,
            data,
            lambda item: _check_structure(name, item, tasks),
            flatten,
        )
        source = Source(name, indexed.size, indexed.specs, indexed=indexed)
    else:
        source = _of_arrays(name, data, tasks)
    if source.size == 0:
        raise ValueError(
            f"The source {name!r} is empty. Expected: at least one example. "
            "Look at its filters, or leave it out."
        )
    return source


def _of_dataset(name: str, data: Any, tasks: TaskSet) -> Source:
    _check_structure(name, data.element_spec, tasks)
    flat = flatten(data.element_spec)
    for key, spec in flat.items():
        if spec.shape.rank is None:
            raise ValueError(
                f"The source {name!r} must tell how many axes `{key}` has. "
                "Received: a shape that is not known, as `tf.py_function` "
                "leaves it. Tell it with `tf.ensure_shape`."
            )
    specs = {
        key: (tuple(spec.shape), spec.dtype.name) for key, spec in flat.items()
    }
    check_single(name, tasks, specs)
    try:
        size = _cardinality(data)
    except tf.errors.OpError as error:
        raise ValueError(broken_record(name, data) or str(error)) from error
    return Source(name, size, specs, dataset=data)


def _of_arrays(name: str, data: Any, tasks: TaskSet) -> Source:
    _check_structure(name, data, tasks)
    arrays = {key: np.asarray(value) for key, value in flatten(data).items()}
    sizes = {key: len(array) for key, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(
            f"The source {name!r} must hold the same number of examples in "
            f"all its arrays. Received: {sizes}."
        )
    for key, task in tasks.items():
        if f"y/{key}" in arrays:
            check_range(name, task, arrays[f"y/{key}"])
    specs = {k: (v.shape[1:], v.dtype.name) for k, v in arrays.items()}
    size = next(iter(sizes.values()))
    return Source(name, size, specs, arrays=arrays)


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


def missing_inputs(sources: Sequence[Source]) -> list[str]:
    """Keys of the inputs that some sources do not have.

    Raises:
        ValueError: An input has the name of what would mark another one.
    """
    having = {k for s in sources for k in s.specs if k.startswith("x/")}
    missing = sorted(k for s in sources for k in having if k not in s.specs)
    for key in missing:
        if mark_key(key) in having:
            name = key.removeprefix("x/")
            raise ValueError(
                f"`mark_missing` tells by an input {name + '_present'!r} where "
                f"{name!r} is there, but sources have an input of this name. "
                "Rename it."
            )
    return list(dict.fromkeys(missing))


def check_labelled(sources: Sequence[Source], tasks: TaskSet) -> None:
    """Holds labels in arrays against being all missing.

    Raises:
        ValueError: All labels of a task are missing.
    """
    for name in tasks:
        key = f"y/{name}"
        having = [source for source in sources if key in source.specs]
        labels = [s.arrays[key] for s in having if s.arrays is not None]
        # What datasets hold is told by the first epoch of `fit`.
        if len(labels) < len(having):
            continue
        if not any(is_there(tasks[name], array).any() for array in labels):
            raise ValueError(
                f"No source has a label of the task {name!r}: all of them are "
                f"missing in {[s.name for s in having]}. Drop the task or "
                "bring labels for it."
            )


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
            "arrays, or hold such tuples: a tf.data.Dataset of examples, not "
            "batched, a PyDataset of batches, or a data set of examples with "
            "a length and an index, such as a grain.MapDataset. Received: "
            f"{type(data).__name__}."
        )
    if isinstance(data[0], tuple):
        raise ValueError(
            f"The source {name!r} must have an array of inputs, or a dict of "
            f"them by name. Received: a tuple of {len(data[0])}. Name them."
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
