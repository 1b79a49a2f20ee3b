"""What happens after each epoch, whatever callbacks the user passes."""

import math
import warnings
from typing import Any

import keras

from keras_mtl.training.finite import weights_are_finite


class EpochEnd(keras.callbacks.Callback):
    """Tells balancer and schedule of epochs, and the user of what is missing.

    A task without a label in the first epoch is an error. Later it is a
    warning, so that a long run is not lost by it, nor one that goes on. Tasks
    that were kept out of steps are named once.

    Args:
        tells_more: Whether `model.epoch_logs()` join the logs of the epoch:
            not in a fit that Keras's own `Model` could do, whose logs are
            Keras's.
    """

    def __init__(self, tells_more: bool) -> None:
        super().__init__()
        self._tells_more = tells_more
        self._named: set[str] = set()
        self._told_of_weights = False
        self._counts: dict[str, int] | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Tells the schedule which epoch begins, and counts from 0."""
        self.model.reset_epoch_logs()
        if self.model.schedule is not None:
            self.model.schedule.on_epoch_begin(epoch)

    def on_test_begin(self, logs: Any = None) -> None:
        """Reads the counts of training, which validation sets to zero."""
        self._counts = self.model.kept_out()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Reads the logs of training; validation has its own keys."""
        model = self.model
        if not logs:
            raise ValueError(
                "`x` yielded no batch. Expected: at least one an epoch. Look "
                "at the data set's filters and at `take`."
            )
        if self._tells_more:
            logs.update(model.epoch_logs())
        if model.balancer is not None:
            model.balancer.on_epoch_end()
        if model.schedule is not None:
            model.schedule.on_epoch_end(model, epoch, logs)
        unknown = [
            name for name in model.tasks if math.isnan(logs[f"{name}_loss"])
        ]
        counts = self._counts or self.model.kept_out()
        if model.balancer is not None:
            logs.update({f"{n}_kept_out": float(c) for n, c in counts.items()})
        kept_out = {name: count for name, count in counts.items() if count}
        self._counts = None
        unlabelled = [name for name in unknown if name not in kept_out]
        if unknown and math.isnan(logs["loss"]):
            warnings.warn(
                f"The losses of {unknown} are NaN after epoch {epoch + 1}. "
                "Look for NaN in the inputs, for class indices out of range, "
                "for a learning rate that is too high, or for a loss outside "
                "its domain; keras_mtl.callbacks.TerminateOnNonFinite stops "
                "when it happens.",
                RuntimeWarning,
                stacklevel=2,
            )
        else:
            self._warn_of(kept_out, epoch)
            self._warn_of_weights(epoch)
        if unlabelled and not math.isnan(logs["loss"]):
            message = (
                f"`y` held no label for {unlabelled} in the whole of epoch "
                f"{epoch + 1}: all were missing. Expected: at least one an "
                "epoch. Drop the task, or bring labels for it."
            )
            if epoch == 0:
                raise ValueError(message)
            warnings.warn(message, RuntimeWarning, stacklevel=2)

    def _warn_of_weights(self, epoch: int) -> None:
        # A loss need not show what a NaN among the inputs, or in the midst of
        # the shared part, did to them: ReLU makes 0 of it.
        if self._told_of_weights or weights_are_finite(self.model):
            return
        self._told_of_weights = True
        guard = (
            ' balancer="fixed" is the same sum of losses and keeps steps with '
            "such inputs from the weights."
            if self.model.balancer is None
            else ""
        )
        warnings.warn(
            f"Weights are NaN or infinite after epoch {epoch + 1}, though the "
            "losses are not. Look for NaN in the inputs, for a layer whose "
            f"gradient is not finite, or for too high a learning rate.{guard}",
            RuntimeWarning,
            stacklevel=2,
        )

    def _warn_of(self, kept_out: dict[str, int], epoch: int) -> None:
        new = {n: c for n, c in kept_out.items() if n not in self._named}
        if not new:
            return
        self._named.update(new)
        wanted = (
            "finite and positive, as "
            f"{type(self.model.balancer).__name__} needs it"
            if self.model.balancer.needs_positive_losses
            else "finite"
        )
        steps = ", ".join(f"{name!r} in {count}" for name, count in new.items())
        warnings.warn(
            f"The loss or gradient of a task was not {wanted}, and the task "
            f"was kept out of the step: {steps} of the steps of epoch "
            f"{epoch + 1}. The others were trained. Look for a loss outside "
            "its domain, for extreme labels, or for too high a learning rate. "
            "`<task>_kept_out` in the history counts on; this is said once a "
            "task. keras_mtl.callbacks.TerminateOnNonFinite ends training.",
            RuntimeWarning,
            stacklevel=2,
        )
