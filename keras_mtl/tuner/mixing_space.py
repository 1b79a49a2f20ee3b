"""How often the small sources of a mixture are drawn from."""

import math
from collections.abc import Mapping
from typing import Any

from keras_mtl.data import Mixture
from keras_mtl.data.rates import Power
from keras_mtl.recipe import Splits

TEMPERATURE = "mixing/temperature"

# Sources a hundred times larger are then drawn from 1.3 times as often.
_HIGH = 20.0


def add_temperature(space: Any, train: Any) -> None:
    """Adds the temperature of the training data to a space, if it has one.

    That is so for a `data.Mixture` of several sources with a temperature;
    proportional rates are those of a temperature of 1. It is searched from 1
    to 20, on a log scale; what the recipe says is the default.

    Args:
        space: A `keras_tuner.HyperParameters`.
        train: The training data.
    """
    if not isinstance(train, Mixture) or len(train.names) < 2:
        return
    if not isinstance(train.rates, Power):
        return
    given = train.rates.temperature
    if math.isinf(given):  # equal rates: the highest is as good as that
        given = _HIGH
    space.Float(
        TEMPERATURE,
        min(1.0, given),
        max(_HIGH, given),
        sampling="log",
        default=given,
    )


def at_temperature(splits: Splits, values: Mapping[str, Any]) -> Splits:
    """The data, mixed as some values of hyperparameters tell.

    An epoch has as many steps as before.
    """
    if TEMPERATURE not in values:
        return splits
    temperature = float(values[TEMPERATURE])
    return splits._replace(train=splits.train.at_temperature(temperature))
