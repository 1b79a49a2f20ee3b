"""What builders ask of tasks that follow from each other, click to buy."""

from keras_mtl.tasks import TaskSet


def check_probabilities(tasks: TaskSet) -> None:
    """Holds that each task's output is the probability of one event.

    Args:
        tasks: The tasks, in the order in which one event follows another.

    Raises:
        ValueError: A task that is not binary, has several units, or whose
            loss takes logits.
    """
    for name, task in tasks.items():
        if task.kind != "binary" or task.units not in (None, 1):
            raise ValueError(
                "`tasks` must be events that follow from each other, each of "
                f"kind 'binary' with one unit. Received: task {name!r} of "
                f"kind {task.kind!r}, units={task.units}."
            )
        if getattr(task.loss, "from_logits", False):
            raise ValueError(
                "`tasks` must have losses of probabilities, for a probability "
                f"is what the model computes with. Received: task {name!r}, "
                f"whose loss {task.loss.name!r} takes logits. Leave "
                "`from_logits` out, and let the head end in a sigmoid."
            )
