"""Several data sets, each labelled for some tasks, as one stream."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mtl.data import rates as rate_rules
from keras_mtl.data.sources import (
    columns,
    complete,
    flatten,
    read_source,
    unflatten,
)
from keras_mtl.tasks import Task, TaskSet

# Datasets are read in chunks before they are cut into what a step draws: to
# handle examples one by one would cost more than to read them.
_CHUNK = 64


class Mixture:
    """Several data sets, each labelled for some of the tasks, as one stream.

    `fit` takes it as it is. Each batch is `(x, y)` or `(x, y,
    sample_weight)`; labels that a source does not have are missing ones (NaN,
    or -1 for classes), and inputs that it does not have are zeros.

    **What is drawn** is a function of the seed, the epoch and the step alone.
    Rates are kept exactly, not on average: an epoch has as many examples of
    each source as its rate says, in an order drawn anew. A source is gone
    through in one order drawn anew after another, so that each of its
    examples comes once before any comes twice; it goes on in the next epoch
    where this one ended. So a stream can begin anywhere (`dataset(epoch,
    step)`) and is the same in every process.

    Args:
        sources: Data sets by name: `(x, y)` or `(x, y, sample_weight)` in
            arrays, or a `tf.data.Dataset` of such examples, not batched, with
            the same order in each iteration. `y` is a dict by task.
        tasks: All tasks.
        batch_size: Examples in a batch; the last is as large as others.
        rates: How often each source is drawn from: `"proportional"` to sizes,
            `"uniform"`, `"temperature"`, a dict of numbers that sum to 1, or
            `keras_mtl.data.rates.Annealed`, `ByLoss`, ….
        temperature: For `rates="temperature"`: n^(1/temperature).
        batches: `"mixed"`: each from all sources. `"single"`: each from one.
        steps_per_epoch: Batches in an epoch; by default as many as make one
            pass over all sources at proportional rates.
        balance: For sources in arrays, by name: a task whose classes are drawn
            equally often from the source, however rare they are in it.
            Examples without a label of the task are not drawn.
        shuffle: Whether sources are gone through in random orders. That of a
            `tf.data.Dataset` is its own: shuffle it before.
        seed: Of all orders.
        shard: `(index, count)`: this worker's part. Step s of worker i is
            step s · count + i of the whole.

    Raises:
        ValueError: An argument does not suit; the message tells which.

    Example:
        >>> import numpy as np
        >>> mixture = Mixture(
        ...     {
        ...         "small": (np.zeros((4, 2)), {"a": np.arange(4)}),
        ...         "large": (np.ones((12, 2)), {"b": np.arange(12.0)}),
        ...     },
        ...     tasks=[
        ...         Task("a", "multiclass", units=4),
        ...         Task("b", "regression"),
        ...     ],
        ...     batch_size=4,
        ...     rates="uniform",
        ... )
        >>> x, y = next(iter(mixture.dataset()))
        >>> mixture.counts(epoch=0)
        {'small': 8, 'large': 8}
    """

    def __init__(
        self,
        sources: Mapping[str, Any],
        tasks: TaskSet | Mapping[str, Task] | Iterable[Task],
        *,
        batch_size: int = 32,
        rates: Any = "proportional",
        temperature: float | None = None,
        batches: str = "mixed",
        steps_per_epoch: int | None = None,
        balance: Mapping[str, str] | None = None,
        shuffle: bool = True,
        seed: int = 0,
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        self.tasks = tasks if isinstance(tasks, TaskSet) else TaskSet(tasks)
        if not isinstance(sources, Mapping) or not sources:
            raise ValueError(
                "`sources` must be a dict of data sets by name, at least one. "
                f"Received: {sources!r}"
            )
        for argument, value in (
            ("batch_size", batch_size),
            ("steps_per_epoch", steps_per_epoch or 1),
        ):
            if type(value) is not int or value < 1:
                raise ValueError(
                    f"`{argument}` must be a positive integer. Received: "
                    f"{value!r}"
                )
        if batches not in ("mixed", "single"):
            raise ValueError(
                "`batches` must be 'mixed' (each from all sources) or "
                f"'single' (each from one). Received: {batches!r}"
            )
        index, count = shard
        if not 0 <= index < count:
            raise ValueError(
                "`shard` must be (index, count) with 0 <= index < count. "
                f"Received: {shard!r}"
            )
        self._sources = [
            read_source(name, data, self.tasks)
            for name, data in sources.items()
        ]
        self._columns = columns(self._sources, self.tasks)
        self.names = tuple(sources)
        self.sizes = np.array([s.size for s in self._sources])
        self.rates = rate_rules.get(rates, temperature)
        self.rates.check(self.names)
        self.batch_size = batch_size
        self.batches = batches
        self.shuffle = shuffle
        self.seed = seed
        self.shard = shard
        self._classes = {
            self.names.index(name): self._members(name, task)
            for name, task in _checked(balance or {}, self.names).items()
        }
        self._tables = [
            {k: tf.constant(v) for k, v in (source.arrays or {}).items()}
            for source in self._sources
        ]
        whole = steps_per_epoch or -(-int(self.sizes.sum()) // batch_size)
        # In a worker, an epoch is its share of the steps of all.
        self.steps_per_epoch = max(whole // count, 1)
        self._logs: list[dict[str, float]] = []
        self._counts: list[Any] = []

    def _members(self, name: str, task: str) -> list[Any]:
        """The rows of each class of a task in a source."""
        source = self._sources[self.names.index(name)]
        if (
            source.arrays is None
            or f"y/{task}" not in source.arrays
            or not self.tasks[task].classifies
            or source.arrays[f"y/{task}"].ndim > 1
        ):
            raise ValueError(
                f"`balance[{name!r}]` must be a task of classes that the "
                "source, in arrays, has one label an example for. Received: "
                f"{task!r}"
            )
        labels = source.arrays[f"y/{task}"]
        there = labels[(labels >= 0) & (labels == labels)]  # not NaN
        if there.size == 0:
            raise ValueError(
                f"`balance[{name!r}]` needs labels. Received: {task!r}, of "
                "which the source has none."
            )
        return [np.flatnonzero(labels == one) for one in np.unique(there)]

    # ------------------------------------------------------------ planning

    def counts(self, epoch: int) -> dict[str, int]:
        """Examples of each source in an epoch, over all workers."""
        counts = self._counts_of(epoch) * self._unit
        return dict(zip(self.names, map(int, counts), strict=True))

    @property
    def _unit(self) -> int:
        """Examples that are drawn together from one source."""
        return self.batch_size if self.batches == "single" else 1

    def _counts_of(self, epoch: int) -> Any:
        """Draws from each source in an epoch, `(S,)`."""
        steps = self.steps_per_epoch * self.shard[1]
        for past in range(len(self._counts), epoch + 1):
            if self.rates.adaptive and past > len(self._logs):
                raise ValueError(
                    f"The rates of epoch {epoch} depend on logs, and those of "
                    f"epoch {past - 1} are not there. Pass the mixture itself "
                    "to `fit`, or `restore` its state."
                )
            weights = self.rates.weights(
                self.sizes, self.names, past, self._logs[:past]
            )
            draws = steps * (self.batch_size // self._unit)
            self._counts.append(rate_rules.apportion(weights, draws))
        return self._counts[epoch]

    def plan(self, epoch: int) -> tuple[Any, Any]:
        """What all workers draw in an epoch.

        Args:
            epoch: The epoch, from 0.

        Returns:
            The number of the source and the row in it of each example, both
            `(steps, batch_size)`. Rows of a `tf.data.Dataset` count on
            through its passes, in order.
        """
        counts = self._counts_of(epoch)
        draw = np.random.default_rng([self.seed, epoch])
        # Laid out source by source and shuffled: rates hold exactly.
        source = draw.permutation(np.repeat(np.arange(len(counts)), counts))
        source = np.repeat(source, self._unit)
        row = np.empty(len(source), "int64")
        for number in range(len(counts)):
            before = sum(int(self._counts_of(e)[number]) for e in range(epoch))
            drawn = np.arange(int(counts[number]) * self._unit)
            row[source == number] = self._rows(
                number, before * self._unit + drawn
            )
        shape = (-1, self.batch_size)
        return source.reshape(shape), row.reshape(shape)

    def _rows(self, number: int, drawn: Any) -> Any:
        """Which example each draw from a source is: pass after pass."""
        source = self._sources[number]
        if source.arrays is None:
            return drawn
        if number not in self._classes:
            return self._passes(np.arange(source.size), drawn, [number])
        # Classes take turns; each is gone through in passes of its own.
        classes = self._classes[number]
        rows = np.empty_like(drawn)
        for place, members in enumerate(classes):
            now = drawn % len(classes) == place
            rows[now] = self._passes(
                members, drawn[now] // len(classes), [number, place]
            )
        return rows

    def _passes(self, members: Any, drawn: Any, key: list[int]) -> Any:
        """Members in one order drawn anew after another."""
        passes, place = np.divmod(drawn, len(members))
        if not self.shuffle:
            return members[place]
        rows = np.empty_like(place)
        for one in np.unique(passes):
            order = np.random.default_rng([self.seed, *key, int(one)])
            now = passes == one
            rows[now] = order.permutation(members)[place[now]]
        return rows

    # ------------------------------------------------------------- state

    def observe(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Tells the logs of an epoch that has ended, for adaptive rates.

        What was told of this epoch and later ones before is forgotten.
        """
        if not self.rates.adaptive:
            return
        self._forget_from(epoch)
        self._logs.append({k: float(v) for k, v in logs.items()})

    def _forget_from(self, epoch: int) -> None:
        """Forgets logs from an epoch on, and what was planned by them."""
        del self._logs[epoch:]
        del self._counts[epoch + 1 :]

    def state(self) -> dict[str, Any]:
        """What a new mixture of the same arguments needs to go on, for JSON."""
        return {"logs": [dict(logs) for logs in self._logs]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state` gave."""
        self._logs = [dict(logs) for logs in state["logs"]]
        self._counts = []

    # ------------------------------------------------------------ drawing

    def dataset(self, epoch: int = 0, step: int = 0) -> tf.data.Dataset:
        """This worker's batches of one epoch, from a step on.

        Args:
            epoch: The epoch, from 0.
            step: The first step, from 0.

        Returns:
            A `tf.data.Dataset` of `steps_per_epoch - step` batches.
        """
        source, row = self.plan(epoch)
        return self._batches(source, row, step).apply(
            tf.data.experimental.assert_cardinality(self.steps_per_epoch - step)
        )

    def stream(self, epoch_now: Callable[[], int]) -> tf.data.Dataset:
        """A dataset of one epoch, for which each new iteration asks.

        Args:
            epoch_now: Returns the epoch that begins.
        """

        def begin(_: Any) -> tf.data.Dataset:
            source, row = tf.numpy_function(
                lambda: self.plan(epoch_now()), [], ["int64", "int64"]
            )
            source.set_shape([None, self.batch_size])
            row.set_shape([None, self.batch_size])
            return self._batches(source, row, 0)

        # One call of Python an epoch; all else is in the graph.
        return (
            tf.data.Dataset.range(1)
            .flat_map(begin)
            .apply(
                tf.data.experimental.assert_cardinality(self.steps_per_epoch)
            )
        )

    def for_fit(self, initial_epoch: int) -> tuple[tf.data.Dataset, Any]:
        """What `fit` reads, and the callback that tells which epoch it is.

        Args:
            initial_epoch: The epoch that `fit` begins with.
        """
        if self.rates.adaptive:
            self._forget_from(initial_epoch)
        self._counts_of(initial_epoch)  # what cannot be planned fails here
        follower = _EpochFollower(self, initial_epoch)
        return self.stream(lambda: follower.epoch), follower

    def _batches(self, source: Any, row: Any, step: int) -> tf.data.Dataset:
        index, count = self.shard
        planned = tf.data.Dataset.from_tensor_slices((source, row))
        # Arrays are gathered from; datasets are read on, so that each yields
        # for each step as many examples as the step draws from it.
        read = {
            str(number): _read_on(
                one.dataset,
                one.size,
                tf.reduce_sum(tf.cast(source == number, "int64"), axis=1),
                tf.boolean_mask(row, source == number),
            )
            for number, one in enumerate(self._sources)
            if one.arrays is None
        }
        return (
            tf.data.Dataset.zip(planned, read)
            .shard(count, index)
            .skip(step)
            .map(self._batch, num_parallel_calls=tf.data.AUTOTUNE)
            .prefetch(tf.data.AUTOTUNE)
        )

    def _batch(self, planned: Any, read: Mapping[str, Any]) -> tuple[Any, ...]:
        source, row = planned
        places, parts = [], []
        for number, one in enumerate(self._sources):
            place = tf.where(source == number)[:, 0]
            if one.arrays is None:
                drawn = flatten(read[str(number)])
            else:
                rows = tf.gather(row, place)
                drawn = {
                    key: tf.gather(table, rows)
                    for key, table in self._tables[number].items()
                }
            parts.append(complete(drawn, self._columns, tf.size(place)))
            places.append(tf.cast(place, "int32"))
        return unflatten(
            {
                key: tf.ensure_shape(
                    tf.dynamic_stitch(places, [part[key] for part in parts]),
                    (self.batch_size, *column.shape),
                )
                for key, column in self._columns.items()
            }
        )


def _checked(
    balance: Mapping[str, str], names: tuple[str, ...]
) -> Mapping[str, str]:
    for name in balance:
        if name not in names:
            raise ValueError(
                f"`balance` must name sources, of {list(names)}. Received: "
                f"{name!r}"
            )
    return balance


class _EpochFollower(keras.callbacks.Callback):
    """Keeps a mixture in step with `fit`."""

    def __init__(self, mixture: Mixture, epoch: int) -> None:
        super().__init__()
        self._mixture = mixture
        self.epoch = epoch

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """The epoch that the next iteration over the stream draws."""
        self.epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Logs that adaptive rates follow."""
        self._mixture.observe(epoch, logs or {})


def _read_on(dataset: Any, size: int, counts: Any, rows: Any) -> Any:
    """A dataset repeated for ever, in batches of `counts`, from a row on."""
    first = tf.reduce_sum(rows[:1]) % size
    return (
        dataset.repeat()
        .skip(first)
        .batch(_CHUNK, num_parallel_calls=tf.data.AUTOTUNE)
        .rebatch(counts)
    )
