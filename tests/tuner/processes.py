"""A search in processes of its own, to be killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

RECIPE = Path(__file__).with_name("sleepy_recipe.py")


class Search:
    """`keras-mtl tune` on the sleepy recipe."""

    def __init__(self, folder, *arguments, seconds=2.0):
        self.folder = folder
        # Before a first import of TensorFlow has ended there is no run.
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "keras_mtl.cli", "tune", str(RECIPE)),
                *map(str, arguments),
            ],
            cwd=folder,
            env={**os.environ, "SLEEPY_SECONDS": str(seconds)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    @property
    def run(self):
        (run,) = self.folder.glob("runs/sleepy/2*")
        return run

    def until(self, condition, seconds=240):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if found := condition():
                    return found
            except (OSError, ValueError):
                pass
            if self.process.poll() is not None:
                raise AssertionError(self.process.stdout.read())
            time.sleep(0.1)
        raise AssertionError(f"nothing in {seconds} seconds")

    def records(self):
        return sorted(self.run.glob("trials/*/record.json"))

    def running(self):
        """Workers by the trial that they run."""
        state = json.loads((self.run / "trials" / "oracle.json").read_text())
        ended = {file.parent.name for file in self.records()}
        return {
            f"trial_{trial}": worker
            for worker, trial in state["ongoing_trials"].items()
            if f"trial_{trial}" not in ended
            and (self.run / "trials" / f"trial_{trial}" / "attempts").exists()
        }

    def attempts(self):
        return {
            file.parent.name: int(file.read_text())
            for file in self.run.glob("trials/*/attempts")
        }

    def children(self):
        """Process ids by name, of those that the search has started."""
        return processes_of(self.run)

    def kill(self, name):
        os.kill(self.children()[name], signal.SIGKILL)

    def end(self, seconds=300):
        out, _ = self.process.communicate(timeout=seconds)
        return out


def processes_of(run):
    """Chief and workers of a run, wherever they come from."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_text().split("\0")
            state = (folder / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        # Relative to the folder that it was started in.
        if "keras_mtl.tuner" in words and state != "Z":
            place = Path(os.readlink(folder / "cwd")) / words[4]
            if place == run:
                role = words[3]
                found[role if role == "chief" else words[5]] = int(folder.name)
    return found
