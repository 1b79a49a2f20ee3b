"""A class for each pixel."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_mtl.heads.dense import DenseHead, positive_int
from keras_mtl.heads.registry import registry


@registry.register("segmentation_head")
class SegmentationHead(DenseHead):
    """Probabilities of classes for each pixel.

    p = softmax(upsample(W · relu(conv3×3(x)) + b))

    Labels are class indices `(batch, height, width)`, -1 where there is none:
    turn other marks, such as 255, into -1 (`np.where(y == 255, -1, y)`).
    `"accuracy"` is then the share of pixels that are right, and
    `keras.metrics.MeanIoU` the overlap of classes: with `sparse_y_pred=False`,
    and `dtype="float32"`, for Keras warns of our masks if it is an integer.

    Args:
        classes: Number of classes.
        size: Height and width of the output. Defaults to those of the
            features, times `factor`.
        factor: How many times larger than the features the output is.
        hidden: Filters of a 3×3 convolution before the last, 1×1
            convolution; None for no such layer.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: Fewer than two classes, both a size and a factor, numbers
            that are not positive, or features that are no maps.

    Call arguments:
        inputs: Features `(batch, height, width, channels)`, or a list of
            taps, of which the first has the resolution to work at.

    Example:
        >>> import keras
        >>> from keras_mtl import Task
        >>> task = Task(
        ...     "ground",
        ...     "multiclass",
        ...     units=5,
        ...     head=SegmentationHead(5, factor=4, hidden=32),
        ...     metrics=[
        ...         "accuracy",
        ...         keras.metrics.MeanIoU(
        ...             5,
        ...             sparse_y_pred=False,
        ...             name="mean_iou",
        ...             dtype="float32",
        ...         ),
        ...     ],
        ... )
        >>> task.make_head("ground")(keras.ops.ones((2, 8, 8, 16))).shape
        TensorShape([2, 32, 32, 5])

    Reference:
        Long et al., "Fully Convolutional Networks for Semantic
        Segmentation", CVPR 2015, arXiv:1411.4038.
    """

    def __init__(
        self,
        classes: int,
        size: Sequence[int] | None = None,
        factor: int = 1,
        hidden: int | None = None,
        **kwargs: Any,
    ) -> None:
        if not positive_int(classes) or classes < 2:
            raise ValueError(
                "`classes` must be an integer of at least 2. Received: "
                f"classes={classes!r}"
            )
        super().__init__(classes, size, factor, hidden, **kwargs)
        self.classes = classes

    def activate(self, raw: Any) -> Any:
        """Probabilities that sum to 1 over the last axis."""
        return ops.softmax(raw, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "classes": self.classes}
