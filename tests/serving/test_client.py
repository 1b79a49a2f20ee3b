import concurrent.futures
import types

import numpy as np
import pytest

from keras_mtl.serving import Client
from keras_mtl.serving import client as client_module
from keras_mtl.serving.rest_client import RestTransport
from keras_mtl.serving.session import Signature, TensorInfo

TEXTS = np.array(["a b", "grüße", ""])


def spied(client):
    """The requests that a client sends: signature, rows and outputs."""
    sent = []
    predict = client._transport.predict

    def spy(name, signature, inputs, outputs, timeout):
        sent.append((name, len(next(iter(inputs.values()))), list(outputs)))
        return predict(name, signature, inputs, outputs, timeout)

    client._transport.predict = spy
    return sent


def test_large_inputs_go_in_batches(exported, served, address_of):
    model, _ = exported
    rows = np.random.default_rng(0).normal(size=(70, 4)).astype("float32")
    with Client(address_of(served), "two") as client:
        sent = spied(client)
        answer = client.predict({"x": rows})
    assert [number for _, number, _ in sent] == [32, 32, 6]
    expected = model.predict(rows, verbose=0)
    assert set(answer) == {"left", "right"}
    for key, y in expected.items():
        assert answer[key].dtype == np.float32
        np.testing.assert_allclose(answer[key], y, atol=1e-6)


def test_one_input_needs_no_name_and_floats_of_any_size_do(served, address_of):
    with Client(address_of(served), "two") as client:
        answers = [
            client.predict(rows)
            for rows in (
                np.ones((1, 4)),
                [[1, 1, 1, 1]],
                np.ones((1, 4), "float16"),
            )
        ]
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer["left"], answers[0]["left"])


def test_tasks_choose_the_signature(served, address_of):
    with Client(address_of(served), "two") as client:
        sent = spied(client)
        for tasks in (None, "right", ["left"], ["right", "left"]):
            answer = client.predict(np.ones((1, 4)), tasks)
            assert list(answer) == sent[-1][2]
        with pytest.raises(ValueError, match=r"of \['left', 'right'\].*'up'"):
            client.predict(np.ones((1, 4)), ["up"])
    assert [(name, keys) for name, _, keys in sent] == [
        ("serving_default", ["left", "right"]),
        ("right", ["right"]),
        ("left", ["left"]),
        ("serving_default", ["right", "left"]),
    ]


def test_the_smallest_signature_with_all_of_them_is_asked():
    info = TensorInfo("float32", (None, 1))

    def of(*tasks):
        return Signature({"x": info}, dict.fromkeys(tasks, info))

    class Transport:
        def signatures(self, timeout):
            return {
                "a": of("a"),
                "ab": of("a", "b"),
                "serving_default": of("a", "b", "c"),
                "serving_examples": of("a", "b", "c"),
            }

        def predict(self, name, signature, inputs, outputs, timeout):
            asked.append(name)
            return {key: inputs["x"] for key in signature.outputs}

    asked = []
    client = Client("http://localhost:1", "m")
    client._transport = Transport()
    for tasks in ("a", ["b", "a"], ["b"], ["c"], None):
        client.predict([[1]], tasks)
    assert asked == ["a", "ab", "ab", *["serving_default"] * 2]


def test_strings_go_in_and_out(echo, address_of):
    with Client(address_of(echo), "echo", version=3) as client:
        answer = client.predict({"text": TEXTS, "count": [[1, 2]] * 3})
        assert [s.decode() for s in answer["text"]] == TEXTS.tolist()
        assert answer["count"].dtype == np.int32
        assert answer["count"].tolist() == [[2, 3]] * 3


def test_bytes_that_are_no_text(echo, address_of):
    given = {
        "text": np.array([b"\xff\x00", b"a"], object),
        "count": [[1, 2]] * 2,
    }
    with Client(address_of(echo), "echo") as client:
        if address_of(echo).startswith("grpc"):
            answer = client.predict(given, ["text_bytes", "text"])
            assert answer["text"].tolist() == [b"\xff\x00", b"a"]
            assert answer["text_bytes"].tolist() == [b"\xff\x00", b"a"]
        else:
            with pytest.raises(ValueError, match=r"400.*ends in '_bytes'"):
                client.predict(given)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.ones((1, 4)), r"a dict with arrays for \['count', 'text'\].*ndarr"),
        ({"text": ["a"]}, r"must be \['count', 'text'\]. Received: \['text'\]"),
        ({"text": ["a"], "count": [1, 2]}, r"shape \(None, 2\).*\(2,\)"),
        ({"text": ["a"], "count": [[1, 2]] * 2}, r"as many.*'text': 1"),
        ({"text": [], "count": np.zeros((0, 2), int)}, "must have rows"),
        ({"text": [1], "count": [[1, 2]]}, "'text' must be strings.*int"),
        ({"text": ["a"], "count": [[1, 2.5]]}, "must be int32.*float64"),
        ({"text": ["a"], "count": [[1, 2**31]]}, "values that do not fit"),
        ({"text": ["a"], "count": [[1], [1, 2]]}, "'count' is no array"),
        ({"text": ["a"], "count": [["1", "2"]]}, "must be int32"),
    ],
)
def test_inputs_that_do_not_fit_are_not_sent(echo, inputs, message):
    with Client(echo.rest_address, "echo") as client:
        sent = spied(client)
        with pytest.raises(ValueError, match=message):
            client.predict(inputs)
    assert sent == []


