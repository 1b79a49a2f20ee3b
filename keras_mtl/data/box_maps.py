"""Labels of a detection head, within the graph of a `tf.data` pipeline."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

# As in `keras_mtl.heads.encode_boxes`, which tests hold this against.
_MIN_OVERLAP = 0.3


def box_maps(
    boxes: Any,
    classes: Any,
    num_classes: int,
    shape: Sequence[int],
    stride: int = 4,
) -> tf.Tensor:
    """What `keras_mtl.heads.encode_boxes` computes, on tensors.

    Where that raises an error, a pipeline in the middle of its work had better
    go on: boxes without extent, with their centre outside of the map, or of a
    class below 0 (as fills up where there are fewer boxes) are left out.

    Args:
        boxes: `(n, 4)`: left, top, right, bottom, in pixels.
        classes: `(n,)`: class indices from 0.
        num_classes: Number of classes.
        shape: Height and width of the head's output, in cells.
        stride: Pixels per cell.

    Returns:
        Labels `(height, width, num_classes + 4)`, float32.

    Example:
        >>> y = box_maps([[8, 8, 24, 16]], [1], 2, (8, 8), stride=4)
        >>> tuple(y.shape), y[3, 4].numpy()
        ((8, 8, 6), array([0., 1., 4., 2., 0., 0.], dtype=float32))
    """
    height, width = shape
    cells = tf.cast(boxes, "float64") / stride
    classes = tf.cast(classes, "int32")
    centres = (cells[:, :2] + cells[:, 2:]) / 2
    there = (classes >= 0) & tf.reduce_all(
        (cells[:, 2:] > cells[:, :2])
        & (centres >= 0)
        & (centres < tf.constant([width, height], "float64")),
        axis=-1,
    )
    cells, centres, classes = (
        tf.boolean_mask(values, there) for values in (cells, centres, classes)
    )
    sizes = cells[:, 2:] - cells[:, :2]
    corners = tf.floor(centres)
    x, y = corners[:, 0], corners[:, 1]
    heat = _heat(x, y, tf.floor(_radii(sizes)), height, width)
    # Lowest numbers stand for classes without a box.
    heat = tf.maximum(
        tf.math.unsorted_segment_max(heat, classes, num_classes), 0.0
    )
    geometry = tf.concat([sizes, centres - corners], axis=-1)
    # Of two boxes in one cell, the later counts; row 0 is for empty cells.
    rows = tf.pad(geometry, [[1, 0], [0, 0]])
    last = tf.math.unsorted_segment_max(
        tf.range(1, tf.shape(x)[0] + 1),
        tf.cast(y * width + x, "int32"),
        height * width,
    )
    geometry = tf.gather(rows, tf.maximum(last, 0))
    return tf.cast(
        tf.concat(
            [
                tf.transpose(heat, (1, 2, 0)),
                tf.reshape(geometry, (height, width, 4)),
            ],
            axis=-1,
        ),
        "float32",
    )


def _heat(x: Any, y: Any, radii: Any, height: int, width: int) -> Any:
    """A Gaussian for each box, `(n, height, width)`, cut off at its radius."""
    across = tf.range(width, dtype="float64") - x[:, tf.newaxis]
    down = tf.range(height, dtype="float64") - y[:, tf.newaxis]
    across, down = across[:, tf.newaxis, :], down[:, :, tf.newaxis]
    radii = radii[:, tf.newaxis, tf.newaxis]
    near = (tf.abs(across) <= radii) & (tf.abs(down) <= radii)
    heat = tf.exp(-(across**2 + down**2) / (2 * ((2 * radii + 1) / 6) ** 2))
    return tf.where(near, heat, 0.0)


def _radii(sizes: Any) -> Any:
    """By how much both corners of a box may move; see `encode_boxes`."""
    total = tf.reduce_sum(sizes, axis=-1)
    area = tf.reduce_prod(sizes, axis=-1)
    t = _MIN_OVERLAP
    moved = total - tf.sqrt(total**2 - 4 * area * (1 - t) / (1 + t))
    shrunk = total - tf.sqrt(total**2 - 4 * area * (1 - t))
    grown = tf.sqrt(total**2 + 4 * area * (1 - t) / t) - total
    return tf.minimum(tf.minimum(moved / 2, shrunk / 4), grown / 4)
