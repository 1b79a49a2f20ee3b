"""Ordered classes: one score, cut into classes by ordered thresholds."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl._registry import PACKAGE
from keras_mtl.heads.base import Head
from keras_mtl.heads.registry import registry
from keras_mtl.heads.tails import tame

# A logit of ±30 is a probability of 1e-13; σ(−100) is still above 0 in float32.
_LOGIT_LIMIT = 30.0
_TINY = 1e-37


@registry.register("ordinal_head")
class OrdinalHead(Head):
    """Probabilities of ordered classes, from one score and thresholds.

    All classes share one linear score; the probability of lying above class k
    is that of a logistic variable above a threshold:

        P(y > k) = σ(wᵀx + b_k),   b_0 > b_1 > … > b_{K−2}
        P(y = k) = P(y > k − 1) − P(y > k)

    The thresholds are `b_k = b_0 − Σ_{j≤k} softplus(g_j)`, so that they are
    ordered whatever the weights are and no probability is negative. CORAL
    has the same model with free b_k, which are ordered only where its loss
    is at its least.

    Args:
        units: K, the number of classes. At least 2.
        kernel_initializer: As in `keras.layers.Dense`.
        kernel_regularizer: As in `keras.layers.Dense`.
        **kwargs: Arguments of `keras.Layer`.

    Call arguments:
        inputs: Features `(batch, …, channels)`.

    Returns:
        Probabilities `(batch, …, K)` that sum to 1, in float32.

    Raises:
        ValueError: Fewer than two classes.

    Example:
        >>> head = OrdinalHead(5)
        >>> p = head(keras.ops.ones((2, 8)))
        >>> p.shape, round(float(keras.ops.sum(p[0])), 6)
        (TensorShape([2, 5]), 1.0)

    Reference:
        Cao, Mirjalili & Raschka, "Rank consistent ordinal regression for
        neural networks with application to age estimation", Pattern
        Recognition Letters 140 (2020), arXiv:1901.07884. McCullagh,
        "Regression models for ordinal data", JRSS B 42 (1980).
    """

    def __init__(
        self,
        units: int,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if type(units) is not int or units < 2:
            raise ValueError(
                "`units` of an OrdinalHead must be the number of classes, at "
                f"least 2. Received: units={units!r}"
            )
        self.units = units
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Creates w `(channels, 1)`, b_0 `(1,)` and g `(K − 2,)`."""
        self.kernel = self.add_weight(
            shape=(input_shape[-1], 1),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            name="kernel",
        )
        # Classes are equally likely at first, where the score is 0:
        # P(y > k) = 1 − (k + 1) / K.
        above = 1 - np.arange(1, self.units) / self.units
        thresholds = np.log(above / (1 - above))
        self.first = self.add_weight(
            shape=(1,),
            initializer=keras.initializers.Constant(float(thresholds[0])),
            name="first",
        )
        self.gaps = None
        if self.units > 2:
            self.gaps = self.add_weight(
                shape=(self.units - 2,),
                initializer=_EqualClasses(),
                name="gaps",
            )
        super().build(input_shape)

    def cumulative_logits(self, inputs: Any) -> Any:
        """`wᵀx + b_k` of P(y > k), `(batch, …, K − 1)`, falling in k."""
        inputs = ops.cast(inputs, self.compute_dtype)
        score = self.whole(ops.matmul(inputs, self.kernel))
        thresholds = self.whole(self.first)
        if self.gaps is not None:
            steps = ops.cumsum(ops.softplus(self.whole(self.gaps)))
            thresholds = ops.concatenate([thresholds, thresholds - steps])
        return score + thresholds

    def call(self, inputs: Any) -> Any:
        """The probability of each class."""
        logits = tame(self.cumulative_logits(inputs), _LOGIT_LIMIT)
        # With a > b: σ(a) − σ(b) = σ(a) σ(−b) (1 − e^{b−a}), without the
        # cancellation of two numbers near 1.
        upper, lower = logits[..., :-1], logits[..., 1:]
        between = (
            ops.sigmoid(upper) * ops.sigmoid(-lower) * -ops.expm1(lower - upper)
        )
        return ops.concatenate(
            [
                ops.sigmoid(-logits[..., :1]),
                between,
                ops.sigmoid(logits[..., -1:]),
            ],
            axis=-1,
        )

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
            "kernel_initializer": serialize(self.kernel_initializer),
            "kernel_regularizer": serialize(self.kernel_regularizer),
        }


