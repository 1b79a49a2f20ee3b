"""One shared tower, from which tasks branch off at a depth of their own."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras

from keras_mtl.builders.registry import registry
from keras_mtl.tasks import Task, TaskSet
from keras_mtl.tasks.task_set import check_keys
from keras_mtl.training import MultiTaskModel


@registry.register("hard_sharing")
def hard_sharing(
    inputs: Any,
    tasks: TaskSet | Mapping[str, Task] | Iterable[Task],
    blocks: Sequence[Any],
    depth: int | Mapping[str, int] | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a tower whose first blocks are shared, with a head per task.

    A task takes its first `depth` blocks from the shared tower and the rest
    as copies of its own, so that different depths make a tree:

        depth={"a": 2, "b": 2, "c": 1}

        block 1 ─┬─ block 2 ─┬─ block 3 of a ── head a
                 │           └─ block 3 of b ── head b
                 └─ block 2 of c ── block 3 of c ── head c

    Args:
        inputs: A symbolic input, or a list or dict of them, as the first
            block takes it.
        tasks: The tasks.
        blocks: Keras layers or models, applied one after another. The shared
            ones are used as they are; copies are made from their configs.
        depth: How many blocks are shared: one number for all tasks or a dict
            by task, from 0 (nothing) to `len(blocks)`, the default.
        name: Name of the model.

    Returns:
        A model with one output per task, not yet compiled.

    Raises:
        ValueError: A depth out of range, a misspelt task, blocks that are no
            layers or have equal names, or features that a default head cannot
            take.

    Example:
        >>> model = hard_sharing(
        ...     keras.Input((8,)),
        ...     [Task("a", "binary"), Task("b", "regression")],
        ...     blocks=[
        ...         keras.layers.Dense(16, activation="relu", name="low"),
        ...         keras.layers.Dense(16, activation="relu", name="high"),
        ...     ],
        ...     depth={"a": 2, "b": 1},
        ... )
        >>> [layer.name for layer in model.layers[1:]]
        ['low', 'high', 'b_high', 'a', 'b']

    Reference:
        Caruana, "Multitask Learning", Machine Learning 28 (1997).
    """
    tasks = tasks if isinstance(tasks, TaskSet) else TaskSet(tasks)
    _check_blocks(blocks, tasks)
    depths = _depths(depth, tasks, len(blocks))
    # The shared tower as far as some task follows it: features after k blocks.
    trunk = [inputs]
    for block in blocks[: max(depths.values())]:
        trunk.append(block(trunk[-1]))
    outputs = {}
    for key, task in tasks.items():
        features = trunk[depths[key]]
        for block in blocks[depths[key] :]:
            features = _copy(block, key)(features)
        outputs[key] = _head(task, features)
    return MultiTaskModel(
        inputs=inputs, outputs=outputs, tasks=tasks, name=name
    )


def _check_blocks(blocks: Any, tasks: TaskSet) -> None:
    if not isinstance(blocks, (list, tuple)):
        raise ValueError(
            "`blocks` must be a list of Keras layers or models. Received: "
            f"{blocks!r} of type {type(blocks).__name__}."
        )
    names: set[str] = set()
    for block in blocks:
        if not isinstance(block, keras.Layer):
            raise ValueError(
                "`blocks` must hold Keras layers or models. Received: "
                f"{block!r} of type {type(block).__name__}."
            )
        if block.name in names:
            raise ValueError(
                "`blocks` must have different names. Received "
                f"{block.name!r} twice. Give each layer a `name` of its own."
            )
        if block.name in tasks:
            raise ValueError(
                "`blocks` must not be named as a task, for its head has that "
                f"name. Received: {block.name!r}. Give the block another name."
            )
        names.add(block.name)


def _depths(depth: Any, tasks: TaskSet, num_blocks: int) -> dict[str, int]:
    if isinstance(depth, Mapping):
        check_keys(depth, tasks, argument="depth", all_needed=True)
        depths = {key: depth[key] for key in tasks}
    else:
        depths = dict.fromkeys(tasks, num_blocks if depth is None else depth)
    for key, value in depths.items():
        # True counts as 1 in Python, but means nothing here.
        if type(value) is not int or not 0 <= value <= num_blocks:
            raise ValueError(
                f"`depth` of task {key!r} must be a number of blocks from 0 "
                f"to {num_blocks}. Received: {value!r}"
            )
    return depths


def _copy(block: Any, task: str) -> Any:
    """A block of the same config with weights of its own."""
    config = keras.saving.serialize_keras_object(block)
    config["config"]["name"] = f"{task}_{block.name}"
    # A block that was called before would come back built for that call.
    config.pop("build_config", None)
    config["config"].pop("build_input_shape", None)
    return keras.saving.deserialize_keras_object(config)


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
