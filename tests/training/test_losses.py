"""Losses over the labels that are there, held against loops over examples."""

import keras
import numpy as np
import pytest

from keras_mtl import Task
from keras_mtl.training.losses import loss_totals, mean_loss, read_labels

NAN = float("nan")


def loss_of(task, y, y_pred, weight=None):
    labels = read_labels(
        task,
        np.asarray(y),
        np.asarray(y_pred, "float32"),
        None if weight is None else np.asarray(weight, "float32"),
    )
    totals = loss_totals(task, labels)
    return float(mean_loss(totals)), float(totals.count) > 0


def test_multiclass_is_the_mean_over_labelled_examples():
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    loss, present = loss_of(Task("t", "multiclass"), [0, -1, 2], p)
    assert present
    assert loss == pytest.approx(-(np.log(0.7) + np.log(0.6)) / 2, rel=1e-5)


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_regression_skips_nan(shape):
    y = np.array([1.0, NAN, 3.0, NAN], "float32").reshape(shape)
    loss, _ = loss_of(Task("t", "regression"), y, [[2.0], [9.0], [5.0], [9.0]])
    assert loss == pytest.approx((1 + 4) / 2)


def test_regression_keeps_minus_one_as_a_value():
    loss, _ = loss_of(Task("t", "regression"), [-1, 2], [[1.0], [2.0]])
    assert loss == pytest.approx((4 + 0) / 2)


def test_rows_may_miss_single_values():
    y = np.array([[1.0, NAN], [NAN, NAN], [3.0, 5.0]], "float32")
    loss, _ = loss_of(Task("t", "regression", units=2), y, np.zeros((3, 2)))
    assert loss == pytest.approx((1 + 9 + 25) / 3)


def test_multilabel_against_a_loop():
    rng = np.random.default_rng(0)
    y = rng.integers(-1, 2, (7, 4))
    p = rng.uniform(0.05, 0.95, (7, 4)).astype("float32")
    w = rng.integers(0, 3, 7).astype("float32")
    total, count = 0.0, 0
    for i in range(7):
        for j in range(4):
            if y[i, j] >= 0 and w[i] != 0:
                q = p[i, j] if y[i, j] else 1 - p[i, j]
                total -= w[i] * np.log(q)
                count += 1
    loss, _ = loss_of(Task("t", "multilabel", units=4), y, p, w)
    assert loss == pytest.approx(total / count, rel=1e-4)


def test_row_losses_drop_a_row_with_any_gap():
    task = Task("t", loss=keras.losses.CategoricalCrossentropy())
    y = np.array([[1.0, 0.0], [NAN, 1.0]], "float32")
    loss, _ = loss_of(task, y, [[0.25, 0.75], [0.5, 0.5]])
    assert loss == pytest.approx(-np.log(0.25), rel=1e-5)


def test_dense_labels_are_masked_per_position():
    task = Task("t", "multiclass")
    y = np.array([[[0, -1], [1, 1]]])
    p = np.full((1, 2, 2, 2), 0.5, "float32")
    p[0, 0, 0] = [0.9, 0.1]
    loss, _ = loss_of(task, y, p)
    expected = -(np.log(0.9) + 2 * np.log(0.5)) / 3
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "task", [Task("t", "binary"), Task("t", "regression")], ids=str
)
def test_without_labels_the_loss_is_zero_and_absent(task):
    y = np.array([NAN, NAN], "float32")
    assert loss_of(task, y, [[0.3], [0.4]]) == (0.0, False)


def test_zero_weights_are_missing_labels():
    task = Task("t", "regression")
    y, p = [1.0, 2.0, 3.0], [[0.0], [0.0], [0.0]]
    assert loss_of(task, y, p, [0, 0, 0]) == (0.0, False)
    loss, _ = loss_of(task, y, p, [1, 0, 1])
    assert loss == pytest.approx((1 + 9) / 2)


def test_positive_weights_are_those_of_keras():
    task = Task("t", "regression")
    y = np.array([[1.0], [2.0], [4.0]], "float32")
    p = np.zeros((3, 1), "float32")
    w = np.array([0.5, 2.0, 1.0], "float32")
    loss, _ = loss_of(task, y, p, w)
    assert loss == pytest.approx(
        float(keras.losses.MeanSquaredError()(y, p, w)), rel=1e-6
    )


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [("sum", 0.5 + 18.0), ("mean_with_sample_weight", 18.5 / 2.5)],
)
def test_reductions_of_keras(reduction, expected):
    task = Task("t", loss=keras.losses.MeanSquaredError(reduction=reduction))
    loss, _ = loss_of(
        task, [1.0, NAN, 3.0], [[0.0], [0.0], [0.0]], [0.5, 1.0, 2.0]
    )
    assert loss == pytest.approx(expected, rel=1e-6)


def test_a_missing_label_hides_an_infinite_loss():
    task = Task("t", loss=keras.losses.MeanAbsolutePercentageError())
    loss, _ = loss_of(task, [1.0, NAN], [[2.0], [float("inf")]])
    assert loss == pytest.approx(100.0)


def test_keras_masks_count_as_missing():
    task = Task("t", "multiclass")
    p = keras.ops.convert_to_tensor(
        np.array([[[0.9, 0.1], [0.5, 0.5]]], "float32")
    )
    p._keras_mask = keras.ops.convert_to_tensor([[True, False]])
    labels = read_labels(task, np.array([[0, 1]]), p)
    loss = mean_loss(loss_totals(task, labels))
    assert float(loss) == pytest.approx(-np.log(0.9), rel=1e-5)
