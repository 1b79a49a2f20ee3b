"""What a mixture draws from its sources, in numbers alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_mtl.data.apportion import apportion_within
from keras_mtl.data.rates import EpochStart, Rates


class Plan:
    """Which example of which source stands where, epoch by epoch.

    A function of the seed, the epoch and the logs of the epochs before.

    Args:
        names: Names of the sources.
        sizes: Examples of each source, `(S,)`.
        by_row: Whether any example of a source can be had at any time, `(S,)`.
            Others are drawn in order.
        rates: How often each source is drawn from.
        batch_size: Examples in a batch.
        unit: Examples that are drawn together from one source.
        steps: Batches in an epoch; None, "shortest" or "longest" as in
            `Mixture`.
        workers: How many workers share an epoch.
        passes: How often sources are gone through at most, by name.
        classes: Rows of each class, by number of the source, for sources in
            which classes are drawn equally often.
        shuffle: Whether sources that can be are gone through in random orders.
        seed: Of all orders.
    """

    def __init__(
        self,
        names: Sequence[str],
        sizes: Any,
        by_row: Sequence[bool],
        rates: Rates,
        *,
        batch_size: int,
        unit: int,
        steps: int | str | None,
        workers: int,
        passes: Mapping[str, int],
        classes: Mapping[int, list[Any]],
        shuffle: bool,
        seed: int,
    ) -> None:
        self.names = names
        self.sizes = sizes
        self.by_row = by_row
        self.rates = rates
        self.batch_size = batch_size
        self.unit = unit
        self.classes = classes
        self.shuffle = shuffle
        self.seed = seed
        self.limits = sizes * np.array([passes.get(n, np.inf) for n in names])
        whole = steps if isinstance(steps, int) else self._steps_until(steps)
        # In a worker, an epoch is its share of the steps of all.
        self.steps_per_worker = max(whole // workers, 1)
        self.steps = self.steps_per_worker * workers
        self.logs: list[dict[str, float]] = []
        self._counts: list[Any] = []

    def _steps_until(self, end: str | None) -> int:
        """How many steps an epoch has that ends with a pass."""
        if end is None:
            return -(-int(self.sizes.sum()) // self.batch_size)
        weights = self.rates.weights(EpochStart(self.sizes, self.names))
        # Examples of all sources while each is gone through once.
        until = self.sizes * np.sum(weights) / weights / self.batch_size
        if end == "longest":
            return int(np.ceil(until.max() - 1e-9))
        return max(int(until.min() + 1e-9), 1)

    def counts(self, epoch: int) -> Any:
        """Examples of each source in an epoch, `(S,)`, over all workers.

        Raises:
            ValueError: Logs that rates depend on are not there, or sources
                are used up.
        """
        for past in range(len(self._counts), epoch + 1):
            if self.rates.adaptive and past > len(self.logs):
                raise ValueError(
                    f"The rates of epoch {epoch} depend on logs, and those of "
                    f"epoch {past - 1} are not there. Pass the mixture itself "
                    "to `fit`, or `restore` its state."
                )
            weights = self.rates.weights(
                EpochStart(self.sizes, self.names, past, self.logs[:past])
            )
            draws = self.steps * (self.batch_size // self.unit)
            left = np.floor((self.limits - self._before(past)) / self.unit)
            counts = apportion_within(weights, draws, left)
            if counts.sum() < draws:
                raise ValueError(
                    f"All sources are used up in epoch {past}: `passes` lets "
                    f"them be drawn from {counts.sum() * self.unit} times "
                    f"more, and an epoch needs {draws * self.unit}. Train "
                    "for fewer epochs, or leave a source without a limit."
                )
            self._counts.append(counts * self.unit)
        return self._counts[epoch]

    def before(self, epoch: int) -> Any:
        """Examples of each source that came before an epoch, `(S,)`."""
        self.counts(epoch)
        return self._before(epoch)

    def _before(self, epoch: int) -> Any:
        return sum(self._counts[:epoch], np.zeros(len(self.names), "int64"))

    def draw(self, epoch: int) -> tuple[Any, Any]:
        """The source and the row in it of each example of an epoch.

        Args:
            epoch: The epoch, from 0.

        Returns:
            Both `(steps, batch_size)`. Rows of sources that are read in order
            count on through their passes.
        """
        counts, before = self.counts(epoch), self.before(epoch)
        draw = np.random.default_rng([self.seed, epoch])
        # Laid out source by source and shuffled: rates hold exactly.
        source = draw.permutation(
            np.repeat(np.arange(len(counts)), counts // self.unit)
        )
        source = np.repeat(source, self.unit)
        row = np.empty(len(source), "int64")
        for number, (first, count) in enumerate(
            zip(before, counts, strict=True)
        ):
            row[source == number] = self._rows(
                number, first + np.arange(int(count))
            )
        shape = (-1, self.batch_size)
        return source.reshape(shape), row.reshape(shape)

    def _rows(self, number: int, drawn: Any) -> Any:
        """Which example each draw from a source is: pass after pass."""
        if not self.by_row[number]:
            return drawn
        if number not in self.classes:
            return self._passes(np.arange(self.sizes[number]), drawn, [number])
        # Classes take turns; each is gone through in passes of its own.
        classes = self.classes[number]
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
        first, end = (passes[0], passes[-1] + 1) if len(passes) else (0, 0)
        for one in range(first, end):
            order = np.random.default_rng([self.seed, *key, one])
            now = passes == one
            rows[now] = order.permutation(members)[place[now]]
        return rows

    def observe(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Tells the logs of an epoch that has ended, for adaptive rates."""
        self.forget_from(epoch)
        self.logs.append({k: float(v) for k, v in logs.items()})

    def forget_from(self, epoch: int) -> None:
        """Forgets logs from an epoch on, and what was planned by them."""
        del self.logs[epoch:]
        del self._counts[epoch + 1 :]

    def restore(self, logs: Sequence[Mapping[str, float]]) -> None:
        """Goes on after epochs with these logs."""
        self.logs = [dict(one) for one in logs]
        self._counts = []
