"""TF Serving's gRPC API, from the client's side."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grpc
import numpy as np

from keras_mtl.serving.session import Signature, is_internal, signature
from keras_mtl.serving.stubs import stubs
from keras_mtl.serving.tensor_proto import read_tensor, write_tensor

_METADATA = "signature_def"
_OPTIONS = [
    # TF Serving takes and gives messages of any size; the default is 4 MB.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Else a new try would fail for seconds without looking.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
_ERRORS: dict[grpc.StatusCode, type[Exception]] = {
    grpc.StatusCode.UNAVAILABLE: ConnectionError,
    grpc.StatusCode.DEADLINE_EXCEEDED: TimeoutError,
    grpc.StatusCode.INVALID_ARGUMENT: ValueError,
    grpc.StatusCode.NOT_FOUND: ValueError,
    grpc.StatusCode.FAILED_PRECONDITION: ValueError,
    grpc.StatusCode.OUT_OF_RANGE: ValueError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ValueError,
}


class GrpcTransport:
    """Asks one model by protocol buffers.

    Args:
        target: Host and port of the server.
        model: The model's name.
        version: Of the model, or None for the newest.
        label: A version's label, in place of its number.
    """

    def __init__(
        self,
        target: str,
        model: str,
        version: int | None,
        label: str | None = None,
    ) -> None:
        self._predict = stubs("predict_pb2")
        self._metadata = stubs("get_model_metadata_pb2")
        service = stubs("prediction_service_pb2_grpc")
        self._target = target
        self._model = model
        self._version = version
        self._label = label
        self._channel = grpc.insecure_channel(target, _OPTIONS)
        self._stub = service.PredictionServiceStub(self._channel)

    def signatures(self, timeout: float) -> dict[str, Signature]:
        """What the model's signatures take and give."""
        request = self._metadata.GetModelMetadataRequest()
        self._address(request.model_spec)
        request.metadata_field.append(_METADATA)
        with self._explained():
            response = self._stub.GetModelMetadata(request, timeout=timeout)
        found = self._metadata.SignatureDefMap()
        response.metadata[_METADATA].Unpack(found)
        return {
            name: signature(definition)
            for name, definition in found.signature_def.items()
            if not is_internal(name)
        }

    def predict(
        self,
        name: str,
        signature: Signature,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str],
        timeout: float,
    ) -> dict[str, np.ndarray]:
        """The outputs that are asked for."""
        request = self._predict.PredictRequest(output_filter=outputs)
        self._address(request.model_spec)
        request.model_spec.signature_name = name
        for key, array in inputs.items():
            write_tensor(request.inputs[key], array)
        with self._explained():
            response = self._stub.Predict(request, timeout=timeout)
        return {
            key: read_tensor(proto) for key, proto in response.outputs.items()
        }

    def close(self) -> None:
        """Ends connections."""
        self._channel.close()

    def _address(self, spec: Any) -> None:
        spec.name = self._model
        if self._version is not None:
            spec.version.value = self._version
        elif self._label is not None:
            spec.version_label = self._label

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise _ERRORS.get(error.code(), RuntimeError)(
                f"grpc://{self._target}: {error.code().name}, {error.details()}"
            ) from error
