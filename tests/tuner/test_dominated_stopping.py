import pytest

from keras_mtl import Task
from keras_mtl.tuner.dominated_stopping import DominatedStopping
from keras_mtl.tuner.trial_record import TrialRecord

UP = {"a": Task("a", "binary"), "b": Task("b", "regression")}


class Model:
    stop_training = False


@pytest.fixture
def stopping(tmp_path):
    """A callback beside trials of which some curves are known."""

    def make(curves, epochs=8, status="completed"):
        for number, (a, b) in enumerate(curves):
            TrialRecord(
                str(number),
                status,
                {},
                0,
                history={"val_a_accuracy": a, "val_b_mae": b},
            ).write(tmp_path / f"trial_{number}")
        callback = DominatedStopping(tmp_path, UP, epochs)
        callback.set_model(Model())
        return callback

    return make


def epochs_done(callback, a, b):
    for epoch, values in enumerate(zip(a, b, strict=True)):
        logs = dict(zip(("val_a_accuracy", "val_b_mae"), values, strict=True))
        callback.on_epoch_end(epoch, logs)
        if callback.model.stop_training:
            return epoch + 1
    return None


GOOD = ([0.8] * 8, [1.0] * 8)
POOR = ([0.2] * 8, [9.0] * 8)


def test_a_dominated_trial_stops_after_a_quarter(stopping):
    callback = stopping([GOOD] * 3 + [POOR])
    assert epochs_done(callback, [0.5] * 8, [2.0] * 8) == 2
    assert callback.reason == (
        "after epoch 2, 3 of 4 trials had been better in every task"
    )


@pytest.mark.parametrize(
    ("a", "b"), [(0.9, 99.0), (0.0, 0.5), (0.8, 99.0)], ids=str
)
def test_ahead_or_level_in_one_task_is_enough(stopping, a, b):
    callback = stopping([GOOD] * 6)
    assert epochs_done(callback, [a] * 8, [b] * 8) is None
    assert callback.reason is None


def test_half_of_the_trials_are_too_few(stopping):
    callback = stopping([GOOD] * 3 + [POOR] * 3)
    assert epochs_done(callback, [0.5] * 8, [2.0] * 8) is None


def test_fewer_than_four_trials_tell_nothing(stopping):
    assert epochs_done(stopping([GOOD] * 3), *POOR) is None


def test_failed_trials_do_not_count(stopping):
    callback = stopping([GOOD] * 6, status="failed")
    assert epochs_done(callback, *POOR) is None


def test_the_best_so_far_counts(stopping):
    # It was ahead once; and others had been poor by then.
    callback = stopping([GOOD] * 6)
    assert epochs_done(callback, [0.9] + [0.1] * 7, [9.0] * 8) is None
    late = ([0.2] * 4 + [0.8] * 4, [9.0] * 4 + [1.0] * 4)
    callback = stopping([late] * 6)
    assert epochs_done(callback, [0.5] * 8, [2.0] * 8) == 5


def test_nan_is_behind(stopping):
    nan = [float("nan")] * 8
    assert epochs_done(stopping([GOOD] * 4), nan, nan) == 2


def test_curves_that_ended_earlier_do_not_count(stopping):
    short = ([0.8], [1.0])
    assert epochs_done(stopping([short] * 6), *POOR) is None
