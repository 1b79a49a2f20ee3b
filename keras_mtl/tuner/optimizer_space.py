"""The optimizer, with what is searched of it."""

from typing import Any

import keras


def choose_optimizer(hp: Any, optimizer: Any) -> keras.optimizers.Optimizer:
    """A new optimizer, as some hyperparameters tell.

    Args:
        hp: A `keras_tuner.HyperParameters`.
        optimizer: A function `optimizer(hp)`, which searches what it likes;
            or an optimizer, its name or config, whose learning rate and
            weight decay, if it has one, are searched from a tenth of what it
            has to ten times that. A schedule of learning rates is left alone.
    """
    known = isinstance(optimizer, keras.optimizers.Optimizer)
    if not known and callable(optimizer):
        return optimizer(hp)
    given = optimizer if known else keras.optimizers.get(optimizer)
    config = given.get_config()
    for name in ("learning_rate", "weight_decay"):
        value = config.get(name)
        if isinstance(value, (int, float)) and value > 0:
            value = float(value)
            config[name] = float(
                hp.Float(
                    name, value / 10, value * 10, sampling="log", default=value
                )
            )
    return type(given).from_config(config)
