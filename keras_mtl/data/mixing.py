"""Several data sets, each labelled for some tasks, as one stream."""

import copy
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mtl.data import rates as rate_rules
from keras_mtl.data.assembly import Assembly
from keras_mtl.data.class_rows import class_rows
from keras_mtl.data.plan import Plan
from keras_mtl.data.source_checks import broken_record, far_label
from keras_mtl.data.sources import (
    check_labelled,
    columns,
    missing_inputs,
    read_source,
)
from keras_mtl.tasks import Task, TaskSet


class Mixture:
    """Several data sets, each labelled for some of the tasks, as one stream.

    `fit` takes it as it is. Each batch is `(x, y)` or `(x, y,
    sample_weight)`; labels that a source does not have are missing ones (NaN,
    or -1 for classes), and inputs that it does not have are zeros
    (`mark_missing` tells where).

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
        mark_missing: Whether batches tell where inputs are there that not all
            sources have: by inputs `<name>_present`, 1 or 0, `(batch, 1)`.
        seed: Of all orders.
        shard: `(index, count)`: this worker's part. Step s of worker i is
            step s · count + i of the whole. What can only be read in order, a
            `tf.data.Dataset` or a `PyDataset`, is read whole by each worker.

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
        mark_missing: bool = False,
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
        found = columns(self._sources, self.tasks)
        marked = missing_inputs(self._sources) if mark_missing else []
        check_labelled(self._sources, self.tasks)
        self.names = tuple(sources)
        self.sizes = np.array([s.size for s in self._sources])
        self.rates = rate_rules.get(rates, temperature)
        self.rates.check(self.names)
        if self.rates.needs_mixed_batches and batches != "mixed":
            raise ValueError(
                f"`batches` must be 'mixed' with {type(self.rates).__name__}, "
                "which reads what happens where different tasks meet in a "
                f"batch. Received: {batches!r}"
            )
        balance = _checked(balance or {}, self.names, "balance")
        passes = _checked(passes or {}, self.names, "passes")
        for name, limit in passes.items():
            _check_positive(limit, f"passes[{name!r}]")
        self._plan = Plan(
            self.names,
            self.sizes,
            [source.by_row for source in self._sources],
            self.rates,
            batch_size=batch_size,
            unit=batch_size if batches == "single" else 1,
            steps=steps_per_epoch,
            workers=count,
            passes=passes,
            classes={
                number: class_rows(source, balance[source.name], self.tasks)
                for number, source in enumerate(self._sources)
                if source.name in balance
            },
            shuffle=shuffle,
            seed=seed,
        )
        self._assembly = Assembly(
            self._sources, found, self.tasks, batch_size, shard, marked
        )
        self.batch_size = batch_size
        self.steps_per_epoch = self._plan.steps_per_worker

    # ------------------------------------------------------------ planning

    def counts(self, epoch: int) -> dict[str, int]:
        """Examples of each source in an epoch, over all workers."""
        counts = self._plan.counts(epoch)
        return dict(zip(self.names, map(int, counts), strict=True))

    def plan(self, epoch: int) -> tuple[Any, Any]:
        """What all workers draw in an epoch.

        Args:
            epoch: The epoch, from 0.

        Returns:
            The number of the source and the row in it of each example, both
            `(steps, batch_size)`. Rows of a `tf.data.Dataset` count on
            through its passes, in order.
        """
        return self._plan.draw(epoch)

    def at_temperature(self, temperature: float) -> "Mixture":
        """The same mixture with rates of a temperature of its own.

        Its epochs have as many steps as before.

        Args:
            temperature: As for `rates="temperature"`.
        """
        other = copy.copy(self)
        other.rates = rate_rules.get("temperature", temperature)
        other._plan = copy.copy(self._plan)
        other._plan.rates = other.rates
        other._plan.restore([])
        return other

    # ------------------------------------------------------------- state

    def observe(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Tells the logs of an epoch that has ended, for adaptive rates.

        What was told of this epoch and later ones before is forgotten.
        """
        if self.rates.adaptive:
            self._plan.observe(epoch, logs)

    def state(self) -> dict[str, Any]:
        """What a new mixture of the same arguments needs to go on, for JSON."""
        return {"logs": [dict(logs) for logs in self._plan.logs]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state` gave."""
        self._plan.restore(state["logs"])

    def explain(self, error: Exception) -> str | None:
        """What an error that was raised while reading means, if known.

        The graph does not count what it reads: sources are read once more,
        outside of it, to find which one is at fault, and where.

        Args:
            error: What `fit` or an iteration over a dataset raised.

        Returns:
            A sentence that names source and example, or None.
        """
        if not isinstance(error, tf.errors.OpError):
            return None
        # Our own, raised in Python.
        ours = re.search(
            r"ValueError: (.*?)\n\s*Traceback", error.message, re.DOTALL
        )
        if ours is not None:
            return ours[1]
        for source in self._sources:
            clear = far_label(
                error.message, source.name, self.tasks, source.examples()
            )
            if clear is not None:
                return clear
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
        layout = [tf.constant(part) for part in self._layout(epoch, step)]
        return self._batches(
            self._assembly.groups(layout), self.steps_per_epoch - step
        )

    def stream(self, epoch_now: Callable[[], int]) -> tf.data.Dataset:
        """A dataset of one epoch, for which each new iteration asks.

        Args:
            epoch_now: Returns the epoch that begins.
        """
        specs = self._assembly.layout_spec

        def begin(_: Any) -> tf.data.Dataset:
            layout = tf.numpy_function(
                lambda: self._layout(epoch_now(), 0),
                [],
                [spec.dtype for spec in specs],
            )
            for part, spec in zip(layout, specs, strict=True):
                part.set_shape(spec.shape)
            return self._assembly.groups(layout)

        # One call of Python an epoch; all else is in the graph. Batches are
        # made outside of `flat_map`: in it, each epoch would begin more slowly.
        groups = tf.data.Dataset.range(1).flat_map(begin)
        return self._batches(groups, self.steps_per_epoch)

    def _batches(self, groups: tf.data.Dataset, steps: int) -> tf.data.Dataset:
        batches = self._assembly.batches(groups)
        return batches.apply(tf.data.experimental.assert_cardinality(steps))

    def for_fit(self, initial_epoch: int) -> tuple[tf.data.Dataset, Any]:
        """What `fit` reads, and the callback that tells which epoch it is.

        Args:
            initial_epoch: The epoch that `fit` begins with.
        """
        if self.rates.adaptive:
            self._plan.forget_from(initial_epoch)
        self.counts(initial_epoch)  # what cannot be planned fails here
        follower = _EpochFollower(self, initial_epoch)
        return self.stream(lambda: follower.epoch), follower

    def _layout(self, epoch: int, step: int) -> tuple[Any, ...]:
        source, row = self.plan(epoch)
        before = self._plan.before(epoch)
        return self._assembly.layout(source, row, before, step)


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
