"""Keeps a chief and its workers going until a search is done."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_mtl import _files
from keras_mtl.tuner.plan import Plan
from keras_mtl.tuner.trial_record import RECORD

# The exit code of a process that no restart would help.
HOPELESS = 3

ADDRESS = "address.txt"
WORKERS = "workers"
LOGS = "logs"

# A process that ends so often, with no trial ending meanwhile, is given up.
# More than the attempts at one trial: those come first.
_MAX_RESTARTS = 6
_PAUSE = 0.2


@dataclass
class _Process:
    """A process and what is needed to start it again."""

    name: str
    arguments: list[str]
    log: Path
    popen: Any = None
    restarts: int = 0
    started: float = 0.0
    done: bool = field(default=False)


class Supervisor:
    """KerasTuner's chief and workers on this machine.

    A process that is killed is started again under its name, where it goes on
    with its trial; the chief, on its port. All of them end with this process,
    however it ends.

    Args:
        plan: The search.
        workers: How many run here. With 0, others join.
        address: `host:port` of the chief; by default a free port that this
            machine alone can reach.
        patience: Seconds within which a worker must have come.

    Raises:
        ValueError: Not an address.
    """

    def __init__(
        self,
        plan: Plan,
        workers: int,
        address: str | None = None,
        patience: float = 600.0,
    ) -> None:
        self.plan = plan
        self.names = [f"worker-{i + 1}" for i in range(workers)]
        self.host, self.port = (
            ("127.0.0.1", _free_port())
            if address is None
            else split_address(address)
        )
        self.patience = patience
        run = str(plan.run)
        # Whoever joins from elsewhere may come again under any name.
        known = self.names if address is None else []
        logs = plan.run / LOGS
        self.chief = _Process("chief", [run, *known], logs / "chief.log")
        # What the plan has in memory: its file may have been changed.
        recipe = str(plan.settings["recipe_file"])
        self.workers = [
            _Process(name, [run, name, recipe], logs / f"{name}.log")
            for name in self.names
        ]

    def run(self, report: Callable[[int, str], None]) -> None:
        """Starts all processes and returns when the search is done.

        Args:
            report: Called with the number of trials that have ended, and
                what happened.

        Raises:
            ValueError: A process cannot do its work, or a worker never came.
        """
        for file in (self.plan.run / WORKERS).glob("*"):
            file.unlink()  # of an earlier start
        _files.write_text(self.plan.run / ADDRESS, f"{self.host}:{self.port}\n")
        begun = time.monotonic()
        ended = self._count()
        report(ended, "")
        with self._processes():
            while not self._finished():
                time.sleep(_PAUSE)
                for process in (self.chief, *self.workers):
                    if happened := self._look_after(process):
                        report(ended, happened)
                if self._count() > ended:
                    ended = self._count()
                    report(ended, "")
                    for process in (self.chief, *self.workers):
                        process.restarts = 0
                self._check_arrivals(begun)
        report(self._count(), "")

    def _finished(self) -> bool:
        return self.chief.done or (
            bool(self.workers) and all(w.done for w in self.workers)
        )

    def _count(self) -> int:
        return sum(1 for _ in self.plan.trials_folder.glob(f"*/{RECORD}"))

    @contextlib.contextmanager
    def _processes(self) -> Iterator[None]:
        everyone = (self.chief, *self.workers)
        try:
            for process in everyone:
                self._start(process)
            yield
        finally:
            for process in everyone:
                _end(process.popen)

    def _start(self, process: _Process) -> None:
        process.log.parent.mkdir(parents=True, exist_ok=True)
        with process.log.open("ab") as log:
            process.popen = subprocess.Popen(
                self.command(process),
                env=environment(process.name, self.host, self.port),
                # Closes when this process ends, and so ends the other.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                # An interrupt is for this process, which ends the others.
                start_new_session=True,
            )
        process.started = time.monotonic()

    def command(self, process: _Process) -> list[str]:
        """What starts a process."""
        role = "chief" if process is self.chief else "worker"
        program = [sys.executable, "-m", "keras_mtl.tuner"]
        return [*program, role, *process.arguments]

    def _look_after(self, process: _Process) -> str:
        """Starts a process again that was killed; says so."""
        code = process.popen.poll()
        if process.done or code is None:
            return ""
        if code == 0:
            process.done = True
            return ""
        process.popen.stdin.close()
        if code == HOPELESS:
            raise ValueError(_last_line(process.log))
        process.restarts += 1
        if process.restarts > _MAX_RESTARTS:
            raise ValueError(
                f"{process.name} ended {process.restarts} times, and no trial "
                f"did. Its last words: {_last_line(process.log)!r}. All of "
                f"them are in {process.log}."
            )
        self._start(process)
        return f"{process.name} ended with code {code} and is started again"

    def _check_arrivals(self, begun: float) -> None:
        """Gives up a worker that does not come."""
        now = time.monotonic()
        here = self.plan.run / WORKERS
        for worker in self.workers:
            waited = now - worker.started
            if waited > self.patience and not (here / worker.name).exists():
                raise ValueError(
                    f"{worker.name} has not begun within {self.patience:.0f} "
                    "seconds: it loads the recipe and its data first. Its "
                    f"last words: {_last_line(worker.log)!r}. All of them "
                    f"are in {worker.log}."
                )
        if (
            not self.workers
            and now - begun > self.patience
            and not any(here.glob("*"))
        ):
            raise ValueError(
                f"No worker has come to {self.host}:{self.port} within "
                f"{self.patience:.0f} seconds. Start one with: {self.joining}"
            )

    @property
    def joining(self) -> str:
        """The command that starts a worker elsewhere."""
        file = self.plan.settings["recipe_file"]
        return f"keras-mtl tune {file} --join {self.plan.run}"


def environment(name: str, host: str, port: int) -> dict[str, str]:
    """The environment by which KerasTuner knows who a process is."""
    # A worker reaches a chief that listens to all addresses on its own.
    local = "127.0.0.1" if host == "0.0.0.0" and name != "chief" else host
    return {
        **os.environ,
        "KERASTUNER_TUNER_ID": name,
        "KERASTUNER_ORACLE_IP": local,
        "KERASTUNER_ORACLE_PORT": str(port),
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"),
    }


def split_address(address: str) -> tuple[str, int]:
    """Host and port.

    Raises:
        ValueError: Not an address.
    """
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(
            "`address` must be 'host:port', the name by which workers reach "
            f"this machine and a free port. Received: {address!r}"
        )
    return host, int(port)


def wait_for_chief(host: str, port: int, patience: float) -> None:
    """Waits until something listens.

    Raises:
        ValueError: Nothing does.
    """
    until = time.monotonic() + patience
    while True:
        try:
            socket.create_connection((host, port), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > until:
                raise ValueError(
                    f"No chief answers at {host}:{port} ({error}): the search "
                    "is done, or `keras-mtl tune` does not run there."
                ) from error
            time.sleep(_PAUSE)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end(popen: Any) -> None:
    if popen is None:
        return
    if popen.stdin and not popen.stdin.closed:
        popen.stdin.close()
    if popen.poll() is None:
        # Everything that matters is on disk already.
        popen.kill()
    popen.wait()


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    return said[-1].removeprefix("Error: ") if said else ""
