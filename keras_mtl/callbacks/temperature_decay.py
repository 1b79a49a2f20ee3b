"""Temperatures of learned choices, lowered from epoch to epoch."""

from collections.abc import Iterator
from typing import Any

import keras

from keras_mtl.layers.gumbel_choice import GumbelChoice, check_temperature


class TemperatureDecay(keras.callbacks.Callback):
    """Lowers the temperature of all learned choices once an epoch.

    In epoch `e`, from 0, a layer that began with `t` has

        max(t · rate ** e, minimum)

    so that a training that goes on with `initial_epoch` goes on with the
    temperature too. The temperature is a variable: nothing is traced anew.
    A layer that begins below `minimum` keeps its temperature.

    Args:
        rate: Factor per epoch, above 0 and at most 1. The released code of
            AdaShare uses 0.965 every 100 steps.
        minimum: The lowest temperature, above 0.

    Raises:
        ValueError: A rate or minimum out of range; or, as training begins, a
            model without a `BranchChoice` or `SkipChoice`.

    Example:
    >>> model.fit(  # doctest: +SKIP
    ...     x, y, epochs=50, callbacks=[TemperatureDecay(rate=0.9)]
    ... )
    """

    def __init__(self, rate: float = 0.965, minimum: float = 0.1) -> None:
        super().__init__()
        if not 0 < rate <= 1:
            raise ValueError(
                "`rate` must be a factor above 0 and at most 1. Received: "
                f"rate={rate!r}"
            )
        check_temperature(minimum, argument="minimum")
        self.rate = rate
        self.minimum = minimum

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Looks for the choices."""
        if next(_choices(self.model), None) is None:
            raise ValueError(
                "TemperatureDecay needs a model with learned choices "
                "(BranchChoice, SkipChoice). Received: a model without any. "
                "Leave the callback out, or build the model with `branching` "
                "or `adashare`."
            )

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Sets the temperature of the epoch."""
        for layer in _choices(self.model):
            start = layer.initial_temperature
            lowest = min(start, self.minimum)
            layer.temperature.assign(max(start * self.rate**epoch, lowest))


def _choices(model: Any) -> Iterator[GumbelChoice]:
    for layer in model.layers:
        if isinstance(layer, GumbelChoice):
            yield layer
        elif isinstance(layer, keras.Model):
            yield from _choices(layer)
