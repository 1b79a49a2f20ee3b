"""What builders ask of tasks that follow from each other, click to buy."""

from collections.abc import Iterable, Mapping
from typing import Any

from keras_mtl.builders.towers import head
from keras_mtl.tasks import Task, TaskSet


def check_events(
    tasks: TaskSet | Mapping[str, Task] | Iterable[Task],
) -> TaskSet:
    """Holds that each task is about whether one event happens.

    Args:
        tasks: The tasks, in the order in which one event follows another.

    Returns:
        The tasks.

    Raises:
        ValueError: A task that is not binary, has several units, or whose
            loss takes logits.
    """
    tasks = tasks if isinstance(tasks, TaskSet) else TaskSet(tasks)
    for name, task in tasks.items():
        if task.kind != "binary" or task.units not in (None, 1):
            raise ValueError(
                "`tasks` must be events that follow from each other, each of "
                f"kind 'binary' with one unit. Received: task {name!r} of "
                f"kind {task.kind!r}, units={task.units}. Build a model of "
                "other tasks, labels of sequences too, by another builder."
            )
        if getattr(task.loss, "from_logits", False):
            raise ValueError(
                "`tasks` must have losses of probabilities, for a probability "
                f"is what the model computes with. Received: task {name!r}, "
                f"whose loss {task.loss.name!r} takes logits. Leave "
                "`from_logits` out, and let the head end in a sigmoid."
            )
    return tasks


def probability(task: Task, features: Any, name: str | None = None) -> Any:
    """What the task's head makes of features: one probability an example.

    Args:
        task: The task.
        features: What the head reads.
        name: Name of the head; the task's by default.

    Raises:
        ValueError: Features that a default head cannot take, or a head that
            gives several values, such as one for each place of a sequence.
    """
    output = head(task, features, name)
    shape = getattr(output, "shape", None)
    if shape is None or tuple(shape[1:]) != (1,):
        raise ValueError(
            f"The head of task {task.name!r} must give one probability an "
            "example, of shape (batch, 1), for an event happens to an example "
            "and not to the places of a sequence or a map. Received: "
            f"{output if shape is None else shape}. End `blocks` with a "
            "pooling layer, or the `head` with Dense(1, activation='sigmoid')."
        )
    return output
