"""Looks at the tasks' gradients, and at what a step for one would do."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_mtl.linalg.gram import gram
from keras_mtl.training.backends.tensorflow.backward import Backward, Block
from keras_mtl.training.backends.tensorflow.boundary import BoundaryTap


def look_ahead(model: Any) -> Callable[..., tuple[Any, ...]]:
    """A compiled function that looks ahead and leaves the model as it was.

    Args:
        model: A compiled `MultiTaskModel`.

    Returns:
        `look(x, y, sample_weight, weights, rate)`, which takes gradients of
        the losses times `weights` `(T,)` and gives the losses `(T,)`; which
        tasks have a label `(T,)`; the losses `(T, T)`, in row i after a step
        of `-rate` times the gradient of task i in the shared variables; and
        the Gram matrices `(V, T, T)` of the gradients by shared variable.
    """

    @tf.function(reduce_retracing=True, autograph=False)
    def look(
        x: Any, y: Any, sample_weight: Any, weights: Any, rate: Any
    ) -> tuple[Any, ...]:
        # Moving averages and random state: every look sees the same noise.
        state = [(v, tf.identity(v)) for v in model.non_trainable_variables]
        losses, there, blocks = _gradients(model, x, y, sample_weight, weights)
        _put_back(state)
        moved = [
            (v, block.rows, tf.identity(v))
            for v, block in zip(model.partition.shared, blocks, strict=True)
            if block is not None
        ]

        def losses_after(task: Any) -> Any:
            for variable, rows, old in moved:
                step = rate * tf.reshape(rows[task], tf.shape(old))
                variable.assign(old - tf.cast(step, old.dtype))
            _, ahead, _ = model.each_loss(
                y, model(x, training=True), sample_weight
            )
            ahead = tf.stack(ahead)
            _put_back([(variable, old) for variable, _, old in moved])
            _put_back(state)
            return ahead

        # One after the other: they all move the same variables.
        ahead = tf.map_fn(
            losses_after,
            tf.range(len(model.tasks)),
            parallel_iterations=1,
            fn_output_signature=tf.TensorSpec(losses.shape, losses.dtype),
        )
        return losses, there, ahead, _grams(blocks, len(model.tasks))

    return look  # type: ignore[no-any-return]


def gradient_look(model: Any) -> Callable[..., Any]:
    """A compiled function that sees gradients and leaves the model as it was.

    Args:
        model: A compiled `MultiTaskModel`.

    Returns:
        `look(x, y, weights)`, which gives the Gram matrices `(V, T, T)` of the
        gradients of the losses times `weights` `(T,)`, by shared variable.
    """

    @tf.function(reduce_retracing=True, autograph=False)
    def look(x: Any, y: Any, weights: Any) -> Any:
        state = [(v, tf.identity(v)) for v in model.non_trainable_variables]
        _, _, blocks = _gradients(model, x, y, None, weights)
        _put_back(state)
        return _grams(blocks, len(model.tasks))

    return look  # type: ignore[no-any-return]


def _gradients(
    model: Any, x: Any, y: Any, sample_weight: Any, weights: Any
) -> tuple[Any, Any, list[Block | None]]:
    """Losses `(T,)`, who has labels `(T,)`, gradients by shared variable."""
    with tf.GradientTape(persistent=True) as tape:
        tap = BoundaryTap(model.partition, tape)
        with model.tapped(tap):
            y_pred = model(x, training=True)
        _, each, there = model.each_loss(y, y_pred, sample_weight)
        weighted = [
            loss * weight
            for loss, weight in zip(each, tf.unstack(weights), strict=True)
        ]
    blocks = Backward(tap, weighted).variable_blocks()
    return tf.stack(each), there, blocks


def _grams(blocks: list[Block | None], count: int) -> Any:
    return tf.stack(
        [
            tf.zeros([count, count]) if block is None else gram(block.rows)
            for block in blocks
        ]
    )


def _put_back(values: list[tuple[Any, Any]]) -> None:
    for variable, value in values:
        variable.assign(value)
