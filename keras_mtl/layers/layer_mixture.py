"""A learned mixture over the depths of one tower."""

from typing import Any

import numpy as np

from keras_mtl.layers.mixture import (
    Mixture,
    check_share,
    shares,
    starting_at,
    weighted_sum,
)
from keras_mtl.layers.registry import registry


@registry.register("layer_mixture")
class LayerMixture(Mixture):
    """Mixes what a tower gives at several depths, for its head to read.

        y = Σₗ β[l] · x[l]

    so that a task can learn at which depth its features lie. These are the
    β of sluice networks; `coefficients()` gives them as an array.

    Args:
        last: The coefficient that the last entry begins with; the rest up to
            1 is shared out evenly. By default all begin alike, as in the
            paper's code.
        kwargs: Arguments of every Keras layer.

    Call arguments:
        inputs: A list of features of equal shapes `(batch, ..., channels)`,
            in the order of depth.

    Raises:
        ValueError: `last` is not from 0 to 1; features of unequal shapes.

    Example:
        >>> import keras
        >>> low = keras.Input((8,))
        >>> high = keras.layers.Dense(8)(low)
        >>> mixture = LayerMixture()
        >>> mixture([low, high]).shape
        (None, 8)
        >>> print(mixture.coefficients())
        [0.5 0.5]

    Reference:
        Ruder et al., "Latent Multi-task Architecture Learning", AAAI 2019,
        arXiv:1705.08142.
    """

    def __init__(self, last: float | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.last = None if last is None else check_share(last, "last")

    def build(self, input_shape: Any) -> None:
        """Makes the coefficients, `(depths,)`."""
        self._common_shape(input_shape)
        size = len(input_shape)
        row = (
            np.full(size, 1 / size)
            if self.last is None
            else shares(self.last, size - 1, size)
        )
        self.alpha = self.add_weight(
            name="beta", shape=row.shape, initializer=starting_at(row)
        )

    def call(self, inputs: Any) -> Any:
        """The mixture."""
        return weighted_sum(inputs, self.alpha)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "last": self.last}
