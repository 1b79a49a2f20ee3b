"""TF Serving's REST API for one model, as a WSGI application."""

import io
import json
import re
import socket
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from google.protobuf import json_format
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from keras_mtl.serving import rest_format
from keras_mtl.serving.input_checks import check_names
from keras_mtl.serving.served_model import (
    Refused,
    ServedModel,
    refusing_bad_values,
)
from keras_mtl.serving.signatures import ALL_TASKS

_PATH = re.compile(
    r"/v1/models/(?P<name>[^/:]+)"
    r"(?:/versions/(?P<version>[0-9]{1,18})|/labels/(?P<label>[^/:]+))?"
    r"(?P<verb>:predict|/metadata)?"
)
_METHODS = {None: "GET", "/metadata": "GET", ":predict": "POST"}


class RestApp:
    """Answers HTTP requests about one model.

    Args:
        served: The model.
        page: The HTML at `/`.
        max_bytes: The largest body of a request.
    """

    def __init__(self, served: ServedModel, page: str, max_bytes: int) -> None:
        self._served = served
        self._page = page
        self._max_bytes = max_bytes

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """WSGI."""
        request = Request(environ)
        # One more, for a body in chunks is cut off without a word.
        request.max_content_length = self._max_bytes + 1
        return self._answer(request)(environ, start_response)

    def _answer(self, request: Request) -> Response:
        if request.path == "/" and request.method in ("GET", "HEAD"):
            return _page(self._page)
        try:
            return _json(self._resource(request))
        except Refused as refused:
            return _json({"error": str(refused)}, refused.status)

    def _resource(self, request: Request) -> Any:
        match = _PATH.fullmatch(request.path)
        if match is None or request.method != _METHODS[match["verb"]]:
            known = request.path.startswith("/v1/")
            raise Refused(
                HTTPStatus.BAD_REQUEST if known else HTTPStatus.NOT_FOUND,
                f"Malformed request: {request.method} {request.path}. GET "
                f"/v1/models/{self._served.name} tells the status, GET "
                "…/metadata the signatures, POST …:predict the outputs.",
            )
        version = int(match["version"]) if match["version"] else None
        self._served.check_address(match["name"], version, match["label"])
        if match["verb"] == ":predict":
            return predict(self._served, self._body(request))
        return _metadata(self._served) if match["verb"] else self._status()

    def _body(self, request: Request) -> bytes:
        too_large = Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"A request may have {self._max_bytes} bytes. Send fewer rows at "
            "a time.",
        )
        try:
            body = request.get_data(cache=False)
        except RequestEntityTooLarge as error:
            raise too_large from error
        except ClientDisconnected as error:
            raise Refused(
                HTTPStatus.REQUEST_TIMEOUT,
                "The request broke off, or took too long to arrive.",
            ) from error
        if len(body) > self._max_bytes:
            raise too_large
        return body

    def _status(self) -> Any:
        status = {
            "version": str(self._served.version),
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
        return {"model_version_status": [status]}


def predict(served: ServedModel, body: bytes) -> dict[str, Any]:
    """The answer to the body of a `:predict` request.

    Args:
        served: The model.
        body: JSON, in row format (`instances`) or columnar (`inputs`).

    Returns:
        What goes into JSON: `predictions` or `outputs`.

    Raises:
        Refused: The body is no request, or does not fit the model.
    """
    with refusing_bad_values():
        request = _parsed(body)
        name = request.get("signature_name") or ALL_TASKS
        if not isinstance(name, str):
            raise ValueError("'signature_name' must be a string.")
        infos = served.signature(name).inputs
        in_rows = "instances" in request
        if in_rows == ("inputs" in request):
            raise ValueError(
                "A request must have either 'instances', a list of rows, or "
                "'inputs', columns by input name."
            )
        if in_rows:
            columns = rest_format.rows(request["instances"], infos)
        else:
            columns = _columns(request["inputs"], infos)
        inputs = {
            key: rest_format.array(key, value, infos[key])
            for key, value in columns.items()
        }
    outputs = served.run(name, inputs)
    with refusing_bad_values():
        answer = {key: rest_format.nested(key, y) for key, y in outputs.items()}
        if not in_rows:
            return {"outputs": _alone(answer)}
        number = len(request["instances"])
        for key, y in outputs.items():
            if y.shape[:1] != (number,):
                raise ValueError(
                    f"Output {key!r} has the shape {y.shape} and not a row for "
                    f"each of {number}; ask with 'inputs'."
                )
    if len(answer) == 1:
        return {"predictions": _alone(answer)}
    return {
        "predictions": [
            dict(zip(answer, row, strict=True))
            for row in zip(*answer.values(), strict=True)
        ]
    }


def rest_server(
    app: RestApp, listening: socket.socket, timeout: float
) -> BaseWSGIServer:
    """An HTTP server that ends a request which takes too long to arrive.

    Args:
        app: What answers.
        listening: The socket.
        timeout: Seconds that a request may take to arrive.

    Returns:
        A server to run by `serve_forever`.
    """
    host, port = listening.getsockname()[:2]
    handler = type("Handler", (_Handler,), {"seconds": timeout})
    server = make_server(
        host,
        port,
        app,
        threaded=True,
        request_handler=handler,
        fd=listening.fileno(),
    )
    # Answers that are under way are then finished when it closes.
    server.daemon_threads = False  # type: ignore[attr-defined]
    return server


class _Handler(WSGIRequestHandler):
    """One request, quietly, within so many seconds."""

    seconds: float

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_Arriving(self.connection, self.seconds))

    def log_request(self, *args: Any) -> None:
        pass


class _Arriving(io.RawIOBase):
    """What comes by a socket until a time is up, however slow it drips."""

    def __init__(self, connection: socket.socket, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        self._end = time.monotonic() + timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        try:
            return self._connection.recv_into(buffer)
        finally:
            self._connection.settimeout(self._timeout)  # for the answer


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"JSON Parse error: {error}") from error
    if not isinstance(request, dict):
        raise ValueError("A request must be a JSON object.")
    return request


def _columns(inputs: Any, infos: Any) -> dict[str, Any]:
    if isinstance(inputs, dict) and not rest_format.is_base64(inputs):
        check_names(inputs, infos)
        return inputs
    if len(infos) == 1:
        return {name: inputs for name in infos}
    raise ValueError(f"'inputs' must be an object with {sorted(infos)}.")


def _alone(answer: dict[str, Any]) -> Any:
    """As TF Serving does: a single output comes without its name."""
    if len(answer) == 1:
        (answer,) = answer.values()
    return answer


def _metadata(served: ServedModel) -> dict[str, Any]:
    definitions = {
        name: json_format.MessageToDict(
            definition,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
        for name, definition in served.session.definitions.items()
    }
    return {
        "model_spec": {
            "name": served.name,
            "signature_name": "",
            "version": str(served.version),
        },
        "metadata": {"signature_def": {"signature_def": definitions}},
    }


def _json(content: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(
        json.dumps(content), status, content_type="application/json"
    )


def _page(html: str) -> Response:
    response = Response(html, content_type="text/html; charset=utf-8")
    # It has all that it needs, and talks to this server alone.
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; script-src 'unsafe-inline'; "
        "style-src 'unsafe-inline'; connect-src 'self'; img-src data: blob:"
    )
    return response
