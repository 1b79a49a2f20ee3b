import csv
import dataclasses
import io
import json
import math

import pytest
from comparison_cases import comparison
from scipy import stats

from keras_mtl.analysis.results import EQUAL, SINGLE, Metric, Spread

ALONE = [(0.8, 2.0), (0.9, 4.0)]  # means 0.85 and 3.0


def test_spread_is_the_sample_standard_deviation():
    assert Spread.of([1.0, 2.0, 3.0]) == pytest.approx((2.0, 1.0))
    assert math.isnan(Spread.of([1.0]).sd)


def test_deltas_are_taken_seed_by_seed_against_the_single_task_mean():
    found = comparison({"m": [(0.85, 1.5), (1.02, 3.0)]}, ALONE).summary("m")
    assert found.test["digit"] == pytest.approx((0.935, 0.17 / 2**0.5))
    # digit: 0 and 20 %; age: 50 and 0 %; Δm: 25 and 10 %.
    assert found.deltas["digit"] == pytest.approx((10, 20 / 2**0.5))
    assert found.deltas["age"] == pytest.approx((25, 50 / 2**0.5))
    assert found.delta_m == pytest.approx((17.5, 15 / 2**0.5))


def test_single_task_deltas_have_mean_zero_and_costs_add_up():
    found = comparison({"m": ALONE}, ALONE).summary(SINGLE)
    assert found.delta_m.mean == pytest.approx(0)
    assert found.delta_m.sd > 0
    assert found.parameters == 2000
    assert found.seconds == pytest.approx((4.0, 0.0))


def test_a_summary_tells_how_sure_its_delta_is():
    found = comparison({"m": [(0.85, 1.5), (1.02, 3.0)]}, ALONE)
    summary = found.summary("m")
    reach = 12.706204736 * 7.5  # t of one degree of freedom
    assert summary.interval == pytest.approx((17.5 - reach, 17.5 + reach))
    # Single: -100/17 + 100/3 and its negative, halved.
    single = (-100 / 17 + 100 / 3) / 2
    differences = [25 - single, 10 + single]
    assert summary.p_value == pytest.approx(
        stats.ttest_1samp(differences, 0).pvalue
    )
    assert math.isnan(found.summary(SINGLE).p_value)
    # Ranks by seed and task: better, better; better, better.
    assert (summary.rank, found.summary(SINGLE).rank) == (1.0, 2.0)


def test_operations_add_up_where_they_are_known():
    found = comparison({"m": ALONE}, ALONE)
    assert found.summary(SINGLE).operations is None
    known = dataclasses.replace(
        found,
        trainings=[
            dataclasses.replace(t, operations=100) for t in found.trainings
        ],
    )
    assert known.summary(SINGLE).operations == 200
    assert known.summary("m").operations == 100


def test_single_tasks_need_not_be_in_memory_at_once():
    found = comparison({"m": [(0.8, 2.0)]}, [(0.8, 2.0)])
    assert found.summary(SINGLE).memory is None
    trainings = [
        dataclasses.replace(t, memory=100 * (n + 1))
        for n, t in enumerate(found.trainings)
    ]
    known = dataclasses.replace(found, trainings=trainings)
    assert known.summary(SINGLE).memory == 200
    assert known.summary("m").memory == 300


def test_validation_data_choose():
    worse, better = [(0.7, 4.0)] * 2, [(0.99, 1.0)] * 2
    found = comparison(
        {EQUAL: better, "m": worse}, ALONE, validation={EQUAL: [(0.1, 9.0)] * 2}
    )
    assert found.chosen == "m"


def test_an_undefined_delta_is_never_chosen():
    nan = [(math.nan, 1.0)] * 2
    assert comparison({"bad": nan, "m": ALONE}, ALONE).chosen == "m"


def test_json_is_valid_and_has_null_for_nan():
    text = comparison({"m": [(0.9, 1.0)]}, [(0.8, 2.0)]).to_json()
    record = json.loads(text, parse_constant=pytest.fail)
    by_method = {s["method"]: s for s in record["summaries"]}
    assert by_method["m"]["delta_m"] == {
        "mean": pytest.approx(31.25),
        "sd": None,
    }
    assert record["chosen"] == "m"


def test_csv_has_a_line_for_each_model_and_task():
    found = comparison({"m": ALONE}, ALONE)
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert len(rows) == 8
    assert rows[1]["method"] == SINGLE
    assert rows[1]["task"] == "age"
    assert float(rows[1]["test"]) == 2.0
    assert {row["epochs"] for row in rows} == {"4"}
    assert {"model_operations", "model_memory"} < set(rows[0])


def test_units_are_shown_where_the_metric_has_them():
    assert Metric("mae", "min", "years").label == "mae (years)"
    assert Metric("mse", "min").label == "mse"
    assert Metric("accuracy", "max").label == "accuracy"
