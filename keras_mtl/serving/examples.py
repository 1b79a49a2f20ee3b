"""Inputs made up for a signature, and requests made of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

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


def predict_request(inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The body of a request to TF Serving's predict API, in row format.

    Args:
        inputs: The arrays of one batch, by input name.

    Returns:
        What goes into JSON: plain rows for one input, else an object a row.
    """
    # A few digits do for an example, and keep images short.
    columns = {
        name: (x.astype(float).round(2) if x.dtype.kind == "f" else x).tolist()
        for name, x in inputs.items()
    }
    if len(columns) == 1:
        (rows,) = columns.values()
    else:
        rows = [
            dict(zip(columns, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ]
    return {"instances": rows}


def _made(info: TensorInfo, batch: int, rng: np.random.Generator) -> np.ndarray:
    sizes = (info.shape or (None,))[1:]
    shape = (batch, *(_ANY_SIZE if n is None else n for n in sizes))
    dtype = tf.as_dtype(info.dtype)
    if dtype == tf.string:
        return rng.choice(np.array(_WORDS, object), size=shape)
    if dtype.is_floating:
        return rng.uniform(-1, 1, size=shape).astype(dtype.as_numpy_dtype)
    return rng.integers(0, 2, size=shape).astype(dtype.as_numpy_dtype)
