"""Columns of several batches, put together from what each source gives."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_mtl.data.sources import Column, Flat


class Stitcher:
    """Puts the examples of all sources at their places.

    Args:
        places: Where the examples of each source go, S tensors.
        parts: The examples of each source, as columns.
        size: How many there are together.
    """

    def __init__(
        self, places: Sequence[Any], parts: Sequence[Flat], size: Any
    ) -> None:
        self.places = places
        self.parts = parts
        self.size = size
        self.everywhere = tf.range(size)
        # Many tasks miss the same: a tensor is made of it once.
        self._missing: dict[Any, Any] = {}

    def column(self, key: str, column: Column) -> Any:
        """One column, with what sources do not have put in."""
        having = [
            number for number, part in enumerate(self.parts) if key in part
        ]
        where = [self.places[number] for number in having]
        values = [
            tf.cast(self.parts[number][key], column.dtype) for number in having
        ]
        if len(having) < len(self.parts):
            # Of values for the same place the last one counts.
            where.insert(0, self.everywhere)
            values.insert(0, self._missing_of(column))
        found = tf.dynamic_stitch(where, values)
        return tf.ensure_shape(found, (None, *column.shape))

    def _missing_of(self, column: Column) -> Any:
        kind = (column.shape, column.dtype, str(column.missing))
        if kind not in self._missing:
            shape = [self.size, *(length or 1 for length in column.shape)]
            self._missing[kind] = tf.fill(
                shape, tf.cast(column.missing, column.dtype)
            )
        return self._missing[kind]
