"""The optimizer, with a learning rate to be searched."""

from typing import Any

import keras


def choose_optimizer(hp: Any, optimizer: Any) -> keras.optimizers.Optimizer:
    """A new optimizer, as some hyperparameters tell.

    Args:
        hp: A `keras_tuner.HyperParameters`.
        optimizer: A function `optimizer(hp)`, which searches what it likes;
            or an optimizer, its name or config, whose learning rate is
            searched from a tenth of what it has to ten times that. A
            schedule of learning rates is left alone.
    """
    known = isinstance(optimizer, keras.optimizers.Optimizer)
    if not known and callable(optimizer):
        return optimizer(hp)
    given = optimizer if known else keras.optimizers.get(optimizer)
    config = given.get_config()
    rate = config.get("learning_rate")
    if isinstance(rate, (int, float)):
        rate = float(rate)
        config["learning_rate"] = float(
            hp.Float(
                "learning_rate",
                rate / 10,
                rate * 10,
                sampling="log",
                default=rate,
            )
        )
    return type(given).from_config(config)
