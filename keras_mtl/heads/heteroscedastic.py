"""A number and how uncertain it is: mean and log-variance."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl._registry import PACKAGE
from keras_mtl.heads.base import Head
from keras_mtl.heads.registry import registry
from keras_mtl.heads.tails import tame

# Standard deviations between 5e-5 and 2e4: labels should be of the order of 1.
_LOG_VARIANCE_LIMIT = 20.0


@registry.register("gaussian_head")
class GaussianHead(Head):
    """Mean and log-variance of a Gaussian, from a linear layer.

        (μ, s) = Wᵀx + b,   p(y | x) = N(y; μ, e^s)

    Beyond ±20 the log-variance grows only as a logarithm, so that labels that
    can be foretold exactly make no infinite loss. Standardize labels whose
    spread is far from 1.

    Args:
        kernel_initializer: As in `keras.layers.Dense`.
        kernel_regularizer: As in `keras.layers.Dense`.
        **kwargs: Arguments of `keras.Layer`.

    Call arguments:
        inputs: Features `(batch, …, channels)`.

    Returns:
        `(batch, …, 2)`: the mean, then the log-variance, in float32.

    Example:
        >>> import numpy as np
        >>> GaussianHead()(np.ones((4, 8))).shape
        TensorShape([4, 2])

    Reference:
        Nix & Weigend, "Estimating the mean and variance of the target
        probability distribution", ICNN 1994. Kendall & Gal, "What
        Uncertainties Do We Need in Bayesian Deep Learning for Computer
        Vision?", NeurIPS 2017, arXiv:1703.04977: the log-variance as output.
    """

    def __init__(
        self,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(
            2,
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
        """Mean and log-variance."""
        both = self.whole(self.dense(inputs))
        log_variance = tame(both[..., 1:], _LOG_VARIANCE_LIMIT)
        return ops.concatenate([both[..., :1], log_variance], axis=-1)

    def compute_output_shape(
        self, input_shape: Sequence[int | None]
    ) -> tuple[int | None, ...]:
        """`(batch, …, 2)`."""
        return (*input_shape[:-1], 2)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "kernel_initializer": serialize(self.dense.kernel_initializer),
            "kernel_regularizer": serialize(self.dense.kernel_regularizer),
        }


@keras.saving.register_keras_serializable(package=PACKAGE)
class GaussianLoss(keras.losses.Loss):
    """The negative log-likelihood of a Gaussian.

        L = ½ (s + (y − μ)² e^{−s} + log 2π)

    It can be negative: densities may exceed 1.

    Args:
        reduction: As in `keras.losses.Loss`.
        name: As in `keras.losses.Loss`.

    Call arguments:
        y_true: Numbers `(batch, …)`.
        y_pred: Means and log-variances `(batch, …, 2)`.

    Example:
        >>> loss = GaussianLoss()
        >>> round(float(loss([1.0], [[0.0, 0.0]])), 4)  # ½ (1 + log 2π)
        1.4189

    Reference:
        Nix & Weigend (1994).
    """

    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str = "gaussian",
        **kwargs: Any,
    ) -> None:
        super().__init__(reduction=reduction, name=name, **kwargs)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses `(batch, …)`."""
        error = _error(y_true, y_pred)
        s = ops.convert_to_tensor(y_pred)[..., 1]
        # (y − μ)² alone may overflow where the quotient does not.
        scaled = error * ops.exp(-s / 2)
        return 0.5 * (s + scaled * scaled + math.log(2 * math.pi))


@keras.saving.register_keras_serializable(package=PACKAGE)
def mae_of_mean(y_true: Any, y_pred: Any) -> Any:
    """The absolute error of the predicted mean.

    Args:
        y_true: Numbers `(batch, …)`.
        y_pred: Means and log-variances `(batch, …, 2)`.

    Returns:
        Errors `(batch, …)`.
    """
    return ops.abs(_error(y_true, y_pred))


def _error(y_true: Any, y_pred: Any) -> Any:
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(y_true, y_pred.dtype)
    if len(y_true.shape) == len(y_pred.shape):
        y_true = y_true[..., 0]
    return y_true - y_pred[..., 0]