class _EqualClasses(keras.initializers.Initializer):
    """Gaps between the thresholds of K equally likely classes."""

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        classes = shape[0] + 2
        above = 1 - np.arange(1, classes) / classes
        gaps = -np.diff(np.log(above / (1 - above)))
        return ops.convert_to_tensor(np.log(np.expm1(gaps)), dtype=dtype)


@keras.saving.register_keras_serializable(package=PACKAGE)
class OrdinalLoss(keras.losses.Loss):
    """The binary cross-entropies of "above class k", summed over k.

        L = −Σ_k [y > k] log P(y > k) + [y ≤ k] log P(y ≤ k)

    over k = 0 … K − 2. A prediction costs the more the further it is from the
    label, where the cross-entropy of classes counts every mistake the same.

    Args:
        reduction: As in `keras.losses.Loss`.
        name: As in `keras.losses.Loss`.

    Call arguments:
        y_true: Classes `(batch, …)`, integers from 0.
        y_pred: Probabilities `(batch, …, K)`.

    Example:
        >>> loss = OrdinalLoss()
        >>> round(float(loss([2], [[0.25, 0.25, 0.5]])), 4)  # −log(¾ · ½)
        0.9808

    Reference:
        Cao, Mirjalili & Raschka (2020), arXiv:1901.07884, equation 4 with
        equal weights of all tasks.
    """

    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str = "ordinal",
        **kwargs: Any,
    ) -> None:
        super().__init__(reduction=reduction, name=name, **kwargs)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses `(batch, …)`."""
        y_pred = ops.convert_to_tensor(y_pred)
        below, above = _cumulative(y_pred)
        higher = _indices(y_true, y_pred)[..., None] > ops.arange(
            below.shape[-1]
        )
        likelihood = ops.where(higher, above, below)
        return -ops.sum(ops.log(ops.maximum(likelihood, _TINY)), axis=-1)


@keras.saving.register_keras_serializable(package=PACKAGE)
def rank_error(y_true: Any, y_pred: Any) -> Any:
    """How many classes the median prediction lies from the label.

    The median is the number of thresholds that the output lies above with a
    probability of more than one half: the rank that CORAL predicts.

    Args:
        y_true: Classes `(batch, …)`.
        y_pred: Probabilities `(batch, …, K)`.

    Returns:
        Distances `(batch, …)`.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    _, above = _cumulative(y_pred)
    median = ops.sum(ops.cast(above > 0.5, "int32"), axis=-1)
    distance = ops.abs(median - _indices(y_true, y_pred))
    return ops.cast(distance, y_pred.dtype)


def _cumulative(probabilities: Any) -> tuple[Any, Any]:
    """P(y ≤ k) and P(y > k), k = 0 … K − 2.

    Each is a sum of its own: 1 − P would lose small probabilities.
    """
    below = ops.cumsum(probabilities, axis=-1)[..., :-1]
    above = ops.flip(ops.cumsum(ops.flip(probabilities, -1), axis=-1), -1)
    return below, above[..., 1:]


def _indices(y_true: Any, y_pred: Any) -> Any:
    """Labels as integers, of the shape of predictions but their last axis."""
    y_true = ops.cast(y_true, "int32")
    if len(y_true.shape) == len(y_pred.shape):
        y_true = ops.squeeze(y_true, -1)
    return y_true
