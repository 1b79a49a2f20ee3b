"""Arrays in the JSON of TF Serving's REST API, read and written."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl.serving.session import TensorInfo

_BASE64 = "b64"
_DEEPEST = 32  # axes of an array; NumPy has 64
_JSON_TYPES: dict[str, set[type]] = {
    "b": {bool},
    "i": {int},
    "u": {int},
    "f": {int, float},
    "O": {str, dict},
}


def text(value: str | bytes) -> str | dict[str, str]:
    """A string as JSON has it: bytes that are no text go in base 64.

    Args:
        value: The string.

    Returns:
        Text, or `{"b64": …}`.
    """
    if isinstance(value, str):
        return value
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        return in_base64(value)


def in_base64(value: bytes) -> dict[str, str]:
    """Any bytes as JSON has them."""
    return {_BASE64: base64.b64encode(value).decode()}


def is_base64(value: Any) -> bool:
    """Whether a JSON object is a string in base 64."""
    return isinstance(value, dict) and set(value) == {_BASE64}


def nested(name: str, array: np.ndarray) -> Any:
    """An array as nested lists.

    Args:
        name: Of the output: as in TF Serving, strings of one that ends in
            `_bytes` are in base 64, all others must be text.
        array: Booleans, numbers or strings.

    Returns:
        What goes into JSON. NaN and infinities are written as such.

    Raises:
        ValueError: JSON has no words for the values.
    """
    if array.dtype.kind not in _JSON_TYPES:
        raise ValueError(
            f"{name!r} is {array.dtype}, which JSON has no numbers for; ask "
            "over gRPC."
        )
    if array.dtype != object:
        return array.tolist()
    write = in_base64 if name.endswith("_bytes") else bytes.decode
    try:
        return np.asarray(np.frompyfunc(write, 1, 1)(array), object).tolist()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name!r} holds bytes that are no text; ask over gRPC, or export "
            f"it under a name that ends in '_bytes' ({error})."
        ) from error


def array(name: str, value: Any, info: TensorInfo) -> np.ndarray:
    """An array from nested lists, strictly of the dtype.

    Args:
        name: Of the input or output, for messages.
        value: What JSON held.
        info: What it is to be.

    Returns:
        The array.

    Raises:
        ValueError: The value is none of this dtype, or ragged.
    """
    dtype = tf.as_dtype(info.dtype).as_numpy_dtype
    kind = np.dtype(dtype).kind
    if kind not in _JSON_TYPES:
        raise ValueError(f"{name!r} is {info.dtype}: ask over gRPC.")
    leaves: list[Any] = []
    deepest = _DEEPEST if info.shape is None else len(info.shape)
    shape = _flatten(name, value, leaves, deepest)
    for leaf in leaves:
        if type(leaf) not in _JSON_TYPES[kind]:
            raise ValueError(
                f"{name!r} must be {info.dtype}. Received: {_brief(leaf)}"
            )
    try:
        if kind == "O":
            flat = np.empty(len(leaves), object)
            flat[:] = [_bytes(leaf) for leaf in leaves]
        elif kind == "f":
            with np.errstate(over="raise"):
                flat = np.array(leaves, np.float64).astype(dtype)
        else:
            flat = np.array(leaves, dtype)
    except (ValueError, OverflowError, FloatingPointError) as error:
        raise ValueError(
            f"{name!r} must be {info.dtype}. Received: {error}"
        ) from error
    return flat.reshape(shape)


def rows(
    instances: Any, infos: Mapping[str, TensorInfo]
) -> dict[str, list[Any]]:
    """The columns of a request in row format.

    Args:
        instances: A list: values of the one input, or objects by input name.
        infos: What the signature takes, by name.

    Returns:
        A list for each input.

    Raises:
        ValueError: Some row has other inputs.
    """
    if not isinstance(instances, list) or not instances:
        raise ValueError("'instances' must be a list that is not empty.")
    named = [isinstance(row, dict) and not is_base64(row) for row in instances]
    if len(infos) == 1 and not any(named):
        return {name: instances for name in infos}
    for number, row in enumerate(instances):
        if not isinstance(row, dict) or set(row) != set(infos):
            raise ValueError(
                f"Row {number} of 'instances' must be an object with "
                f"{sorted(infos)}. Received: {_brief(row)}"
            )
    return {name: [row[name] for row in instances] for name in infos}


def _flatten(
    name: str, value: Any, leaves: list[Any], deepest: int
) -> tuple[int, ...]:
    """Appends what lies in lists to `leaves`, and returns the shape."""
    if not isinstance(value, list):
        leaves.append(value)
        return ()
    if deepest == 0:
        raise ValueError(f"{name!r} has more axes than its signature.")
    shapes = {_flatten(name, item, leaves, deepest - 1) for item in value}
    if len(shapes) > 1:
        raise ValueError(
            f"{name!r} has lists of different lengths side by side: "
            f"{sorted(shapes)[:3]}"
        )
    return (len(value), *(shapes.pop() if shapes else ()))


def _bytes(leaf: str | dict[str, Any]) -> bytes:
    if isinstance(leaf, str):
        return leaf.encode()
    if not is_base64(leaf) or not isinstance(leaf[_BASE64], str):
        raise ValueError(f"{_brief(leaf)}, which is no string")
    return base64.b64decode(leaf[_BASE64], validate=True)


def _brief(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:80]}…"
