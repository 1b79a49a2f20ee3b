"""Interleaved timing, and what is said of the samples."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: np.ndarray) -> "Spread":
        """Of some samples."""
        low, median, high = np.percentile(samples, [25, 50, 75])
        return cls(float(median), float(low), float(high))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}–{self.high:.2f})"


def interleave(
    runs: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, np.ndarray]:
    """Seconds of each run, `(rounds,)`, taken in turns.

    What the machine does meanwhile then hits all alike, and a ratio of two
    runs is one of neighbours.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds[name].append(run())
    return {name: np.array(values) for name, values in seconds.items()}


def groups(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items, a few at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
