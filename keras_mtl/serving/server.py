"""A server for a look at an exported model; production is TF Serving's."""

import contextlib
import os
import socket
import threading
from pathlib import Path

from keras_mtl.serving import stubs
from keras_mtl.serving.rest_server import RestApp, rest_server
from keras_mtl.serving.served_model import ServedModel, open_model
from keras_mtl.serving.try_page import try_page

_MIB = 2**20


class Server:
    """Answers for one exported model as TensorFlow Serving does, for a look.

    It speaks TensorFlow Serving's REST API, and its gRPC API where the
    package `tensorflow-serving-api` is there; at `/` is a page to try the
    model by hand. It batches nothing and takes up no later versions: in
    production run TensorFlow Serving, by `next_commands`.

    Args:
        path: A version's directory, or a model's, of which the newest version
            is taken.
        host: Who can ask: by default this machine alone.
        port: Of the REST API and the page; 0 for any that is free.
        grpc_port: Of the gRPC API; 0 for any that is free, None for none.
        timeout: Seconds that a request may take to arrive, and to run.
        max_bytes: The largest request.

    Raises:
        ValueError: There is no SavedModel, it is broken, or gRPC is wanted
            and cannot be had.
        OSError: A port is taken.

    Example:
    >>> with Server("saved_models/digits") as server:  # doctest: +SKIP
    ...     client = Client(server.rest_address, "digits")
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        host: str = "127.0.0.1",
        port: int = 8501,
        grpc_port: int | None = 8500,
        timeout: float = 30.0,
        max_bytes: int = 64 * _MIB,
    ) -> None:
        if timeout <= 0 or max_bytes <= 0:
            raise ValueError(
                "`timeout` and `max_bytes` must be positive. Received: "
                f"timeout={timeout!r}, max_bytes={max_bytes!r}"
            )
        with contextlib.ExitStack() as stack:
            self.model: ServedModel = stack.enter_context(
                open_model(Path(path), timeout)
            )
            self._host = host
            self.rest_address = self._start_rest(
                stack, port, timeout, max_bytes
            )
            self.grpc_address: str | None = None
            if grpc_port is not None:
                self.grpc_address = self._start_grpc(
                    stack, grpc_port, timeout, max_bytes
                )
            self._stack = stack.pop_all()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Takes no more requests, and answers those that are under way."""
        self._stack.close()

    def _start_rest(
        self,
        stack: contextlib.ExitStack,
        port: int,
        timeout: float,
        max_bytes: int,
    ) -> str:
        with _listen(self._host, port) as listening:
            app = RestApp(self.model, try_page(self.model), max_bytes)
            server = rest_server(app, listening, timeout)
        stack.callback(server.server_close)
        thread = threading.Thread(
            target=server.serve_forever, args=(0.05,), daemon=True
        )
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        return f"http://{_in_address(self._host)}:{server.port}"

    def _start_grpc(
        self,
        stack: contextlib.ExitStack,
        port: int,
        timeout: float,
        max_bytes: int,
    ) -> str:
        stubs.stubs("predict_pb2")
        from keras_mtl.serving.grpc_server import grpc_server

        host = _in_address(self._host)
        server, port = grpc_server(self.model, f"{host}:{port}", max_bytes)
        server.start()
        stack.callback(lambda: server.stop(timeout).wait())
        return f"grpc://{host}:{port}"


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise OSError(
            f"Port {port} of {host!r} cannot be had: {error}. Choose another "
            "one, or 0 for any that is free."
        ) from error


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host
