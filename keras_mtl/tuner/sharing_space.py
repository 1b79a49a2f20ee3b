"""How to share: the pattern, its depth and its experts."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_mtl import builders
from keras_mtl.builders.blocks import as_blocks
from keras_mtl.tasks import TaskSet
from keras_mtl.training import MultiTaskModel

PATTERNS = ("hard_sharing", "cross_stitch", "mmoe", "ple")


def sharing_search(
    inputs: Any, blocks: Any, patterns: Sequence[str] = PATTERNS
) -> Callable[[Any, TaskSet], MultiTaskModel]:
    """A function `build(hp, tasks)` that searches how a tower is shared.

    Searched are the pattern and, of `hard_sharing`, the depth at which each
    task leaves the tower; of other patterns, the depth at which they begin
    and the number of experts. What belongs to one pattern is searched only
    where that is chosen.

    Args:
        inputs: A symbolic input, or a list or dict of them.
        blocks: The tower, as for `builders.hard_sharing`. Every model has
            copies of the blocks; those of built models keep their weights.
        patterns: Names of builders, the default first.

    Returns:
        What `Recipe` takes as `build`.

    Raises:
        ValueError: A pattern that no builder has, or one given twice.

    Example:
        >>> import keras, keras_tuner
        >>> from keras_mtl import Task, TaskSet
        >>> build = sharing_search(
        ...     keras.Input((8,)),
        ...     [keras.layers.Dense(16, name="low")],
        ...     patterns=["hard_sharing", "mmoe"],
        ... )
        >>> hp = keras_tuner.HyperParameters()
        >>> tasks = TaskSet([Task("a", "binary"), Task("b", "regression")])
        >>> model = build(hp, tasks)
        >>> [p.name for p in hp.space][:3]
        ['sharing', 'hard_sharing/depth/a', 'hard_sharing/depth/b']
    """
    patterns = list(patterns)
    known = list(builders.registry)
    for number, name in enumerate(patterns):
        if name not in known or name in patterns[:number]:
            raise ValueError(
                "`patterns` must be different names of builders. Expected "
                f"some of: {', '.join(known)}. Received: {patterns}"
            )
    if not patterns:
        raise ValueError(
            "`patterns` must name at least one builder. Received none."
        )

    def build(hp: Any, tasks: TaskSet) -> MultiTaskModel:
        tower = [_copied(block) for block in as_blocks(blocks, tasks)]
        if len(tasks) == 1:  # shares nothing
            return builders.hard_sharing(inputs, tasks, tower)
        if len(patterns) == 1:
            chosen = patterns[0]
            options = _options(hp, chosen, tasks, len(tower))
        else:
            chosen = hp.Choice("sharing", patterns)
            for pattern in patterns:
                with hp.conditional_scope("sharing", [pattern]):
                    found = _options(hp, pattern, tasks, len(tower))
                if pattern == chosen:
                    options = found
        model: MultiTaskModel = builders.registry[chosen](
            inputs, tasks, tower, **options
        )
        return model

    return build


def _options(
    hp: Any, pattern: str, tasks: TaskSet, num_blocks: int
) -> dict[str, Any]:
    """Arguments of a builder; None for each where the scope is not active."""

    def whole(name: str, low: int, high: int, default: int) -> Any:
        value = hp.Int(f"{pattern}/{name}", low, high, default=default)
        return None if value is None else int(value)

    if pattern == "hard_sharing":
        return {
            "depth": {
                task: whole(f"depth/{task}", 0, num_blocks, num_blocks)
                for task in tasks
            }
        }
    options: dict[str, Any] = {}
    if num_blocks > 1:
        options["depth"] = whole("depth", 0, num_blocks - 1, 0)
    if pattern in ("mmoe", "dselect_k"):
        options["num_experts"] = whole("num_experts", 2, 8, 4)
    if pattern == "ple":
        options["num_shared_experts"] = whole("num_shared_experts", 1, 4, 2)
        options["num_task_experts"] = whole("num_task_experts", 1, 4, 1)
    return options


def _copied(block: Any) -> Any:
    """The block anew, under its own name."""
    config = keras.saving.serialize_keras_object(block)
    # A block that was called before would come back built for that call.
    config.pop("build_config", None)
    copy = keras.saving.deserialize_keras_object(config)
    if isinstance(block, keras.Model) and block.built and copy.built:
        copy.set_weights(block.get_weights())
    return copy
