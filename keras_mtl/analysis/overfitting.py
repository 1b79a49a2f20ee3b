"""When, and how much, each task begins to overfit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class OverfittingGap:
    """The losses of one task on training and validation data.

    Both are taken after each epoch, as in evaluation.

    Attributes:
        train: By epoch.
        validation: By epoch.
    """

    train: Sequence[float]
    validation: Sequence[float]

    @property
    def best_epoch(self) -> int:
        """The epoch with the smallest validation loss, from 1."""
        return 1 + min(
            range(len(self.validation)), key=self.validation.__getitem__
        )

    @property
    def gap(self) -> float:
        """Validation loss minus training loss, after the last epoch."""
        return self.validation[-1] - self.train[-1]

    @property
    def rise(self) -> float:
        """How much the validation loss has risen since its best epoch.

        As a share of what it had fallen before that; NaN if it never fell.
        """
        first, last = self.validation[0], self.validation[-1]
        best = min(self.validation)
        return (last - best) / (first - best) if first > best else math.nan

    @property
    def overfits(self) -> bool:
        """Whether validation loss rose by a tenth while training loss fell."""
        fell = self.train[-1] < self.train[self.best_epoch - 1]
        return fell and self.validation[-1] > 1.1 * min(self.validation)
