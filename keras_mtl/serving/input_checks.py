"""Whether arrays fit a signature: held by the client and by the server."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from keras_mtl.serving.session import TensorInfo


def check_fit(
    inputs: Mapping[str, np.ndarray], infos: Mapping[str, TensorInfo]
) -> None:
    """Compares names, dtypes and shapes, and that there are as many rows.

    Args:
        inputs: Arrays by input name.
        infos: What the signature takes, by name.

    Raises:
        ValueError: They do not fit; the message tells which.
    """
    check_names(inputs, infos)
    for name, array in inputs.items():
        info = infos[name]
        if tf.as_dtype(array.dtype) != tf.as_dtype(info.dtype):
            raise ValueError(
                f"Input {name!r} must be {info.dtype}. Received: {array.dtype}"
            )
        if not tf.TensorShape(info.shape).is_compatible_with(array.shape):
            raise ValueError(
                f"Input {name!r} must have the shape {info.shape}, where None "
                f"is any size. Received: {array.shape}"
            )
    rows = {name: x.shape[0] for name, x in inputs.items() if x.ndim}
    if len(set(rows.values())) > 1 or 0 in rows.values():
        raise ValueError(
            "Inputs must have rows, and all of them as many. Received: "
            f"rows by input {rows}"
        )


def check_names(
    inputs: Mapping[str, object], infos: Mapping[str, TensorInfo]
) -> None:
    """Compares the names alone.

    Args:
        inputs: Anything by input name.
        infos: What the signature takes, by name.

    Raises:
        ValueError: Some are missing or unknown.
    """
    if set(inputs) != set(infos):
        raise ValueError(
            f"Inputs must be {sorted(infos)}. Received: {sorted(inputs)}"
        )
