"""Rows as serialized `tf.Example`s, and back inside of a graph."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf


def parse_examples(
    serialized: Any, specs: Mapping[str, tf.TensorSpec]
) -> dict[str, Any]:
    """The inputs of a model from serialized `tf.Example`s.

    Floats come from `float_list`, integers and booleans from `int64_list`,
    strings from `bytes_list`. Where the first size of a row is open, rows are
    filled up to the longest of the batch, with 0 or "".

    Args:
        serialized: Strings, one a row.
        specs: The inputs by name, with the batch axis.

    Returns:
        Tensors by name, as `specs` say.

    Raises:
        ValueError: An input has open sizes that a list cannot tell.
    """
    features = {name: _feature(name, spec) for name, spec in specs.items()}
    parsed = tf.io.parse_example(serialized, features)
    return {
        name: tf.cast(parsed[name], spec.dtype) for name, spec in specs.items()
    }


def serialized_examples(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Serialized `tf.Example`s of the rows of a batch.

    Args:
        inputs: Arrays by input name, of as many rows each.

    Returns:
        An array of bytes, one a row.
    """
    rows = zip(*inputs.values(), strict=True)
    return np.array(
        [_serialized(dict(zip(inputs, row, strict=True))) for row in rows],
        object,
    )


def _feature(name: str, spec: tf.TensorSpec) -> Any:
    shape = spec.shape[1:].as_list()
    dtype = spec.dtype
    if dtype != tf.string:
        dtype = tf.float32 if dtype.is_floating else tf.int64
    if None not in shape:
        return tf.io.FixedLenFeature(shape, dtype)
    if None not in shape[1:]:
        return tf.io.FixedLenSequenceFeature(
            shape[1:], dtype, allow_missing=True
        )
    raise ValueError(
        "`examples=True` needs inputs with no open size beside the batch and "
        "the first after it, because a list in a tf.Example has no shape. "
        f"Received: input {name!r} of shape {tuple(spec.shape)}; give its "
        "keras.Input a shape, or export with examples=False."
    )


def _serialized(row: Mapping[str, Any]) -> bytes:
    features = {name: _values(np.asarray(x)) for name, x in row.items()}
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return bytes(example.SerializeToString(deterministic=True))


def _values(array: np.ndarray) -> Any:
    flat = array.ravel().tolist()
    if array.dtype.kind == "f":
        return tf.train.Feature(float_list=tf.train.FloatList(value=flat))
    if array.dtype.kind in "biu":
        numbers = tf.train.Int64List(value=map(int, flat))  # no booleans
        return tf.train.Feature(int64_list=numbers)
    texts = [x.encode() if isinstance(x, str) else x for x in flat]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))
