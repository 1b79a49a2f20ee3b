"""The gRPC protocol, by the stubs of `tensorflow-serving-api`."""

import grpc
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api")

from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)


@pytest.fixture
def channel(echo):
    with grpc.insecure_channel(echo.grpc_address[7:]) as channel:
        yield channel


@pytest.fixture
def predict(channel):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    return lambda request: stub.Predict(request, timeout=5)


def request(**inputs):
    asked = predict_pb2.PredictRequest()
    asked.model_spec.name = "echo"
    for name, value in {"text": ["a"], "count": [[1, 2]], **inputs}.items():
        if not isinstance(value, tensor_pb2.TensorProto):
            value = tf.make_tensor_proto(value)
        asked.inputs[name].CopyFrom(value)
    return asked


def test_predict(predict):
    response = predict(request(text=[b"a", b"\xff"], count=[[1, 2], [3, 4]]))
    assert response.model_spec.name == "echo"
    assert response.model_spec.version.value == 3
    assert response.model_spec.signature_name == "serving_default"
    outputs = {k: tf.make_ndarray(y) for k, y in response.outputs.items()}
    assert outputs["text"].tolist() == [b"a", b"\xff"]
    assert outputs["count"].tolist() == [[2, 3], [4, 5]]


def test_output_filter(predict):
    asked = request()
    asked.output_filter.append("count")
    assert list(predict(asked).outputs) == ["count"]


def test_metadata(channel):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    asked = get_model_metadata_pb2.GetModelMetadataRequest()
    asked.model_spec.name = "echo"
    asked.metadata_field.append("signature_def")
    response = stub.GetModelMetadata(asked, timeout=5)
    found = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(found)
    definition = found.signature_def["serving_default"]
    assert definition.inputs["count"].dtype == tf.int32.as_datatype_enum
    asked.metadata_field.append("other")
    with pytest.raises(grpc.RpcError, match="metadata_field"):
        stub.GetModelMetadata(asked, timeout=5)


def test_status(channel):
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    asked = get_model_status_pb2.GetModelStatusRequest()
    asked.model_spec.name = "echo"
    (status,) = stub.GetModelStatus(asked, timeout=5).model_version_status
    assert status.version == 3
    assert status.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE


def tensor(**fields):
    return tensor_pb2.TensorProto(**fields)


def of_shape(*sizes, dtype=tf.int32):
    shape = tf.TensorShape([]).as_proto()
    for size in sizes:
        shape.dim.add(size=size)
    return tensor(dtype=dtype.as_datatype_enum, tensor_shape=shape)


def edit(field, value):
    def edit(asked):
        setattr(asked.model_spec, field, value)

    return edit


def other_version(asked):
    asked.model_spec.version.value = 9


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (edit("name", "no"), "NOT_FOUND", "Latest(no)"),
        (other_version, "NOT_FOUND", "Specific(echo, 9)"),
        (edit("version_label", "new"), "INVALID_ARGUMENT", "label: new"),
        (edit("signature_name", "no"), "INVALID_ARGUMENT", "signature 'no'"),
        (
            lambda asked: asked.output_filter.append("no"),
            "INVALID_ARGUMENT",
            "`output_filter` must be of",
        ),
        (
            lambda asked: asked.inputs.pop("text"),
            "INVALID_ARGUMENT",
            "Received: ['count']",
        ),
    ],
)
def test_refusals(predict, change, code, message):
    asked = request()
    change(asked)
    with pytest.raises(grpc.RpcError) as error:
        predict(asked)
    assert error.value.code().name == code
    assert message in error.value.details()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[1.0, 2.0]], "must be int32. Received: float32"),
        ([1, 2], "shape (None, 2)"),
        ([[1, 2]] * 2, "as many"),
        (of_shape(10**12, 2), "bytes"),
        (of_shape(2**40, 2**40), "bytes"),
        (of_shape(-1, 2), "[-1, 2]"),
        (of_shape(*[1] * 100), "no tensor"),
        (tensor(), "no tensor"),
        (tensor(dtype=999), "no tensor"),
        (tensor(dtype=3, tensor_content=b"123"), "no tensor"),
    ],
    ids=str,
)
def test_tensors_that_do_not_fit(predict, value, message):
    with pytest.raises(grpc.RpcError) as error:
        predict(request(count=value))
    assert error.value.code().name == "INVALID_ARGUMENT"
    assert message in error.value.details()
