"""What heads of dense prediction have in common: features to a large map."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.heads.base import Head


class DenseHead(Head):
    """Convolutions on feature maps, then bilinear upsampling.

    Features of several levels are resized to the first of them and
    concatenated. Upsampling comes last, on few channels: it costs little, and
    an interpolation leaves no checkerboard, as transposed convolutions do.
    Subclasses say what becomes of the raw map, in `activate`.

    Args:
        channels: Channels of the raw map.
        size: Height and width of the output. Defaults to those of the
            features, times `factor`.
        factor: How many times larger than the features the output is.
        hidden: Filters of a 3×3 convolution with ReLU before the last, 1×1
            convolution; None for no such layer.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: Both a size and a factor, or numbers that are not positive.
    """

    def __init__(
        self,
        channels: int,
        size: Sequence[int] | None = None,
        factor: int = 1,
        hidden: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = False  # a mask would need resizing too
        _check(size, factor, hidden)
        self.size = None if size is None else tuple(size)
        self.factor = factor
        self.hidden = hidden
        self._hidden = None
        if hidden is not None:
            self._hidden = keras.layers.Conv2D(
                hidden,
                3,
                padding="same",
                activation="relu",
                data_format="channels_last",
                dtype=self.dtype_policy,
                name="hidden",
            )
        self._raw = keras.layers.Conv2D(
            channels,
            1,
            data_format="channels_last",
            bias_initializer=self.initial_bias,
            dtype=self.dtype_policy,
            name="raw",
        )

    def initial_bias(self, shape: Any, dtype: Any = None) -> Any:
        """What the last bias begins with: zeros."""
        return ops.zeros(shape, dtype)

    def activate(self, raw: Any) -> Any:
        """The output from the raw map `(batch, height, width, channels)`."""
        raise NotImplementedError

    def build(self, input_shape: Any) -> None:
        """Makes the convolutions for features of these shapes."""
        shapes = _as_list(input_shape)
        for shape in shapes:
            if len(shape) != 4 or shape[-1] is None:
                raise ValueError(
                    f"`inputs` of {self.name!r} must be features (batch, "
                    "height, width, channels), or a list of them. Received: "
                    f"shape {tuple(shape)}."
                )
        shape = (*shapes[0][:-1], sum(shape[-1] for shape in shapes))
        if self._hidden is not None:
            self._hidden.build(shape)
            shape = self._hidden.compute_output_shape(shape)
        self._raw.build(shape)
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The map of a batch.

        Args:
            inputs: Features `(batch, height, width, channels)`, or a list of
                them, of which the first has the resolution to work at.

        Returns:
            A map `(batch, height, width, channels)`.
        """
        first, *others = _as_list(inputs)
        size = ops.shape(first)[1:3]
        features = ops.concatenate(
            [first, *(_resize(x, size) for x in others)], axis=-1
        )
        if self._hidden is not None:
            features = self._hidden(features)
        raw = self.whole(self._raw(features))
        target = self.size or tuple(self.factor * side for side in size)
        if self.size is not None or self.factor != 1:
            raw = _resize(raw, target)
        return self.activate(raw)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Batch, height, width and channels of the output."""
        batch, *sides, _ = _as_list(input_shape)[0]
        if self.size is not None:
            sides = list(self.size)
        else:
            sides = [None if s is None else self.factor * s for s in sides]
        return (batch, *sides, self._raw.filters)

    def get_config(self) -> dict[str, Any]:
        """The arguments that all dense heads have."""
        return {
            **super().get_config(),
            "size": self.size,
            "factor": self.factor,
            "hidden": self.hidden,
        }


def _resize(x: Any, size: Any) -> Any:
    return ops.image.resize(
        x, size, interpolation="bilinear", data_format="channels_last"
    )


def _as_list(given: Any) -> list[Any]:
    """Tensors or shapes as a list, also where there is only one."""
    if isinstance(given, (list, tuple)) and not all(
        side is None or isinstance(side, int) for side in given
    ):
        return list(given)
    return [given]


def positive_int(value: Any) -> bool:
    """Whether a value counts something; True does not, though it equals 1."""
    return type(value) is int and value > 0


def check_same_shape(y_true: Any, y_pred: Any, remedy: str) -> None:
    """Holds labels against predictions, lest an axis of 1 be broadcast.

    Raises:
        ValueError: The shapes differ where both are known.
    """
    labels, output = tuple(y_true.shape), tuple(y_pred.shape)
    if len(labels) != len(output) or any(
        None not in pair and pair[0] != pair[1]
        for pair in zip(labels, output, strict=True)
    ):
        raise ValueError(
            "`y_true` must have the shape of the predictions, "
            f"{output}. Received: shape {labels}. {remedy}"
        )


def _check(size: Any, factor: Any, hidden: Any) -> None:
    if size is not None and (
        not isinstance(size, (list, tuple))
        or len(size) != 2
        or not all(map(positive_int, size))
    ):
        raise ValueError(
            f"`size` must be (height, width) in pixels. Received: size={size!r}"
        )
    if not positive_int(factor):
        raise ValueError(
            f"`factor` must be a positive integer. Received: factor={factor!r}"
        )
    if size is not None and factor != 1:
        raise ValueError(
            "`size` and `factor` both tell the size of the output. Received: "
            f"size={size!r}, factor={factor!r}. Leave one of them out."
        )
    if hidden is not None and not positive_int(hidden):
        raise ValueError(
            "`hidden` must be a number of filters or None. Received: "
            f"hidden={hidden!r}"
        )
