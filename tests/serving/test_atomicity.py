"""Exports are killed while a watcher polls, as TF Serving does."""

import contextlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from keras_mtl.serving import check, export

ENDLESS_EXPORTS = """
import sys
sys.path.insert(0, sys.argv[2])
import numpy as np
from conftest import two_tasks
from keras_mtl.serving import export
model = two_tasks(width=100_000)
while True:
    export(model, sys.argv[1], warmup=np.ones((2, 4)))
"""

EXPECTED = {
    "fingerprint.pb",
    "saved_model.pb",
    "variables/variables.data-00000-of-00001",
    "variables/variables.index",
    "assets.extra/model_card.json",
    "assets.extra/request.json",
    "assets.extra/tf_serving_warmup_requests",
}


def contents(version_dir):
    return {
        str(file.relative_to(version_dir)): file.stat().st_size
        for file in version_dir.rglob("*")
        if file.is_file()
    }


class Watcher(threading.Thread):
    """Keeps what every version held at the moment when it was first seen."""

    def __init__(self, model_dir):
        super().__init__(daemon=True)
        self.model_dir = model_dir
        self.seen = {}
        self.ended = threading.Event()

    def run(self):
        while not self.ended.wait(0.001):
            for name in os.listdir(self.model_dir):
                if name.isdigit() and name not in self.seen:
                    self.seen[name] = contents(self.model_dir / name)


@contextlib.contextmanager
def watching(model_dir):
    watcher = Watcher(model_dir)
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.ended.set()
        watcher.join()


def exports_until(process, watcher, number, model_dir):
    """Waits for a number of exports, and the middle of one more."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        under_way = [n for n in os.listdir(model_dir) if n[0] == "."]
        if len(watcher.seen) >= number and under_way:
            return
        time.sleep(0.001)
    raise AssertionError(f"{len(watcher.seen)} of {number} exports")


@pytest.mark.parametrize(
    ("exports", "kills"),
    [(5, 1), pytest.param(100, 10, marks=pytest.mark.slow)],
)
def test_a_watcher_never_sees_a_part(two_tasks, tmp_path, exports, kills):
    delays = random.Random(0)
    here = str(pathlib.Path(__file__).parent)
    with watching(tmp_path) as watcher:
        for kill in range(1, kills + 1):
            process = subprocess.Popen(
                [sys.executable, "-c", ENDLESS_EXPORTS, tmp_path, here]
            )
            try:
                exports_until(
                    process, watcher, exports * kill // kills, tmp_path
                )
                time.sleep(delays.uniform(0, 0.2))
            finally:
                process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        time.sleep(0.1)
    names = os.listdir(tmp_path)
    published = {n for n in names if n.isdigit()}
    assert len(published) >= exports and published == set(watcher.seen)
    assert published == {str(n + 1) for n in range(len(published))}
    for name, held in watcher.seen.items():
        assert set(held) == EXPECTED
        assert held == contents(tmp_path / name)
    assert check(tmp_path / "1").ok and check(tmp_path).ok
    assert export(two_tasks(), tmp_path).name == str(len(published) + 1)
    assert all(name.isdigit() for name in os.listdir(tmp_path))
