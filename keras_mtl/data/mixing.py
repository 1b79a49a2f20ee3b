"""Several data sets, each labelled for some tasks, as one stream."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mtl.data import rates as rate_rules
from keras_mtl.data.reading import read_on
from keras_mtl.data.source_checks import broken_record, check_drawn
from keras_mtl.data.sources import (
    Flat,
    check_labelled,
    columns,
    flatten,
    read_source,
    stitch,
    unflatten,
)
from keras_mtl.tasks import Task, TaskSet


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
            the same order in each iteration. `y` is a dict by task. A
            `keras.utils.PyDataset` of batches, and a data set of examples
            with a length and an index (`grain.MapDataset`), are read by
            Python, the latter example by example.
        tasks: All tasks.
        batch_size: Examples in a batch; the last is as large as others.
        rates: How often each source is drawn from: `"proportional"` to sizes,
            `"uniform"`, `"temperature"`, a dict of numbers that sum to 1, or
            `keras_mtl.data.rates.Annealed`, `ByLoss`, ….
        temperature: For `rates="temperature"`: n^(1/temperature).
        batches: `"mixed"`: each from all sources. `"single"`: each from one.
        steps_per_epoch: Batches in an epoch; by default as many as make one
            pass over all sources at proportional rates. `"shortest"`: the
            epoch ends before the first source is gone through a second time.
            `"longest"`: it ends when each was gone through once.
        passes: How often sources are gone through at most, over all epochs,
            by name; by default without end. Others take the place of one that
            is used up.
        balance: For sources in arrays, by name: a task whose classes are drawn
            equally often from the source, however rare they are in it.
            Examples without a label of the task are not drawn.
        shuffle: Whether sources are gone through in random orders. That of a
            `tf.data.Dataset` or a `PyDataset` is its own: shuffle it before.
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
        steps_per_epoch: int | str | None = None,
        passes: Mapping[str, int] | None = None,
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
        _check_positive(batch_size, "batch_size")
        if steps_per_epoch not in (None, "shortest", "longest"):
            _check_positive(
                steps_per_epoch,
                "steps_per_epoch",
                ", or 'shortest' or 'longest'",
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
        check_labelled(self._sources, self.tasks)
        self.names = tuple(sources)
        self.sizes = np.array([s.size for s in self._sources])
        self.rates = rate_rules.get(rates, temperature)
        self.rates.check(self.names)
        self.batch_size = batch_size
        self.batches = batches
        if self.rates.needs_mixed_batches and batches != "mixed":
            raise ValueError(
                f"`batches` must be 'mixed' with {type(self.rates).__name__}, "
                "which reads what happens where different tasks meet in a "
                f"batch. Received: {batches!r}"
            )
        self.shuffle = shuffle
        self.seed = seed
        self.shard = shard
        self._classes = {
            self.names.index(name): self._members(name, task)
            for name, task in _checked(
                balance or {}, self.names, "balance"
            ).items()
        }
        passes = _checked(passes or {}, self.names, "passes")
        for name, limit in passes.items():
            _check_positive(limit, f"passes[{name!r}]")
        self._limits = self.sizes * np.array(
            [passes.get(name, np.inf) for name in self.names]
        )
        self._tables = [
            {k: tf.constant(v) for k, v in (source.arrays or {}).items()}
            for source in self._sources
        ]
        whole = (
            steps_per_epoch
            if isinstance(steps_per_epoch, int)
            else self._steps_until(steps_per_epoch)
        )
        # In a worker, an epoch is its share of the steps of all.
        self.steps_per_epoch = max(whole // count, 1)
        self._logs: list[dict[str, float]] = []
        self._counts: list[Any] = []

    def _steps_until(self, end: str | None) -> int:
        """How many steps an epoch has that ends with a pass."""
        if end is None:
            return -(-int(self.sizes.sum()) // self.batch_size)
        weights = self.rates.weights(self.sizes, self.names, 0, [])
        # Examples of all sources while each is gone through once.
        until = self.sizes * np.sum(weights) / weights / self.batch_size
        if end == "longest":
            return int(np.ceil(until.max() - 1e-9))
        return max(int(until.min() + 1e-9), 1)

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
            before = sum(self._counts[:past], np.zeros(len(self.names), int))
            counts = rate_rules.apportion_within(
                weights, draws, np.floor(self._limits / self._unit) - before
            )
            if counts.sum() < draws:
                raise ValueError(
                    f"All sources are used up in epoch {past}: `passes` lets "
                    f"them be drawn from {counts.sum() * self._unit} times "
                    f"more, and an epoch needs {draws * self._unit}. Train "
                    "for fewer epochs, or leave a source without a limit."
                )
            self._counts.append(counts)
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
        if not source.by_row:
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

    def explain(self, error: Exception) -> str | None:
        """What an error that was raised while reading means, if known.

        The graph knows no sources: those that are datasets are read once
        more, outside of it, to find the one that cannot be read, and where.

        Args:
            error: What `fit` or an iteration over a dataset raised.

        Returns:
            A sentence that names source and example, or None.
        """
        if not isinstance(error, tf.errors.OpError):
            return None
        # Our own, raised in Python or asserted in the graph.
        ours = re.search(
            r"ValueError: (.*?)\n\s*Traceback|assertion failed: "
            r"\[(The source .*?\.)\]",
            error.message,
            re.DOTALL,
        )
        if ours is not None:
            # An assertion escapes what it quotes.
            return ours[1] or ours[2].replace("\\'", "'")
        if "IteratorGetNext" not in str(error):
            return None
        found = (
            broken_record(source.name, source.dataset)
            for source in self._sources
            if source.dataset is not None
        )
        return next(filter(None, found), None)

    # ------------------------------------------------------------ drawing

    def dataset(self, epoch: int = 0, step: int = 0) -> tf.data.Dataset:
        """This worker's batches of one epoch, from a step on.

        Args:
            epoch: The epoch, from 0.
            step: The first step, from 0.

        Returns:
            A `tf.data.Dataset` of `steps_per_epoch - step` batches.
        """
        layout = [tf.constant(part) for part in self._layout(epoch)]
        return self._batches(layout, step).apply(
            tf.data.experimental.assert_cardinality(self.steps_per_epoch - step)
        )

    def stream(self, epoch_now: Callable[[], int]) -> tf.data.Dataset:
        """A dataset of one epoch, for which each new iteration asks.

        Args:
            epoch_now: Returns the epoch that begins.
        """

        def begin(_: Any) -> tf.data.Dataset:
            layout = tf.numpy_function(
                lambda: self._layout(epoch_now()), [], ["int64"] * 4
            )
            widths = [[None, self.batch_size]] * 2 + [[None, len(self.names)]]
            for part, shape in zip(
                layout, [*widths, [len(self.names)]], strict=True
            ):
                part.set_shape(shape)
            return self._batches(layout, 0)

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

    def _layout(self, epoch: int) -> tuple[Any, Any, Any, Any]:
        """The plan of an epoch, sorted by source within each step.

        Returns:
            The place in its batch of each example and the row of its source,
            `(steps, batch_size)`; how many examples each step draws from each
            source, `(steps, S)`; and the draws before the epoch, `(S,)`.
        """
        source, row = self.plan(epoch)
        places = np.argsort(source, axis=1, kind="stable")
        steps, names = len(source), len(self.names)
        cells = np.arange(steps)[:, None] * names + source
        counts = np.bincount(cells.reshape(-1), minlength=steps * names)
        past = sum(self._counts[:epoch], np.zeros(len(self.names), "int64"))
        return (
            places,
            np.take_along_axis(row, places, axis=1),
            counts.reshape(steps, names).astype("int64"),
            past * self._unit,
        )

    def _batches(self, layout: Sequence[Any], step: int) -> tf.data.Dataset:
        index, count = self.shard
        *planned, past = layout
        counts = planned[-1]
        plan = tf.data.Dataset.from_tensor_slices(tuple(planned))
        # Rows are gathered where they can be; else sources are read on.
        read = {
            str(number): read_on(
                one, counts[:, number], past[number] % one.size, self.batch_size
            )
            for number, one in enumerate(self._sources)
            if not one.by_row
        }
        return (
            tf.data.Dataset.zip(plan, read)
            .shard(count, index)
            .skip(step)
            .map(self._batch, num_parallel_calls=tf.data.AUTOTUNE)
            .prefetch(tf.data.AUTOTUNE)
        )

    def _batch(self, planned: Any, read: Mapping[str, Any]) -> tuple[Any, ...]:
        places, rows, counts = planned
        shares = len(self._sources)
        places = tf.cast(places, "int32")
        parts: list[Flat] = []
        for number, (one, row) in enumerate(
            zip(self._sources, tf.split(rows, counts, num=shares), strict=True)
        ):
            if one.arrays is not None:
                table = self._tables[number]
                parts.append({k: tf.gather(v, row) for k, v in table.items()})
            elif one.dataset is not None:
                parts.append(flatten(read[str(number)]))
            elif one.indexed is not None and one.by_row:
                parts.append(one.indexed.examples(row))
            else:
                parts.append(read[str(number)])
        own = tf.split(places, counts, num=shares)
        batch = {
            key: stitch(key, column, own, parts, self.batch_size)
            for key, column in self._columns.items()
        }
        check_drawn(
            self.tasks,
            batch,
            lambda place: self._origin(place, places, rows, counts),
        )
        return unflatten(batch)

    def _origin(
        self, place: Any, places: Any, rows: Any, counts: Any
    ) -> tuple[Any, Any]:
        """The name of the source and the row in it of one in a batch."""
        found = tf.where(places == tf.cast(place, places.dtype))[0, 0]
        number = tf.searchsorted(tf.cumsum(counts), [found], side="right")[0]
        size = tf.gather(tf.constant(self.sizes), number)
        return tf.gather(list(self.names), number), rows[found] % size


def _checked(
    given: Mapping[str, Any], names: tuple[str, ...], argument: str
) -> Mapping[str, Any]:
    for name in given:
        if name not in names:
            raise ValueError(
                f"`{argument}` must name sources, of {list(names)}. Received: "
                f"{name!r}"
            )
    return given


def _check_positive(value: Any, argument: str, others: str = "") -> None:
    if type(value) is not int or value < 1:
        raise ValueError(
            f"`{argument}` must be a positive integer{others}. Received: "
            f"{value!r}"
        )


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

    def explain(self, error: Exception) -> str | None:
        """See `Mixture.explain`."""
        return self._mixture.explain(error)
