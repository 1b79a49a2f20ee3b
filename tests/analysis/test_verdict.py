import math

import pytest
from comparison_cases import comparison

from keras_mtl.analysis.results import Spread
from keras_mtl.analysis.verdict import (
    HELPED,
    HURT,
    UNDECIDED,
    UNKNOWN,
    percent,
    verdict,
)

SINGLE = [(0.80, 2.0), (0.82, 2.1), (0.78, 1.9)]


def shifted(digit, age):
    return [(d + digit, a + age) for d, a in SINGLE]


def test_helped():
    judged = verdict(comparison({"pcgrad": shifted(0.08, -0.4)}, SINGLE))
    assert judged.outcome == HELPED
    assert judged.sentence.startswith("Sharing helped: the shared model with")
    assert "with pcgrad, chosen on validation data" in judged.sentence
    assert "+15.0 ±" in judged.sentence
    assert judged.tasks["digit"].startswith("digit: better shared (+10.0 ±")
    assert judged.tasks["age"].startswith("age: better shared (+20.0 ±")


def test_did_not_help():
    judged = verdict(comparison({"pcgrad": shifted(-0.08, 0.4)}, SINGLE))
    assert judged.outcome == HURT
    assert judged.sentence.startswith("Sharing did not help: even the best")
    assert "-15.0 ±" in judged.sentence
    assert judged.tasks["age"].startswith("age: worse shared (-20.0 ±")


def test_within_the_spread():
    judged = verdict(comparison({"pcgrad": shifted(0.002, -0.01)}, SINGLE))
    assert judged.outcome == UNDECIDED
    assert judged.sentence.startswith("Sharing did not help measurably")
    assert "within the spread between seeds" in judged.sentence
    assert "no difference beyond the spread" in judged.tasks["digit"]


def test_the_spread_of_the_single_task_models_counts_too():
    # Shared runs agree with each other, but single-task runs do not.
    shared = [(0.808, 1.98)] * 3
    assert verdict(comparison({"m": shared}, SINGLE)).outcome == UNDECIDED


def test_a_task_that_loses_is_named_though_the_mean_gains():
    judged = verdict(comparison({"pcgrad": shifted(-0.1, -1.0)}, SINGLE))
    assert judged.outcome == HELPED
    assert judged.sentence.endswith("But digit lost by it.")


def test_one_seed_concludes_nothing():
    judged = verdict(comparison({"pcgrad": [(0.9, 1.0)]}, [(0.8, 2.0)]))
    assert judged.outcome == UNKNOWN
    assert "cannot be said from 1 seed:" in judged.sentence
    assert "+31.2 %" in judged.sentence
    assert judged.tasks["digit"] == "digit: +12.5 %, spread unknown"


def test_zero_baseline_is_undefined():
    judged = verdict(comparison({"m": [(0.9, 1.0)] * 2}, [(0.9, 0.0)] * 2))
    assert judged.outcome == UNKNOWN
    assert "Δm is undefined" in judged.sentence
    assert judged.tasks["age"].startswith("age: undefined")


def test_costs_are_ratios_to_the_separate_models():
    cost = verdict(comparison({"pcgrad": shifted(0, 0)}, SINGLE)).cost
    assert "0.60 times the parameters" in cost
    assert "0.75 times the training time" in cost
    assert "a batch of 32 in 0.50 times the time" in cost


@pytest.mark.parametrize(
    ("spread", "text"),
    [
        (Spread(1.234, 0.1), "+1.2 ± 0.1 %"),
        (Spread(-0.01, 0.5), "0.0 ± 0.5 %"),
        (Spread(-3.0, math.nan), "-3.0 %"),
        (Spread(math.nan, math.nan), "undefined"),
    ],
)
def test_percent(spread, text):
    assert percent(spread) == text
