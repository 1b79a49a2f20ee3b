import math

import numpy as np
import pytest
from scipy import stats

from keras_mtl.analysis.significance import holm, interval, paired_p, ranks


def test_interval_is_students():
    values = [1.0, 2.0, 4.0, 5.0]
    expected = stats.t.interval(
        0.95, 3, loc=np.mean(values), scale=stats.sem(values)
    )
    assert interval(values) == pytest.approx(expected)
    assert all(math.isnan(end) for end in interval([1.0]))


def test_interval_holds_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = [
        low <= 3 <= high
        for low, high in (
            interval(rng.normal(3, 2, size=5)) for _ in range(2000)
        )
    ]
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


def test_pairs_are_compared_by_their_differences():
    values, others = [1.0, 2.0, 4.0], [0.5, 1.0, 4.5]
    expected = stats.ttest_rel(values, others).pvalue
    assert paired_p(values, others) == pytest.approx(expected)
    assert math.isnan(paired_p([1.0], [2.0]))
    assert math.isnan(paired_p([1.0, 2.0], [0.0, 1.0]))


def test_holm_by_hand():
    p = {"a": 0.04, "b": 0.01, "c": 0.03, "d": math.nan}
    # Sorted: 3 × .01, 2 × .03, and 1 × .04 raised to the one before.
    found = holm(p)
    assert math.isnan(found.pop("d"))
    assert found == pytest.approx({"b": 0.03, "c": 0.06, "a": 0.06})
    assert list(found) == ["a", "b", "c"]
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}


def test_ranks():
    scores = {"a": 0.5, "b": 0.9, "c": 0.5, "d": math.nan}
    assert ranks(scores, "max") == {"a": 2.5, "b": 1.0, "c": 2.5, "d": 4.0}
    assert ranks(scores, "min") == {"a": 1.5, "b": 3.0, "c": 1.5, "d": 4.0}
