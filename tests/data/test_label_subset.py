"""A part of the labels: how many, which, and what becomes of the others."""

import numpy as np
import pytest

from keras_mtl import Task
from keras_mtl.data import keep_labels

TASKS = [
    Task("kind", "multiclass", units=5),
    Task("price", "regression"),
    Task("tags", "multilabel", units=3),
]
DRAW = np.random.default_rng(0)
Y = {
    "kind": DRAW.integers(-1, 5, 1000),
    "price": np.where(DRAW.uniform(size=1000) < 0.3, np.nan, 1.0),
    "tags": DRAW.integers(0, 2, (1000, 3)),
}
THERE = {
    "kind": Y["kind"] != -1,
    "price": ~np.isnan(Y["price"]),
    "tags": np.ones(1000, bool),
}


def kept(y):
    return {
        "kind": y["kind"] != -1,
        "price": ~np.isnan(y["price"]),
        "tags": (y["tags"] != -1).all(axis=1),
    }


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 1.0])
def test_so_many_labels_are_kept_and_unchanged(fraction):
    result = keep_labels(Y, TASKS, fraction)
    for name, there in kept(result).items():
        assert there.sum() == np.ceil(fraction * THERE[name].sum())
        assert not (there & ~THERE[name]).any()
        np.testing.assert_array_equal(result[name][there], Y[name][there])


def test_fewer_labels_are_a_part_of_more():
    few, more, many = (kept(keep_labels(Y, TASKS, f)) for f in (0.01, 0.1, 0.5))
    for name in Y:
        assert not (few[name] & ~more[name]).any()
        assert not (more[name] & ~many[name]).any()


def test_the_draw_depends_on_seed_and_task_alone():
    one = kept(keep_labels(Y, TASKS, 0.3))
    alone = keep_labels({"price": Y["price"]}, TASKS[1:2], 0.3)
    np.testing.assert_array_equal(~np.isnan(alone["price"]), one["price"])
    other = kept(keep_labels(Y, TASKS, 0.3, seed=1))
    assert (other["tags"] != one["tags"]).any()
    # Independent: of 1000 rows about 90 are kept in both.
    twice = {**Y, "kind": np.zeros(1000, int)}
    both = kept(keep_labels(twice, TASKS, 0.3))
    assert 60 < (both["kind"] & both["tags"]).sum() < 120


def test_fractions_by_task():
    result = kept(keep_labels(Y, TASKS, {"tags": 0.2}))
    assert result["tags"].sum() == 200
    np.testing.assert_array_equal(result["kind"], THERE["kind"])


def test_unsigned_labels_can_be_missing():
    y = {"kind": np.arange(4, dtype="uint8")}
    result = keep_labels(y, TASKS, 0.5)["kind"]
    assert sorted(result)[:2] == [-1, -1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fraction": 0}, "`fraction` must be above 0.*Received: 0 "),
        ({"fraction": 1.5}, "`fraction` must be above 0.*1.5"),
        (
            {"fraction": {"tag": 0.5}},
            "`fraction` has keys.*Did you mean 'tags'",
        ),
        ({"y": {"tag": Y["tags"]}, "fraction": 1}, "`y` has keys"),
    ],
    ids=["zero", "above one", "misspelt fraction", "misspelt label"],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        keep_labels(**{"y": Y, "tasks": TASKS, **arguments})
