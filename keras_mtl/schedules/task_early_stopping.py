"""Early stopping, task by task."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from keras_mtl.schedules.base import Schedule, registry
from keras_mtl.tasks import TaskSet


@dataclass
class _Heads:
    """The variables of each task alone."""

    # Hidden in here, for Keras takes variables in a layer's lists for its own.
    variables: list[list[Any]]


@registry.register("task_early_stopping")
class TaskEarlyStopping(Schedule):
    """Stops a task that no longer gets better, while the others go on.

    A task whose log has not improved for `patience` epochs is frozen: its
    loss takes no part any more, its head (the variables of it alone, moving
    averages included) stands still and, with `restore_best_weights`, is set
    back to its best epoch. The shared part goes on learning from the others,
    so that the frozen head reads features that still move: the less, the
    wider the shared part. Where nothing may be lost, a
    `keras.callbacks.ModelCheckpoint` that monitors the task's log keeps the
    whole model of its best epoch. When all tasks are frozen, training ends.

    Args:
        monitor: The log that is watched, without its task: `"val_loss"` reads
            `val_<task>_loss`.
        patience: Epochs without improvement before a task is frozen.
        min_delta: Least change that counts as an improvement.
        mode: `"min"` or `"max"`: where better values lie.
        restore_best_weights: Whether the head of a frozen task is set back.
        tasks: The tasks that may be frozen; by default all.
        name: Name of the layer.

    Raises:
        ValueError: An argument out of its range, or a misspelt task.

    Example:
        >>> TaskEarlyStopping(patience=5).monitor
        'val_loss'
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 3,
        min_delta: float = 0.0,
        mode: str = "min",
        restore_best_weights: bool = True,
        tasks: Sequence[str] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if type(patience) is not int or patience < 1:
            raise ValueError(
                "`patience` must be a number of epochs, 1 or more. Received: "
                f"{patience!r}"
            )
        if not 0 <= min_delta < math.inf:
            raise ValueError(
                "`min_delta` must be a number that is not negative. Received: "
                f"{min_delta!r}"
            )
        if mode not in ("min", "max"):
            raise ValueError(
                f"`mode` must be 'min' or 'max'. Received: {mode!r}"
            )
        self.monitor = monitor
        self.patience = patience
        self.min_delta = float(min_delta)
        self.mode = mode
        self.restore_best_weights = restore_best_weights
        self.stoppable = None if tasks is None else list(tasks)

    def bind(
        self, tasks: TaskSet, private: Mapping[str, Sequence[Any]]
    ) -> None:
        """Keeps each task's variables in sight."""
        super().bind(tasks, private)
        self.by_task(dict.fromkeys(self.stoppable or [], 0), "tasks", 0)
        self._heads = _Heads([list(private[name]) for name in tasks])

    def build(self, input_shape: Sequence[int]) -> None:
        """Makes room for the best values and the best heads."""
        super().build(input_shape)
        shape = (self.num_tasks,)
        self.best = self.add_state("best", shape)
        self.waited = self.add_state("waited", shape)
        self.seen = self.add_state("seen", ())
        self.best_heads = [
            [
                self.add_state(f"best_{t}_{i}", v.shape)
                for i, v in enumerate(variables)
            ]
            for t, variables in enumerate(self._heads.variables)
        ]

    def on_epoch_end(
        self, model: Any, epoch: int, logs: Mapping[str, float]
    ) -> None:
        """Freezes tasks, or keeps their heads."""
        values = np.array([self.log(logs, t, self.monitor) for t in self.tasks])
        factors, best, waited = (
            np.array(ops.convert_to_numpy(v))
            for v in (self.epoch_state, self.best, self.waited)
        )
        sign = 1.0 if self.mode == "min" else -1.0
        first = float(self.seen) == 0
        for t, name in enumerate(self.tasks):
            if factors[t] == 0:
                continue
            gain = sign * (best[t] - values[t])
            # NaN, where no label was there to validate by, is beaten by all.
            fresh = np.isnan(best[t]) and not np.isnan(values[t])
            if first or fresh or gain > self.min_delta:
                best[t], waited[t] = values[t], 0
                for kept, v in zip(
                    self.best_heads[t], self._heads.variables[t], strict=True
                ):
                    kept.assign(v)
                continue
            waited[t] += 1
            stoppable = self.stoppable is None or name in self.stoppable
            if stoppable and waited[t] >= self.patience:
                factors[t] = 0.0
                if self.restore_best_weights:
                    for kept, v in zip(
                        self.best_heads[t],
                        self._heads.variables[t],
                        strict=True,
                    ):
                        v.assign(kept)
        self.seen.assign(1.0)
        self.best.assign(best)
        self.waited.assign(waited)
        self.epoch_state.assign(factors)
        if not factors.any():
            model.stop_training = True

    def stopped(self) -> list[str]:
        """The tasks that are frozen."""
        factors = ops.convert_to_numpy(self.epoch_state)
        return [t for t, f in zip(self.tasks, factors, strict=True) if f == 0]

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "name": self.name,
            "monitor": self.monitor,
            "patience": self.patience,
            "min_delta": self.min_delta,
            "mode": self.mode,
            "restore_best_weights": self.restore_best_weights,
            "tasks": self.stoppable,
        }
