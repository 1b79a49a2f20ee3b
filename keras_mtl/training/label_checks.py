"""Holds the labels of one task against its kind and its output."""

from typing import Any

import keras
import numpy as np

from keras_mtl.heads import GaussianLoss, OrdinalLoss, QuantileLoss
from keras_mtl.tasks import Task
from keras_mtl.tasks.kinds import MISSING_CLASS

# Losses that want a distribution over the units of the output.
_ON_ROWS = (
    keras.losses.CategoricalCrossentropy,
    keras.losses.CategoricalFocalCrossentropy,
)
# Losses that want the index of a class.
_OF_INDICES = (keras.losses.SparseCategoricalCrossentropy, OrdinalLoss)
# Losses of one number, of which the output's last axis tells several things.
_OF_NUMBERS = (GaussianLoss, QuantileLoss)
# Losses of probabilities.
_UP_TO_ONE = (
    *_ON_ROWS,
    keras.losses.BinaryCrossentropy,
    keras.losses.BinaryFocalCrossentropy,
)


def check_labels(task: Task, labels: Any, output: Any) -> Any:
    """Holds labels against the shape and the range that a task takes.

    Args:
        task: The task.
        labels: Its labels, anything array-like.
        output: The symbolic output.

    Returns:
        The labels as a numpy array.

    Raises:
        ValueError: Labels that are no array of numbers, of a shape that does
            not suit the output, or out of range.
    """
    if not hasattr(labels, "shape"):
        raise ValueError(
            f"`y[{task.name!r}]` must be an array. Received: "
            f"{type(labels).__name__}. Pass np.asarray(labels), with NaN (or "
            f"{MISSING_CLASS} for classes) where a label is missing."
        )
    values = np.asarray(labels)
    check_spec(task, values.shape, values.dtype, output)
    if values.size == 0:
        return values
    there = ~_missing(task, values)
    if task.classifies:
        _check_range(task, values, there, output)
    elif (
        (task.pointwise or isinstance(task.loss, _OF_NUMBERS))
        and values.dtype.kind == "f"
        and np.isinf(values).any()
    ):
        raise ValueError(
            f"`y[{task.name!r}]` holds infinite labels. Expected: finite "
            "numbers, or NaN for a missing one. Correct or drop them."
        )
    return values


def check_spec(task: Task, shape: Any, dtype: Any, output: Any) -> None:
    """Holds shape and dtype of labels against what a task takes.

    Args:
        task: The task.
        shape: Shape of the labels, the batch axis first; None where unknown.
        dtype: A numpy dtype.
        output: The symbolic output.

    Raises:
        ValueError: No numbers, or a shape that does not suit the output.
    """
    dtype = np.dtype(dtype)
    if dtype.kind not in "fiub" and dtype.name != "bfloat16":
        raise ValueError(
            f"`y[{task.name!r}]` must hold numbers. Received: dtype {dtype}. "
            "Turn classes into indices from 0 and other labels into floats, "
            "with NaN where one is missing."
        )
    if not shape:
        raise ValueError(
            f"`y[{task.name!r}]` must have an axis of samples. Received: shape "
            "(). Batch the data, as with `dataset.batch(32)`."
        )
    sparse = _is_sparse(task)
    single = sparse or isinstance(task.loss, _OF_NUMBERS)
    if not (single or task.pointwise or isinstance(task.loss, _ON_ROWS)):
        return  # a loss of the user's own may take anything
    rows, units = output.shape[1:-1], output.shape[1:][-1:]
    received = tuple(shape[1:])
    accepted = [rows, (*rows, 1)] if single else [(*rows, *units)]
    if not single and units == (1,):
        accepted.append(rows)
    if not single and not units:
        accepted.append((1,))
    if any(_agree(received, wanted) for wanted in accepted):
        return
    remedy = (
        "One-hot labels need the loss 'categorical_crossentropy'."
        if sparse
        else "Reshape the labels, or give the output as many units as there "
        "are labels."
    )
    raise ValueError(
        f"`y[{task.name!r}]` has a shape that does not suit the output of "
        f"shape {_with_batch(output.shape[1:])}. Expected: "
        f"{'class indices of shape ' if sparse else ''}"
        f"{' or '.join(_with_batch(w) for w in accepted)}. Received: "
        f"{tuple(shape)}. {remedy}"
    )


def any_label(task: Task, values: Any, weights: Any) -> bool:
    """Whether any label is there, with a weight that is not zero.

    Args:
        task: The task.
        values: Labels, a numpy array.
        weights: Sample weights, or None.
    """
    there = ~_missing(task, values)
    if weights is not None:
        there = there.reshape(len(there), -1).any(axis=1) & (
            np.asarray(weights).reshape(len(there), -1) != 0
        ).any(axis=1)
    return bool(there.any())


def _check_range(task: Task, values: Any, there: Any, output: Any) -> None:
    sparse = _is_sparse(task)
    if not sparse and not isinstance(task.loss, _UP_TO_ONE):
        return
    limit = output.shape[-1] - 1 if sparse else 1
    bad = there & ((values < 0) | (values > limit))
    if sparse:
        bad |= there & (values % 1 != 0)
    if bad.any():
        raise ValueError(
            f"`y[{task.name!r}]` holds a label out of range. Expected: "
            f"{'class indices' if sparse else 'values'} from 0 to {limit}, or "
            f"{MISSING_CLASS} for a missing one. Received: "
            f"{values[bad].flat[0]}. Correct the labels or the number of "
            "units of the output."
        )


def _is_sparse(task: Task) -> bool:
    return isinstance(task.loss, _OF_INDICES)


def _missing(task: Task, values: Any) -> Any:
    missing = np.isnan(values) if values.dtype.kind == "f" else values != values
    ignored = getattr(task.loss, "ignore_class", None)
    if ignored is not None:
        missing |= values == ignored
    return missing | (values == MISSING_CLASS) if task.classifies else missing


def _agree(received: tuple[Any, ...], wanted: tuple[Any, ...]) -> bool:
    return len(received) == len(wanted) and all(
        None in (r, w) or r == w for r, w in zip(received, wanted, strict=True)
    )


def _with_batch(shape: tuple[Any, ...]) -> str:
    inner = ", ".join(["batch", *(str(size) for size in shape)])
    return f"({inner},)" if not shape else f"({inner})"
