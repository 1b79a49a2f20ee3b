"""What the tensors of a forward pass take, counted in its graph."""

from typing import Any

import tensorflow as tf

# These hand on what is there, or belong to the variables.
_FREE = {
    *("Const", "Placeholder", "ReadVariableOp"),
    *("Identity", "IdentityN", "StopGradient", "PreventGradient"),
    *("Reshape", "ExpandDims", "Squeeze"),
}
_LOOPS = ("While", "StatelessWhile")


def activation_bytes(model: Any, x: Any) -> int | None:
    """Bytes of all tensors that a forward pass in training makes.

    A backward pass needs about all of them, and those of a loop, such as a
    recurrent layer, once for each round.

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
    return _bytes(graph)


def _bytes(graph: Any) -> int | None:
    total = 0
    for operation in graph.get_operations():
        if operation.type in _FREE:
            continue
        if operation.type in _LOOPS:
            in_rounds = _bytes_of_loop(operation)
            if in_rounds is None:
                return None
            total += in_rounds
        for tensor in operation.outputs:
            if tensor.dtype in (tf.resource, tf.variant, tf.string):
                continue
            if not tensor.shape.is_fully_defined():
                return None
            total += tensor.shape.num_elements() * tensor.dtype.size
    return total


def _bytes_of_loop(operation: Any) -> int | None:
    # The second input is the largest number of rounds, below 0 if none is
    # known.
    rounds = _static(operation.inputs[1])
    body = operation.graph._get_function(operation.get_attr("body").name)
    in_round = _bytes(body.graph)
    if rounds is None or rounds < 0 or in_round is None:
        return None
    return int(rounds) * in_round


def _static(tensor: Any) -> Any:
    value = tf.get_static_value(tensor)
    if value is None and tensor.op.type == "Max":  # as Keras has it
        value = tf.get_static_value(tensor.op.inputs[0])
    return None if value is None else value.max()
