"""Ends a training in the step in which a task breaks."""

import warnings
from collections.abc import Mapping
from typing import Any

import keras

from keras_mtl.training.finite import weights_are_finite

_ACTIONS = ("stop", "raise")


class TerminateOnNonFinite(keras.callbacks.Callback):
    """Ends training when the loss or the gradient of a task is not finite.

    `keras.callbacks.TerminateOnNaN` for several tasks: it names the task and
    counts. With a balancer such a task is kept out of its step, and the
    weights stay good; training goes on unless this callback ends it. (Where
    no balancing is wanted, `balancer="fixed"` is the weighted sum of Keras
    with that guard.) Without a balancer, as in Keras, the weights are damaged
    in that very step: go on from a `Checkpoint`, which saves no such model.

    Args:
        action: `"stop"` ends `fit` after the step, with a warning; `"raise"`
            raises an error.
        after: How many steps of a task are let pass first, over all epochs.
        max_loss: Ends training, too, when the mean loss of a task over an
            epoch so far is above it: losses that explode grow before they
            are infinite. None for no limit.

    Attributes:
        counts: In how many steps each task was kept out, over all epochs;
            without a balancer, the steps since its loss is not finite.

    Raises:
        ValueError: An argument does not suit; or, as training begins, a model
            that is no `MultiTaskModel`; or, with `"raise"`, a task that
            breaks.

    Example:
    >>> model.fit(  # doctest: +SKIP
    ...     x, y, callbacks=[TerminateOnNonFinite(after=10)]
    ... )
    """

    def __init__(
        self,
        action: str = "stop",
        after: int = 0,
        max_loss: float | None = None,
    ) -> None:
        super().__init__()
        if action not in _ACTIONS:
            raise ValueError(
                f"`action` must be one of {list(_ACTIONS)}. Received: "
                f"action={action!r}"
            )
        if type(after) is not int or after < 0:
            raise ValueError(
                "`after` must be an integer from 0: the steps of a task that "
                f"are let pass. Received: after={after!r}"
            )
        if max_loss is not None and not max_loss > 0:
            raise ValueError(
                "`max_loss` must be a positive number, or None for no limit. "
                f"Received: max_loss={max_loss!r}"
            )
        self.action = action
        self.after = after
        self.max_loss = max_loss
        self.counts: dict[str, int] = {}
        self._before: dict[str, int] = {}
        self._epoch = 0

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Begins to count."""
        if not hasattr(self.model, "kept_out"):
            raise ValueError(
                "TerminateOnNonFinite is for a keras_mtl.MultiTaskModel. "
                f"Received: {type(self.model).__name__}. For others there is "
                "keras.callbacks.TerminateOnNaN."
            )
        self.counts = dict.fromkeys(self.model.tasks, 0)

    def on_epoch_begin(
        self, epoch: int, logs: Mapping[str, float] | None = None
    ) -> None:
        """The model counts anew in each epoch."""
        self._epoch = epoch
        self._before = dict(self.counts)

    def on_train_batch_end(
        self, batch: int, logs: Mapping[str, float] | None = None
    ) -> None:
        """Looks at what the step tells."""
        logs = logs or {}
        if self.model.balancer is None:
            for name in self.model.not_finite():
                self.counts[name] += 1
        elif logs["kept_out"] > self._known():
            for name, count in self.model.kept_out().items():
                self.counts[name] = self._before[name] + count
        broken = {n: c for n, c in self.counts.items() if c > self.after}
        if broken:
            self._end(batch, _not_finite(broken, self.model))
        elif self.max_loss is not None:
            large = {
                name: float(loss)
                for name in self.model.tasks
                if (loss := logs[f"{name}_loss"]) > self.max_loss
            }
            if large:
                self._end(batch, _too_large(large, self.max_loss))

    def _known(self) -> int:
        """Tasks and steps of this epoch that were counted already."""
        return sum(self.counts.values()) - sum(self._before.values())

    def _end(self, batch: int, words: str) -> None:
        message = f"In step {batch + 1} of epoch {self._epoch + 1} {words}"
        if self.action == "raise":
            raise ValueError(message)
        self.model.stop_training = True
        warnings.warn(
            f"{message} Training is stopped.", RuntimeWarning, stacklevel=2
        )


def _not_finite(broken: Mapping[str, int], model: Any) -> str:
    steps = ", ".join(f"{name!r} ({count})" for name, count in broken.items())
    outcome = "They were kept out, and the weights are good."
    if model.balancer is None or not weights_are_finite(model):
        outcome = "The weights are no longer good: go on from a checkpoint."
    if model.balancer is None:
        outcome += (
            " Balancers, of which 'fixed' is the plain sum, keep such tasks "
            "out of a step."
        )
    return (
        "the loss or the gradient of these tasks, with the number of such "
        f"steps, was not finite: {steps}. {outcome}"
    )


def _too_large(large: Mapping[str, float], limit: float) -> str:
    means = ", ".join(f"{name!r}: {loss:.3g}" for name, loss in large.items())
    return (
        f"the mean losses of the epoch so far are above `max_loss={limit}`: "
        f"{means}. Look for too high a learning rate or for extreme labels."
    )
