"""A model's graphs for serving: for all tasks, each, groups, tf.Example."""

import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mtl.serving.half_weights import HalfWeight, half_weights
from keras_mtl.serving.session import Signature, tensor_info
from keras_mtl.serving.tf_example import parse_examples, serialized_examples

ALL_TASKS = "serving_default"
EXAMPLES = "serving_examples"

# The name that TFX gives it.
_SERIALIZED = "examples"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# The REST API of TF Serving has no words for these.
_HALF = (tf.float16, tf.bfloat16)


def build_signatures(
    model: Any,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    examples: bool = False,
    float16: bool = False,
) -> tuple[tf.Module, dict[str, Any]]:
    """Traces a model for serving.

    Args:
        model: A Functional model whose outputs are a dict by task.
        groups: Tasks by the name of a signature that computes them alone.
        examples: Whether to add a signature that takes `tf.Example`s.
        float16: Whether to store float16 copies in place of the weights.

    Returns:
        A module that owns the variables and tables that the graphs use, and
        no others; and the traced functions by signature name. Inputs and
        outputs in half precision are float32 outside.

    Raises:
        ValueError: The model, or the name of a task or input, does not suit.
    """
    outputs = _output_dict(model)
    graphs = {ALL_TASKS: keras.Model(model.inputs, outputs)}
    for key, tensor in outputs.items():
        graphs[key] = keras.Model(model.inputs, {key: tensor})
    for name, keys in _checked_groups(groups or {}, outputs).items():
        graphs[name] = keras.Model(model.inputs, {k: outputs[k] for k in keys})
    halves = half_weights(graphs[ALL_TASKS].variables) if float16 else {}
    traced = {name: _trace(graph, halves) for name, graph in graphs.items()}
    if examples:
        traced[EXAMPLES] = _trace_examples(graphs[ALL_TASKS], halves)

    # Not the Keras model: TF Serving finds no variables in a module that
    # holds one. Raw variables are also written only once.
    module = tf.Module()
    module.weights = _unique(v for f in traced.values() for v in f.variables)
    module.halves = list(halves.values())
    module.stored = [half.stored for half in module.halves]
    module.tables = _tables(graphs[ALL_TASKS])
    return module, traced


def traced_signature(function: Any) -> Signature:
    """What a traced function takes and gives."""
    (inputs,), _ = function.structured_input_signature
    outputs = function.structured_outputs
    return Signature(
        {name: tensor_info(inputs[name]) for name in sorted(inputs)},
        {name: tensor_info(outputs[name]) for name in sorted(outputs)},
    )


