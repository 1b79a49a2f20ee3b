"""Quantiles of a number, which never cross."""

import itertools
from collections.abc import Sequence
from numbers import Real
from typing import Any

import keras
from keras import ops

from keras_mtl._registry import PACKAGE
from keras_mtl.heads.base import Head
from keras_mtl.heads.registry import registry


@registry.register("quantile_head")
class QuantileHead(Head):
    """Quantiles in rising order, by construction.

    A linear layer gives K numbers z; the first is the lowest quantile, the
    others are turned into steps up from it:

        q_0 = z_0,   q_k = q_{k−1} + softplus(z_k)

    so that the quantiles of one example never cross, whatever the weights.

    Args:
        units: K, the number of quantiles.
        kernel_initializer: As in `keras.layers.Dense`.
        kernel_regularizer: As in `keras.layers.Dense`.
        **kwargs: Arguments of `keras.Layer`.

    Call arguments:
        inputs: Features `(batch, …, channels)`.

    Returns:
        Quantiles `(batch, …, K)`, in float32.

    Raises:
        ValueError: No quantile.

    Example:
        >>> import numpy as np
        >>> q = QuantileHead(3)(np.ones((4, 8)))
        >>> q.shape, bool((np.diff(q) > 0).all())
        (TensorShape([4, 3]), True)

    Reference:
        Park, Maddix, Aubet, Kan, Gasthaus & Wang, "Learning Quantile
        Functions without Quantile Crossing for Distribution-free Time Series
        Forecasting", AISTATS 2022, arXiv:2111.06581: their incremental
        quantiles, at fixed levels.
    """

    def __init__(
        self,
        units: int,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if type(units) is not int or units < 1:
            raise ValueError(
                "`units` of a QuantileHead must be the number of quantiles, at "
                f"least 1. Received: units={units!r}"
            )
        self.units = units
        self.dense = keras.layers.Dense(
            units,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
            dtype=self.dtype_policy,
            name="dense",
        )

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Builds the linear layer."""
        if not self.dense.built:
            self.dense.build(input_shape)
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        """The quantiles."""
        z = self.whole(self.dense(inputs))
        steps = ops.concatenate([z[..., :1], ops.softplus(z[..., 1:])], axis=-1)
        return ops.cumsum(steps, axis=-1)

    def compute_output_shape(
        self, input_shape: Sequence[int | None]
    ) -> tuple[int | None, ...]:
        """`(batch, …, K)`."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "units": self.units,
            "kernel_initializer": serialize(self.dense.kernel_initializer),
            "kernel_regularizer": serialize(self.dense.kernel_regularizer),
        }


@keras.saving.register_keras_serializable(package=PACKAGE)
class QuantileLoss(keras.losses.Loss):
    """The pinball loss, averaged over the levels.

        L = 1/K Σ_k max(τ_k (y − q_k), (τ_k − 1) (y − q_k))

    It is least, on average, where q_k is the quantile of level τ_k. At the
    one level ½ it is half the absolute error.

    Args:
        levels: The levels τ, rising numbers between 0 and 1.
        reduction: As in `keras.losses.Loss`.
        name: As in `keras.losses.Loss`.

    Call arguments:
        y_true: Numbers `(batch, …)`.
        y_pred: Quantiles `(batch, …, K)`.

    Raises:
        ValueError: Levels that do not rise between 0 and 1.

    Example:
        >>> loss = QuantileLoss([0.1, 0.9])
        >>> float(loss([[3.0]], [[1.0, 2.0]]))  # (.1 · 2 + .9 · 1) / 2
        0.550000011920929

    Reference:
        Koenker & Bassett, "Regression Quantiles", Econometrica 46 (1978).
    """

    def __init__(
        self,
        levels: Sequence[float],
        reduction: str = "sum_over_batch_size",
        name: str = "quantile",
        **kwargs: Any,
    ) -> None:
        super().__init__(reduction=reduction, name=name, **kwargs)
        self.levels = checked_levels(levels)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses `(batch, …)`."""
        return pinball(y_true, y_pred, self.levels)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "levels": self.levels}


@keras.saving.register_keras_serializable(package=PACKAGE)
class PinballError(keras.metrics.Mean):
    """The mean pinball loss over the levels, as a metric.

    Args:
        levels: The levels, as of `QuantileLoss`.
        name: Name of the metric.
        dtype: As in `keras.metrics.Metric`.
    """

    def __init__(
        self, levels: Sequence[float], name: str = "pinball", dtype: Any = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.levels = checked_levels(levels)

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Adds labels `(batch, …)` and quantiles `(batch, …, K)`."""
        super().update_state(
            pinball(y_true, y_pred, self.levels), sample_weight=sample_weight
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "levels": self.levels}


@keras.saving.register_keras_serializable(package=PACKAGE)
def coverage(y_true: Any, y_pred: Any) -> Any:
    """Whether a label lies between the lowest and the highest quantile.

    Of levels .1 to .9 its mean should come to .8: neither more nor less is
    better.

    Args:
        y_true: Numbers `(batch, …)`.
        y_pred: Quantiles `(batch, …, K)`.

    Returns:
        1.0 or 0.0, `(batch, …)`.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = _column(y_true, y_pred)[..., 0]
    inside = ops.logical_and(
        y_pred[..., 0] <= y_true, y_true <= y_pred[..., -1]
    )
    return ops.cast(inside, y_pred.dtype)


def pinball(y_true: Any, y_pred: Any, levels: Sequence[float]) -> Any:
    """The pinball loss of each label, averaged over the levels.

    Args:
        y_true: Numbers `(batch, …)` or `(batch, …, 1)`.
        y_pred: Quantiles `(batch, …, K)`.
        levels: K levels.

    Raises:
        ValueError: Not one quantile per level.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    if y_pred.shape[-1] != len(levels):
        raise ValueError(
            "`y_pred` must have one quantile on its last axis for each of the "
            f"{len(levels)} levels. Received: shape {tuple(y_pred.shape)}"
        )
    tau = ops.convert_to_tensor(levels, dtype=y_pred.dtype)
    error = _column(y_true, y_pred) - y_pred
    return ops.mean(ops.maximum(tau * error, (tau - 1) * error), axis=-1)


def checked_levels(levels: Any) -> list[float]:
    """Levels as a list of floats.

    Raises:
        ValueError: Levels that do not rise between 0 and 1.
    """
    values = list(levels) if isinstance(levels, Sequence) else [levels]
    numbers = all(isinstance(x, Real) and 0 < float(x) < 1 for x in values)
    if isinstance(levels, str) or not (
        values and numbers and all(a < b for a, b in itertools.pairwise(values))
    ):
        raise ValueError(
            "`levels` must be rising numbers between 0 and 1, such as "
            f"[0.1, 0.5, 0.9]. Received: {levels!r}"
        )
    return [float(x) for x in values]


def _column(y_true: Any, y_pred: Any) -> Any:
    """Labels with a last axis of 1 against the last axis of predictions."""
    y_true = ops.cast(y_true, y_pred.dtype)
    if len(y_true.shape) < len(y_pred.shape):
        y_true = y_true[..., None]
    return y_true
