"""What a search maximizes: the gain over single-task models."""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keras_mtl.analysis.results import Metric
from keras_mtl.metrics import task_deltas
from keras_mtl.tasks import TaskSet

DELTA_M = "delta_m"


@dataclass(frozen=True)
class Objective:
    """The mean gain of some tasks over their single-task models.

    The gain of a task is its relative change against a model for that task
    alone, in percent, with the sign that makes more the better; see
    `metrics.task_deltas`. So tasks with metrics of any scale and direction
    can be put together, and the mean over all tasks is Δm.

    Attributes:
        tasks: The tasks that count, each an objective of its own.
        metrics: What each of the recipe's tasks is judged by.
        baselines: That metric of the single-task models, on validation data.
    """

    tasks: tuple[str, ...]
    metrics: Mapping[str, Metric]
    baselines: Mapping[str, float]

    def __post_init__(self) -> None:
        for task in self.tasks:
            baseline = self.baselines[task]
            if baseline == 0 or not math.isfinite(baseline):
                others = [t for t in self.metrics if t != task]
                raise ValueError(
                    f"The gain of task {task!r} is not defined, for the "
                    f"single-task model has {self.metrics[task].name} "
                    f"{baseline} on validation data. Train longer, judge the "
                    "task by another metric, or let it not count: "
                    f"objective={others}"
                )

    def gains(self, results: Mapping[str, float]) -> dict[str, float]:
        """The gain of each task that counts, in percent.

        Args:
            results: The metric that each of them is judged by.
        """
        return task_deltas(
            {task: results[task] for task in self.tasks},
            {task: self.baselines[task] for task in self.tasks},
            {task: self.metrics[task].direction for task in self.tasks},
        )

    def score(self, results: Mapping[str, float]) -> float:
        """The mean of the gains: Δm, if all tasks count."""
        return math.fsum(self.gains(results).values()) / len(self.tasks)


def objective_tasks(names: Sequence[str], tasks: TaskSet) -> tuple[str, ...]:
    """The tasks that count.

    Args:
        names: `["delta_m"]` for all tasks, or names of tasks.
        tasks: Those of the recipe.

    Raises:
        ValueError: No name, or one that no task has.
    """
    if list(names) == [DELTA_M]:
        return tuple(tasks)
    for name in names:
        if name not in tasks:
            close = difflib.get_close_matches(str(name), [*tasks, DELTA_M], 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"`objective` must be {DELTA_M!r} alone, or tasks of the "
                f"recipe: {', '.join(tasks)}. Received: {name!r}.{hint}"
            )
    if not names:
        raise ValueError("`objective` must name a task. Received none.")
    return tuple(dict.fromkeys(names))
