"""Boxes from the maps of a detection head."""

from typing import Any

import keras
from keras import ops

from keras_mtl._registry import PACKAGE
from keras_mtl.heads.dense import positive_int
from keras_mtl.heads.detection import GEOMETRY


@keras.saving.register_keras_serializable(package=PACKAGE)
class DecodeBoxes(keras.layers.Layer):
    """Turns the output of a `DetectionHead` into boxes in pixels.

    A cell counts if it is the highest of the 3×3 cells around it, on the
    heatmap of a class; the `max_boxes` highest of these make the boxes, the
    best first. That replaces non-maximum suppression. Put it behind the output
    of a trained model, and the exported model gives boxes:

        maps = model.output["cars"]
        keras.Model(model.inputs, {**model.output, **DecodeBoxes()(maps)})

    Args:
        max_boxes: How many boxes an image gets, always. Where there are fewer
            peaks, the rest has score 0 and means nothing.
        stride: Pixels per cell of the maps.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: A number that is not positive, maps without a class, or
            more boxes than cells.

    Call arguments:
        inputs: Maps `(batch, height, width, classes + 4)`.

    Returns:
        A dict of `boxes` `(batch, max_boxes, 4)` (left, top, right, bottom),
        `scores` `(batch, max_boxes)` from 0 to 1 and `classes`
        `(batch, max_boxes)`, int32.

    Example:
        >>> from keras_mtl.heads import encode_boxes
        >>> y = encode_boxes([[3, 8, 25, 16]], [1], 2, (8, 8), stride=4)[None]
        >>> found = DecodeBoxes(max_boxes=1, stride=4)(y)
        >>> found["boxes"].numpy().tolist(), found["classes"].numpy().tolist()
        ([[[3.0, 8.0, 25.0, 16.0]]], [[1]])

    Reference:
        Zhou et al., "Objects as Points", 2019, arXiv:1904.07850.
    """

    def __init__(
        self, max_boxes: int = 100, stride: int = 4, **kwargs: Any
    ) -> None:
        # Half precision would cut pixels beyond 2048 to even numbers.
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        for argument, value in (("max_boxes", max_boxes), ("stride", stride)):
            if not positive_int(value):
                raise ValueError(
                    f"`{argument}` must be a positive integer. Received: "
                    f"{argument}={value!r}"
                )
        self.max_boxes = max_boxes
        self.stride = stride

    def build(self, input_shape: Any) -> None:
        """Holds the shape of the maps against `max_boxes`."""
        shape = tuple(input_shape)
        if len(shape) != 4 or shape[-1] is None or shape[-1] <= GEOMETRY:
            raise ValueError(
                "`inputs` of DecodeBoxes must be maps (batch, height, width, "
                f"classes + {GEOMETRY}). Received: shape {shape}."
            )
        _, height, width, channels = shape
        if height and width:
            places = height * width * (channels - GEOMETRY)
            if places < self.max_boxes:
                raise ValueError(
                    "`max_boxes` must be at most the number of places on the "
                    f"heatmaps, {places}. Received: max_boxes={self.max_boxes}"
                )
        self.built = True

    def call(self, inputs: Any) -> dict[str, Any]:
        """Boxes, scores and classes of a batch."""
        heat, geometry = inputs[..., :-GEOMETRY], inputs[..., -GEOMETRY:]
        classes = heat.shape[-1]
        batch, width = ops.shape(heat)[0], ops.shape(heat)[2]
        around = ops.max_pool(
            heat, 3, strides=1, padding="same", data_format="channels_last"
        )
        peaks = ops.where(heat == around, heat, ops.zeros_like(heat))
        scores, index = ops.top_k(
            ops.reshape(peaks, (batch, -1)), self.max_boxes
        )
        cell = index // classes
        geometry = ops.take_along_axis(
            ops.reshape(geometry, (batch, -1, GEOMETRY)),
            cell[..., None],
            axis=1,
        )
        corner = ops.cast(
            ops.stack([cell % width, cell // width], axis=-1), geometry.dtype
        )
        half = ops.relu(geometry[..., :2]) / 2
        centre = corner + geometry[..., 2:]
        return {
            "boxes": self.stride
            * ops.concatenate([centre - half, centre + half], axis=-1),
            "scores": scores,
            "classes": ops.cast(index % classes, "int32"),
        }

    def compute_output_shape(self, input_shape: Any) -> dict[str, Any]:
        """Shapes of boxes, scores and classes."""
        batch = input_shape[0]
        return {
            "boxes": (batch, self.max_boxes, 4),
            "scores": (batch, self.max_boxes),
            "classes": (batch, self.max_boxes),
        }

    def compute_output_spec(self, inputs: Any) -> dict[str, Any]:
        """Shapes and dtypes of boxes, scores and classes."""
        return {
            key: keras.KerasTensor(
                shape,
                dtype="int32" if key == "classes" else self.compute_dtype,
            )
            for key, shape in self.compute_output_shape(inputs.shape).items()
        }

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "max_boxes": self.max_boxes,
            "stride": self.stride,
        }
