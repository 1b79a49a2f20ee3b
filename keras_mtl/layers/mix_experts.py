"""A mixture of experts, by weights that a gate gives."""

from typing import Any

import keras
from keras import ops

from keras_mtl.layers.registry import registry


@registry.register("mix_experts")
class MixExperts(keras.layers.Layer):
    """Sums the outputs of experts with the weights of a gate.

        y = Σ_e gate_e · expert_e

    Args:
        **kwargs: `name`, `dtype` and the like, for `keras.layers.Layer`.

    Raises:
        ValueError: A gate for another number of experts.

    Call arguments:
        inputs: A list `[experts, gate]`. Experts `(batch, ..., experts,
            channels)` may come in several groups before the gate, `[own,
            shared, gate]`; the gate `(batch, experts)` counts them in that
            order.

    Returns:
        `(batch, ..., channels)`.

    Example:
        >>> import keras
        >>> experts = keras.ops.array([[[1.0, 2.0], [3.0, 4.0]]])
        >>> gate = keras.ops.array([[0.5, 0.5]])
        >>> MixExperts()([experts, gate]).numpy().tolist()
        [[2.0, 3.0]]
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Checks that the gate suits the experts."""
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any) -> Any:
        """The sum over the experts."""
        *groups, gate = inputs
        start, total = 0, None
        for group in groups:
            end = start + group.shape[-2]
            weights = gate if len(groups) == 1 else gate[:, start:end]
            part = _weighted_sum(weights, group)
            total = part if total is None else ops.add(total, part)
            start = end
        return total

    def compute_output_shape(self, input_shape: Any) -> Any:
        """`(batch, ..., channels)`."""
        *groups, gate = input_shape
        counts = [shape[-2] for shape in groups]
        if len(gate) != 2 or sum(counts) != gate[-1]:
            raise ValueError(
                f"The gate must have the shape (batch, {sum(counts)}), for the "
                f"experts count {counts}. Received: a gate of shape "
                f"{tuple(gate)}."
            )
        return (*groups[0][:-2], groups[0][-1])

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The mask of the first group of experts."""
        return previous_mask[0] if previous_mask else None


def _weighted_sum(gate: Any, experts: Any) -> Any:
    if len(experts.shape) == 3:
        # A product of a row and a matrix for each example makes no array of
        # the size of the experts.
        return ops.squeeze(ops.matmul(ops.expand_dims(gate, 1), experts), 1)
    for _ in range(len(experts.shape) - 3):
        gate = ops.expand_dims(gate, 1)
    return ops.sum(ops.multiply(ops.expand_dims(gate, -1), experts), axis=-2)
