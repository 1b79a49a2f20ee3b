import io
import types

import pytest
from rich.console import Console

from keras_mtl.cli import progress
from keras_mtl.cli.progress import Bars, Pace, show


@pytest.fixture
def clock(monkeypatch):
    now = types.SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now.seconds)
    return now


def test_time_left_goes_by_the_mean_pace(clock):
    pace = Pace()
    pace.update(0)
    assert pace.left(10) == ""
    clock.seconds += 60
    pace.update(0.5)
    assert pace.left(10) == "0:19:00 left"
    clock.seconds += 60
    pace.update(4)
    assert pace.left(10) == "0:03:00 left"
    pace.update(10)
    assert pace.left(10) == ""


def test_what_was_known_before_is_not_counted(clock):
    pace = Pace()
    pace.update(5)  # a search that goes on
    pace.update(6, known=True)
    assert pace.left(10) == ""
    clock.seconds += 30
    pace.update(7)
    assert pace.left(10) == "0:01:30 left"


def test_the_clock_starts_anew_with_the_count(clock):
    pace = Pace()
    pace.update(0)
    clock.seconds += 1000
    pace.update(3)
    pace.update(0)  # the next step of a search
    clock.seconds += 10
    pace.update(1)
    assert pace.left(20) == "0:03:10 left"


def test_bars_show_it(clock, monkeypatch):
    console = Console(force_terminal=True, file=io.StringIO())
    monkeypatch.setattr(progress, "new_console", lambda stderr: console)
    bars = Bars("trainings", "epochs")
    told = types.SimpleNamespace(
        **{"label": "equal weights", "seed": 1, "reused": False},
        **{"training": 1, "trainings": 4, "epoch": 0, "epochs": 2},
    )
    show(bars, told)
    clock.seconds += 5
    told.epoch = 1
    show(bars, told)
    trainings, epochs = bars._progress.tasks
    assert trainings.completed == 1.5
    assert trainings.fields["left"] == "0:00:25 left"
    assert trainings.fields["label"] == "equal weights, seed 1"
    assert epochs.fields["left"] == "0:00:05 left"
