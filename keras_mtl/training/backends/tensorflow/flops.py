"""How many operations a forward pass takes, counted in its graph."""

from typing import Any

import tensorflow as tf


def forward_flops(model: Any) -> int | None:
    """Floating-point operations of a forward pass of one example.

    A multiplication and an addition count as two. What runs in a loop, such
    as a recurrent layer, is counted as one round of it.

    Args:
        model: A Functional model.

    Returns:
        Their number; None where a graph cannot be made of one example.
    """
    inputs = [
        tf.TensorSpec([1, *x.shape[1:]], x.dtype, name=x.name)
        for x in model.inputs
    ]
    packed = tf.nest.pack_sequence_as(model.input, inputs)
    try:
        graph = (
            tf.function(lambda x: model(x, training=False))
            .get_concrete_function(packed)
            .graph
        )
    except (ValueError, TypeError, tf.errors.OpError):
        return None  # such as axes of unknown length
    profiler = tf.compat.v1.profiler
    options = {
        **profiler.ProfileOptionBuilder.float_operation(),
        "output": "none",
    }
    return int(profiler.profile(graph, options=options).total_float_ops)
