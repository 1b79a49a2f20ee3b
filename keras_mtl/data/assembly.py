"""Batches, put together from what a plan draws of each source."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl.data.reading import read_on
from keras_mtl.data.source_checks import check_drawn
from keras_mtl.data.sources import (
    MARK,
    Column,
    Flat,
    Source,
    flatten,
    mark_key,
    unflatten,
)
from keras_mtl.data.stitching import Stitcher
from keras_mtl.tasks import TaskSet

# Steps are put together several at a time: what TensorFlow spends on calling
# its operations is then spent once for all of them. But no more than this,
# for they are all in memory, perhaps once for each core.
_GROUP_STEPS = 16
_GROUP_BYTES = 2**21


class Assembly:
    """Puts batches together, several steps at a time.

    Args:
        sources: All sources.
        columns: What every example holds.
        tasks: All tasks.
        batch_size: Examples in a batch.
        shard: `(index, count)`: this worker's steps.
        marked: Keys of inputs that are marked where a source has them.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        columns: Mapping[str, Column],
        tasks: TaskSet,
        batch_size: int,
        shard: tuple[int, int],
        marked: Sequence[str],
    ) -> None:
        self.sources = sources
        self.columns = {**columns, **{mark_key(k): MARK for k in marked}}
        self.marked = marked
        self.tasks = tasks
        self.batch_size = batch_size
        self.shard = shard
        self.group = self._steps_in_a_group()
        self._tables = [
            {k: tf.constant(v) for k, v in (source.arrays or {}).items()}
            for source in sources
        ]

    def _steps_in_a_group(self) -> int:
        # Python reads example by example: to wait for several steps of them
        # would only be to wait.
        if any(source.indexed is not None for source in self.sources):
            return 1
        sizes = [_bytes(column) for column in self.columns.values()]
        step = sum(sizes) * self.batch_size * self.shard[1]
        return int(min(max(_GROUP_BYTES // step, 1), _GROUP_STEPS))

    def layout(
        self, source: Any, row: Any, before: Any, step: int
    ) -> tuple[Any, ...]:
        """A plan in the order in which this worker puts it together.

        Args:
            source: The number of the source of each example of all workers,
                `(steps, batch_size)`.
            row: The row of each in its source.
            before: Rows of each source that were drawn before, `(S,)`.
            step: The first of this worker's steps that is wanted.

        Returns:
            Of the worker's examples in each group of steps, sorted by source:
            places in the group and rows, `(groups, n)`. How many of them each
            source gives, and last how many are none, for a group that is not
            full, `(groups, S + 1)`. The row from which on each group, and the
            end, read a source that can only be read on, `(groups + 1, S)`.
        """
        index, workers = self.shard
        names, together = len(self.sources), self.group * workers
        skipped = source[: step * workers]
        before = before + np.bincount(skipped.reshape(-1), minlength=names)
        source, row = source[step * workers :], row[step * workers :]
        # At least one group, if only of nothing: no source is read in none.
        groups = max(-(-len(source) // together), 1)
        fill = ((0, groups * together - len(source)), (0, 0))
        # 16 bits are sorted by radix, more by comparing.
        source = np.pad(source.astype("int16"), fill, constant_values=names)
        row = np.pad(row, fill)
        shape = (groups, self.group, workers, self.batch_size)
        mine = (groups, self.group * self.batch_size)
        own = source.reshape(shape)[:, :, index].reshape(mine)
        row = row.reshape(shape)[:, :, index].reshape(mine)
        places = np.argsort(own, axis=1, kind="stable")
        drawn = source.reshape(groups, together * self.batch_size)
        read = _count(drawn, names + 1)[:, :-1]
        return (
            places.astype("int32"),
            np.take_along_axis(row, places, axis=1),
            _count(own, names + 1),
            before + np.cumsum(np.pad(read, ((1, 0), (0, 0))), axis=0),
        )

    @property
    def layout_spec(self) -> list[tf.TensorSpec]:
        """Shapes and dtypes of a layout."""
        examples, names = self.group * self.batch_size, len(self.sources)
        return [
            tf.TensorSpec((None, examples), "int32"),
            tf.TensorSpec((None, examples), "int64"),
            tf.TensorSpec((None, names + 1), "int64"),
            tf.TensorSpec((None, names), "int64"),
        ]

    def groups(self, layout: Sequence[Any]) -> tf.data.Dataset:
        """What groups of steps are made of: a layout, and what is read."""
        *own, begins = layout
        planned = tf.data.Dataset.from_tensor_slices((*own, begins[:-1]))
        # Rows are gathered where they can be; else sources are read on.
        read = {
            str(number): read_on(
                source,
                begins[1:, number] - begins[:-1, number],
                begins[0, number] % source.size,
                # Large examples would take too much memory.
                ahead=4 if self.group > 1 else 1,
            )
            for number, source in enumerate(self.sources)
            if not source.by_row
        }
        return tf.data.Dataset.zip(planned, read)

    def batches(self, groups: tf.data.Dataset) -> tf.data.Dataset:
        """The batches of groups of steps."""
        return (
            groups.map(self._put_together, num_parallel_calls=tf.data.AUTOTUNE)
            .rebatch(self.batch_size, drop_remainder=True)
            .prefetch(tf.data.AUTOTUNE)
        )

    def _put_together(
        self, planned: Any, read: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        places, rows, counts, begins = planned
        shares = len(self.sources) + 1
        own_places = tf.split(places, counts, num=shares)[:-1]
        own_rows = tf.split(rows, counts, num=shares)[:-1]
        parts = [
            self._part(number, rows, read.get(str(number)), begins[number])
            for number, rows in enumerate(own_rows)
        ]
        for part, own in zip(parts, own_rows, strict=True):
            for key in set(self.marked) & set(part):
                part[mark_key(key)] = tf.ones((tf.size(own), 1))
        size = tf.cast(tf.reduce_sum(counts[:-1]), places.dtype)
        stitcher = Stitcher(own_places, parts, size)
        return unflatten(
            {
                key: stitcher.column(key, column)
                for key, column in self.columns.items()
            }
        )

    def _part(self, number: int, rows: Any, read: Any, begin: Any) -> Flat:
        """The examples that a source gives."""
        source = self.sources[number]
        if source.arrays is not None:
            table = self._tables[number]
            return {key: tf.gather(value, rows) for key, value in table.items()}
        if source.indexed is not None and source.by_row:
            flat = source.indexed.examples(rows)
        else:
            flat = flatten(read) if source.indexed is None else read
            if self.shard[1] > 1:
                # All workers read on; each takes what it draws.
                flat = {k: tf.gather(v, rows - begin) for k, v in flat.items()}
        # Labels in arrays were checked before.
        check_drawn(source.name, self.tasks, flat)
        return flat


def _bytes(column: Column) -> int:
    """About how much one value takes."""
    each = tf.as_dtype(column.dtype).size or 64  # a short text
    return each * math.prod(length or 64 for length in column.shape)


def _count(values: Any, kinds: int) -> Any:
    """How often each of 0, …, kinds - 1 is in each row, `(rows, kinds)`."""
    cells = np.arange(len(values))[:, None] * kinds + values
    counts = np.bincount(cells.reshape(-1), minlength=len(values) * kinds)
    return counts.reshape(-1, kinds).astype("int64")
