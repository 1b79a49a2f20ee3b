"""Cosines, conflict, dominance, scales, labels and overfitting, by hand."""

import numpy as np
import pytest

from keras_mtl import Task
from keras_mtl.analysis.conflict import conflict_share, mean_cosine
from keras_mtl.analysis.cosines import (
    cosines,
    cosines_by_layer,
    cosines_over_training,
)
from keras_mtl.analysis.dominance import dominance, gradient_norms
from keras_mtl.analysis.label_checks import check_labels
from keras_mtl.analysis.look_ahead import Look
from keras_mtl.analysis.loss_scales import equalizing_weights, scale_ratio
from keras_mtl.analysis.overfitting import OverfittingGap


def looks(*jacobians, present=(True, True)):
    """Looks at two shared variables of two entries each."""
    return [
        Look(
            10 * step,
            np.ones(2),
            np.array(present),
            np.ones((2, 2)),
            np.stack([j[:, :2] @ j[:, :2].T, j[:, 2:] @ j[:, 2:].T]),
        )
        for step, j in enumerate(np.asarray(jacobians, float))
    ]


ALIKE = [[1, 0, 0, 1], [2, 0, 0, 2]]
APART = [[1, 0, 0, 1], [-1, 0, 0, 0]]
NOTHING = [[1, 0, 0, 1], [0, 0, 0, 0]]


def test_cosines_over_training_and_by_layer():
    seen = looks(ALIKE, APART, NOTHING)
    steps, whole = cosines_over_training(seen)
    assert steps.tolist() == [0, 10, 20]
    assert whole[:2, 0, 1] == pytest.approx([1, -(0.5**0.5)])
    assert np.isnan(whole[2, 0, 1])
    by_layer = cosines_by_layer(seen, ["low", "high"])
    assert by_layer["low"][:2, 0, 1].tolist() == [1, -1]
    assert by_layer["high"][0, 0, 1] == 1
    assert np.isnan(by_layer["high"][1, 0, 1])
    assert cosines_by_layer(seen, ["one", "one"])["one"] == pytest.approx(
        whole, nan_ok=True
    )


def test_conflict_counts_what_is_known():
    whole = cosines(
        np.stack([look.gram for look in looks(ALIKE, APART, NOTHING)])
    )
    assert conflict_share(whole)[0, 1] == 0.5
    assert mean_cosine(whole)[0, 1] == pytest.approx((1 - 0.5**0.5) / 2)
    assert np.isnan(conflict_share(whole[2:])[0, 1])
    assert np.isnan(mean_cosine(whole[2:])[0, 1])


def test_dominance_is_a_ratio_of_typical_lengths():
    seen = looks(ALIKE, [[1, 0, 0, 0], [8, 0, 0, 0]])
    norms = gradient_norms(seen)
    assert norms == pytest.approx(np.array([[2**0.5, 8**0.5], [1, 8]]))
    # Geometric means of 2 and 8 against 1 and 1: 4 times as long.
    assert dominance(norms) == pytest.approx([0.5, 2.0])
    absent = gradient_norms(looks(ALIKE, present=(True, False)))
    assert np.isnan(absent[0, 1])
    assert dominance(absent)[0] == 1
    assert np.isnan(dominance(np.zeros((3, 2)))).all()


def test_scales():
    losses = {"a": 2.0, "b": 50.0, "c": -1.0}
    assert scale_ratio(losses) == 25
    assert equalizing_weights(losses) == {"a": 1.0, "b": 0.04, "c": 1.0}
    assert scale_ratio({"a": 0.0}) == 1
    assert equalizing_weights({"a": -1.0}) == {"a": 1.0}


@pytest.mark.parametrize(
    ("task", "labels", "remark"),
    [
        (Task("t", "regression"), [900.0, 1000.0, 1100.0], "standardize them"),
        (Task("t", "regression"), [3.0, 3.0], "nothing to learn"),
        (Task("t", "binary"), [1] * 199 + [0], "99.5% of the labels"),
        (Task("t", "binary"), [1, 1, -1], "All labels of t are 1"),
        (Task("t", "multiclass", units=4), [0, 1, 1], "2 of 4 classes of t"),
        (Task("t", "binary"), [-1, -1], "t has no label"),
    ],
)
def test_odd_labels(task, labels, remark):
    (found,) = check_labels(task, np.array(labels)).remarks
    assert remark in found


def test_plain_labels():
    numbers = check_labels(
        Task("t", "regression"), np.array([-1.0, 1.0, np.nan, 0.0])
    )
    assert numbers.remarks == ()
    assert numbers[:3] == (4, 0.25, 0.0)
    assert numbers.deviation == pytest.approx((2 / 3) ** 0.5)
    classes = check_labels(
        Task("t", "multiclass", units=2), np.array([0, 1, 1, -1])
    )
    assert classes.remarks == ()
    assert classes.missing == 0.25
    assert classes.majority == pytest.approx(2 / 3)


def test_overfitting():
    gap = OverfittingGap([3.0, 2.0, 1.0, 0.5], [3.0, 2.0, 2.4, 2.5])
    assert gap.best_epoch == 2
    assert gap.gap == 2.0
    assert gap.rise == 0.5
    assert gap.overfits
    still_learning = OverfittingGap([3.0, 2.0], [3.0, 2.5])
    assert not still_learning.overfits
    assert still_learning.rise == 0
    # Both rise: that is not overfitting.
    assert not OverfittingGap([1.0, 3.0], [1.0, 3.0]).overfits
    assert np.isnan(OverfittingGap([1.0, 3.0], [1.0, 3.0]).rise)
