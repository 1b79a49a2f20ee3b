"""One task after another."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from keras_mtl.schedules.base import Schedule, registry
from keras_mtl.schedules.turns import turn_lengths


@registry.register("round_robin")
class RoundRobin(Schedule):
    """Tasks take turns: some steps of the first, then of the second, ….

    Args:
        steps: How many steps a turn has: one number for all, or a dict by
            task, where a task that is left out has turns of one step.
        name: Name of the layer.

    Raises:
        ValueError: Steps that are no positive integers, or a misspelt task.

    Example:
        >>> import keras_mtl
        >>> schedule = RoundRobin(steps={"a": 2})
        >>> tasks = [keras_mtl.Task(name, "binary") for name in "ab"]
        >>> schedule.bind(keras_mtl.TaskSet(tasks), {})
        >>> schedule.build((2,))
        >>> [schedule.factors(step).numpy().tolist() for step in range(4)]
        [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    """

    def __init__(
        self, steps: int | Mapping[str, int] = 1, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self.steps = turn_lengths(steps, "steps")

    def build(self, input_shape: Sequence[int]) -> None:
        """Lays out a round."""
        super().build(input_shape)
        turns = self.by_task(self.steps, "steps", 1)
        self._ends = list(itertools.accumulate(turns))

    def factors(self, step: Any) -> Any:
        """1 for the task whose turn it is, 0 for the others."""
        ends = ops.convert_to_tensor(self._ends, "int32")
        place = ops.cast(step, "int32") % self._ends[-1]
        turn = ops.sum(ops.cast(place >= ends, "int32"))
        return ops.one_hot(turn, self.num_tasks, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"name": self.name, "steps": self.steps}
