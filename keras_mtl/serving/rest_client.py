"""TF Serving's REST API, from the client's side."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import numpy as np
import urllib3
from google.protobuf import json_format
from tensorflow.core.protobuf import meta_graph_pb2

from keras_mtl.serving import rest_format
from keras_mtl.serving.session import Signature, is_internal, signature

_CONNECTIONS = 16  # kept open, for threads
_LATE = (HTTPStatus.GATEWAY_TIMEOUT, HTTPStatus.REQUEST_TIMEOUT)


class RestTransport:
    """Asks one model by JSON.

    Args:
        address: Of the server.
        model: The model's name.
        version: Of the model, or None for the newest.
        label: A version's label, in place of its number.
    """

    def __init__(
        self,
        address: str,
        model: str,
        version: int | None,
        label: str | None = None,
    ) -> None:
        name = quote(model, safe="")
        self._url = f"{address.rstrip('/')}/v1/models/{name}"
        if version is not None:
            self._url += f"/versions/{version}"
        elif label is not None:
            self._url += f"/labels/{quote(label, safe='')}"
        self._pool = urllib3.PoolManager(maxsize=_CONNECTIONS, retries=False)

    def signatures(self, timeout: float) -> dict[str, Signature]:
        """What the model's signatures take and give."""
        answer = self._send("GET", "/metadata", None, timeout)
        with _understood(answer):
            found = answer["metadata"]["signature_def"]["signature_def"]
            return {
                name: signature(
                    json_format.ParseDict(
                        definition,
                        meta_graph_pb2.SignatureDef(),
                        ignore_unknown_fields=True,
                    )
                )
                for name, definition in found.items()
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
        """All outputs of the signature."""
        request = {
            "signature_name": name,
            "inputs": {key: _column(x) for key, x in inputs.items()},
        }
        body = json.dumps(request).encode()
        answer = self._send("POST", ":predict", body, timeout)
        with _understood(answer):
            found = answer["outputs"]
            if len(signature.outputs) == 1:  # comes without its name
                (only,) = signature.outputs
                found = {only: found}
            return {
                key: rest_format.array(key, found[key], info)
                for key, info in signature.outputs.items()
            }

    def close(self) -> None:
        """Ends connections."""
        self._pool.clear()

    def _send(
        self, method: str, resource: str, body: bytes | None, timeout: float
    ) -> Any:
        url = self._url + resource
        try:
            response = self._pool.request(
                method,
                url,
                body=body,
                headers={"Content-Type": "application/json"},
                timeout=urllib3.Timeout(total=timeout),
            )
        except urllib3.exceptions.HTTPError as error:
            raise _unanswered(url, error) from error
        if response.status == HTTPStatus.OK:
            with _understood(response.data):
                return json.loads(response.data)
        message = f"{url}: {response.status}, {_reason(response.data)}"
        if response.status == HTTPStatus.SERVICE_UNAVAILABLE:
            raise ConnectionError(message)
        if response.status in _LATE:
            raise TimeoutError(message)
        if HTTPStatus.BAD_REQUEST <= response.status < 500:
            raise ValueError(message)
        raise RuntimeError(message)


def _column(array: np.ndarray) -> Any:
    if array.dtype == object:
        array = np.asarray(np.frompyfunc(rest_format.text, 1, 1)(array), object)
    return array.tolist()


def _unanswered(url: str, error: Exception) -> OSError:
    # There, a connection that is refused is a kind of timeout.
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)
    if isinstance(error, urllib3.exceptions.TimeoutError) and not refused:
        return TimeoutError(f"No answer from {url} in time.")
    return ConnectionError(f"{url} cannot be reached: {error}")


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, TypeError, KeyError):
        return repr(body[:200])


@contextlib.contextmanager
def _understood(answer: Any) -> Iterator[None]:
    """Says so where an answer is none of TF Serving."""
    try:
        yield
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        json_format.ParseError,
    ) as error:
        raise RuntimeError(
            "The server's answer is not that of TensorFlow Serving "
            f"({type(error).__name__}: {error}): {str(answer)[:200]}"
        ) from error
