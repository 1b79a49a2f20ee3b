"""More of what is learned slowly."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_mtl.schedules.base import Schedule, registry


@registry.register("loss_driven")
class LossDriven(Schedule):
    """Tasks that learn slowly count more in the next epoch.

    With the loss L_t of the last epoch and L_t⁰ of the first, a task's factor
    is r_t^strength, r_t = L_t / L_t⁰, scaled to a mean of 1: GradNorm's
    relative inverse rate of training, with no gradient needed.

    Args:
        strength: 0 for equal factors, more to react more strongly.
        monitor: Which loss is read: `"loss"` or `"val_loss"`.
        name: Name of the layer.

    Raises:
        ValueError: A negative strength.

    Example:
        >>> LossDriven(strength=0.5).monitor
        'loss'
    """

    def __init__(
        self,
        strength: float = 1.0,
        monitor: str = "loss",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if not 0 <= strength < math.inf:
            raise ValueError(
                "`strength` must be a number that is not negative. Received: "
                f"{strength!r}"
            )
        self.strength = float(strength)
        self.monitor = monitor

    def build(self, input_shape: Sequence[int]) -> None:
        """Makes room for the first losses."""
        super().build(input_shape)
        self.first = self.add_state("first", (self.num_tasks,))

    def on_epoch_end(
        self, model: Any, epoch: int, logs: Mapping[str, float]
    ) -> None:
        """Sets the factors of the next epoch."""
        losses = np.array([self.log(logs, t, self.monitor) for t in self.tasks])
        first = ops.convert_to_numpy(self.first)
        usable = np.isfinite(losses) & (losses > 0)
        first = np.where((first == 0) & usable, losses, first)
        self.first.assign(first)
        # A loss that is 0 or broken says nothing about how its task learns.
        ratios = np.where(
            usable & (first > 0), losses / np.where(first > 0, first, 1), 1.0
        )
        powers = ratios**self.strength
        self.epoch_state.assign(powers / powers.mean())

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "name": self.name,
            "strength": self.strength,
            "monitor": self.monitor,
        }
