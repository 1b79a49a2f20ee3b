"""Stops what is not finite where a task's gradient enters the model."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from keras_mtl.training.backends.tensorflow import replicas


class OutputGuard:
    """Lets through, at each task's output, only gradients that are finite.

    One backward pass for all losses cannot leave a task out afterwards: a
    loss that is not finite has a derivative of NaN even where it counts 0.

    Args:
        tasks: The tasks, in the order of every vector.
        reads_gradients: Whether gradients are looked at, too, or losses only.
    """

    def __init__(self, tasks: list[str], *, reads_gradients: bool) -> None:
        self.tasks = tasks
        self.reads_gradients = reads_gradients
        # Which losses can be used: a boolean scalar a task, set between the
        # forward and the backward pass.
        self.present: list[Any] = []
        self._passed: dict[int, Any] = {}

    def watch(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs of the model, to take the losses of."""
        watched = dict(outputs)
        for t, task in enumerate(self.tasks):
            watched[task] = self._watch_one(t, outputs[task])
        return watched

    def _watch_one(self, index: int, output: Any) -> Any:
        @tf.custom_gradient
        def pass_on(tensor: Any) -> Any:
            def backward(gradient: Any) -> Any:
                passes = self.present[index]
                if self.reads_gradients:
                    # The sum is finite if all are; it is cheaper to test.
                    finite = tf.math.is_finite(tf.reduce_sum(gradient))
                    passes = tf.logical_and(passes, replicas.everywhere(finite))
                self._passed[index] = passes
                return tf.where(passes, gradient, tf.zeros_like(gradient))

            return tf.identity(tensor), backward

        watched = pass_on(output)
        # `tf.identity` drops the mask that Keras hangs on a tensor.
        mask = getattr(output, "_keras_mask", None)
        if mask is not None:
            watched._keras_mask = mask
        return watched

    def usable(self) -> list[Any]:
        """Which tasks' gradients went through: a boolean scalar a task."""
        return [
            self._passed.get(t, present)
            for t, present in enumerate(self.present)
        ]
