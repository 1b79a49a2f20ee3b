"""A tower per task, joined by cross-stitch units."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from keras_mtl.builders.mixed_towers import mixed_towers
from keras_mtl.builders.registry import registry
from keras_mtl.builders.towers import begin, finish
from keras_mtl.layers import CrossStitch
from keras_mtl.tasks import Task, TaskSet
from keras_mtl.training import MultiTaskModel


@registry.register("cross_stitch")
def cross_stitch(
    inputs: Any,
    tasks: TaskSet | Mapping[str, Task] | Iterable[Task],
    blocks: Any,
    depth: int = 0,
    own: float = 0.9,
    per: str = "tower",
    after: Sequence[str] | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a tower per task that reads a mixture of all towers.

    After each block, each tower goes on with a learned linear combination of
    all towers' features (`layers.CrossStitch`):

        x ─┬─ a_low ─┬─ a_low_stitch ── a_high ─┬─ a_high_stitch ── head a
           │         ╳                          ╳
           └─ b_low ─┴─ b_low_stitch ── b_high ─┴─ b_high_stitch ── head b

    The last units and the heads belong to their task; all before them serves
    all tasks, which is what balancers act on.

    Args:
        inputs: A symbolic input, or a list or dict of them, as the first
            block takes it.
        tasks: The tasks.
        blocks: The tower, of which each task gets a copy; see
            `hard_sharing`. Towers of trained models start from their weights.
        depth: How many blocks all tasks share plainly, before the towers
            begin.
        own: The coefficient that a tower begins with in its own mixture.
        per: `"tower"` or `"channel"`: what has a coefficient of its own.
        after: Names of the blocks after which towers are mixed; by default
            each.
        name: Name of the model.

    Returns:
        A model with one output per task, not yet compiled.

    Raises:
        ValueError: An option out of range, a misspelt block, or what
            `hard_sharing` refuses.

    Example:
        >>> import keras
        >>> model = cross_stitch(
        ...     keras.Input((8,)),
        ...     [Task("a", "binary"), Task("b", "regression")],
        ...     blocks=[
        ...         keras.layers.Dense(16, activation="relu", name="low"),
        ...         keras.layers.Dense(16, activation="relu", name="high"),
        ...     ],
        ... )
        >>> print(model.get_layer("b_low_stitch").coefficients())
        [0.1 0.9]

    Reference:
        Misra et al., "Cross-stitch Networks for Multi-task Learning",
        CVPR 2016, arXiv:1604.03539.
    """
    stem = begin(inputs, tasks, blocks, depth)
    unit = partial(CrossStitch, own=own, per=per)
    trails = mixed_towers(stem, after, unit, "stitch")
    features = {key: trail[-1] for key, trail in trails.items()}
    return finish(inputs, stem.tasks, features, name)
