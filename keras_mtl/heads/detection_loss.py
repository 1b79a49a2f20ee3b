"""The loss of objects as points."""

from typing import Any

import keras
from keras import ops

from keras_mtl._registry import PACKAGE
from keras_mtl.heads.dense import check_same_shape
from keras_mtl.heads.detection import GEOMETRY


@keras.saving.register_keras_serializable(package=PACKAGE)
class CenterNetLoss(keras.losses.Loss):
    """Focal loss of the heatmap, absolute errors of size and offset.

    With y, p the labels and predictions of `DetectionHead`, N the number of
    objects of an image (cells of the heatmaps with y = 1; at least 1):

        1/N Σ { -(1 - p)^α log p              where y = 1
              { -(1 - y)^β p^α log(1 - p)     elsewhere

        + 1/N Σ over centres of λ_size |size error| + λ_offset |offset error|

    The errors of width and height, of x and y, are added up. The mean is that
    over images; CenterNet's code pools the objects of a batch instead. Each
    position gets its part times the number of positions, so that the mean
    over positions, which Keras takes, is this loss. Images whose labels are
    NaN are left out by `MultiTaskModel`.

    Args:
        alpha: Exponent that plays down cells that are right already.
        beta: Exponent that plays down cells near a centre.
        size_weight: λ_size.
        offset_weight: λ_offset.
        reduction: As in Keras.
        name: Name of the loss.

    Raises:
        ValueError: When called, on labels of another shape than the output.

    Example:
        >>> from keras_mtl.heads import encode_boxes
        >>> y = encode_boxes([[2, 2, 6, 6]], [0], 1, (4, 4), stride=2)[None]
        >>> round(float(CenterNetLoss()(y, y + [0, 1, 0, 0, 0])), 6)
        0.1

    Reference:
        Zhou et al., "Objects as Points", 2019, arXiv:1904.07850.
    """

    def __init__(
        self,
        alpha: float = 2.0,
        beta: float = 4.0,
        size_weight: float = 0.1,
        offset_weight: float = 1.0,
        reduction: str = "sum_over_batch_size",
        name: str = "centernet",
    ) -> None:
        super().__init__(name=name, reduction=reduction)
        self.alpha = alpha
        self.beta = beta
        self.size_weight = size_weight
        self.offset_weight = offset_weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses of the cells, `(batch, height, width)`."""
        check_same_shape(y_true, y_pred, "Encode boxes for this head.")
        heat, predicted = y_true[..., :-GEOMETRY], y_pred[..., :-GEOMETRY]
        peak = ops.cast(heat == 1, y_pred.dtype)
        # Added to the arguments of the logarithms: clipping them instead would
        # leave no gradient where the prediction is most wrong.
        tiny = keras.config.epsilon()
        focal = -peak * (1 - predicted) ** self.alpha * ops.log(
            predicted + tiny
        ) - (1 - peak) * (1 - heat) ** self.beta * (
            predicted**self.alpha * ops.log(1 - predicted + tiny)
        )
        centre = ops.max(peak, axis=-1)
        error = ops.abs(y_true - y_pred)[..., -GEOMETRY:]
        box = centre * (
            self.size_weight * ops.sum(error[..., :2], axis=-1)
            + self.offset_weight * ops.sum(error[..., 2:], axis=-1)
        )
        objects = ops.maximum(ops.sum(peak, axis=(1, 2, 3)), 1.0)
        cells = ops.cast(ops.size(centre[0]), y_pred.dtype)
        scale = (cells / objects)[:, None, None]
        return scale * (ops.sum(focal, axis=-1) + box)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "alpha": self.alpha,
            "beta": self.beta,
            "size_weight": self.size_weight,
            "offset_weight": self.offset_weight,
            "reduction": self.reduction,
            "name": self.name,
        }
