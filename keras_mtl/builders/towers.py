"""What all builders begin and end with: a shared stem, and heads."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from keras_mtl.builders.blocks import as_blocks
from keras_mtl.tasks import Task, TaskSet
from keras_mtl.training import MultiTaskModel


class Stem(NamedTuple):
    """The plainly shared beginning of a model.

    Attributes:
        tasks: The tasks.
        features: What the shared blocks give, as the next block takes it.
        blocks: The blocks that are left.
    """

    tasks: TaskSet
    features: Any
    blocks: list[Any]


def begin(
    inputs: Any,
    tasks: TaskSet | Mapping[str, Task] | Iterable[Task],
    blocks: Any,
    depth: int,
) -> Stem:
    """Checks the arguments of a builder and shares the first blocks.

    Args:
        inputs: Symbolic inputs, as the first block takes them.
        tasks: The tasks.
        blocks: The tower; see `as_blocks`.
        depth: How many blocks all tasks share, before the pattern begins.

    Raises:
        ValueError: As `as_blocks`, or a depth that leaves no block.
    """
    tasks = tasks if isinstance(tasks, TaskSet) else TaskSet(tasks)
    blocks = as_blocks(blocks, tasks)
    # True counts as 1 in Python, but means nothing here.
    if type(depth) is not int or not 0 <= depth < len(blocks):
        raise ValueError(
            "`depth` must be the number of blocks that are shared plainly, "
            f"from 0 to {len(blocks) - 1}, so that one is left to share in "
            f"this way. Received: {depth!r}"
        )
    features = inputs
    for block in blocks[:depth]:
        features = block(features)
    return Stem(tasks, features, blocks[depth:])


def finish(
    inputs: Any,
    tasks: TaskSet,
    features: Mapping[str, Any],
    name: str | None,
) -> MultiTaskModel:
    """Puts a head on the features of each task.

    Args:
        inputs: Symbolic inputs of the model.
        tasks: The tasks.
        features: What each task's head reads.
        name: Name of the model.

    Raises:
        ValueError: Features that a default head cannot take.
    """
    return MultiTaskModel(
        inputs=inputs,
        outputs={
            key: _head(task, features[key]) for key, task in tasks.items()
        },
        tasks=tasks,
        name=name,
    )


def _head(task: Task, features: Any) -> Any:
    head = task.make_head(task.name)
    if task.head is None and len(features.shape) != 2:
        raise ValueError(
            f"The default head of task {task.name!r} takes features (batch, "
            f"channels). Received: features of shape {features.shape}. End "
            "`blocks` with a pooling or Flatten layer, or give the task a "
            "`head`."
        )
    return head(features)
