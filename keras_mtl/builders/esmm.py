"""A chain of events: each probability is a product along the chain."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras

from keras_mtl.builders.blocks import copy_block
from keras_mtl.builders.probability_chain import check_events, probability
from keras_mtl.builders.registry import registry
from keras_mtl.builders.towers import begin
from keras_mtl.tasks import Task, TaskSet
from keras_mtl.training import MultiTaskModel


@registry.register("esmm")
def esmm(
    inputs: Any,
    tasks: TaskSet | Mapping[str, Task] | Iterable[Task],
    blocks: Any,
    depth: int = 0,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a tower for each event of a chain, and multiplies along it.

    For tasks in the order of the chain (click, buy, …), a tower for each
    gives the probability of its event given the event before, and

        p(click) = h_1(x)
        p(click and buy) = p(click) · h_2(x),    h_2(x) = p(buy | click)

    is what the outputs are. The label of a task is 1 where its event *and*
    those before it happened, so that every example has all labels and all
    towers learn from the entire space, not from clicked examples alone.

    The factor of `buy` is the output of the layer `buy_given_click`; the
    product is the layer `buy`.

    Args:
        inputs: Symbolic inputs, as the first block takes them.
        tasks: Binary tasks in the order of the chain, of any length.
        blocks: The tower, as for `hard_sharing`.
        depth: How many blocks the towers share (the embedding).
        name: Name of the model.

    Returns:
        A model with one output per task, not yet compiled.

    Raises:
        ValueError: A task that is not binary, whose loss takes logits, or
            whose head gives anything but one probability an example; a depth
            out of range.

    Example:
        >>> import keras
        >>> model = esmm(
        ...     keras.Input((8,)),
        ...     [Task("click", "binary"), Task("buy", "binary")],
        ...     [
        ...         keras.layers.Dense(16, activation="relu", name="shared"),
        ...         keras.layers.Dense(8, activation="relu", name="tower"),
        ...     ],
        ...     depth=1,
        ... )
        >>> given = model.get_layer("buy_given_click").output
        >>> conversion = keras.Model(model.input, given)

    Reference:
        Ma et al., "Entire Space Multi-Task Model: An Effective Approach for
        Estimating Post-Click Conversion Rate", SIGIR 2018, arXiv:1804.07931.
    """
    stem = begin(inputs, check_events(tasks), blocks, depth)
    outputs: dict[str, Any] = {}
    before: str | None = None
    for key, task in stem.tasks.items():
        features = stem.features
        for block in stem.blocks:
            features = copy_block(block, key)(features)
        if before is None:
            outputs[key] = probability(task, features)
        else:
            given = probability(task, features, f"{key}_given_{before}")
            # Products of probabilities are small: whole precision.
            product = keras.layers.Multiply(name=key, dtype="float32")
            outputs[key] = product([outputs[before], given])
        before = key
    return MultiTaskModel(
        inputs=inputs, outputs=outputs, tasks=stem.tasks, name=name
    )
