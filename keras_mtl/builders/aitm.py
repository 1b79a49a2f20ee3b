"""A chain of events: each tower hands on features to the next."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import keras
from keras import ops

from keras_mtl._registry import PACKAGE
from keras_mtl.builders.blocks import copy_block
from keras_mtl.builders.probability_chain import check_events, probability
from keras_mtl.builders.registry import registry
from keras_mtl.builders.towers import begin
from keras_mtl.layers.attention_transfer import AttentionTransfer
from keras_mtl.tasks import Task, TaskSet
from keras_mtl.training import MultiTaskModel


@registry.register("aitm")
def aitm(
    inputs: Any,
    tasks: TaskSet | Mapping[str, Task] | Iterable[Task],
    blocks: Any,
    depth: int = 0,
    calibration: float = 0.6,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a tower for each event of a chain, and hands features along it.

    For tasks in the order of the chain (click, buy, …), with the features
    `p_t` of a task's own tower and a dense layer `g_t` with ReLU:

        z_1 = p_1,    z_t = attention(p_t, g_t(z_{t-1}))

    with `layers.AttentionTransfer`, and each head reads its `z_t`. An event
    cannot be likelier than the one before it, so that the model adds the loss

        calibration · Σ_t mean(max(ŷ_t - ŷ_{t-1}, 0))

    Args:
        inputs: Symbolic inputs, as the first block takes them.
        tasks: Binary tasks in the order of the chain, of any length.
        blocks: The tower, as for `hard_sharing`.
        depth: How many blocks the towers share (the embedding).
        calibration: Factor on the added loss; 0 leaves it out.
        name: Name of the model.

    Returns:
        A model with one output per task, not yet compiled.

    Raises:
        ValueError: A task that is not binary, whose loss takes logits, or
            whose head gives anything but one probability an example; a
            negative calibration; a depth out of range.

    Example:
        >>> import keras
        >>> model = aitm(
        ...     keras.Input((8,)),
        ...     [Task("click", "binary"), Task("buy", "binary")],
        ...     [
        ...         keras.layers.Dense(16, activation="relu", name="shared"),
        ...         keras.layers.Dense(8, activation="relu", name="tower"),
        ...     ],
        ...     depth=1,
        ... )
        >>> model.get_layer("buy_transfer").name
        'buy_transfer'

    Reference:
        Xi et al., "Modeling the Sequential Dependence among Audience
        Multi-step Conversions with Multi-task Learning in Targeted Display
        Advertising", KDD 2021, arXiv:2105.08489.
    """
    stem = begin(inputs, check_events(tasks), blocks, depth)
    outputs = {}
    handed_on = None
    for key, task in stem.tasks.items():
        features = stem.features
        for block in stem.blocks:
            features = copy_block(block, key)(features)
        if handed_on is not None:
            information = keras.layers.Dense(
                features.shape[-1],
                activation="relu",
                name=f"{key}_information",
            )
            transfer = AttentionTransfer(name=f"{key}_transfer")
            features = transfer([features, information(handed_on)])
        handed_on = features
        outputs[key] = probability(task, features)
    return CalibratedChain(
        inputs=inputs,
        outputs=outputs,
        tasks=stem.tasks,
        name=name,
        calibration=calibration,
    )


@keras.saving.register_keras_serializable(package=PACKAGE)
class CalibratedChain(MultiTaskModel):
    """A model whose outputs are penalized where they rise along the chain.

    The loss is the model's and no layer's: a layer in a task's tower that
    read the output before would make that output's head shared. It counts
    where the model is part of another, too.

    Args:
        *args: As for `MultiTaskModel`.
        calibration: Factor on `Σ_t mean(max(ŷ_t - ŷ_{t-1}, 0))`.
        **kwargs: As for `MultiTaskModel`.

    Raises:
        ValueError: A calibration that is negative or not finite.
    """

    def __init__(
        self, *args: Any, calibration: float = 0.6, **kwargs: Any
    ) -> None:
        if len(args) > 1:  # from `clone_model`
            calibration = getattr(args[1], "calibration", calibration)
        super().__init__(*args, **kwargs)
        if not 0 <= calibration < float("inf"):
            raise ValueError(
                "`calibration` must be a finite number that is not negative. "
                f"Received: calibration={calibration!r}"
            )
        self.calibration = float(calibration)

    def call(
        self, inputs: Any, training: Any = None, mask: Any = None, **kwargs: Any
    ) -> Any:
        """The outputs; by how much they rise along the chain is a loss."""
        outputs = super().call(inputs, training=training, mask=mask, **kwargs)
        rises = [
            ops.mean(ops.relu(later - earlier))
            for earlier, later in itertools.pairwise(outputs.values())
        ]
        if self.calibration and rises:
            # A Functional model has no `add_loss` of its own, but is a layer.
            keras.Layer.add_loss(self, self.calibration * sum(rises))
        return outputs

    def _run_through_graph(self, *args: Any, **kwargs: Any) -> Any:
        outputs = super()._run_through_graph(*args, **kwargs)
        # Those of a clone, to which Keras hands on nothing else.
        if hasattr(outputs, "weight_penalty"):
            outputs.calibration = self.calibration
        return outputs

    def get_config(self) -> dict[str, Any]:
        """The graph, the tasks and the calibration."""
        return {**super().get_config(), "calibration": self.calibration}
