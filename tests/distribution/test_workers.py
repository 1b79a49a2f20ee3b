"""Several processes train one model: with one result, and through deaths."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

from keras_mtl.training import fit_on_workers
from keras_mtl.training.fit_on_workers import _Batches
from tests.distribution.training import data, model

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests/distribution/worker_script.py"


def started(place, ports, folder, epochs, *options):
    return subprocess.Popen(
        [
            sys.executable,
            SCRIPT,
            str(place),
            ports,
            folder,
            str(epochs),
            *options,
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def run_two(folder, epochs, *options):
    """Exit codes of two workers; `options` are of the second."""
    folder.mkdir(exist_ok=True)
    free = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = ",".join(str(s.getsockname()[1]) for s in free)
    for server in free:
        server.close()
    workers = [
        started(0, ports, folder, epochs),
        started(1, ports, folder, epochs, *options),
    ]
    try:
        return [worker.wait(600) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()


def run_alone(folder, epochs):
    folder.mkdir(exist_ok=True)
    assert started(0, "-", folder, epochs).wait(600) == 0
    return ended(folder, 0)


def ended(folder, place):
    return json.loads((folder / f"end_{place}.json").read_text())


def assert_same(own, expected, history=True):
    for a, b in zip(own["weights"], expected["weights"], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    if history:
        assert own["history"].keys() == expected["history"].keys()
        for key, values in expected["history"].items():
            np.testing.assert_allclose(
                own["history"][key], values, rtol=1e-4, err_msg=key
            )


@pytest.mark.slow
def test_two_processes_end_where_one_does(tmp_path):
    assert run_two(tmp_path / "two", 2) == [0, 0]
    expected = run_alone(tmp_path / "one", 2)
    for place in (0, 1):
        assert_same(ended(tmp_path / "two", place), expected)
    # One writer: a board of one process; the file is whole, and the model.
    boards = list((tmp_path / "two" / "logs" / "train").iterdir())
    assert len(boards) == 1
    tags = EventAccumulator(str(boards[0].parent)).Reload().Tags()["tensors"]
    assert {"loss by step/age", "gradient cosine/kind and age"} <= set(tags)
    loaded = keras.models.load_model(tmp_path / "two" / "model.keras")
    for a, b in zip(
        loaded.trainable_variables, expected["weights"], strict=False
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_death_of_one_ends_all_and_they_go_on(tmp_path):
    folder = tmp_path / "two"
    assert run_two(folder, 3, "--die-in", "1") == [3, -9]
    assert "Another worker has ended" in (folder / "lost_0").read_text()
    (folder / "resume").touch()
    assert run_two(folder, 3) == [0, 0]
    expected = run_alone(tmp_path / "one", 3)
    assert_same(ended(folder, 0), expected, history=False)
    last = ended(folder, 0)["history"]["loss"]
    np.testing.assert_allclose(
        last, expected["history"]["loss"][-len(last) :], rtol=1e-4
    )


@pytest.mark.slow
def test_all_stop_when_one_wants_to(tmp_path):
    assert run_two(tmp_path, 5, "--stop-after", "1") == [0, 0]
    first, second = (ended(tmp_path, place) for place in (0, 1))
    assert first == second
    assert len(first["history"]["loss"]) == 1


def test_an_epoch_of_some_steps_reads_on():
    batches = _Batches([1, 2, 3, 4], 2)
    epochs = [list(batches.read_on()) for _ in range(3)]
    assert epochs == [[1, 2], [3, 4], [1, 2]]
    assert [list(batches), list(batches)] == [[1, 2], [1, 2]]
    assert list(batches.read_on()) == [3, 4]
    batches = _Batches([1, 2, 3], None)
    assert list(batches.read_on()) == list(batches) == [1, 2, 3]


def test_an_epoch_ends_where_the_data_do():
    batches = _Batches([1, 2, 3], 2)
    assert list(batches.read_on()) == [1, 2]
    with pytest.warns(
        UserWarning, match="ended after 1 of `steps_per_epoch`=2"
    ):
        assert list(batches.read_on()) == [3]
    assert list(batches.read_on()) == [1, 2]


def test_a_model_of_one_device_is_for_fit():
    own = model()
    own.compile("sgd")
    with pytest.raises(ValueError, match=r"`model` must be made in the scope"):
        fit_on_workers(own, tf.data.Dataset.from_tensor_slices(data()))
