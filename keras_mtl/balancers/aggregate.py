"""Balancing outside a model: a Jacobian in, a direction out."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.balancers.base import (
    Balancer,
    CoordinateBalancer,
    LossBalancer,
    TrackingBalancer,
    get,
)
from keras_mtl.linalg import at_least_float32, gram


def aggregate(
    method: Any, jacobian: Any, losses: Any = None, present: Any = None
) -> tuple[Any, Any]:
    """Combines the rows of a Jacobian as a balancer would in training.

    For training loops of one's own, and to try a method on a matrix. A
    balancer instance is built at its first use and keeps its state from call
    to call; a name or a config starts afresh each time.

    Args:
        method: A balancer, its name or its config.
        jacobian: Task gradients `(T, P)`, one row a task.
        losses: Losses `(T,)`. Needed by balancers of losses, and by those
            gradient methods that look at them. A task whose loss is not
            positive counts as absent for a method that needs it to be.
        present: Which tasks have labels, boolean `(T,)`; by default all.
            Methods that take two samples see this Jacobian as both.

    Returns:
        The direction `(P,)`, to descend along its negative, and the weights
        `(T,)` with direction = Jᵀw (by a method that tracks gradients, of
        those that it keeps), or None for a method that has none.
        NumPy arrays for NumPy arrays or lists, else tensors, in the dtype
        given; half precision is worked out in float32.

    Raises:
        ValueError: The Jacobian has no two axes, is empty or is not finite;
            `losses` or `present` are missing, of another length or, where
            a task is present, not finite.

    Example:
    >>> direction, weights = aggregate("imtlg", [[-4.0, 1.0], [6.0, 1.0]])
    >>> [round(d, 2) for d in direction.tolist()]
    [0.04, 1.0]
    """
    method = get(method)
    as_numpy = not ops.is_tensor(jacobian)
    if as_numpy:
        jacobian = _float_array(jacobian)
    dtype = jacobian.dtype
    rows = at_least_float32(ops.convert_to_tensor(jacobian))
    _check_jacobian(rows)
    num_tasks = int(rows.shape[0])
    if losses is None and (
        isinstance(method, LossBalancer)
        or method.needs_losses
        or method.needs_positive_losses
    ):
        raise ValueError(
            f"`losses` is needed by {type(method).__name__}: the loss of each "
            f"of the {num_tasks} tasks. Received: losses=None"
        )
    if losses is None:
        losses = np.ones(num_tasks)
    losses = ops.cast(_vector(losses, num_tasks, "losses"), rows.dtype)
    if present is None:
        present = np.ones(num_tasks, dtype=bool)
    present = ops.cast(_vector(present, num_tasks, "present"), "bool")
    _check_losses(losses, present)
    if method.needs_positive_losses:
        present = ops.logical_and(present, losses > 0)
    rows = ops.where(present[:, None], rows, ops.zeros_like(rows))
    losses = ops.where(present, losses, ops.zeros_like(losses))
    _build(method, num_tasks, int(rows.shape[1]))

    direction, weights = _combine(method, rows, losses, present)
    if as_numpy:
        # NumPy casts, for it knows bfloat16 only as an extension.
        direction = ops.convert_to_numpy(direction).astype(dtype)
        if weights is not None:
            weights = ops.convert_to_numpy(weights).astype(dtype)
        return direction, weights
    direction = ops.cast(direction, dtype)
    return direction, None if weights is None else ops.cast(weights, dtype)


def _combine(
    method: Balancer, rows: Any, losses: Any, present: Any
) -> tuple[Any, Any]:
    if isinstance(method, CoordinateBalancer):
        return method.combine(rows, losses, present), None
    if isinstance(method, LossBalancer):
        method.observe(losses, present)
        weights = method.task_weights(losses, present)
    elif isinstance(method, TrackingBalancer):
        judged, rows = method.track(0, rows, losses, present)
        weights = method.task_weights(gram(judged), losses, present)
    else:
        weights = method.task_weights(gram(rows), losses, present)
    return ops.matmul(weights[None, :], rows)[0], weights


def _build(method: Balancer, num_tasks: int, num_columns: int) -> None:
    if isinstance(method, TrackingBalancer):
        method.bind_variables([num_columns])
    if not method.built:
        method.build((num_tasks,))
    if method.num_tasks != num_tasks:
        raise ValueError(
            f"`jacobian` must have {method.num_tasks} rows, as many as the "
            f"tasks that {type(method).__name__} was built for. "
            f"Received: {num_tasks} rows. Pass a new balancer."
        )


def _float_array(value: Any) -> Any:
    array = np.asarray(value)
    # Python's numbers carry no precision, integers none that suits; "V" is
    # how NumPy sees bfloat16.
    is_list = not hasattr(value, "dtype")
    if is_list or array.dtype.kind not in "fV":
        return array.astype(keras.config.floatx())
    return array


def _vector(value: Any, num_tasks: int, argument: str) -> Any:
    value = ops.convert_to_tensor(value)
    if tuple(value.shape) != (num_tasks,):
        raise ValueError(
            f"`{argument}` must hold one value for each of the {num_tasks} "
            f"rows of `jacobian`. Received: shape {tuple(value.shape)}"
        )
    return value


def _check_losses(losses: Any, present: Any) -> None:
    if not hasattr(losses, "numpy"):
        return  # Inside a compiled graph there are no values to look at yet.
    bad = ops.logical_and(present, ops.logical_not(ops.isfinite(losses)))
    places = np.flatnonzero(ops.convert_to_numpy(bad)).tolist()
    if places:
        raise ValueError(
            f"`losses` must be finite. Received: NaN or infinity in {places}. "
            "Tasks without a loss are those that `present` leaves out."
        )


def _check_jacobian(rows: Any) -> None:
    if len(rows.shape) != 2:
        raise ValueError(
            "`jacobian` must have two axes (tasks, parameters), one gradient "
            f"a row. Received: shape {tuple(rows.shape)}. Flatten and "
            "concatenate the gradients of each task."
        )
    if 0 in tuple(rows.shape):
        raise ValueError(
            "`jacobian` must have at least one row and one column. "
            f"Received: shape {tuple(rows.shape)}"
        )
    if not hasattr(rows, "numpy"):
        return  # Inside a compiled graph there are no values to look at yet.
    values = ops.convert_to_numpy(rows)
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise ValueError(
            "`jacobian` must be finite. Received: NaN or infinity in rows "
            f"{np.flatnonzero(bad).tolist()}. Look for a diverged loss or a "
            "float16 overflow in those tasks."
        )
