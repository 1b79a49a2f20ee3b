"""A distance for each pixel."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_mtl.heads.dense import DenseHead
from keras_mtl.heads.registry import registry
from keras_mtl.heads.tails import tame

_POSITIVE = ("softplus", "exponential")
_LIMIT = 20.0  # log depths beyond ±20 are bent: exp overflows at 88


@registry.register("depth_head")
class DepthHead(DenseHead):
    """A positive number for each pixel.

    d = activation(upsample(W · relu(conv3×3(x)) + b))

    Labels are floats `(batch, height, width)` or `(batch, height, width, 1)`,
    NaN where nothing was measured. Many data sets write 0 there instead: turn
    it into NaN (`np.where(depth == 0, np.nan, depth)`), else it counts as a
    depth. Losses: `"mae"`, `BerHu`, `ScaleInvariantLog`; metrics: `"mae"`,
    `AbsoluteRelativeError`, `DeltaAccuracy`.

    Args:
        size: Height and width of the output. Defaults to those of the
            features, times `factor`.
        factor: How many times larger than the features the output is.
        hidden: Filters of a 3×3 convolution before the last, 1×1
            convolution; None for no such layer.
        activation: `"softplus"`, or `"exponential"` for a network that gives
            the logarithm of the depth.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: Another activation, both a size and a factor, numbers that
            are not positive, or features that are no maps.

    Call arguments:
        inputs: Features `(batch, height, width, channels)`, or a list of
            taps, of which the first has the resolution to work at.

    Example:
        >>> import keras
        >>> from keras_mtl import Task
        >>> from keras_mtl.heads import BerHu
        >>> head = DepthHead(factor=4, hidden=32)
        >>> task = Task("depth", "regression", loss=BerHu(), head=head)
        >>> task.make_head("depth")(keras.ops.ones((2, 8, 8, 16))).shape
        TensorShape([2, 32, 32, 1])

    Reference:
        Eigen et al., "Depth Map Prediction from a Single Image using a
        Multi-Scale Deep Network", NeurIPS 2014, arXiv:1406.2283.
    """

    def __init__(
        self,
        size: Sequence[int] | None = None,
        factor: int = 1,
        hidden: int | None = None,
        activation: str = "softplus",
        **kwargs: Any,
    ) -> None:
        if activation not in _POSITIVE:
            raise ValueError(
                "`activation` must give positive depths: one of "
                f"{', '.join(_POSITIVE)}. Received: activation={activation!r}"
            )
        super().__init__(1, size, factor, hidden, **kwargs)
        self.activation = activation

    def activate(self, raw: Any) -> Any:
        """Positive depths."""
        if self.activation == "exponential":
            return ops.exp(tame(raw, _LIMIT))
        return ops.softplus(raw)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "activation": self.activation}
