"""Losses of depth maps beside the absolute error."""

from typing import Any

import keras
from keras import ops

from keras_mtl._registry import PACKAGE
from keras_mtl.heads.dense import check_same_shape


@keras.saving.register_keras_serializable(package=PACKAGE)
class BerHu(keras.losses.Loss):
    """Absolute error of small residuals, squared error of large ones.

    For a residual r and c = fraction · max |r| over the batch:

        |r| if |r| ≤ c, else (r² + c²) / 2c

    c counts as a constant in gradients. Missing depths are 0 by the time a
    loss sees them, so pixels of depth 0 have no say in c.

    Args:
        fraction: Where squares begin, as a part of the largest residual.
        reduction: As in Keras.
        name: Name of the loss.

    Raises:
        ValueError: `fraction` is not in (0, 1], or, when called, maps of
            unequal sizes.

    Example:
        >>> depth = keras.ops.array([[[[1.0], [10.0]]]])
        >>> float(BerHu()(depth, 2 * depth))
        13.5

    Reference:
        Laina et al., "Deeper Depth Prediction with Fully Convolutional
        Residual Networks", 3DV 2016, arXiv:1606.00373.
    """

    def __init__(
        self,
        fraction: float = 0.2,
        reduction: str = "sum_over_batch_size",
        name: str = "berhu",
    ) -> None:
        super().__init__(name=name, reduction=reduction)
        if not 0 < fraction <= 1:
            raise ValueError(
                "`fraction` must be above 0 and at most 1. Received: "
                f"fraction={fraction!r}"
            )
        self.fraction = fraction

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses of the pixels, `(batch, height, width)`."""
        y_true, y_pred = _maps(y_true, y_pred)
        residual = ops.abs(y_pred - y_true)
        known = ops.where(y_true != 0, residual, 0.0)
        c = ops.stop_gradient(self.fraction * ops.max(known))
        # Where all residuals are 0, c is: no square is then taken.
        safe = ops.maximum(c, keras.config.epsilon())
        squared = (ops.square(residual) + ops.square(c)) / (2 * safe)
        return ops.where(residual <= safe, residual, squared)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "fraction": self.fraction,
            "reduction": self.reduction,
            "name": self.name,
        }


@keras.saving.register_keras_serializable(package=PACKAGE)
class ScaleInvariantLog(keras.losses.Loss):
    """Squared error of log depths that forgives a common factor.

    With d = log prediction - log depth, over the n known pixels of an image:

        Σ d² / n - λ (Σ d / n)²

    λ = 0 is the plain squared error; with λ = 1, multiplying a whole
    prediction by a number changes nothing. Images of one batch count by their
    known pixels. A depth that is not positive has no logarithm: its loss is
    0. Some implementations take a square root of this; the paper does not.

    Args:
        invariance: λ, from 0 to 1.
        reduction: As in Keras.
        name: Name of the loss.

    Raises:
        ValueError: `invariance` is not in [0, 1], or, when called, maps of
            unequal sizes.

    Example:
        >>> loss = ScaleInvariantLog(invariance=1.0)
        >>> y = keras.ops.array([[[1.0], [2.0]]])
        >>> round(float(loss(y, 3 * y)), 6)
        0.0

    Reference:
        Eigen et al., "Depth Map Prediction from a Single Image using a
        Multi-Scale Deep Network", NeurIPS 2014, arXiv:1406.2283.
    """

    def __init__(
        self,
        invariance: float = 0.5,
        reduction: str = "sum_over_batch_size",
        name: str = "scale_invariant_log",
    ) -> None:
        super().__init__(name=name, reduction=reduction)
        if not 0 <= invariance <= 1:
            raise ValueError(
                "`invariance` must be from 0 to 1. Received: "
                f"invariance={invariance!r}"
            )
        self.invariance = invariance

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses of the pixels, `(batch, height, width)`."""
        y_true, y_pred = _maps(y_true, y_pred)
        known = y_true > 0  # NaN and missing depths, which arrive as 0, are not
        difference = ops.log(
            ops.maximum(y_pred, keras.config.epsilon())
        ) - ops.log(ops.where(known, y_true, 1.0))
        difference = ops.where(known, difference, 0.0)
        axes = tuple(range(1, len(difference.shape)))
        mean = ops.divide_no_nan(
            ops.sum(difference, axis=axes, keepdims=True),
            ops.sum(
                ops.cast(known, difference.dtype), axis=axes, keepdims=True
            ),
        )
        # Its mean over the known pixels is the formula above.
        return ops.square(difference) - self.invariance * mean * difference

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "invariance": self.invariance,
            "reduction": self.reduction,
            "name": self.name,
        }


def _maps(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Both without the axis of the one channel."""
    y_pred = y_pred[..., 0]
    if len(y_true.shape) > len(y_pred.shape) and y_true.shape[-1] == 1:
        y_true = y_true[..., 0]
    check_same_shape(y_true, y_pred, "Resize the depths, or the head's output.")
    return y_true, y_pred
