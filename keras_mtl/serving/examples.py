"""Inputs for a signature, given or made up, and requests made of them."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mtl.serving.rest_format import text
from keras_mtl.serving.session import TensorInfo

# Large enough for a few poolings, small enough to be quick.
_ANY_SIZE = 32
_WORDS = ("a", "a b", "")


def made_inputs(
    infos: Mapping[str, TensorInfo], batch: int
) -> dict[str, np.ndarray]:
    """Arrays that fit a signature, the same at every call.

    Floats lie between -1 and 1; integers are 0 or 1, which any vocabulary
    has.

    Args:
        infos: What the signature takes, by name.
        batch: The size of the first axis.

    Returns:
        An array for each input.
    """
    rng = np.random.default_rng(0)
    return {
        name: _made(info, batch, rng) for name, info in sorted(infos.items())
    }


def given_inputs(
    model: Any, infos: Mapping[str, TensorInfo], rows: Any
) -> dict[str, np.ndarray]:
    """Arrays by input name, from what `model.predict` takes.

    Args:
        model: The model.
        infos: What its signature takes, by name.
        rows: Rows for its inputs: of the structure of `model.input`, or a
            dict by the names of the inputs.

    Returns:
        The arrays, in the dtypes of the signature.

    Raises:
        ValueError: The rows do not fit.
    """
    arrays = {
        name: _as_array(name, value, infos[name])
        for name, value in _by_name(model, rows).items()
    }
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise ValueError(
            "`warmup` must have rows, and as many for every input. "
            f"Received: rows by input {lengths}"
        )
    return arrays


def predict_request(inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The body of a request to TF Serving's predict API, in row format.

    Args:
        inputs: The arrays of one batch, by input name.

    Returns:
        What goes into JSON: plain rows for one input, else an object a row.
    """
    # A few digits do for an example, and keep images short.
    columns = {name: _column(x) for name, x in inputs.items()}
    if len(columns) == 1:
        (rows,) = columns.values()
    else:
        rows = [
            dict(zip(columns, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ]
    return {"instances": rows}


def _column(array: np.ndarray) -> list[Any]:
    if array.dtype.kind == "f":
        array = array.astype(float).round(2)
    elif array.dtype == object:
        array = np.frompyfunc(text, 1, 1)(array)
    rows: list[Any] = array.tolist()
    return rows


def _by_name(model: Any, rows: Any) -> dict[str, Any]:
    names = [tensor.name for tensor in model.inputs]
    if isinstance(rows, Mapping) and set(rows) == set(names):
        return {name: rows[name] for name in names}
    try:
        keras.tree.assert_same_structure(model.input, rows)
    except (TypeError, ValueError) as error:
        if len(names) == 1 and not isinstance(rows, Mapping):
            return {names[0]: rows}
        raise ValueError(
            "`warmup` must be arrays as `model.predict` takes them, or a dict "
            f"by input name, of {names}. Received: {type(rows).__name__}"
        ) from error
    return dict(zip(names, keras.tree.flatten(rows), strict=True))


def _as_array(name: str, value: Any, info: TensorInfo) -> np.ndarray:
    dtype = tf.as_dtype(info.dtype)
    try:
        array = np.asarray(value)
        array = array.astype(dtype.as_numpy_dtype, copy=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`warmup` must have {info.dtype} for input {name!r}. Received: "
            f"{error}"
        ) from error
    if not tf.TensorShape(info.shape).is_compatible_with(array.shape):
        raise ValueError(
            f"`warmup` must have the shape {info.shape} for input {name!r}, "
            f"with rows in front. Received: {array.shape}"
        )
    return array


def _made(info: TensorInfo, batch: int, rng: np.random.Generator) -> np.ndarray:
    sizes = (info.shape or (None,))[1:]
    shape = (batch, *(_ANY_SIZE if n is None else n for n in sizes))
    dtype = tf.as_dtype(info.dtype)
    if dtype == tf.string:
        return np.resize(np.array(_WORDS, object), shape)
    if dtype.is_floating:
        return rng.uniform(-1, 1, size=shape).astype(dtype.as_numpy_dtype)
    return rng.integers(0, 2, size=shape).astype(dtype.as_numpy_dtype)
