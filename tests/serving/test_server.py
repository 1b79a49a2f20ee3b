import socket
import sys
import threading

import numpy as np
import pytest

from keras_mtl.serving import Client, Server, stubs
from keras_mtl.serving.served_model import Refused


def raw(server, data, closing=False):
    """What a server answers to some bytes."""
    with socket.create_connection(("127.0.0.1", server_port(server))) as peer:
        peer.settimeout(20)
        peer.sendall(data)
        if closing:
            peer.shutdown(socket.SHUT_WR)
        parts = []
        while part := peer.recv(65536):
            parts.append(part)
    return b"".join(parts)


def server_port(server):
    return int(server.rest_address.rpartition(":")[2])


def test_addresses_are_those_of_this_machine(served):
    assert served.rest_address.startswith("http://127.0.0.1:")
    if stubs.available():
        assert served.grpc_address.startswith("grpc://127.0.0.1:")
    assert (served.model.name, served.model.version) == ("two", 1)


def test_a_port_that_is_taken(served, exported):
    with pytest.raises(OSError, match=r"cannot be had.*Choose another"):
        Server(exported[1], port=server_port(served), grpc_port=None)
    if stubs.available():
        port = int(served.grpc_address.rpartition(":")[2])
        with pytest.raises(OSError, match=f"gRPC port 127.0.0.1:{port}"):
            Server(exported[1], port=0, grpc_port=port)


def test_nothing_to_serve(tmp_path):
    with pytest.raises(ValueError, match="no such directory"):
        Server(tmp_path / "gone")


@pytest.mark.parametrize("option", [{"timeout": 0}, {"max_bytes": 0}])
def test_limits_are_positive(exported, option):
    with pytest.raises(ValueError, match="must be positive"):
        Server(exported[1], **option)


def test_grpc_without_its_package(exported, monkeypatch):
    module = "tensorflow_serving.apis.predict_pb2"
    monkeypatch.setitem(sys.modules, module, None)
    assert not stubs.available()
    with pytest.raises(ValueError, match=r'pip install "keras-mtl\[serving\]"'):
        Server(exported[1], port=0, grpc_port=0)
    with pytest.raises(ValueError, match="tensorflow-serving-api"):
        Client("grpc://localhost:1", "two")


def test_a_slow_request_ends(slow):
    """Its first line, and then nothing for longer than the limit."""
    head = b"POST /v1/models/slow:predict HTTP/1.1\r\nContent-Length: 9\r\n\r\n"
    assert b"408" in raw(slow, head + b"{").partition(b"\r\n")[0]
    assert raw(slow, b"POST /v1/mod") == b""


def test_chunks_are_counted_too(echo):
    head = (
        b"POST /v1/models/echo:predict HTTP/1.1\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"4e20\r\n" + b" " * 20_000 + b"\r\n0\r\n\r\n"
    assert b"413" in raw(echo, head + chunk, closing=True).partition(b"\r\n")[0]
    broken = raw(echo, head + b"no\r\n\r\n", closing=True)
    assert b"408" in broken.partition(b"\r\n")[0]


def test_stopping_answers_what_is_under_way(exported, serve):
    server = serve(exported[1])
    run, started = server.model.session.run, threading.Event()
    proceed = threading.Event()

    def slowly(*arguments):
        started.set()
        assert proceed.wait(20)
        return run(*arguments)

    server.model.session.run = slowly
    answers = []
    with Client(server.rest_address, "two") as client:
        client.signatures()
        asking = threading.Thread(
            target=lambda: answers.append(client.predict(np.ones((1, 4))))
        )
        asking.start()
        assert started.wait(20)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        proceed.set()
        asking.join()
        stopping.join()
    assert answers[0]["left"].shape == (1, 3)


def test_a_failure_of_the_model_is_told(exported, serve, monkeypatch):
    model = serve(exported[1]).model
    with pytest.raises(Refused, match="no signature 'no'"):
        model.run("no", {})
    with pytest.raises(Refused, match="must be float32") as refused:
        model.run("left", {"x": np.ones((1, 4))})
    assert refused.value.status == 400
