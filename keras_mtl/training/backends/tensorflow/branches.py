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
