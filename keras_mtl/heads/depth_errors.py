"""Errors of depth maps, as the field measures them."""

from typing import Any

import keras
from keras import ops

from keras_mtl._registry import PACKAGE


class _MeanOfKnownDepths(keras.metrics.Mean):
    """The mean of `measure` over all pixels of known, positive depth."""

    def measure(self, y_true: Any, y_pred: Any) -> Any:
        """What one pixel counts, given positive depths."""
        raise NotImplementedError

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Adds the pixels of a batch.

        Args:
            y_true: Depths `(batch, …)`; those that are NaN or not positive
                are left out.
            y_pred: Predicted depths, of as many values.
            sample_weight: None, or weights of a leading part of the shape of
                `y_true`.
        """
        y_true = ops.convert_to_tensor(y_true, dtype=self.dtype)
        y_pred = ops.reshape(
            ops.convert_to_tensor(y_pred, dtype=self.dtype), ops.shape(y_true)
        )
        known = y_true > 0  # false for NaN
        weights = ops.cast(known, self.dtype)
        if sample_weight is not None:
            given = ops.convert_to_tensor(sample_weight, dtype=self.dtype)
            while len(given.shape) < len(weights.shape):
                given = given[..., None]
            weights = weights * given
        values = self.measure(ops.where(known, y_true, 1.0), y_pred)
        super().update_state(values, sample_weight=weights)


@keras.saving.register_keras_serializable(package=PACKAGE)
class AbsoluteRelativeError(_MeanOfKnownDepths):
    """The mean of |prediction - depth| / depth over all known pixels.

    Args:
        name: Name of the metric.
        dtype: As in Keras.

    Example:
        >>> metric = AbsoluteRelativeError()
        >>> metric.update_state([[2.0, 4.0, float("nan")]], [[3.0, 4.0, 9.0]])
        >>> float(metric.result())
        0.25

    Reference:
        Eigen et al., "Depth Map Prediction from a Single Image using a
        Multi-Scale Deep Network", NeurIPS 2014, arXiv:1406.2283.
    """

    def __init__(
        self, name: str = "absolute_relative_error", dtype: Any = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)

    def measure(self, y_true: Any, y_pred: Any) -> Any:
        """The relative errors."""
        return ops.abs(y_pred - y_true) / y_true


@keras.saving.register_keras_serializable(package=PACKAGE)
class DeltaAccuracy(_MeanOfKnownDepths):
    """The share of known pixels that are wrong by less than a factor.

        max(prediction / depth, depth / prediction) < threshold

    A prediction that is not positive is wrong. The field's δ₁, δ₂, δ₃ are
    those of 1.25, 1.25² and 1.25³.

    Args:
        threshold: The factor.
        name: Name of the metric.
        dtype: As in Keras.

    Raises:
        ValueError: A threshold of 1 or less.

    Example:
        >>> metric = DeltaAccuracy()
        >>> metric.update_state([[2.0, 4.0, 1.0, 8.0]], [[2.4, 4.0, 2.0, 6.0]])
        >>> float(metric.result())
        0.5

    Reference:
        Eigen et al., "Depth Map Prediction from a Single Image using a
        Multi-Scale Deep Network", NeurIPS 2014, arXiv:1406.2283.
    """

    def __init__(
        self,
        threshold: float = 1.25,
        name: str = "delta_accuracy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if not threshold > 1:
            raise ValueError(
                "`threshold` must be a factor above 1. Received: "
                f"threshold={threshold!r}"
            )
        self.threshold = threshold

    def measure(self, y_true: Any, y_pred: Any) -> Any:
        """1 where the prediction is close enough, else 0."""
        close = ops.logical_and(
            y_pred < self.threshold * y_true, y_true < self.threshold * y_pred
        )
        return ops.cast(close, self.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "threshold": self.threshold}
