"""Kills trainings at random moments and lets them go on: what is lost?

python -m tests.faults.kills NUMBER [SEED]
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

from keras_mtl.callbacks.checkpoint import _read_state
from tests.faults.job import EPOCHS, FINAL, KINDS, LOGS, MODEL

MOMENTS = ("step", "saving", "logging")


class Server:
    """Processes that train, forked from one that has TensorFlow."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.faults.job"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )

    def start(self, kind, folder):
        """Its PID, once it trains."""
        self.process.stdin.write(f"{kind} {folder}\n")
        self.process.stdin.flush()
        return int(self._line().removeprefix("pid "))

    def begun(self):
        """Whether training begins; else it ended before."""
        line = self._line()
        if line == "begun":
            return True
        raise AssertionError(f"the training {line} before it began")

    def end(self):
        """The exit code."""
        while not (line := self._line()).startswith("ended "):
            pass
        return int(line.removeprefix("ended "))

    def _line(self):
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError("the server of trainings is gone")
        return line.strip()


@contextlib.contextmanager
def serving():
    server = Server()
    try:
        yield server
    finally:
        server.process.stdin.close()
        server.process.wait()
        server.process.stdout.close()


def events_size(folder):
    return sum(f.stat().st_size for f in (folder / LOGS).rglob("*tfevents*"))


def wait_for(moment, folder, seconds, draw):
    """Until the moment has come to kill; or the training may have ended."""
    if moment == "step":
        time.sleep(draw.uniform(0, seconds))
        return
    # Some while into it, so that not always the first one is hit.
    time.sleep(draw.uniform(0, seconds / 2))
    size, until = events_size(folder), time.monotonic() + seconds
    while time.monotonic() < until:
        if moment == "saving" and any(folder.glob(f".{MODEL}-*")):
            time.sleep(draw.uniform(0, 0.02))
            return
        if moment == "logging" and events_size(folder) > size:
            time.sleep(draw.uniform(0, 0.003))
            return


def check_after_kill(folder, epochs_before):
    """What is there is whole and no epoch was lost; the epochs done."""
    visible = {f.name for f in folder.iterdir() if f.name[0] != "."}
    assert visible <= {MODEL, LOGS, FINAL}, visible
    path = folder / MODEL
    if not path.exists():
        assert epochs_before < 0
        return -1
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    epochs, history, _ = _read_state(path)
    assert epochs >= epochs_before
    assert all(len(values) == epochs for values in history.values())
    return epochs


def final(folder):
    with np.load(folder / FINAL) as arrays:
        found = {key: arrays[key] for key in arrays}
    history = json.loads(str(found.pop("history")))
    return {k: v.tobytes() for k, v in found.items()}, history


def check_final(folder, expected):
    """Bit for bit as if nothing had happened, and nothing lies about."""
    weights, history = final(folder)
    assert weights == expected[0]
    assert history.keys() == expected[1].keys()
    for key, values in history.items():
        np.testing.assert_array_equal(values, expected[1][key], err_msg=key)
    assert all(len(values) == EPOCHS for values in history.values())
    names = {f.name for f in folder.iterdir()}
    assert names == {MODEL, LOGS, FINAL}, names
    # What TensorBoard shows may be there twice, but never not.
    board = EventAccumulator(
        str(folder / LOGS / "train"), size_guidance={"tensors": 0}
    ).Reload()
    shown = {event.step for event in board.Tensors("loss/a")}
    assert shown == set(range(EPOCHS)), shown


def kill_and_resume(number, out, seed=0, kinds=tuple(KINDS), tell=print):
    """Kills trainings of each kind in turn, `number` times in all.

    Returns:
        How often each moment was hit, how many trainings were done, how many
        of the kills came while a checkpoint was being written, and the files
        found.
    """
    draw = random.Random(seed)
    hit, found = Counter(), Counter()
    with serving() as server:
        expected, seconds = {}, {}
        for kind in kinds:
            folder = Path(out) / f"{kind}-reference"
            folder.mkdir(parents=True)
            server.start(kind, folder)
            assert server.begun()
            start = time.monotonic()
            assert server.end() == 0
            seconds[kind] = time.monotonic() - start
            expected[kind] = final(folder)
        while hit.total() < number:
            kind = kinds[found["trainings"] % len(kinds)]
            folder = Path(out) / f"{kind}-{found['trainings']}"
            folder.mkdir()
            epochs = -1
            while True:
                pid = server.start(kind, folder)
                assert server.begun()
                # The last training is let through to its end.
                moment = draw.choice(MOMENTS)
                if hit.total() < number:
                    wait_for(moment, folder, seconds[kind], draw)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                code = server.end()
                if code == 0:
                    break
                assert code == -signal.SIGKILL, code
                hit[moment] += 1
                saving = any(folder.glob(f".{MODEL}-*"))
                found["half a checkpoint beside the good one"] += saving
                epochs = check_after_kill(folder, epochs)
                tell(f"{hit.total()}: {kind}, {moment}, {epochs} epochs saved")
            check_final(folder, expected[kind])
            found["trainings"] += 1
    return hit, found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        begun = time.monotonic()
        hits, sights = kill_and_resume(
            int(sys.argv[1]), place, int((*sys.argv, 0)[2])
        )
        print(dict(hits), dict(sights), f"{time.monotonic() - begun:.0f} s")
