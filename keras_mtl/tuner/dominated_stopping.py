"""Ends a training that most others are ahead of, in every task."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_mtl.tasks import Task
from keras_mtl.tuner.trial_record import FAILED, TrialRecord, read_records

# Fewer trials than this tell nothing.
_MIN_TRIALS = 4


class DominatedStopping(keras.callbacks.Callback):
    """Stops a trial that is dominated by more than half of the others.

    After each epoch but those of the first quarter, the best value so far of
    each task's metric is held against what other trials had reached by then.
    A trial that is ahead in one task goes on, however poor in the rest: it
    may be a trade-off of its own.

    Args:
        trials: The folder with the folders of the search's trials.
        tasks: Those that count.
        epochs: How many a trial has.

    Attributes:
        reason: Why it stopped the training; None if it did not.
    """

    def __init__(
        self, trials: Path, tasks: Mapping[str, Task], epochs: int
    ) -> None:
        super().__init__()
        self.trials = trials
        self.signs = {
            f"val_{task.monitor}": 1.0 if task.direction == "max" else -1.0
            for task in tasks.values()
        }
        self.epochs = epochs
        self.history: dict[str, list[float]] = {key: [] for key in self.signs}
        self.reason: str | None = None

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Stops the training, if it is dominated."""
        for key in self.signs:
            self.history[key].append(float((logs or {}).get(key, np.nan)))
        done = epoch + 1
        if done < max(2, self.epochs / 4) or done >= self.epochs:
            return
        others = [
            best
            for record in read_records(self.trials)
            if (best := self._best(record, done)) is not None
        ]
        ahead = self._count_ahead(self._best_of(self.history, done), others)
        if len(others) >= _MIN_TRIALS and 2 * ahead > len(others):
            self.model.stop_training = True
            self.reason = (
                f"after epoch {done}, {ahead} of {len(others)} trials had "
                "been better in every task"
            )

    def _best(self, record: TrialRecord, done: int) -> Any:
        """What another trial had reached by then, if it got that far."""
        if record.status == FAILED or any(
            len(record.history.get(key, ())) < done for key in self.signs
        ):
            return None
        return self._best_of(record.history, done)

    def _best_of(self, history: Mapping[str, Any], done: int) -> Any:
        """The best value of each task within some epochs; more is better."""
        return np.array(
            [
                np.max(sign * np.asarray(history[key][:done], "float64"))
                for key, sign in self.signs.items()
            ]
        )

    @staticmethod
    def _count_ahead(mine: Any, others: list[Any]) -> int:
        # NaN is behind everything.
        mine = np.nan_to_num(mine, nan=-np.inf)
        return sum(bool((other > mine).all()) for other in others)
