"""Processes that cannot do their work; those that are killed: `test_kills`."""

import json
import os
import sys

import pytest

from keras_mtl.tuner import join
from keras_mtl.tuner.plan import Plan
from keras_mtl.tuner.supervisor import Supervisor, split_address
from tests.tuner.small_plan import PLAN

CHIEF = "import time; print('chief'); time.sleep(60)"


@pytest.fixture
def supervise(tmp_path, monkeypatch):
    """Runs small programs in place of chief and workers."""
    pids = tmp_path / "pids"

    def run(program, workers=1, chief=CHIEF, report=None, **options):
        plan = Plan(tmp_path, {"recipe_file": "recipe.py"})
        supervisor = Supervisor(plan, workers, **options)
        note = f"import os; open({str(pids)!r}, 'a').write(f'{{os.getpid()}} ')"
        monkeypatch.setattr(
            supervisor,
            "command",
            lambda process: [
                *(sys.executable, "-S", "-c"),
                f"{note}; {chief if process.name == 'chief' else program}",
            ],
        )
        told = []
        report = report or (lambda done, label: told.append((done, label)))
        supervisor.run(report)
        return told

    yield run
    for pid in pids.read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def record(tmp_path, number):
    return (
        f"import pathlib; f = pathlib.Path({str(tmp_path)!r}, 'trials', "
        f"'trial_{number}', 'record.json'); f.parent.mkdir(parents=True); "
        "f.write_text('{}')"
    )


def test_workers_that_end_well_end_the_search(supervise, tmp_path):
    told = supervise(record(tmp_path, 0))
    assert told[-1] == (1, "")


def test_a_chief_that_ends_well_ends_the_search(supervise):
    supervise("import time; time.sleep(60)", chief="pass")


def test_what_no_restart_helps_is_told(supervise):
    with pytest.raises(ValueError, match=r"^the recipe has no tasks$"):
        supervise(
            "print('Error: the recipe has no tasks'); raise SystemExit(3)"
        )


def test_a_process_that_ends_again_and_again(supervise):
    with pytest.raises(ValueError, match=r"worker-1 ended 7 times.*'gone'"):
        supervise("print('gone'); raise SystemExit(1)")


def test_a_worker_that_does_not_come(supervise):
    with pytest.raises(ValueError, match=r"worker-1 has not begun within 1 "):
        supervise("import time; time.sleep(60)", patience=1.0)


def test_nobody_joins(supervise):
    with pytest.raises(
        ValueError,
        match=r"No worker has come to localhost:1 within 1 .*tune recipe.py "
        "--join",
    ):
        supervise("", workers=0, address="localhost:1", patience=1.0)


def test_processes_end_with_an_interrupt(supervise):
    def interrupt(done, label):
        if label:  # the worker is started again
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        supervise("raise SystemExit(1)", report=interrupt)


@pytest.mark.parametrize(
    "address", ["here", "here:", ":8700", "here:port", "here:0", "here:99999"]
)
def test_bad_address(address):
    with pytest.raises(ValueError, match="must be 'host:port'"):
        split_address(address)


def test_join_of_a_search_without_a_chief(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no run"):
        join(tmp_path / "none")
    (tmp_path / "config.json").write_text(json.dumps(PLAN))
    for name in ("chief-2", "a/b"):
        with pytest.raises(ValueError, match="not hold 'chief'"):
            join(tmp_path, name)
    with pytest.raises(ValueError, match="has no chief to join"):
        join(tmp_path, "one")


def test_join_of_a_chief_that_is_gone(sleepy, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(PLAN))
    (tmp_path / "address.txt").write_text("127.0.0.1:1\n")
    environment = dict(os.environ)
    try:
        with pytest.raises(
            ValueError, match=r"No chief answers at 127.0.0.1:1 "
        ):
            join(tmp_path, "one", sleepy.file, patience=0.5)
    finally:
        os.environ.clear()
        os.environ.update(environment)
