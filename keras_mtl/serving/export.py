"""Writes a model for TF Serving: whole, checked, or not at all."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mtl import _files
from keras_mtl._version import __version__
from keras_mtl.serving.examples import made_inputs, predict_request
from keras_mtl.serving.session import SessionModel, open_session, reason
from keras_mtl.serving.signatures import (
    ALL_TASKS,
    build_signatures,
    computes_in_half_precision,
)
from keras_mtl.serving.versions import versions

# Largest difference, as a share of the largest value of the output.
_TOLERANCE = 1e-5
_TOLERANCE_HALF = 2e-2  # bfloat16 keeps 8 bits
_TOLERANCE_TF32 = 5e-3  # GPUs multiply float32 with 10 bits

EXTRA = "assets.extra"
MODEL_CARD = "model_card.json"
REQUEST = "request.json"


def export(
    model: Any,
    path: str | os.PathLike[str],
    *,
    version: int | None = None,
) -> Path:
    """Writes a model as the next version that TF Serving will pick up.

    The SavedModel has the signature `serving_default`, which gives the
    outputs of all tasks by key, and one signature for each task, named by its
    key, which computes that task alone. It holds the weights once, and
    nothing of the optimizer or the balancer. Before it appears under its
    number it is loaded as TF Serving does and held against `model.predict`.

    Inputs and outputs in half precision are float32 in the export, because
    TF Serving's REST API has no half precision.

    Args:
        model: A `MultiTaskModel`, or any Functional model whose outputs are a
            dict.
        path: The directory of the model, `saved_models/<name>`. It is made
            if it does not exist.
        version: A positive number that is still free. Defaults to one more
            than the newest.

    Returns:
        The version's directory.

    Raises:
        ValueError: The model cannot be exported, or its export computes
            something else than the model.
        FileExistsError: `version` is there already.
        OSError: `path` cannot be written to.

    Example:
    >>> inputs = keras.Input((4,), name="pixels")
    >>> outputs = {"digit": keras.layers.Dense(10)(inputs)}
    >>> model = keras.Model(inputs, outputs)
    >>> export(model, "saved_models/digits").name  # doctest: +SKIP
    '1'
    """
    model_dir = Path(path).expanduser()
    if version is not None:
        _check_version(version, model_dir)
    module, functions = build_signatures(model)
    with _files.hidden_directory(model_dir / str(version or "next")) as staged:
        with _disk_errors_explained(model_dir):
            tf.saved_model.save(module, str(staged), signatures=functions)
        half = any(map(computes_in_half_precision, functions.values()))
        with open_session(staged) as saved:
            _verify(saved, model, _TOLERANCE_HALF if half else _tolerance())
            _write_extras(staged, saved, model)
        return _publish(staged, model_dir, version)


def _check_version(version: int, model_dir: Path) -> None:
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError(
            "`version` must be a positive integer. Received: "
            f"version={version!r}; leave it out for the next free one."
        )
    if version in versions(model_dir):
        raise FileExistsError(
            f"`version` must be free. Received: version={version}, which is "
            f"in {str(model_dir)!r} already; leave it out for the next free "
            "one."
        )


def _publish(staged: Path, model_dir: Path, version: int | None) -> Path:
    while True:
        number = version or max(versions(model_dir), default=0) + 1
        target = model_dir / str(number)
        try:
            _files.publish(staged, target)
        except FileExistsError:
            if version is not None:
                raise
            continue  # another export took the number meanwhile
        return target


def _verify(saved: SessionModel, model: Any, tolerance: float) -> None:
    for batch in (1, 3):
        inputs = made_inputs(saved.signatures[ALL_TASKS].inputs, batch)
        expected = _predict(model, inputs)
        for name in saved.signatures:
            for key, received in saved.run(name, inputs).items():
                if not _close(received, expected[key], tolerance):
                    raise ValueError(
                        f"The export computes something else than the model: "
                        f"output {key!r} of signature {name!r}, on a batch of "
                        f"{batch}. Expected: {_brief(expected[key])} "
                        f"Received: {_brief(received)} A layer that draws "
                        "random numbers, changes its state, or runs Python "
                        "code outside of the graph may be the reason. "
                        "Nothing was written."
                    )


def _predict(
    model: Any, inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    flat = [
        # `predict` takes strings as tensors, not as arrays.
        tf.constant(x) if (x := inputs[tensor.name]).dtype == object else x
        for tensor in model.inputs
    ]
    fed = keras.tree.pack_sequence_as(model.input, flat)
    try:
        outputs = model.predict(fed, batch_size=len(flat[0]), verbose=0)
    except Exception as error:
        shapes = {name: x.shape for name, x in inputs.items()}
        raise ValueError(
            "`model` cannot be checked, because `model.predict` fails on "
            f"made inputs of the shapes {shapes}. Received: "
            f"{reason(error)}. Nothing was written."
        ) from error
    return {key: np.asarray(y) for key, y in outputs.items()}


def _tolerance() -> float:
    reduced = tf.config.experimental.tensor_float_32_execution_enabled()
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    return _TOLERANCE_TF32 if reduced and on_gpu else _TOLERANCE


def _close(received: np.ndarray, expected: np.ndarray, rtol: float) -> bool:
    if received.shape != expected.shape:
        return False
    if received.dtype.kind != "f":
        return bool(np.array_equal(received, expected))
    expected = expected.astype(received.dtype)  # from half precision
    finite = np.abs(expected[np.isfinite(expected)])
    scale = float(finite.max(initial=np.finfo(received.dtype).tiny))
    return bool(
        np.allclose(
            received, expected, rtol=0, atol=rtol * scale, equal_nan=True
        )
    )


def _brief(array: np.ndarray) -> str:
    return f"{array.ravel()[:4]} of shape {array.shape} ({array.dtype})."


def _write_extras(staged: Path, saved: SessionModel, model: Any) -> None:
    signature = saved.signatures[ALL_TASKS]
    tasks = getattr(model, "tasks", None) or {}
    card = {
        "keras_mtl_version": __version__,
        "tasks": [
            {
                "name": key,
                "kind": getattr(tasks.get(key), "kind", None),
                "unit": getattr(tasks.get(key), "unit", None),
                "class_names": getattr(tasks.get(key), "class_names", None),
                "shape": signature.outputs[key].shape,
                "dtype": signature.outputs[key].dtype,
            }
            for key in model.output
        ],
        "inputs": [
            {"name": name, "shape": info.shape, "dtype": info.dtype}
            for name, info in signature.inputs.items()
        ],
    }
    request = predict_request(made_inputs(signature.inputs, batch=1))
    extra = staged / EXTRA
    _files.write_text(extra / MODEL_CARD, json.dumps(card, indent=2) + "\n")
    _files.write_text(extra / REQUEST, json.dumps(request) + "\n")


@contextlib.contextmanager
def _disk_errors_explained(model_dir: Path) -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        # TensorFlow has no error class for this.
        if "No space left" in error.message:
            raise _files.CannotWriteError(
                model_dir, "No space left on device"
            ) from error
        raise
