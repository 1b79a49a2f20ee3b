"""One row per schedule: what the conformance tests run over."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_mtl import schedules


@dataclass(frozen=True)
class Case:
    """A schedule of three tasks, a, b and c.

    Attributes:
        name: Its name in the registry.
        make: Makes it.
        id: Tells the rows of one schedule apart.
        left_out: Whether some task is left out of some step of the first
            epochs.
    """

    name: str
    make: Callable[[], Any]
    id: str = ""
    left_out: bool = True

    @property
    def test_id(self) -> str:
        return f"{self.name}-{self.id}" if self.id else self.name


CASES = (
    Case("all_tasks", schedules.AllTasks, left_out=False),
    Case("alternate", lambda: schedules.Alternate({"b": 2})),
    Case("round_robin", schedules.RoundRobin),
    Case(
        "round_robin", lambda: schedules.RoundRobin({"a": 3, "c": 2}), "by_task"
    ),
    Case("random_task", schedules.RandomTask),
    Case(
        "random_task",
        lambda: schedules.RandomTask({"a": 3.0}, seed=3),
        "unequal",
    ),
    Case(
        "curriculum",
        lambda: schedules.Curriculum({"b": 1, "c": 2}, {"a": 2}, ramp=2),
    ),
    Case("loss_driven", schedules.LossDriven, left_out=False),
    Case(
        "task_early_stopping",
        lambda: schedules.TaskEarlyStopping(
            "loss", patience=1, min_delta=10.0, tasks=["b"]
        ),
    ),
)
