"""Messages are those of TensorFlow, both ways."""

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from keras_mtl.serving.tensor_proto import read_tensor, write_tensor

ARRAYS = [
    np.arange(6, dtype="float32").reshape(2, 3),
    np.float32([[np.nan, np.inf]]),
    np.array([[2**40, -1]]),
    np.array([[True], [False]]),
    np.array([1.5, -2], "float16"),
    np.array([1.5, -2], ml_dtypes.bfloat16),
    np.array(3, "uint8"),
    np.zeros((0, 4), "float64"),
    np.asfortranarray(np.arange(6, dtype="int32").reshape(2, 3)),
    np.array([["a", b"\xff"]], object),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_what_is_written_is_read(array):
    proto = tensor_pb2.TensorProto()
    write_tensor(proto, array)
    for back in (
        read_tensor(proto),
        tf.make_ndarray(proto),
        read_tensor(tf.make_tensor_proto(array)),
    ):
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        expected = array
        if array.dtype == object:
            expected = np.array([[b"a", b"\xff"]], object)
        np.testing.assert_array_equal(back, expected)
    read_tensor(proto)[...] = back  # as arrays of its own are


def test_bytes_of_another_size():
    proto = tensor_pb2.TensorProto()
    write_tensor(proto, np.zeros((2, 3), "float32"))
    for content in (proto.tensor_content[:-1], proto.tensor_content[:-4]):
        proto.tensor_content = content
        with pytest.raises(ValueError, match=r"buffer size|reshape"):
            read_tensor(proto)
