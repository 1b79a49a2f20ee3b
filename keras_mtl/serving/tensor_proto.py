"""Arrays in and out of TensorFlow's messages, without its detours.

`tf.make_tensor_proto` and `tf.make_ndarray` look at what they get from all
sides. For a model of many tasks that is a fair part of a request.
"""

from typing import Any

import numpy as np
import tensorflow as tf


def write_tensor(proto: Any, array: np.ndarray) -> None:
    """Puts an array into an empty `TensorProto`.

    Args:
        proto: The message.
        array: Booleans, numbers or strings.
    """
    dtype = tf.as_dtype(array.dtype)
    if dtype == tf.string:
        proto.CopyFrom(tf.make_tensor_proto(array))
        return
    proto.dtype = dtype.as_datatype_enum
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    proto.tensor_content = array.tobytes()


def read_tensor(proto: Any) -> np.ndarray:
    """The array of a `TensorProto`, which may be written to.

    Args:
        proto: The message, as TF Serving or `write_tensor` fills it.

    Raises:
        ValueError: Its bytes are of another size than its shape.
        TypeError: It is of no dtype.
    """
    dtype = tf.as_dtype(proto.dtype)
    if not proto.tensor_content or dtype == tf.string:
        array: np.ndarray = tf.make_ndarray(proto)
        return array
    shape = [dim.size for dim in proto.tensor_shape.dim]
    flat = np.frombuffer(proto.tensor_content, dtype.as_numpy_dtype)
    return flat.reshape(shape).copy()
