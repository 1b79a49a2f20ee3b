"""Tasks that come in and go out epoch by epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_mtl.schedules.base import Schedule, registry


@registry.register("curriculum")
class Curriculum(Schedule):
    """Each task trains from an epoch on, or until one.

    To train task "a" alone in the last epochs, let the others end:
    `Curriculum(end={"b": 8, "c": 8})`.

    Args:
        start: First epoch, from 0, by task. Tasks that are left out train
            from the beginning.
        end: The epoch, by task, before which it ends. Tasks that are left out
            train to the last.
        ramp: Over how many epochs a task that starts later comes in: in its
            k-th epoch its loss counts min(k / ramp, 1). One number or a dict
            by task.
        name: Name of the layer.

    Raises:
        ValueError: Epochs that are no integers or negative, a task that ends
            before it starts, or a misspelt task.

    Example:
        >>> import keras_mtl
        >>> schedule = Curriculum(start={"b": 2}, ramp=2)
        >>> tasks = [keras_mtl.Task(name, "binary") for name in "ab"]
        >>> schedule.bind(keras_mtl.TaskSet(tasks), {})
        >>> [schedule.epoch_factors(epoch) for epoch in range(5)]
        [[1.0, 0.0], [1.0, 0.0], [1.0, 0.5], [1.0, 1.0], [1.0, 1.0]]

    Reference:
        Bengio et al., "Curriculum Learning", ICML 2009.
    """

    def __init__(
        self,
        start: Mapping[str, int] | None = None,
        end: Mapping[str, int] | None = None,
        ramp: int | Mapping[str, int] = 1,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.start, self.end = dict(start or {}), dict(end or {})
        self.ramp = dict(ramp) if isinstance(ramp, Mapping) else ramp
        for argument, low in (("start", 0), ("end", 1), ("ramp", 1)):
            value = getattr(self, argument)
            values = value.values() if isinstance(value, dict) else [value]
            if any(type(v) is not int or v < low for v in values):
                raise ValueError(
                    f"`{argument}` must hold numbers of epochs, {low} or more. "
                    f"Received: {value!r}"
                )
        for task, epoch in self.end.items():
            if epoch <= self.start.get(task, 0):
                raise ValueError(
                    f"`end[{task!r}]` must come after its start. Received: "
                    f"start={self.start.get(task, 0)}, end={epoch}"
                )

    def bind(self, tasks: Any, private: Mapping[str, Sequence[Any]]) -> None:
        """Holds the arguments against the tasks."""
        super().bind(tasks, private)
        self._starts = self.by_task(self.start, "start", 0)
        self._ends = self.by_task(self.end, "end", None)
        self._ramps = self.by_task(self.ramp, "ramp", 1)

    def epoch_factors(self, epoch: int) -> list[float]:
        """Between 0 and 1."""
        return [
            0.0
            if epoch < start or (end is not None and epoch >= end)
            else min((epoch - start + 1) / ramp, 1.0)
            if start
            else 1.0
            for start, end, ramp in zip(
                self._starts, self._ends, self._ramps, strict=True
            )
        ]

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "name": self.name,
            "start": self.start,
            "end": self.end,
            "ramp": self.ramp,
        }
