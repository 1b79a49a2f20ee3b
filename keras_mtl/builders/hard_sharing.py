"""One shared tower, from which tasks branch off at a depth of their own."""

from collections.abc import Iterable, Mapping
from typing import Any

from keras_mtl.builders.blocks import as_blocks, copy_block
from keras_mtl.builders.registry import registry
from keras_mtl.builders.towers import encoder_input, finish
from keras_mtl.tasks import Task, TaskSet
from keras_mtl.tasks.task_set import check_keys
from keras_mtl.training import MultiTaskModel


@registry.register("hard_sharing")
def hard_sharing(
    inputs: Any,
    tasks: TaskSet | Mapping[str, Task] | Iterable[Task],
    blocks: Any,
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
        blocks: The tower: a list of Keras layers or models that are applied
            one after another, a `Sequential`, or a `keras.Model`, which
            `builders.cut` takes apart. Shared ones are used as they are.
            Copies are made from configs; those of a built model start from
            its weights.
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
        >>> import keras
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
    blocks = as_blocks(blocks, tasks)
    depths = _depths(depth, tasks, len(blocks))
    # The shared tower as far as some task follows it: features after k blocks.
    trunk = [encoder_input(inputs, tasks)]
    for block in blocks[: max(depths.values())]:
        trunk.append(block(trunk[-1]))
    features = {}
    for key in tasks:
        features[key] = trunk[depths[key]]
        for block in blocks[depths[key] :]:
            features[key] = copy_block(block, key)(features[key])
    return finish(inputs, tasks, features, name)


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
