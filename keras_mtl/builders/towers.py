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
    features = encoder_input(inputs, tasks)
    for block in blocks[:depth]:
        features = block(features)
    return Stem(tasks, features, blocks[depth:])


def encoder_input(inputs: Any, tasks: TaskSet) -> Any:
    """What the first block reads: the inputs, but those that heads read.

    A head of a sequence task reads target tokens (`Task.target_input`) beside
    its features; `inputs` is a dict then. Of what is left over, a single
    input goes to the first block as it is, several as a dict.

    Args:
        inputs: Symbolic inputs of the model.
        tasks: The tasks.

    Raises:
        ValueError: An input that a head reads is not there, or nothing is
            left over.
    """
    targets = {
        task.target_input: key
        for key, task in tasks.items()
        if task.target_input
    }
    if not targets:
        return inputs
    received = list(inputs) if isinstance(inputs, Mapping) else inputs
    for target, key in targets.items():
        if not isinstance(inputs, Mapping) or target not in inputs:
            raise ValueError(
                f"`inputs` must be a dict with the key {target!r}, the target "
                f"tokens that the head of task {key!r} reads. Received: "
                f"{received}. Add keras.Input((None,), dtype='int32', "
                f"name={target!r})."
            )
    left = {key: x for key, x in inputs.items() if key not in targets}
    if not left:
        raise ValueError(
            "`inputs` must hold an input for the first block beside the "
            f"target tokens {list(targets)}. Received: {received}."
        )
    return next(iter(left.values())) if len(left) == 1 else left


def finish(
    inputs: Any,
    tasks: TaskSet,
    features: Mapping[str, Any],
    name: str | None,
    weight_penalty: Any = None,
) -> MultiTaskModel:
    """Puts a head on the features of each task.

    Args:
        inputs: Symbolic inputs of the model.
        tasks: The tasks.
        features: What each task's head reads.
        name: Name of the model.
        weight_penalty: A penalty on weights; see `MultiTaskModel`.

    Raises:
        ValueError: Features that a default head cannot take.
    """
    return MultiTaskModel(
        inputs=inputs,
        outputs={
            key: head(task, features[key], inputs=inputs)
            for key, task in tasks.items()
        },
        tasks=tasks,
        weight_penalty=weight_penalty,
        name=name,
    )


def head(
    task: Task, features: Any, name: str | None = None, inputs: Any = None
) -> Any:
    """What the task's head makes of features.

    Args:
        task: The task.
        features: What the head reads.
        name: Name of the head; the task's by default.
        inputs: Symbolic inputs of the model, where the head reads target
            tokens.

    Raises:
        ValueError: Features that a default head cannot take.
    """
    layer = task.make_head(name or task.name)
    if task.head is None and len(features.shape) != len(task.features):
        remedy = (
            "End `blocks` with a layer that keeps the axis of time"
            if "time" in task.features
            else "End `blocks` with a pooling or Flatten layer"
        )
        raise ValueError(
            f"The default head of task {task.name!r} takes features "
            f"({', '.join(task.features)}). Received: features of shape "
            f"{features.shape}. {remedy}, or give the task a `head`."
        )
    if task.target_input:
        return layer([features, inputs[task.target_input]])
    return layer(features)
