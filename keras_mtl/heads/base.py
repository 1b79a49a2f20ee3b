"""What all heads have in common: outputs of full precision."""

from typing import Any

import keras
from keras import ops


class Head(keras.Layer):
    """A layer whose outputs are float32 even where it computes in half.

    Probabilities, losses and what is exported need float32. Under a mixed
    policy the products run in half precision; subclasses pass their results
    through `whole` before anything that loses digits, such as a softmax.
    Under float64 everything stays float64.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    @property
    def output_dtype(self) -> str:
        """The dtype of outputs: float32, or float64 under that policy."""
        return str(keras.backend.result_type(self.compute_dtype, "float32"))

    def whole(self, x: Any) -> Any:
        """A tensor in `output_dtype`."""
        return ops.cast(x, self.output_dtype)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Shapes as computed, in `output_dtype`."""
        return keras.tree.map_structure(
            lambda spec: keras.KerasTensor(spec.shape, dtype=self.output_dtype),
            super().compute_output_spec(*args, **kwargs),
        )
