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
        # Which losses can be used `(T,)`, set between the forward and the
        # backward pass.
        self.present: Any = None
        self._passed: Any = None

    def watch(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs of the model, to take the losses of."""
        watched = self._watch_all(*[outputs[task] for task in self.tasks])
        for task, tensor in zip(self.tasks, watched, strict=True):
            # What is new drops the mask that Keras hangs on a tensor.
            mask = getattr(outputs[task], "_keras_mask", None)
            if mask is not None:
                tensor._keras_mask = mask
        return {**outputs, **dict(zip(self.tasks, watched, strict=True))}

    def _watch_all(self, *outputs: Any) -> tuple[Any, ...]:
        @tf.custom_gradient
        def pass_on(*tensors: Any) -> Any:
            def backward(*gradients: Any) -> Any:
                self._passed = self.present
                if self.reads_gradients:
                    # The sum is finite if all are; it is cheaper to test.
                    sums = [
                        tf.cast(tf.reduce_sum(gradient), "float32")
                        for gradient in gradients
                    ]
                    finite = tf.math.is_finite(tf.stack(sums))
                    self._passed = tf.logical_and(
                        self.present, replicas.everywhere(finite)
                    )
                return [
                    tf.where(passes, gradient, tf.zeros_like(gradient))
                    for passes, gradient in zip(
                        tf.unstack(self._passed), gradients, strict=True
                    )
                ]

            return [tf.identity(tensor) for tensor in tensors], backward

        return pass_on(*outputs)  # type: ignore[no-any-return]

    def usable(self) -> Any:
        """Which tasks' gradients went through `(T,)`."""
        return self.present if self._passed is None else self._passed
