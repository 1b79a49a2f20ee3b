"""A model's graphs for serving: one for all tasks, and one for each."""

import re
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

ALL_TASKS = "serving_default"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# The REST API of TF Serving has no words for these.
_HALF = (tf.float16, tf.bfloat16)


def build_signatures(model: Any) -> tuple[tf.Module, dict[str, Any]]:
    """Traces a model for serving.

    Args:
        model: A Functional model whose outputs are a dict by task.

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
    traced = {name: _trace(graph) for name, graph in graphs.items()}

    # Not the Keras model: TF Serving finds no variables in a module that
    # holds one. Raw variables are also written only once.
    module = tf.Module()
    module.weights = _unique(v for f in traced.values() for v in f.variables)
    module.tables = [
        node
        for node in tf.train.TrackableView(graphs[ALL_TASKS]).descendants()
        if isinstance(node, tf.saved_model.experimental.TrackableResource)
    ]
    return module, traced


def computes_in_half_precision(function: Any) -> bool:
    """Whether a traced function has tensors in half precision."""
    return any(
        tensor.dtype in _HALF
        for operation in function.graph.get_operations()
        for tensor in operation.outputs
    )


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
        if key == ALL_TASKS:
            raise ValueError(
                f"A task must not be called {ALL_TASKS!r}, which is the name "
                "of the signature with all tasks. Received: output keys "
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


def _trace(graph: Any) -> Any:
    names = [tensor.name for tensor in graph.inputs]
    dtypes = [tensor.dtype for tensor in graph.inputs]

    def serve(inputs: dict[str, Any]) -> dict[str, Any]:
        flat = [
            tf.cast(inputs[name], dtype) if _is_half(dtype) else inputs[name]
            for name, dtype in zip(names, dtypes, strict=True)
        ]
        outputs = graph(flat, training=False)
        return {
            key: tf.cast(y, tf.float32) if y.dtype in _HALF else y
            for key, y in outputs.items()
        }

    specs = {
        tensor.name: tf.TensorSpec(
            (None, *tensor.shape[1:]),
            tf.float32 if _is_half(tensor.dtype) else tensor.dtype,
            name=tensor.name,
        )
        for tensor in graph.inputs
    }
    return tf.function(serve, input_signature=[specs]).get_concrete_function()


def _is_half(dtype: str) -> bool:
    return tf.as_dtype(dtype) in _HALF


def _unique(variables: Any) -> list[Any]:
    return list({id(variable): variable for variable in variables}.values())
