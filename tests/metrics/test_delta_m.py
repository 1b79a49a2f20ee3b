import math

import pytest

from keras_mtl.metrics import delta_m, task_deltas

DIRECTIONS = {"digit": "max", "age": "min"}


def test_delta_m_by_hand():
    results = {"digit": 0.88, "age": 1.5}
    baselines = {"digit": 0.80, "age": 2.0}
    deltas = task_deltas(results, baselines, DIRECTIONS)
    assert deltas == pytest.approx({"digit": 10.0, "age": 25.0})
    assert delta_m(results, baselines, DIRECTIONS) == pytest.approx(17.5)


def test_worse_is_negative_in_both_directions():
    deltas = task_deltas(
        {"digit": 0.4, "age": 3.0}, {"digit": 0.8, "age": 2.0}, DIRECTIONS
    )
    assert deltas == pytest.approx({"digit": -50.0, "age": -50.0})


def test_negative_baselines_count_by_their_size():
    # R² of -0.5 against -1: better by half of the baseline's size.
    assert delta_m({"r": -0.5}, {"r": -1.0}, {"r": "max"}) == pytest.approx(50)


def test_zero_baseline():
    assert task_deltas({"a": 0.0}, {"a": 0.0}, {"a": "min"}) == {"a": 0.0}
    results, baselines = {"digit": 0.9, "age": 1.0}, {"digit": 0.9, "age": 0.0}
    assert math.isnan(task_deltas(results, baselines, DIRECTIONS)["age"])
    assert math.isnan(delta_m(results, baselines, DIRECTIONS))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({}, {}, {}), "`results` must hold at least one task"),
        (({"a": 1.0}, {"b": 1.0}, {"a": "max"}), "`baselines` must have"),
        (({"a": 1.0}, {"a": 1.0}, {}), "`directions` must have"),
        (({"a": 1.0}, {"a": 1.0}, {"a": "up"}), "'max' or 'min'.*'up'"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        delta_m(*arguments)
