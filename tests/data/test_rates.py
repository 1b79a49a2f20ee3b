"""Rates of sources: rules by themselves, and how draws are shared out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_mtl.data import rates
from keras_mtl.data.apportion import apportion, apportion_within

NAMES = ["one", "two", "three"]
SIZES = np.array([10.0, 200.0, 3000.0])
MONITOR = {"one": "a_cosine", "two": ["a_cosine", "b_cosine"], "three": "c"}

cosine = st.floats(-1, 1)
logged = st.fixed_dictionaries(
    {key: cosine for key in ("a_cosine", "b_cosine", "c")}
)


def by_conflict(logs, strength=1.0):
    rule = rates.ByConflict(MONITOR, strength)
    rule.check(NAMES)
    return rule.weights(rates.EpochStart(SIZES, NAMES, len(logs), logs))


def test_rates_by_conflict_begin_proportional_to_sizes():
    np.testing.assert_array_equal(by_conflict([]), SIZES)


def test_rates_by_conflict_are_sizes_times_exp_of_the_mean_cosine():
    logs = {"a_cosine": 0.5, "b_cosine": -0.1, "c": -1.0}
    expected = SIZES * np.exp([1.0, 0.4, -2.0])  # strength 2
    np.testing.assert_allclose(by_conflict([{}, logs], 2.0), expected)


@given(logged, st.floats(-3, 3))
def test_rates_by_conflict_stay_within_their_bound(logs, strength):
    found = by_conflict([logs], strength) / SIZES
    assert (found > 0).all()
    bound = math.exp(2 * abs(strength)) * (1 + 1e-9)
    assert found.max() / found.min() <= bound


@given(logged, cosine)
def test_more_agreement_is_a_higher_rate(logs, other):
    def rate(value):
        weights = by_conflict([{**logs, "c": value}])
        return weights[2] / weights.sum()

    low, high = sorted([logs["c"], other])
    assert rate(low) <= rate(high)


def test_a_task_that_met_no_other_conflicts_with_none():
    nan = float("nan")
    logs = {"a_cosine": nan, "b_cosine": 0.5, "c": nan}
    expected = SIZES * np.exp([0.0, 0.5, 0.0])
    np.testing.assert_allclose(by_conflict([logs]), expected)


def test_a_loss_that_says_nothing_counts_as_no_progress():
    rule = rates.ByLoss({name: name for name in NAMES})
    logs = [
        {"one": 0.0, "two": math.nan, "three": 4.0},
        {"one": 2.0, "two": 2.0, "three": 2.0},
        {"one": 1.0, "two": 0.5, "three": 0.0},
    ]
    found = [
        rule.weights(rates.EpochStart(SIZES, NAMES, i, logs[:i]))
        for i in range(1, 4)
    ]
    expected = [[1.0, 1.0, 1.0], [1.0, 1.0, 0.5], [0.5, 0.25, 1.0]]
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rates.ByConflict(MONITOR, math.nan), "`strength` must be"),
        (lambda: rates.ByConflict(MONITOR, "much"), "`strength` must be"),
        (
            lambda: rates.ByConflict({"one": "a"}).check(NAMES),
            "`monitor` must name a log for each source",
        ),
        (
            lambda: rates.ByConflict({**MONITOR, "one": []}).check(NAMES),
            "`monitor` must name a log for each source",
        ),
        (
            lambda: by_conflict([{"a_loss": 1.0}]),
            r"`monitor\['one'\]` must name a log.*balancer of gradients",
        ),
    ],
    ids=["nan", "no number", "sources", "no log", "log"],
)
def test_bad_rates_by_conflict_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("total", [1, 7, 100, 999])
def test_apportion_sums_up_and_is_less_than_one_away(total):
    weights = np.random.default_rng(total).uniform(size=13)
    counts = apportion(weights, total)
    assert counts.sum() == total
    assert np.abs(counts - weights / weights.sum() * total).max() < 1


shares = st.lists(
    st.tuples(
        st.floats(0.01, 100),
        st.one_of(st.just(math.inf), st.integers(0, 50).map(float)),
    ),
    min_size=1,
    max_size=6,
)


@given(shares, st.integers(0, 300))
def test_apportioned_within_limits(given_shares, total):
    weights, limits = map(np.array, zip(*given_shares, strict=True))
    counts = apportion_within(weights, total, limits)
    assert (counts >= 0).all() and (counts <= limits).all()
    assert counts.sum() == min(total, limits.sum())
    # Those below their limit share what is left, as if alone.
    free = counts < limits
    if free.any():
        rest = apportion(weights[free], int(counts[free].sum()))
        np.testing.assert_array_equal(counts[free], rest)


def test_without_limits_it_is_apportion():
    weights = np.array([1.0, 2.0, 4.0])
    np.testing.assert_array_equal(
        apportion_within(weights, 20, np.full(3, np.inf)),
        apportion(weights, 20),
    )
