"""What the tensors of a forward pass take, counted in its graph."""

from typing import Any

import tensorflow as tf

# These hand on what is there, or belong to the variables.
_FREE = {
    *("Const", "Placeholder", "ReadVariableOp"),
    *("Identity", "IdentityN", "StopGradient", "PreventGradient"),
    *("Reshape", "ExpandDims", "Squeeze"),
}


def activation_bytes(model: Any, x: Any) -> int | None:
    """Bytes of all tensors that a forward pass in training makes.

    A backward pass needs about all of them. Of what runs in a loop, such as a
    recurrent layer, the result alone is counted.

    Args:
        model: A Functional model.
        x: A batch of its inputs.

    Returns:
        Their number; None where the graph leaves a size open.
    """
    specs = tf.nest.map_structure(
        lambda batch: tf.TensorSpec(batch.shape, batch.dtype), x
    )
    try:
        graph = (
            tf.function(lambda x: model(x, training=True))
            .get_concrete_function(specs)
            .graph
        )
    except (ValueError, TypeError, tf.errors.OpError):
        return None
    total = 0
    for operation in graph.get_operations():
        if operation.type in _FREE:
            continue
        for tensor in operation.outputs:
            if tensor.dtype in (tf.resource, tf.variant, tf.string):
                continue
            if not tensor.shape.is_fully_defined():
                return None
            total += tensor.shape.num_elements() * tensor.dtype.size
    return total
