"""Sources that Python reads: a `PyDataset`, or any data set with an index."""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# The shape and dtype of each column.
Specs = dict[str, tuple[tuple[int, ...], str]]


def is_indexable(data: Any) -> bool:
    """Whether data have examples by index, as a `grain.MapDataset` has."""
    return (
        hasattr(data, "__getitem__")
        and hasattr(data, "__len__")
        and not hasattr(data, "shape")
        and not isinstance(data, (tuple, list, str, Mapping))
    )


@dataclass(frozen=True)
class Indexed:
    """A data set that is asked for its items by their index.

    Python reads them: once a step for examples, once a batch for batches.

    Attributes:
        name: Its name in the mixture.
        data: The data set.
        flatten: Makes flat columns of an item.
        specs: Shape and dtype of each column of an example.
        items: How many items it has.
        batch_size: Examples in an item, but for the last; None where items
            are examples.
        size: How many examples it has.
    """

    name: str
    data: Any
    flatten: Callable[[Any], dict[str, Any]]
    specs: Specs
    items: int
    batch_size: int | None
    size: int

    def each(self) -> Iterator[dict[str, Any]]:
        """Its examples one by one."""
        for place in range(self.items):
            item = self.flatten(self.data[place])
            if self.batch_size is None:
                yield item
                continue
            for row in range(len(next(iter(item.values())))):
                yield {key: value[row] for key, value in item.items()}

    def examples(self, rows: Any) -> dict[str, Any]:
        """The examples of some rows `(n,)`, as columns `(n, …)`."""
        return self._call(self._stack, rows)

    def batches(self, first: Any) -> tf.data.Dataset:
        """Its batches for ever, from one on."""
        places = tf.data.Dataset.range(self.items).repeat()
        return places.skip(first).map(
            lambda place: self._call(self._item, place),
            num_parallel_calls=max(getattr(self.data, "workers", 1), 1),
        )

    def _call(self, function: Any, where: Any) -> dict[str, Any]:
        dtypes = [dtype for _, dtype in self.specs.values()]
        found = tf.numpy_function(function, [where], dtypes)
        return {
            key: tf.ensure_shape(value, (None, *shape))
            for (key, (shape, _)), value in zip(
                self.specs.items(), found, strict=True
            )
        }

    def _stack(self, rows: Any) -> list[Any]:
        items = [self._columns(int(row), ()) for row in rows]
        return [
            np.stack([item[key] for item in items])
            if items
            else np.empty((0, *shape), _in_numpy(dtype))
            for key, (shape, dtype) in self.specs.items()
        ]

    def _item(self, place: Any) -> list[Any]:
        assert self.batch_size is not None
        place = int(place)
        last = self.size - (self.items - 1) * self.batch_size
        count = last if place == self.items - 1 else self.batch_size
        return list(self._columns(place, (count,)).values())

    def _columns(self, place: int, leading: tuple[int, ...]) -> dict[str, Any]:
        flat = {k: np.asarray(v) for k, v in self._read(place).items()}
        expected = {k: (*leading, *s) for k, (s, _) in self.specs.items()}
        shapes = {key: value.shape for key, value in flat.items()}
        if shapes != expected:
            raise ValueError(
                f"The source {self.name!r} must hold the same columns in the "
                "same shapes everywhere (batches of one size, but for the "
                f"last). Expected, as at index 0: {expected}. Received at "
                f"index {place}: {shapes}."
            )
        return {
            key: flat[key].astype(_in_numpy(dtype), copy=False)
            for key, (_, dtype) in self.specs.items()
        }

    def _read(self, place: int) -> dict[str, Any]:
        try:
            return self.flatten(self.data[place])
        except Exception as error:
            raise ValueError(
                f"The source {self.name!r} cannot be read at index {place}: "
                f"{type(error).__name__}: {error}"
            ) from error


def _in_numpy(dtype: str) -> str:
    return "object" if dtype == "string" else dtype


def read_indexable(
    name: str,
    data: Any,
    check: Callable[[Any], None],
    flatten: Callable[[Any], dict[str, Any]],
) -> Indexed:
    """Looks at the first and the last item of a data set.

    Args:
        name: Its name.
        data: A `PyDataset` of batches, or a data set of examples by index.
        check: Raises an error if an item is not as it should be.
        flatten: Makes flat columns of an item.

    Raises:
        ValueError: An endless data set, or items that are not as they should.
    """
    in_batches = isinstance(data, keras.utils.PyDataset)
    items = data.num_batches if in_batches else len(data)
    # The length of an endless grain data set is the largest there is.
    if not isinstance(items, int) or items >= sys.maxsize:
        raise ValueError(
            "A source must be finite, for it is repeated by the mixture. "
            f"Received: the source {name!r}, which has no end. Give it a "
            "`__len__`, and leave its `repeat` out."
        )
    if items == 0:
        return Indexed(name, data, flatten, {}, 0, None, 0)
    first = data[0]
    check(first)
    columns = {k: np.asarray(v) for k, v in flatten(first).items()}
    batch_size, size = None, items
    if in_batches:
        key = next(iter(columns))
        batch_size = len(columns[key])
        last = flatten(data[items - 1])
        size = (items - 1) * batch_size + len(last[key])
    specs: Specs = {
        key: (
            value.shape[1:] if in_batches else value.shape,
            "string" if value.dtype.kind in "OSU" else value.dtype.name,
        )
        for key, value in columns.items()
    }
    return Indexed(name, data, flatten, specs, items, batch_size, size)