def feed(name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What a signature takes, for the inputs of the model.

    Args:
        name: The signature's name.
        inputs: Arrays by the names of the model's inputs.

    Returns:
        The same arrays, or serialized `tf.Example`s.
    """
    if name == EXAMPLES:
        return {_SERIALIZED: serialized_examples(inputs)}
    return dict(inputs)


def computes_in_half_precision(function: Any) -> bool:
    """Whether a traced function has tensors in half precision."""
    return any(
        tensor.dtype in _HALF
        for operation in function.graph.get_operations()
        for tensor in operation.outputs
    )


def _tables(graph: Any) -> list[Any]:
    """The lookup tables and the like that the layers of a model hold.

    TensorFlow does not look into a Keras layer's lists and dicts.
    """
    found = {}
    seen = set()
    nodes = list(tf.train.TrackableView(graph).descendants())
    while nodes:
        node = nodes.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, tf.saved_model.experimental.TrackableResource):
            found[id(node)] = node
        elif isinstance(node, keras.layers.Layer):
            nodes += vars(node).values()
        elif isinstance(node, (list, tuple)):
            nodes += node
        elif isinstance(node, Mapping):
            nodes += node.values()
    return list(found.values())


def _output_dict(model: Any) -> dict[str, Any]:
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Exporting needs the TensorFlow backend of Keras. Received: "
            f"KERAS_BACKEND={keras.backend.backend()!r}; load the .keras file "
            "in a process with KERAS_BACKEND=tensorflow and export it there."
        )
    outputs = getattr(model, "output", None)
    if not isinstance(outputs, Mapping) or any(
        not keras.utils.is_keras_tensor(t) for t in outputs.values()
    ):
        raise ValueError(
            "`model` must be a Functional model whose outputs are a dict with "
            "one tensor for each task. Received: "
            f"{type(model).__name__} with outputs {outputs!r}; write "
            "keras.Model(inputs, {'task': tensor, …})."
        )
    for key in outputs:
        _check_name(key, "output key", "the task")
        if key in (ALL_TASKS, EXAMPLES):
            raise ValueError(
                f"A task must not be called {key!r}, which is the name "
                "of a signature with all tasks. Received: output keys "
                f"{list(outputs)}; rename the task."
            )
    names = [tensor.name for tensor in model.inputs]
    for name in names:
        _check_name(name, "input name", "the keras.Input")
    if len(set(names)) < len(names):
        raise ValueError(
            "Inputs of `model` must have different names. Received: "
            f"{names}; give each keras.Input a name of its own."
        )
    return dict(outputs)


def _check_name(name: Any, what: str, owner: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"Every {what} must start with a letter or digit and consist of "
            "letters, digits, '_', '.' and '-', because it names a part of "
            f"the exported graph. Received: {what} {name!r}; rename {owner}."
        )


def _checked_groups(
    groups: Mapping[str, Sequence[str]], outputs: Mapping[str, Any]
) -> Mapping[str, Sequence[str]]:
    for name, keys in groups.items():
        _check_name(name, "name in `groups`", "the group")
        if name in outputs or name in (ALL_TASKS, EXAMPLES):
            raise ValueError(
                "A name in `groups` must be none of a task or of another "
                f"signature. Received: {name!r}; rename the group."
            )
        unknown = [key for key in keys if key not in outputs]
        if isinstance(keys, str) or unknown or not keys:
            raise ValueError(
                f"`groups[{name!r}]` must be a list of tasks, of "
                f"{list(outputs)}. Received: {keys!r}"
            )
    return groups


def _trace(graph: Any, halves: Mapping[int, HalfWeight]) -> Any:
    def serve(inputs: dict[str, Any]) -> dict[str, Any]:
        return _outputs(graph, inputs, halves)

    signature = [_specs(graph)]
    return tf.function(serve, input_signature=signature).get_concrete_function()


def _trace_examples(graph: Any, halves: Mapping[int, HalfWeight]) -> Any:
    specs = _specs(graph)

    def serve(inputs: dict[str, Any]) -> dict[str, Any]:
        return _outputs(
            graph, parse_examples(inputs[_SERIALIZED], specs), halves
        )

    signature = [
        {_SERIALIZED: tf.TensorSpec((None,), tf.string, name=_SERIALIZED)}
    ]
    return tf.function(serve, input_signature=signature).get_concrete_function()


def _specs(graph: Any) -> dict[str, tf.TensorSpec]:
    return {
        tensor.name: tf.TensorSpec(
            (None, *tensor.shape[1:]),
            tf.float32 if _is_half(tensor.dtype) else tensor.dtype,
            name=tensor.name,
        )
        for tensor in graph.inputs
    }


def _outputs(
    graph: Any, inputs: Mapping[str, Any], halves: Mapping[int, HalfWeight]
) -> dict[str, Any]:
    flat = [
        tf.cast(inputs[tensor.name], tensor.dtype)
        if _is_half(tensor.dtype)
        else inputs[tensor.name]
        for tensor in graph.inputs
    ]
    replaced = [
        (variable, halves[id(variable)].value())
        for variable in graph.variables
        if id(variable) in halves
    ]
    with (
        keras.StatelessScope(replaced) if replaced else contextlib.nullcontext()
    ):
        outputs = graph(flat, training=False)
    return {
        key: tf.cast(y, tf.float32) if y.dtype in _HALF else y
        for key, y in outputs.items()
    }


def _is_half(dtype: str) -> bool:
    return tf.as_dtype(dtype) in _HALF


def _unique(variables: Any) -> list[Any]:
    return list({id(variable): variable for variable in variables}.values())
