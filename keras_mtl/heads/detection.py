"""Objects as the points of a map."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_mtl.heads.dense import DenseHead, positive_int
from keras_mtl.heads.registry import registry

# Channels behind the classes: width, height, offset in x, offset in y.
GEOMETRY = 4


@registry.register("detection_head")
class DetectionHead(DenseHead):
    """For each cell: is an object centred there, and how large is it.

    The output `(batch, height, width, classes + 4)` holds, on the last axis:

    - a heatmap for each class, a probability;
    - width and height of the box, in cells;
    - the centre's offset from the cell's corner, in cells, x then y.

    Labels of the same shape come from `encode_boxes`, the loss is
    `CenterNetLoss`, and `DecodeBoxes` turns the output into boxes, which
    `keras_mtl.metrics.mean_average_precision` judges. No metric of Keras says
    anything about these maps: give the task `metrics=[]`. The paper
    has a hidden convolution for each of the three; here `hidden` filters serve
    all of them.

    Args:
        classes: Number of classes.
        size: Height and width of the output. Defaults to those of the
            features, times `factor`.
        factor: How many times larger than the features the output is.
        hidden: Filters of a 3×3 convolution before the last, 1×1
            convolution; None for no such layer.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: No class, both a size and a factor, numbers that are not
            positive, or features that are no maps.

    Call arguments:
        inputs: Features `(batch, height, width, channels)`, or a list of
            taps, of which the first has the resolution to work at.

    Example:
        >>> import keras
        >>> from keras_mtl import Task
        >>> from keras_mtl.heads import CenterNetLoss
        >>> task = Task(
        ...     "cars",
        ...     "regression",
        ...     loss=CenterNetLoss(),
        ...     head=DetectionHead(3, hidden=64),
        ...     metrics=[],
        ... )
        >>> task.make_head("cars")(keras.ops.ones((2, 8, 8, 16))).shape
        TensorShape([2, 8, 8, 7])

    Reference:
        Zhou et al., "Objects as Points", 2019, arXiv:1904.07850.
    """

    def __init__(
        self,
        classes: int,
        size: Sequence[int] | None = None,
        factor: int = 1,
        hidden: int | None = None,
        **kwargs: Any,
    ) -> None:
        if not positive_int(classes):
            raise ValueError(
                "`classes` must be a positive integer. Received: "
                f"classes={classes!r}"
            )
        super().__init__(classes + GEOMETRY, size, factor, hidden, **kwargs)
        self.classes = classes

    def initial_bias(self, shape: Any, dtype: Any = None) -> Any:
        """Probabilities of .1 for objects, so that cells without count less."""
        return ops.concatenate(
            [
                ops.full((self.classes,), -2.19, dtype),
                ops.zeros((GEOMETRY,), dtype),
            ]
        )

    def activate(self, raw: Any) -> Any:
        """Heatmaps as probabilities; sizes and offsets as they are."""
        return ops.concatenate(
            [ops.sigmoid(raw[..., : self.classes]), raw[..., self.classes :]],
            axis=-1,
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "classes": self.classes}