@pytest.mark.parametrize(
    "arguments", [{"model": "gone"}, {"model": "echo", "version": 9}]
)
def test_unknown_models_and_versions(echo, address_of, arguments):
    with (
        Client(address_of(echo), **arguments) as client,
        pytest.raises(ValueError, match=r"Servable not found.*has version 3"),
    ):
        client.predict({"text": ["a"], "count": [[1, 2]]})


def test_too_large_a_request(echo, address_of):
    with (
        Client(address_of(echo), "echo") as client,
        pytest.raises(ValueError, match="10000"),
    ):
        client.predict({"text": ["a" * 20_000], "count": [[1, 2]]})


def test_the_deadline_holds_on_the_server(slow, address_of):
    with Client(address_of(slow), "slow") as client:
        assert client.predict([3])["done"].tolist() == [3]
        with pytest.raises(TimeoutError):
            client.predict([10**12], timeout=0.1)
        with pytest.raises(TimeoutError, match=r"longer than 0.3 s|DEADLINE"):
            client.predict([10**12])
        assert client.predict([4])["done"].tolist() == [4]


def test_a_server_that_is_gone(exported, serve, address_of):
    server = serve(exported[1])
    with Client(address_of(server), "two", retries=0) as client:
        client.predict(np.ones((1, 4)))
        server.stop()
        with pytest.raises(ConnectionError):
            client.predict(np.ones((1, 4)))


class Flaky:
    """A transport that fails a few times."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.asked = 0

    def signatures(self, timeout):
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return {}


@pytest.fixture
def pauses(monkeypatch):
    """Time stands still but for pauses, which are collected."""
    pauses = []
    clock = types.SimpleNamespace(
        monotonic=lambda: sum(pauses), sleep=pauses.append
    )
    monkeypatch.setattr(client_module, "time", clock)
    monkeypatch.setattr(client_module.random, "uniform", lambda low, high: high)
    return pauses


def flaky_client(*failures, **options):
    client = Client("http://localhost:1", "m", **options)
    client._transport = Flaky(*failures)
    return client


def test_what_is_not_there_is_asked_again_after_growing_pauses(pauses):
    client = flaky_client(*[ConnectionError()] * 4)
    assert client.signatures() == {}
    assert pauses == [0.1, 0.2, 0.4, 0.8]


def test_the_last_try_raises(pauses):
    client = flaky_client(*[ConnectionError("down")] * 3, retries=2)
    with pytest.raises(ConnectionError, match="down"):
        client.signatures()
    assert client._transport.asked == 3 and pauses == [0.1, 0.2]


@pytest.mark.parametrize("error", [ValueError, TimeoutError, RuntimeError])
def test_other_errors_are_raised_at_once(pauses, error):
    client = flaky_client(error())
    with pytest.raises(error):
        client.signatures()
    assert client._transport.asked == 1 and pauses == []


def test_no_pause_goes_beyond_the_deadline(pauses):
    client = flaky_client(*[ConnectionError("down")] * 9, retries=9)
    with pytest.raises(ConnectionError, match="down"):
        client.signatures(timeout=0.35)
    assert pauses == [0.1, 0.2]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (503, ConnectionError),
        (504, TimeoutError),
        (404, ValueError),
        (500, RuntimeError),
        (200, RuntimeError),
    ],
)
def test_statuses_of_rest(status, error):
    transport = RestTransport("http://localhost:1", "m", None)
    answer = types.SimpleNamespace(status=status, data=b'{"error": "why"}')
    transport._pool = types.SimpleNamespace(request=lambda *a, **k: answer)
    with pytest.raises(error, match="why"):
        transport.signatures(1)


def test_a_refusal_makes_the_client_look_at_the_signatures_again(served):
    with Client(served.rest_address, "two") as client:
        client.predict(np.ones((1, 4)))

        def refuse(*arguments):
            raise ValueError("another version")

        client._transport.predict = refuse
        with pytest.raises(ValueError, match="another version"):
            client.predict(np.ones((1, 4)))
        assert client._known is None


@pytest.mark.parametrize("address", ["localhost:8501", "ftp://x", "http://"])
def test_addresses(address):
    with pytest.raises(ValueError, match="like 'grpc://host:8500'"):
        Client(address, "m")


def test_arguments():
    with pytest.raises(ValueError, match="max_batch=0"):
        Client("http://localhost:1", "m", max_batch=0)


@pytest.mark.parametrize(
    ("threads", "requests"),
    [(8, 40), pytest.param(64, 2000, marks=pytest.mark.slow)],
)
def test_threads_get_their_own_answers(echo, address_of, threads, requests):
    with Client(address_of(echo), "echo") as client:

        def ask(number):
            text = [f"{number}", f"{number} again"]
            count = [[number, -number]] * 2
            answer = client.predict({"text": text, "count": count})
            told = [s.decode() for s in answer["text"]]
            more = [[number + 1, 1 - number]] * 2
            return told == text and answer["count"].tolist() == more

        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            assert all(pool.map(ask, range(requests)))
