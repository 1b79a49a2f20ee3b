"""A choice in the graph of which one side is rarely taken."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def usually(
    fine: Any, then: Callable[[], Any], otherwise: Callable[[], Any]
) -> Any:
    """`tf.cond` whose other side costs nothing while it is not taken.

    TensorFlow merges both sides of a condition into the graph around it, and
    walks through each operation of the dead one in every step. A function that
    is not merged is one operation.

    Args:
        fine: A boolean scalar.
        then: Called where it is true.
        otherwise: Called where it is not; returns the same structure. It may
            not create variables.
    """
    if tf.executing_eagerly():
        return tf.cond(fine, then, otherwise)
    apart = tf.function(
        otherwise, autograph=False, experimental_attributes={"_noinline": True}
    )
    return tf.cond(fine, then, lambda: apart())


def whole(
    fine: Any, then: Callable[[], Any], otherwise: Callable[[], Any]
) -> Any:
    """`usually`, for a choice of which the common side does next to nothing.

    A condition merged into the graph passes each tensor that a side reads
    through a switch of its own, in every step. This one stays one operation,
    which waits for all that it reads.

    Args:
        fine: A boolean scalar.
        then: Called where it is true; returns at least one tensor.
        otherwise: As for `usually`.
    """
    result = usually(fine, then, otherwise)
    if not tf.executing_eagerly():
        # `tf.cond` returns identities of what its operation returns.
        choice = tf.nest.flatten(result)[0].op.inputs[0].op
        choice._set_attr(
            "_lower_using_switch_merge", tf.compat.v1.AttrValue(b=False)
        )
    return result
