"""Searches whose processes are killed: nothing is lost or left running."""

import json
import signal
import time

import pytest

from tests.tuner.processes import Search, processes_of

pytestmark = pytest.mark.slow

TRIALS = 6
PARALLEL = ("--oracle", "random", "--trials", TRIALS, "--workers", 2)


@pytest.fixture
def search(tmp_path):
    searches = []

    def start(*arguments, **options):
        searches.append(Search(tmp_path, *arguments, **options))
        return searches[-1]

    yield start
    for started in searches:
        started.process.kill()
        started.process.wait()
        started.process.stdout.close()


def check_done(search):
    """All trials are there, once each, with different values."""
    results = json.loads((search.run / "results.json").read_text())
    names = [trial["trial"] for trial in results["trials"]]
    assert names == [str(number) for number in range(TRIALS)]
    assert {trial["status"] for trial in results["trials"]} == {"completed"}
    values = [json.dumps(trial["values"]) for trial in results["trials"]]
    assert len(set(values)) == TRIALS
    assert processes_of(search.run) == {}


def test_a_killed_worker_goes_on_with_its_trial(search):
    started = search(*PARALLEL)
    running = started.until(started.running)
    trial, worker = next(iter(running.items()))
    started.kill(worker)
    out = started.end()
    assert f"{worker} ended with code -9 and is started again" in out
    check_done(started)
    # The one that was killed is repeated, no other.
    attempts = started.attempts()
    assert {t: n for t, n in attempts.items() if n > 1} == {trial: 2}
    assert (
        json.loads(
            (started.run / "trials" / trial / "record.json").read_text()
        )["worker"]
        == worker
    )


def test_a_killed_chief_comes_back_and_nothing_is_repeated(search):
    started = search(*PARALLEL)
    started.until(lambda: started.records() and started.running())
    port = (started.run / "address.txt").read_text()
    started.kill("chief")
    out = started.end()
    assert "chief ended with code -9 and is started again" in out
    assert (started.run / "address.txt").read_text() == port
    check_done(started)
    assert set(started.attempts().values()) == {1}


def test_everything_killed_and_resumed(search):
    started = search(*PARALLEL)
    started.until(lambda: started.records() and started.running())
    started.process.kill()
    started.process.communicate()
    # The others notice by themselves.
    end = time.monotonic() + 30
    while processes_of(started.run) and time.monotonic() < end:
        time.sleep(0.1)
    assert processes_of(started.run) == {}
    before = {file: file.stat().st_mtime_ns for file in started.records()}
    begun = started.attempts()
    assert 0 < len(before) < TRIALS
    # With fewer workers than before.
    again = search("--resume", started.run.relative_to(started.folder))
    again.end()
    check_done(again)
    after = {file: file.stat().st_mtime_ns for file in again.records()}
    assert {file: after[file] for file in before} == before
    repeated = set(again.attempts()) & set(begun)
    assert len(repeated) <= 2


def test_an_interrupt_leaves_nothing_running(search):
    started = search(*PARALLEL)
    started.until(started.running)
    started.process.send_signal(signal.SIGINT)
    out = started.end(60)
    assert started.process.returncode == 130
    assert "Interrupted." in out
    assert processes_of(started.run) == {}


def test_workers_join_over_the_network(search):
    """The two commands for several machines, over loopback."""
    port = 8700 + int(time.time()) % 1000
    chief = search(
        *("--oracle", "bayesian", "--trials", TRIALS, "--workers", 0),
        *("--address", f"localhost:{port}"),
    )
    run = chief.until(lambda: chief.run)
    chief.until(lambda: (run / "address.txt").exists())
    workers = [search("--join", run, "--name", f"host-{i}") for i in range(2)]
    for worker in workers:
        worker.end()
        assert worker.process.returncode == 0
    chief.end()
    check_done(chief)
    recorded = {
        json.loads(file.read_text())["worker"] for file in chief.records()
    }
    assert recorded == {"host-0", "host-1"}
