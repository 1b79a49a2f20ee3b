"""One tower for all tasks, told for each task which one it works for."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras

from keras_mtl.builders.registry import registry
from keras_mtl.builders.towers import begin, finish
from keras_mtl.layers import FiLM, TaskEmbedding
from keras_mtl.tasks import Task, TaskSet
from keras_mtl.training import MultiTaskModel


@registry.register("conditioned")
def conditioned(
    inputs: Any,
    tasks: TaskSet | Mapping[str, Task] | Iterable[Task],
    blocks: Any,
    depth: int = 0,
    conditioning: str = "film",
    embedding_dim: int | None = 8,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds one tower that is called for each task, conditioned on it.

    All weights of the tower are shared; a task has, beside its head, only a
    scale and a shift for each channel of each block, or a vector.

    - `conditioning="film"`: behind each block that has weights, a task has
      a `FiLM` layer of its own, `{task}_{block}_film`. Calls of the tower
      part behind the first of them; what comes before is called once.
    - `conditioning="embedding"`: at the input of the first conditioned block,
      `{task}_embedding` appends a vector of the task to all positions, or
      adds it.

    BatchNormalization inside the tower is a hazard: it is called once for
    each task, normalizes each task's features by themselves in training, but
    has one moving average over all tasks for inference, so that the two
    disagree where features of tasks differ. Put such blocks into `depth`, or
    take LayerNormalization or GroupNormalization.

    Args:
        inputs: Symbolic inputs, as the first block takes them.
        tasks: The tasks.
        blocks: The tower: see `hard_sharing`.
        depth: How many blocks come before the first conditioned one.
        conditioning: `"film"` or `"embedding"`.
        embedding_dim: Length of the vector that `"embedding"` appends; None
            to add one of the features' length instead.
        name: Name of the model.

    Returns:
        A model with one output per task, not yet compiled.

    Raises:
        ValueError: An unknown `conditioning`, no block with weights, or
            features that an embedding cannot be joined to.

    Example:
        >>> import keras
        >>> from keras_mtl import Task
        >>> model = conditioned(
        ...     keras.Input((8,)),
        ...     [Task("a", "binary"), Task("b", "regression")],
        ...     blocks=[
        ...         keras.layers.Dense(16, activation="relu", name="low"),
        ...         keras.layers.Dense(16, activation="relu", name="high"),
        ...     ],
        ... )
        >>> gamma, beta = model.get_layer("a_low_film").coefficients()
        >>> gamma.shape
        (16,)

    Reference:
        Perez et al., "FiLM: Visual Reasoning with a General Conditioning
        Layer", AAAI 2018, arXiv:1709.07871; for tasks, see `layers.FiLM` and
        `layers.TaskEmbedding`.
    """
    if conditioning not in ("film", "embedding"):
        raise ValueError(
            "`conditioning` must be 'film' or 'embedding'. Received: "
            f"{conditioning!r}"
        )
    tasks, shared, blocks = begin(inputs, tasks, blocks, depth)
    features = dict.fromkeys(tasks, shared)
    if conditioning == "embedding":
        if not isinstance(shared, keras.KerasTensor) or not (
            keras.backend.is_float_dtype(shared.dtype)
        ):
            raise ValueError(
                "conditioning='embedding' must have one tensor of floats to "
                f"join the task's vector to. Received: {shared}. Merge or "
                "embed inputs in a first block and pass `depth=1`."
            )
        features = {
            key: TaskEmbedding(dim=embedding_dim, name=f"{key}_embedding")(
                shared
            )
            for key in tasks
        }
    for block in blocks:
        if all(x is shared for x in features.values()):
            shared = block(shared)
            features = dict.fromkeys(tasks, shared)
        else:
            features = {key: block(x) for key, x in features.items()}
        if conditioning == "film" and block.weights:
            features = {
                key: FiLM(name=f"{key}_{block.name}_film")(x)
                for key, x in features.items()
            }
    if not any(block.weights for block in blocks):
        raise ValueError(
            "`blocks` must hold a layer with weights behind `depth`, to be "
            f"conditioned on tasks. Received: {[b.name for b in blocks]}"
        )
    return finish(inputs, tasks, features, name)
