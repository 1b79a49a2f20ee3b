import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import keras
import pytest

from keras_mtl.cli.serve import _is_loopback
from keras_mtl.serving import export


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    x = keras.Input((2,), name="x")
    model = keras.Model(x, {"a": keras.layers.Dense(1)(x)})
    return export(model, tmp_path_factory.mktemp("saved") / "small").parent


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_serve_answers_and_stops(model_dir, number):
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "keras_mtl.cli", "serve", str(model_dir)),
            *("--port", "0", "--grpc-port", "0"),
        ],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = []
    while not lines or lines[-1] != "Ctrl-C stops it.\n":
        lines.append(process.stdout.readline())
        assert lines[-1], process.stderr.read()
    told = "".join(lines)
    assert told.startswith("small, version 1\n")
    assert "In production run TensorFlow Serving:\n  docker run -p" in told
    assert f"source={model_dir.resolve()},target=/models/small" in told
    url = re.search(r"REST +(\S+)", told)[1]
    body = b'{"instances": [[1, 2]]}'
    with urllib.request.urlopen(url, body) as answer:
        assert len(json.load(answer)["predictions"]) == 1
    page = re.search(r"page +(\S+)", told)[1]
    with urllib.request.urlopen(page) as answer:
        assert b"small, version 1" in answer.read()
    process.send_signal(number)
    rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest, errors) == (0, "Stopped.\n", "")
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(page)


def test_mistakes(run, tmp_path):
    result = run("serve", "gone")
    assert result.exit_code == 2
    assert "there is no such directory" in result.stderr
    assert run("serve", "x", "--timeout", "0").exit_code == 2


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("192.168.0.1", False),
        ("somewhere", False),
    ],
)
def test_who_can_ask(host, here):
    assert _is_loopback(host) == here
