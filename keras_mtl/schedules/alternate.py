"""One task after another, for whole epochs."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from keras_mtl.schedules.base import Schedule, registry
from keras_mtl.schedules.turns import turn_lengths


@registry.register("alternate")
class Alternate(Schedule):
    """Tasks take turns of epochs: some of the first, then of the second, ….

    For turns of steps, take `RoundRobin`.

    Args:
        epochs: How many epochs a turn has: one number for all, or a dict by
            task, where a task that is left out has turns of one epoch.
        name: Name of the layer.

    Raises:
        ValueError: Epochs that are no positive integers, or a misspelt task.

    Example:
        >>> import keras_mtl
        >>> schedule = Alternate(epochs={"a": 2})
        >>> tasks = [keras_mtl.Task(name, "binary") for name in "ab"]
        >>> schedule.bind(keras_mtl.TaskSet(tasks), {})
        >>> [schedule.epoch_factors(epoch) for epoch in range(4)]
        [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    """

    def __init__(
        self, epochs: int | Mapping[str, int] = 1, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self.epochs = turn_lengths(epochs, "epochs")

    def bind(self, tasks: Any, private: Mapping[str, Sequence[Any]]) -> None:
        """Lays out a round."""
        super().bind(tasks, private)
        turns = self.by_task(self.epochs, "epochs", 1)
        self._ends = list(itertools.accumulate(turns))

    def epoch_factors(self, epoch: int) -> list[float]:
        """1 for the task whose turn it is, 0 for the others."""
        place = epoch % self._ends[-1]
        turn = sum(place >= end for end in self._ends)
        return [float(task == turn) for task in range(len(self.tasks))]

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"name": self.name, "epochs": self.epochs}
