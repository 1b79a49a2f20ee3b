"""Outputs of experts as one tensor."""

from typing import Any

import keras
from keras import ops

from keras_mtl.layers.registry import registry


@registry.register("stack_experts")
class StackExperts(keras.layers.Layer):
    """Stacks the outputs of experts that are layers of any kind.

    What comes out has the shape that `Experts` gives, so that a mixture takes
    either.

    Args:
        **kwargs: `name`, `dtype` and the like, for `keras.layers.Layer`.

    Raises:
        ValueError: Outputs of unequal shapes.

    Call arguments:
        inputs: A list of tensors `(batch, ..., channels)` of one shape.

    Returns:
        `(batch, ..., experts, channels)`.

    Example:
        >>> import keras
        >>> x = keras.Input((8, 8, 3))
        >>> experts = [keras.layers.Conv2D(4, 3)(x) for _ in range(5)]
        >>> StackExperts()(experts).shape
        (None, 6, 6, 5, 4)
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Checks that the experts suit one another."""
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any) -> Any:
        """The outputs side by side."""
        return ops.stack(inputs, axis=-2)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """`(batch, ..., experts, channels)`."""
        first = tuple(input_shape[0])
        if any(tuple(shape) != first for shape in input_shape):
            raise ValueError(
                "`inputs` must be outputs of experts of one shape. Received: "
                f"shapes {[tuple(shape) for shape in input_shape]}."
            )
        return (*first[:-1], len(input_shape), first[-1])

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The mask of the first output."""
        return previous_mask[0] if previous_mask else None
