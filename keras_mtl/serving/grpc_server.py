"""TF Serving's gRPC services for one model."""

import contextlib
import math
from collections.abc import Iterator
from concurrent import futures
from http import HTTPStatus
from typing import Any

import grpc
import numpy as np
import tensorflow as tf

from keras_mtl.serving.served_model import (
    Refused,
    ServedModel,
    refusing_bad_values,
)
from keras_mtl.serving.signatures import ALL_TASKS
from keras_mtl.serving.stubs import stubs
from keras_mtl.serving.tensor_proto import read_tensor, write_tensor

_THREADS = 16
_METADATA = "signature_def"
_CODES = {
    HTTPStatus.BAD_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    HTTPStatus.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    HTTPStatus.GATEWAY_TIMEOUT: grpc.StatusCode.DEADLINE_EXCEEDED,
    HTTPStatus.INTERNAL_SERVER_ERROR: grpc.StatusCode.INTERNAL,
}


def grpc_server(
    served: ServedModel, address: str, max_bytes: int
) -> tuple[Any, int]:
    """A gRPC server of `PredictionService` and `ModelService`.

    Args:
        served: The model.
        address: Host and port, which may be 0.
        max_bytes: The largest request.

    Returns:
        The server, to be started, and its port.

    Raises:
        ValueError: `tensorflow-serving-api` is not there.
        OSError: The port is taken.
    """
    prediction = stubs("prediction_service_pb2_grpc")
    model = stubs("model_service_pb2_grpc")
    server = grpc.server(
        futures.ThreadPoolExecutor(_THREADS),
        options=[
            ("grpc.max_receive_message_length", max_bytes),
            ("grpc.max_send_message_length", -1),
            # Else a second server takes half of the requests.
            ("grpc.so_reuseport", 0),
        ],
    )
    prediction.add_PredictionServiceServicer_to_server(
        prediction_service(served, max_bytes), server
    )
    model.add_ModelServiceServicer_to_server(_model_service(served), server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"The gRPC port {address} cannot be had.") from error
    return server, port


def prediction_service(served: ServedModel, max_bytes: int) -> Any:
    """Answers `Predict` and `GetModelMetadata`.

    Args:
        served: The model.
        max_bytes: The largest input.

    Returns:
        A servicer of TF Serving's `PredictionService`.
    """
    predict = stubs("predict_pb2")
    metadata = stubs("get_model_metadata_pb2")
    base: Any = stubs("prediction_service_pb2_grpc").PredictionServiceServicer

    class PredictionService(base):
        def Predict(self, request: Any, context: Any) -> Any:
            with _aborting(context):
                _check_address(served, request.model_spec)
                name = request.model_spec.signature_name or ALL_TASKS
                with refusing_bad_values():
                    inputs = {
                        key: _array(key, proto, max_bytes)
                        for key, proto in request.inputs.items()
                    }
                wanted = _wanted(served, name, request.output_filter)
                outputs = served.run(name, inputs, context.time_remaining())
                response = predict.PredictResponse()
                _address(response.model_spec, served, name)
                for key in wanted:
                    write_tensor(response.outputs[key], outputs[key])
                return response

        def GetModelMetadata(self, request: Any, context: Any) -> Any:
            with _aborting(context):
                _check_address(served, request.model_spec)
                if set(request.metadata_field) != {_METADATA}:
                    raise Refused(
                        HTTPStatus.BAD_REQUEST,
                        f"`metadata_field` must be {_METADATA!r}. Received: "
                        f"{list(request.metadata_field)}",
                    )
                response = metadata.GetModelMetadataResponse()
                _address(response.model_spec, served)
                signatures = metadata.SignatureDefMap()
                for name, definition in served.session.definitions.items():
                    signatures.signature_def[name].CopyFrom(definition)
                response.metadata[_METADATA].Pack(signatures)
                return response

    return PredictionService()


def _model_service(served: ServedModel) -> Any:
    messages = stubs("get_model_status_pb2")
    base: Any = stubs("model_service_pb2_grpc").ModelServiceServicer

    class ModelService(base):
        def GetModelStatus(self, request: Any, context: Any) -> Any:
            with _aborting(context):
                _check_address(served, request.model_spec)
                response = messages.GetModelStatusResponse()
                response.model_version_status.add(
                    version=served.version,
                    state=messages.ModelVersionStatus.AVAILABLE,
                )
                return response

    return ModelService()


@contextlib.contextmanager
def _aborting(context: Any) -> Iterator[None]:
    """Tells a refusal to the sender."""
    try:
        yield
    except Refused as refused:
        context.abort(_CODES[refused.status], str(refused))


def _check_address(served: ServedModel, spec: Any) -> None:
    version = spec.version.value if spec.HasField("version") else None
    served.check_address(spec.name, version, spec.version_label)


def _address(spec: Any, served: ServedModel, signature: str = "") -> None:
    spec.name = served.name
    spec.version.value = served.version
    spec.signature_name = signature


def _wanted(served: ServedModel, signature: str, keys: Any) -> list[str]:
    outputs = served.signature(signature).outputs
    unknown = [key for key in keys if key not in outputs]
    if unknown:
        raise Refused(
            HTTPStatus.BAD_REQUEST,
            f"`output_filter` must be of {sorted(outputs)}. Received: "
            f"{unknown}",
        )
    return list(keys or outputs)


def _array(name: str, proto: Any, max_bytes: int) -> np.ndarray:
    """The array of a message, which may claim any shape."""
    sizes = [dim.size for dim in proto.tensor_shape.dim]
    try:
        dtype = np.dtype(tf.as_dtype(proto.dtype).as_numpy_dtype)
        # One value stands for all those that are left out.
        size = math.prod(sizes) * dtype.itemsize
        if min(sizes, default=0) < 0 or size > max_bytes:
            raise ValueError(f"its shape is {sizes}, of {size} bytes")
        return read_tensor(proto)
    except (TypeError, ValueError, LookupError) as error:
        raise ValueError(f"Input {name!r} is no tensor: {error}") from error
