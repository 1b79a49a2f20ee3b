"""The loss of each task over the labels that are there."""

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_mtl.tasks import Task
from keras_mtl.tasks.kinds import MISSING_CLASS


@dataclass
class Labels:
    """The labels of one task in one batch, with the missing ones told apart.

    Attributes:
        y_true: Labels, with 0 where one is missing.
        y_pred: Predictions.
        there: Float mask, 1 where a label is there: a leading part of the
            shape of the labels. It counts no weight of a sample, but a label
            with a weight of 0 is missing.
        weights: `there` times the sample weights.
        one_by_one: Whether labels and predictions got a trailing axis of 1,
            because a row may miss some of its values.
    """

    y_true: Any
    y_pred: Any
    there: Any
    weights: Any
    one_by_one: bool = False


def read_labels(
    task: Task, y_true: Any, y_pred: Any, sample_weight: Any = None
) -> Labels:
    """Tells missing labels from labels.

    Missing are NaN, -1 in tasks of classes, the loss's `ignore_class`,
    positions that Keras masks, and samples with a weight of 0. Where the loss
    treats values one by one (`Task.pointwise`), a row may miss some of its
    values; both tensors then get a trailing axis of 1, so that losses and
    metrics do the same.

    Args:
        task: The task.
        y_true: Labels `(batch, …)`, float or integer.
        y_pred: Predictions `(batch, …)`.
        sample_weight: None, or weights of a leading part of the labels'
            shape.

    Returns:
        Labels, predictions and masks.
    """
    keras_mask = getattr(y_pred, "_keras_mask", None)
    y_pred = ops.convert_to_tensor(y_pred, dtype=task.loss.dtype)
    y_true = ops.convert_to_tensor(y_true)
    if keras.backend.is_float_dtype(y_true.dtype):
        there = y_true == y_true  # as only NaN is not
        if task.classifies:
            there = ops.logical_and(there, y_true != MISSING_CLASS)
    elif task.classifies and y_true.dtype != "bool":
        there = ops.cast(y_true, "int64") != MISSING_CLASS
    else:
        there = ops.ones_like(y_true, dtype="bool")
    ignored = getattr(task.loss, "ignore_class", None)
    if ignored is not None:  # Keras leaves it out of the mean, too
        there = ops.logical_and(there, y_true != ignored)
    y_true = ops.cast(y_true, task.loss.dtype)
    y_true = ops.where(there, y_true, ops.zeros_like(y_true))

    # Keras pairs labels (batch,) with predictions (batch, 1).
    if len(y_true.shape) == len(y_pred.shape) - 1 and y_pred.shape[-1] == 1:
        y_true, there = y_true[..., None], there[..., None]
    one_by_one = False
    if len(y_true.shape) == len(y_pred.shape) and len(y_true.shape) > 1:
        one_by_one = task.pointwise and y_true.shape[-1] != 1
        if one_by_one:
            y_true, y_pred = y_true[..., None], y_pred[..., None]
        elif y_true.shape[-1] == 1:
            there = there[..., 0]
        else:
            there = ops.all(there, axis=-1)

    there = ops.cast(there, task.loss.dtype)
    if keras_mask is not None:
        there = there * _expand(keras_mask, there)
    weights = there
    if sample_weight is not None:
        sample_weight = _expand(sample_weight, there)
        weights = there * sample_weight
        there = there * ops.cast(sample_weight != 0, there.dtype)
    return Labels(y_true, y_pred, there, weights, one_by_one)


class Totals(NamedTuple):
    """What the mean loss of a task over a batch is made of.

    Attributes:
        loss: The sum of the losses.
        divisor: What to divide it by.
        count: How many labels there are.
    """

    loss: Any
    divisor: Any
    count: Any


def mean_loss(totals: Totals) -> Any:
    """The mean loss over the labels that are there, 0 if none is.

    With sample weights w the mean is Σ w·l / #{w ≠ 0}: what Keras computes,
    except that samples without a label count neither above nor below.

    Args:
        totals: From `loss_totals`, of the whole batch.

    Returns:
        A scalar in the dtype of the loss.
    """
    return ops.divide_no_nan(totals.loss, totals.divisor)


def even_examples(labels: Labels, before: Any = 0) -> Labels:
    """The labels with only those of the even examples there.

    For methods that need two independent samples in one step: the loss of
    even and odd examples is taken apart, so that an order in the batch does
    not tell the halves from each other.

    Args:
        labels: From `read_labels`.
        before: How many examples the whole batch has before these.
    """
    batch = ops.shape(labels.there)[0]
    places = ops.arange(batch)
    if not isinstance(before, int) or before:
        places = places + before
    even = ops.cast(places % 2 == 0, labels.there.dtype)
    mask = _expand(even, labels.there)
    return dataclasses.replace(
        labels, there=labels.there * mask, weights=labels.weights * mask
    )


def half_loss(task: Task, half: Totals, whole: Totals) -> tuple[Any, Any]:
    """What the even examples of a batch add to the task's mean loss.

    Args:
        task: The task.
        half: Totals of the even examples.
        whole: Totals of all.

    Returns:
        Their part in `mean_loss`, a scalar, and their share of the labels, in
        [0, 1]; part / share is their own loss.
    """
    if task.loss.reduction == "sum":
        share = ops.divide_no_nan(half.count, whole.count)
    else:
        share = ops.divide_no_nan(half.divisor, whole.divisor)
    return ops.divide_no_nan(half.loss, whole.divisor), share


def loss_totals(task: Task, labels: Labels) -> Totals:
    """The sum of the losses, what to divide it by, and how many there are."""
    values = task.loss.call(labels.y_true, labels.y_pred)
    there = _expand(labels.there, values)
    # 0 · inf is NaN: a missing label's loss must not be read at all. This
    # gives the loss where there is a label, 0 where there is none, whatever
    # the loss is, and is cheaper than to compare and choose.
    values = ops.divide_no_nan(values, there)
    weights = there
    if labels.weights is not labels.there:
        weights = _expand(labels.weights, values)
        values = values * weights
    total = ops.sum(values)
    count = ops.sum(there)
    if task.loss.reduction == "mean_with_sample_weight":
        divisor = ops.sum(weights)
    elif task.loss.reduction == "sum":
        divisor = ops.ones_like(count)
    else:
        divisor = count
    return Totals(total, divisor, count)


def _expand(x: Any, like: Any) -> Any:
    """`x` with trailing axes, broadcast to the shape and dtype of `like`."""
    x = ops.cast(x, like.dtype)
    if x.shape == like.shape:
        return x
    while len(x.shape) > len(like.shape) and x.shape[-1] == 1:
        x = ops.squeeze(x, -1)
    while len(x.shape) < len(like.shape):
        x = x[..., None]
    return ops.broadcast_to(x, ops.shape(like))
