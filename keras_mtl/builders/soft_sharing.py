"""A tower for each task, tied to the others by a penalty."""

from collections.abc import Iterable, Mapping
from typing import Any

from keras_mtl.builders.blocks import copy_block
from keras_mtl.builders.registry import registry
from keras_mtl.builders.towers import begin, finish
from keras_mtl.tasks import Task, TaskSet
from keras_mtl.training import MultiTaskModel, SoftSharing


@registry.register("soft_sharing")
def soft_sharing(
    inputs: Any,
    tasks: TaskSet | Mapping[str, Task] | Iterable[Task],
    blocks: Any,
    depth: int = 0,
    penalty: str = "l2",
    strength: float = 0.01,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a tower for each task; a penalty ties weights that match.

    The towers are copies of `blocks`: those of layers are initialized each
    by itself, those of built models start from the model's weights. With
    `depth=0` tasks have no variable in common, and no gradient to balance.

    Args:
        inputs: Symbolic inputs, as the first block takes them.
        tasks: The tasks.
        blocks: The tower: see `hard_sharing`.
        depth: How many blocks all tasks share plainly before the towers.
        penalty: `"l2"`, squared distances between towers; `"mean"`, squared
            distances to the mean of the towers; `"trace_norm"`, the sum of
            singular values of the weights stacked over tasks. See
            `training.SoftSharing` for formulas.
        strength: Factor on the penalty.
        name: Name of the model.

    Returns:
        A model with one output per task, not yet compiled. The penalty is its
        `weight_penalty` and one of its `losses`.

    Raises:
        ValueError: No block with weights to tie, an unknown penalty, or a
            strength that is negative or not finite.

    Example:
        >>> import keras
        >>> from keras_mtl import Task
        >>> model = soft_sharing(
        ...     keras.Input((8,)),
        ...     [Task("a", "binary"), Task("b", "regression")],
        ...     blocks=[keras.layers.Dense(16, name="low")],
        ...     penalty="trace_norm",
        ...     strength=1e-3,
        ... )
        >>> model.weight_penalty.layers
        [['a_low', 'b_low']]

    Reference:
        Duong, Cohn, Bird, Cook, "Low Resource Dependency Parsing:
        Cross-lingual Parameter Sharing in a Neural Network Parser", ACL 2015.
        Yang, Hospedales, "Trace Norm Regularised Deep Multi-Task Learning",
        ICLR workshop 2017, arXiv:1606.04038.
    """
    tasks, shared, blocks = begin(inputs, tasks, blocks, depth)
    features = dict.fromkeys(tasks, shared)
    matched = []
    for block in blocks:
        copies = {key: copy_block(block, key) for key in tasks}
        features = {key: copies[key](x) for key, x in features.items()}
        if copies[next(iter(tasks))].weights:
            matched.append([copy.name for copy in copies.values()])
    if not matched:
        raise ValueError(
            "`blocks` must hold a layer with weights behind `depth`, to be "
            f"tied across tasks. Received: {[b.name for b in blocks]}"
        )
    return finish(
        inputs,
        tasks,
        features,
        name,
        # A single task has nothing to be tied to.
        weight_penalty=SoftSharing(matched, penalty, strength)
        if len(tasks) > 1
        else None,
    )
