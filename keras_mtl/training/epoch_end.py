"""What happens after each epoch, whatever callbacks the user passes."""

import math
import warnings
from typing import Any

import keras


class EpochEnd(keras.callbacks.Callback):
    """Tells the balancer of each epoch, and the user of what is missing.

    A task without a label in the first epoch of a `fit` is an error. Later it
    is a warning, so that a long run is not lost by it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._epochs_done = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Reads the logs of training; validation has its own keys."""
        model = self.model
        if not logs:
            raise ValueError(
                "`x` yielded no batch. Expected: at least one an epoch. Look "
                "at the data set's filters and at `take`."
            )
        if model.balancer is not None:
            model.balancer.on_epoch_end()
        unknown = [
            name for name in model.tasks if math.isnan(logs[f"{name}_loss"])
        ]
        if unknown and math.isnan(logs["loss"]):
            warnings.warn(
                f"The losses of {unknown} are NaN after epoch {epoch + 1}. "
                "Look for NaN in the inputs, for class indices out of range, "
                "for a learning rate that is too high, or for a loss outside "
                "its domain; keras.callbacks.TerminateOnNaN stops when it "
                "happens.",
                RuntimeWarning,
                stacklevel=2,
            )
        elif unknown:
            message = (
                f"`y` held no label for {unknown} in the whole of epoch "
                f"{epoch + 1}: all were missing. Expected: at least one an "
                "epoch. Drop the task, or bring labels for it."
            )
            if self._epochs_done == 0:
                raise ValueError(message)
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        self._epochs_done += 1
