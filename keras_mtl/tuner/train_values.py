"""Trains the model that some values of hyperparameters describe."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from keras_mtl.analysis.training import train_once
from keras_mtl.callbacks import load_checkpoint
from keras_mtl.recipe import Recipe, Splits
from keras_mtl.tuner.hypermodel import MultiTaskHyperModel
from keras_mtl.tuner.mixing_space import at_temperature


def train_values(
    hypermodel: MultiTaskHyperModel,
    recipe: Recipe,
    splits: Splits,
    values: Mapping[str, Any],
    *,
    seed: int,
    epochs: int,
    callbacks: Sequence[Any] = (),
    checkpoint: Path | None = None,
) -> tuple[Any, dict[str, list[float]], float]:
    """Trains one model; the same arguments give the same model.

    Args:
        hypermodel: Builds it.
        recipe: Has the batch size.
        splits: From `load_splits`.
        values: Of hyperparameters, by name; others have their defaults.
        seed: Of weights and data order.
        epochs: The epoch to end with.
        callbacks: Keras callbacks.
        checkpoint: The file of the same values and seed, trained for fewer
            epochs, to go on with; it is begun anew where there is none.

    Returns:
        The model, the logs of all its epochs and the seconds of `fit`.
    """
    done = 0
    history: dict[str, list[float]] = {}
    if checkpoint is not None and checkpoint.exists():
        model, done, history = load_checkpoint(checkpoint)
    else:
        keras.utils.set_random_seed(seed)
        hp = keras_tuner.HyperParameters()
        hp.values = dict(values)
        model = hypermodel.build(hp)
    model, more, seconds = train_once(
        recipe,
        at_temperature(splits, values),
        recipe.tasks,
        seed=seed,
        epochs=epochs,
        callbacks=callbacks,
        model=model,
        initial_epoch=done,
    )
    logs = {key: history.get(key, []) + more[key] for key in more}
    return model, logs, seconds
