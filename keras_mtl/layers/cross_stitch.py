"""Cross-stitch units: each tower reads a learned mixture of all towers."""

from typing import Any

import numpy as np

from keras_mtl.layers.mixture import (
    TowerMixture,
    shares,
    starting_at,
    weighted_sum,
)
from keras_mtl.layers.registry import registry


@registry.register("cross_stitch")
class CrossStitch(TowerMixture):
    """Gives one tower a linear combination of the features of all towers.

        y = Σₜ α[t] · x[t]                     per="tower"
        y[c] = Σₜ α[t, c] · x[t][c]            per="channel"

    A layer of its own for each tower, called on the list of all towers'
    features, makes the unit of the paper: its coefficients are one row of
    the paper's matrix. Rows begin near the identity and sum to 1; nothing
    holds them there in training. `coefficients()` gives the row as an array,
    `(towers,)` or `(towers, channels)`.

    The paper trains the coefficients with a higher learning rate than the
    towers: with SGD they move little otherwise. Adaptive optimizers such as
    Adam move them as far a step as other weights.

    Args:
        tower: The place of its own tower in the list.
        own: The coefficient that its own tower begins with; the others begin
            at `(1 - own) / (towers - 1)`.
        per: `"tower"` for one coefficient a tower, or `"channel"` for one a
            tower and channel, as the paper has them.
        kwargs: Arguments of every Keras layer.

    Call arguments:
        inputs: A list of features of equal shapes `(batch, ..., channels)`.

    Raises:
        ValueError: An option out of range; features of unequal shapes.

    Example:
        >>> import keras
        >>> towers = [keras.Input((4,)), keras.Input((4,)), keras.Input((4,))]
        >>> unit = CrossStitch(tower=1, own=0.8)
        >>> unit(towers).shape
        (None, 4)
        >>> print(unit.coefficients())
        [0.1 0.8 0.1]

    Reference:
        Misra et al., "Cross-stitch Networks for Multi-task Learning",
        CVPR 2016, arXiv:1604.03539.
    """

    def __init__(
        self,
        tower: int,
        own: float = 0.9,
        per: str = "tower",
        **kwargs: Any,
    ) -> None:
        super().__init__(tower, own, **kwargs)
        if per not in ("tower", "channel"):
            raise ValueError(
                f"`per` must be 'tower' or 'channel'. Received: per={per!r}"
            )
        self.per = per

    def build(self, input_shape: Any) -> None:
        """Makes the coefficients, `(towers,)` or `(towers, channels)`."""
        channels = self._common_shape(input_shape)[-1]
        row = shares(self.own, self.tower, len(input_shape))
        if self.per == "channel":
            row = np.repeat(row[:, None], channels, axis=1)
        self.alpha = self.add_weight(
            name="alpha", shape=row.shape, initializer=starting_at(row)
        )

    def call(self, inputs: Any) -> Any:
        """The mixture for this tower."""
        if self.per == "tower":
            return weighted_sum(inputs, self.alpha)
        mixed = inputs[0] * self.alpha[0]
        for t in range(1, len(inputs)):
            mixed += inputs[t] * self.alpha[t]
        return mixed

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "per": self.per}
