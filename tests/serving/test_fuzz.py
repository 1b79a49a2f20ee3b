"""Whatever comes in, a parser of requests answers or refuses."""

import contextlib
import json
import random
import socket

import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.serving import rest_format
from keras_mtl.serving.rest_server import predict
from keras_mtl.serving.served_model import Refused

CASES = pytest.mark.parametrize(
    "cases", [300, pytest.param(20_000, marks=pytest.mark.slow)]
)
ROW = {"text": "a", "count": [1, 2]}
BODIES = [
    json.dumps(body).encode()
    for body in (
        {"instances": [ROW, ROW]},
        {"inputs": {"text": ["a", {"b64": "YQ=="}], "count": [[1, 2]] * 2}},
        {"signature_name": "serving_default", "instances": [ROW]},
    )
]
# What parsers stumble over.
PIECES = [
    *(b"[", b"]", b"{", b"}", b'"', b":", b",", b"null", b"true", b"NaN"),
    *(b"1e999", b"-0", b"9" * 30, b"[" * 2000, b'{"b64":"%"}', b"\\ud800"),
    *(b"\x00", b"\xff\xfe", b'"b64"', b'"instances"', b'"inputs"', b"{}"),
]
VALUES = [None, True, 0, -1, 2**63, 1.5, float("nan"), "", "ü", [], {}, [[]]]


def mutated(rng, data):
    """Bytes with a few places deleted, doubled, replaced or filled."""
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.choice([0, 1, 1, 2, 8, 40]))
        piece = rng.choice(
            [b"", data[start:end] * 2, rng.choice(PIECES), rng.randbytes(2)]
        )
        data = data[:start] + piece + data[end:]
    return data


def value(rng, depth=0):
    """Any JSON."""
    if depth > 4 or rng.random() < 0.4:
        return rng.choice(VALUES)
    items = [value(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    if rng.random() < 0.6:
        return items
    keys = rng.sample(["b64", "text", "count", "x"], len(items))
    return dict(zip(keys, items, strict=True))


def request(rng):
    """A request with anything in it."""
    made = {}
    if rng.random() < 0.5:
        made["instances"] = value(rng)
    if rng.random() < 0.5:
        made["inputs"] = {"text": value(rng), "count": value(rng)}
    if rng.random() < 0.2:
        made["signature_name"] = value(rng)
    return json.dumps(made).encode()


@CASES
def test_bodies_are_answered_or_refused(echo, cases):
    rng = random.Random(0)
    answered = 0
    for number in range(cases):
        body = mutated(rng, rng.choice(BODIES)) if number % 2 else request(rng)
        try:
            answer = predict(echo.model, body)
        except Refused as refused:
            assert refused.status == 400, body
        else:
            json.dumps(answer)
            answered += 1
    assert 0 < answered < cases / 2


@CASES
def test_what_is_written_is_read_back(cases):
    rng = np.random.default_rng(0)
    dtypes = ["bool", "int8", "uint8", "int64", "float32", "float64"]
    for _ in range(cases):
        dtype = np.dtype(rng.choice(dtypes))
        shape = tuple(rng.integers(1, 4, size=rng.integers(0, 4)))
        size = int(np.prod(shape)) * dtype.itemsize
        array = np.frombuffer(rng.bytes(size), dtype).reshape(shape)
        if dtype.kind == "b":
            array = array.view("uint8") > 127
        text = json.dumps(rest_format.nested("y", array))
        info = rest_format.TensorInfo(dtype.name, array.shape)
        back = rest_format.array("y", json.loads(text), info)
        assert back.dtype == dtype
        np.testing.assert_array_equal(back, array)


class Aborted(Exception):
    pass


class Context:
    """What gRPC gives a service."""

    def abort(self, code, details):
        raise Aborted(code.name)

    def time_remaining(self):
        return None


@CASES
def test_messages_are_answered_or_refused(echo, cases):
    api = pytest.importorskip(
        "tensorflow_serving.apis.predict_pb2",
        reason="needs tensorflow-serving-api",
    )
    from google.protobuf.message import DecodeError

    from keras_mtl.serving.grpc_server import prediction_service

    asked = api.PredictRequest()
    asked.model_spec.name = "echo"
    asked.inputs["text"].CopyFrom(tf.make_tensor_proto(["a", "b"]))
    asked.inputs["count"].CopyFrom(tf.make_tensor_proto([[1, 2], [3, 4]]))
    whole = asked.SerializeToString(deterministic=True)
    service = prediction_service(echo.model, 10_000)
    rng = random.Random(0)
    answered = parsed = 0
    for _ in range(cases):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            message = api.PredictRequest.FromString(bytes(data))
        except DecodeError:
            continue
        parsed += 1
        try:
            service.Predict(message, Context())
            answered += 1
        except Aborted as aborted:
            assert str(aborted) in ("INVALID_ARGUMENT", "NOT_FOUND"), data
    assert 0 < answered < parsed


@pytest.mark.parametrize(
    "cases", [20, pytest.param(1000, marks=pytest.mark.slow)]
)
def test_bytes_on_the_wire_end_no_server(echo, cases):
    host, port = echo.rest_address[7:].split(":")
    body = BODIES[0]
    whole = (
        b"POST /v1/models/echo:predict HTTP/1.1\r\nHost: x\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    ) + body
    rng = random.Random(0)
    for _ in range(cases):
        with socket.create_connection((host, int(port)), timeout=20) as peer:
            peer.sendall(mutated(rng, whole))
            peer.shutdown(socket.SHUT_WR)
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                while part := peer.recv(65536):
                    answer += part
            assert not answer.startswith(b"HTTP/1.1 5"), answer
    assert "outputs" in predict(
        echo.model, b'{"inputs": {"text": ["a"], "count": [[1, 2]]}}'
    )
    with socket.create_connection((host, int(port)), timeout=20) as peer:
        peer.sendall(whole)
        assert peer.recv(15).startswith(b"HTTP/1.1 200")
