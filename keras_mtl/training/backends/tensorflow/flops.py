"""How many operations a forward pass takes, counted in its graph."""

import contextlib
import io
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
    if any(None in x.shape[1:] for x in model.inputs):
        return None  # the count would leave out what has no size
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
        return None
    profiler = tf.compat.v1.profiler
    options = {
        **profiler.ProfileOptionBuilder.float_operation(),
        "output": "none",
    }
    told, logger = io.StringIO(), tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")  # it warns of its own deprecations
    try:
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
            count = profiler.profile(graph, options=options).total_float_ops
    finally:
        logger.setLevel(level)
    # Where a size inside of the graph is open, the sum lacks something.
    return None if "incomplete shapes" in told.getvalue() else int(count)
