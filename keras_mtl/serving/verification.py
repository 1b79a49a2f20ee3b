"""An export held against the model that it was made of."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mtl.serving.session import reason

# Largest difference, as a share of the largest value of the output.
_TOLERANCE = 1e-5
_TOLERANCE_HALF = 2e-2  # bfloat16 keeps 8 bits
_TOLERANCE_TF32 = 5e-3  # GPUs multiply float32 with 10 bits
_TOLERANCE_WEIGHTS = 1e-2  # weights of 11 bits
_TOLERANCE_CONVERTED = 1e-4  # other kernels, sums in another order

_DECODED = "biuSO"  # kinds of dtypes: booleans, integers, strings

Arrays = Mapping[str, np.ndarray]


def tolerance(
    *,
    half: bool = False,
    half_weights: bool = False,
    converted: bool = False,
) -> float:
    """How far an output may lie off, as a share of the output's largest value.

    Args:
        half: Whether the model computes in half precision.
        half_weights: Whether the weights are stored in half precision.
        converted: Whether another library than TensorFlow computes.

    Returns:
        The share.
    """
    reduced = tf.config.experimental.tensor_float_32_execution_enabled()
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    return max(
        _TOLERANCE,
        _TOLERANCE_HALF * half,
        _TOLERANCE_WEIGHTS * half_weights,
        _TOLERANCE_CONVERTED * converted,
        _TOLERANCE_TF32 * (reduced and on_gpu),
    )


def verify(
    runs: Mapping[str, Callable[[Arrays], Mapping[str, Any]]],
    model: Any,
    inputs: Arrays,
    rtol: float,
) -> None:
    """Compares outputs with `model.predict`.

    Args:
        runs: Give the outputs of the export for a batch, by what is run.
        model: The model.
        inputs: The batch, by input name.
        rtol: From `tolerance`. Outputs that are no floats, such as indices
            and strings, must be equal at the tightest one. Else they may
            flip where two are close: shapes and kinds of dtype are compared.

    Raises:
        ValueError: The outputs differ.
    """
    # Once for all that runs: a layer that draws numbers then stands out.
    expected = _predict(model, inputs)
    batch = len(next(iter(inputs.values())))
    for what, run in runs.items():
        for key, received in run(inputs).items():
            if not _close(received, expected[key], rtol):
                raise ValueError(
                    f"The export computes something else than the model: "
                    f"output {key!r} of {what}, on a batch of "
                    f"{batch}. Expected: {_brief(expected[key])} "
                    f"Received: {_brief(received)} A layer that draws "
                    "random numbers, changes its state, or runs Python "
                    "code outside of the graph may be the reason, or numbers "
                    f"that are off by more than {rtol:g} of the largest. "
                    "Nothing was written."
                )


def _predict(model: Any, inputs: Arrays) -> dict[str, np.ndarray]:
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
            f"inputs of the shapes {shapes}, which are made up where "
            "`warmup` gives none. "
            f"Received: {reason(error)}. Nothing was written."
        ) from error
    return {key: np.asarray(y) for key, y in outputs.items()}


def _close(received: Any, expected: np.ndarray, rtol: float) -> bool:
    received = np.asarray(received)
    if received.shape != expected.shape:
        return False
    if received.dtype.kind != "f" or expected.dtype.kind in _DECODED:
        if received.dtype.kind != expected.dtype.kind:
            return False
        return rtol > _TOLERANCE or np.array_equal(received, expected)
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
