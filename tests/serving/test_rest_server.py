"""The REST protocol, without a network."""

import json

import numpy as np
import pytest
from werkzeug.test import Client as WsgiClient

from keras_mtl.serving.rest_server import RestApp

ROW = {"text": "a", "count": [1, 2]}


@pytest.fixture
def ask(echo):
    """Sends a request to the echo model; returns status and JSON."""
    web = WsgiClient(RestApp(echo.model, "<p>page</p>", 10_000))

    def ask(path="/v1/models/echo:predict", body=None):
        if body is None:
            response = web.get(path)
        else:
            body = body if isinstance(body, bytes) else json.dumps(body)
            response = web.post(path, data=body)
        assert response.content_type == "application/json"
        return response.status_code, json.loads(response.data)

    return ask


@pytest.mark.parametrize("path", ["echo", "echo/versions/3"])
def test_status_is_that_of_tf_serving(ask, path):
    assert ask(f"/v1/models/{path}") == (
        200,
        {
            "model_version_status": [
                {
                    "version": "3",
                    "state": "AVAILABLE",
                    "status": {"error_code": "OK", "error_message": ""},
                }
            ]
        },
    )


def test_metadata_is_that_of_tf_serving(ask):
    status, answer = ask("/v1/models/echo/metadata")
    assert status == 200
    assert answer["model_spec"] == {
        "name": "echo",
        "signature_name": "",
        "version": "3",
    }
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert list(signatures) == ["serving_default"]
    count = signatures["serving_default"]["inputs"]["count"]
    assert count["dtype"] == "DT_INT32"
    assert count["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}, {"size": "2", "name": ""}],
        "unknown_rank": False,
    }
    method = signatures["serving_default"]["method_name"]
    assert method == "tensorflow/serving/predict"


def test_rows(ask):
    assert ask(body={"instances": [ROW, {**ROW, "text": "ü"}]}) == (
        200,
        {
            "predictions": [
                {"text": "a", "text_bytes": {"b64": "YQ=="}, "count": [2, 3]},
                {"text": "ü", "text_bytes": {"b64": "w7w="}, "count": [2, 3]},
            ]
        },
    )


def test_columns_and_base64(ask):
    columns = {"text": ["a", {"b64": "YQ=="}], "count": [[1, 2], [3, 4]]}
    status, answer = ask(
        "/v1/models/echo/versions/3:predict",
        {"signature_name": "serving_default", "inputs": columns},
    )
    assert status == 200
    assert answer["outputs"]["text"] == ["a", "a"]
    assert answer["outputs"]["count"] == [[2, 3], [4, 5]]


def test_a_single_input_and_output_need_no_names(served):
    web = WsgiClient(RestApp(served.model, "", 10_000))

    def ask(body):
        response = web.post("/v1/models/two:predict", data=json.dumps(body))
        return response.status_code, json.loads(response.data)

    rows = [[1, 2.5, 3, 4], [0, 0, 0, float("nan")]]
    status, answer = ask({"signature_name": "right", "instances": rows})
    assert status == 200
    (first,), _ = answer["predictions"]
    assert np.isfinite(first)
    status, same = ask({"signature_name": "right", "inputs": rows[:1]})
    np.testing.assert_allclose(same["outputs"], [[first]], rtol=1e-6)
    status, both = ask({"instances": [{"x": rows[0]}]})
    assert set(both["predictions"][0]) == {"left", "right"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/models/other", 404),
        ("/v1/models/echo/versions/4", 404),
        ("/v1/models/echo:predict", 400),  # wants POST
        ("/v1/models/echo:classify", 400),
        ("/v1/models/../etc", 400),
        ("/elsewhere", 404),
    ],
)
def test_paths_that_are_not_there(ask, path, status):
    found, answer = ask(path)
    assert found == status
    assert list(answer) == ["error"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "JSON Parse error"),
        (b"\xff", "JSON Parse error"),
        (b"[" * 5000, "JSON Parse error"),
        (b'{"instances": [%s]}' % (b"1" * 5000), "JSON Parse error"),
        ([1], "must be a JSON object"),
        ({}, "either 'instances'"),
        ({"instances": [ROW], "inputs": {}}, "either 'instances'"),
        ({"instances": []}, "a list that is not empty"),
        ({"instances": 1}, "a list that is not empty"),
        ({"instances": [1]}, "Row 0 of 'instances' must be an object with"),
        ({"instances": [{"text": "a"}]}, "['count', 'text']"),
        ({"instances": [{**ROW, "x": 1}]}, "Row 0"),
        ({"instances": [ROW], "signature_name": "no"}, "no signature 'no'"),
        ({"instances": [ROW], "signature_name": 1}, "must be a string"),
        ({"instances": [{**ROW, "count": [1]}]}, "shape (None, 2)"),
        ({"instances": [{**ROW, "count": [[1, 2]]}]}, "more axes"),
        ({"instances": [ROW, {**ROW, "count": [1]}]}, "different lengths"),
        ({"instances": [{**ROW, "count": [1, 2.5]}]}, "int32. Received: 2.5"),
        ({"instances": [{**ROW, "count": [1, True]}]}, "Received: True"),
        ({"instances": [{**ROW, "count": [1, 2**31]}]}, "must be int32"),
        ({"instances": [{**ROW, "count": [1, None]}]}, "Received: None"),
        ({"instances": [{**ROW, "text": 1}]}, "must be string. Received: 1"),
        ({"instances": [{**ROW, "text": {"b64": "?"}}]}, "must be string"),
        ({"instances": [{**ROW, "text": {"b64": 1}}]}, "no string"),
        ({"instances": [{**ROW, "text": {"b65": "a"}}]}, "no string"),
        ({"instances": [{**ROW, "text": "\ud800"}]}, "surrogates"),
        ({"instances": [{**ROW, "text": {"b64": "/w=="}}]}, "'_bytes'"),
        ({"inputs": {"text": ["a"], "count": [[1, 2]] * 2}}, "as many"),
        ({"inputs": {"text": [], "count": []}}, "shape (None, 2)"),
        ({"inputs": {"text": ["a"]}}, "Received: ['text']"),
        ({"inputs": ["a"]}, "must be an object"),
    ],
)
def test_requests_that_do_not_fit(ask, body, message):
    status, answer = ask(body=body)
    assert status == 400
    assert message in answer["error"]


def test_numbers_beyond_the_dtype(served):
    web = WsgiClient(RestApp(served.model, "", 10_000))
    for number in ("1e300", "1" * 400):
        body = '{"instances": [[1, 2, 3, ' + number + "]]}"
        response = web.post("/v1/models/two:predict", data=body)
        assert response.status_code == 400
        assert "must be float32" in json.loads(response.data)["error"]


def test_too_large_a_body(ask):
    status, answer = ask(body=b" " * 10_001)
    assert status == 413
    assert "may have 10000 bytes" in answer["error"]


def test_the_page(echo):
    response = WsgiClient(RestApp(echo.model, "<p>page</p>", 1)).get("/")
    assert response.text == "<p>page</p>"
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
