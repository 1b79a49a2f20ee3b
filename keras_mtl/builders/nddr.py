"""A tower per task, fused by NDDR layers."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from keras_mtl.builders.mixed_towers import mixed_towers
from keras_mtl.builders.registry import registry
from keras_mtl.builders.towers import begin, finish
from keras_mtl.layers import NDDR
from keras_mtl.tasks import Task, TaskSet
from keras_mtl.training import MultiTaskModel


@registry.register("nddr")
def nddr(
    inputs: Any,
    tasks: TaskSet | Mapping[str, Task] | Iterable[Task],
    blocks: Any,
    depth: int = 0,
    own: float = 0.9,
    normalization: str | None = "batch",
    activation: Any = "relu",
    kernel_regularizer: Any = None,
    after: Sequence[str] | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a tower per task that reads all towers' channels, reduced.

    After each block, each tower goes on with a 1×1 convolution of all towers'
    channels (`layers.NDDR`). The last of them and the heads belong to their
    task; all before serves all tasks.

    Args:
        inputs: A symbolic input, or a list or dict of them, as the first
            block takes it.
        tasks: The tasks.
        blocks: The tower, of which each task gets a copy; see
            `hard_sharing`. Towers of trained models start from their weights.
        depth: How many blocks all tasks share plainly, before the towers
            begin.
        own: The diagonal that a tower begins with for itself.
        normalization: `"batch"`, `"layer"` or `None`: what follows the
            convolution. Take `"layer"` for small batches.
        activation: What follows the normalization, or `None`.
        kernel_regularizer: A Keras regularizer, its name or config: the
            paper's weight decay.
        after: Names of the blocks after which towers are fused; by default
            each. The paper's code fuses after each pooling.
        name: Name of the model.

    Returns:
        A model with one output per task, not yet compiled.

    Raises:
        ValueError: An option out of range, a misspelt block, or what
            `hard_sharing` refuses.

    Example:
        >>> import keras
        >>> model = nddr(
        ...     keras.Input((8,)),
        ...     [Task("a", "binary"), Task("b", "regression")],
        ...     blocks=[
        ...         keras.layers.Dense(16, activation="relu", name="low"),
        ...         keras.layers.Dense(16, activation="relu", name="high"),
        ...     ],
        ...     after=["low"],
        ... )
        >>> [layer.name for layer in model.layers[1:]]
        ['a_low', 'b_low', 'a_low_nddr', 'b_low_nddr', 'a_high', 'b_high', \
'a', 'b']

    Reference:
        Gao et al., "NDDR-CNN: Layerwise Feature Fusing in Multi-Task CNNs by
        Neural Discriminative Dimensionality Reduction", CVPR 2019,
        arXiv:1801.08297.
    """
    stem = begin(inputs, tasks, blocks, depth)
    unit = partial(
        NDDR,
        own=own,
        normalization=normalization,
        activation=activation,
        kernel_regularizer=kernel_regularizer,
    )
    trails = mixed_towers(stem, after, unit, "nddr")
    features = {key: trail[-1] for key, trail in trails.items()}
    return finish(inputs, stem.tasks, features, name)
