"""Boxes as the maps that a detection head learns."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mtl.heads.dense import positive_int
from keras_mtl.heads.detection import GEOMETRY

# A box moved by the radius still overlaps its object by this much.
_MIN_OVERLAP = 0.3


def encode_boxes(
    boxes: Any,
    classes: Any,
    num_classes: int,
    shape: Sequence[int],
    stride: int = 4,
) -> np.ndarray:
    """The labels of one image for a `DetectionHead`, on numpy arrays.

    For a pipeline of `tf.data`, wrap it in `tf.numpy_function`.

    The cell that holds a box's centre has a 1 on the heatmap of its class,
    and the box's size and the centre's offset in the last four channels.
    Around it the heatmap falls off as a Gaussian with σ = (2r + 1) / 6 up to
    the radius r: the largest whole number of cells by which both corners can
    be moved so that the overlap with the box stays at least 0.3, as in
    CornerNet. (CenterNet's code asks for 0.7, but takes wrong roots of the
    equations for r. Its r is a little larger than ours: 5 where it is 4, for
    20 × 20 cells.)

    Of two boxes with their centres in one cell, the later gives size and
    offset. For an image whose objects are not known, take
    `np.full((*shape, num_classes + 4), np.nan)` instead.

    Args:
        boxes: `(n, 4)`: left, top, right, bottom, in pixels. Right and bottom
            are where the box ends: width = right - left.
        classes: `(n,)`: class indices from 0.
        num_classes: Number of classes.
        shape: Height and width of the head's output, in cells.
        stride: Pixels per cell.

    Returns:
        Labels `(height, width, num_classes + 4)`, float32.

    Raises:
        ValueError: Boxes that are empty or centred outside of the map,
            classes out of range, or arrays of unequal lengths.

    Example:
        >>> y = encode_boxes([[8, 8, 24, 16]], [1], 2, (8, 8), stride=4)
        >>> y.shape, y[3, 4]
        ((8, 8, 6), array([0., 1., 4., 2., 0., 0.], dtype=float32))

    References:
        Zhou et al., "Objects as Points", 2019, arXiv:1904.07850; the radius
        from Law and Deng, "CornerNet: Detecting Objects as Paired
        Keypoints", ECCV 2018, arXiv:1808.01244.
    """
    boxes = np.asarray(boxes, "float64").reshape(-1, 4)
    classes = np.asarray(classes, "int64").reshape(-1)
    _check(boxes, classes, num_classes, shape, stride)
    height, width = shape
    target = np.zeros((height, width, num_classes + GEOMETRY), "float32")
    cells = boxes / stride
    centres = (cells[:, :2] + cells[:, 2:]) / 2
    sizes = cells[:, 2:] - cells[:, :2]
    columns, rows = np.floor(centres).astype("int64").T
    radii = np.floor(_radii(*sizes.T)).astype("int64")
    for x, y, r, c in zip(columns, rows, radii, classes, strict=True):
        across = np.arange(max(x - r, 0), min(x + r + 1, width))
        down = np.arange(max(y - r, 0), min(y + r + 1, height))
        distance = (down[:, None] - y) ** 2 + (across - x) ** 2
        heat = np.exp(-distance / (2 * ((2 * r + 1) / 6) ** 2))
        window = target[down[0] : down[-1] + 1, across[0] : across[-1] + 1, c]
        np.maximum(window, heat, out=window, casting="same_kind")
    target[rows, columns, num_classes:] = np.concatenate(
        [sizes, centres - np.floor(centres)], axis=1
    )
    return target


def _radii(width: Any, height: Any) -> Any:
    """By how much both corners of a box may move; see CornerNet, 3.2."""
    t = _MIN_OVERLAP
    total, area = width + height, width * height
    # One corner inwards, one outwards: (w-r)(h-r) / (2wh - (w-r)(h-r)) = t.
    moved = total - np.sqrt(total**2 - 4 * area * (1 - t) / (1 + t))
    # Both inwards: (w-2r)(h-2r) / wh = t.
    shrunk = total - np.sqrt(total**2 - 4 * area * (1 - t))
    # Both outwards: wh / (w+2r)(h+2r) = t.
    grown = np.sqrt(total**2 + 4 * area * (1 - t) / t) - total
    return np.minimum(np.minimum(moved / 2, shrunk / 4), grown / 4)


def _check(
    boxes: Any, classes: Any, num_classes: Any, shape: Any, stride: Any
) -> None:
    if len(boxes) != len(classes):
        raise ValueError(
            "`classes` must have one class for each box. Received: "
            f"{len(boxes)} boxes and {len(classes)} classes."
        )
    for argument, value in (
        ("num_classes", num_classes),
        ("stride", stride),
        ("shape[0]", shape[0]),
        ("shape[1]", shape[1]),
    ):
        if not positive_int(value):
            raise ValueError(
                f"`{argument}` must be a positive integer. Received: {value!r}"
            )
    if not np.isin(classes, np.arange(num_classes)).all():
        raise ValueError(
            f"`classes` must be indices from 0 to {num_classes - 1}. "
            f"Received: {classes}"
        )
    # Written so that NaN fails too.
    if not (boxes[:, 2:] > boxes[:, :2]).all():
        raise ValueError(
            "`boxes` must be (left, top, right, bottom) with right > left and "
            f"bottom > top. Received: {boxes}"
        )
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    limits = np.array([shape[1], shape[0]]) * stride
    if ((centres < 0) | (centres >= limits)).any():
        raise ValueError(
            "`boxes` must have their centres on the map, which is "
            f"{limits[0]} pixels wide and {limits[1]} high. Received: {boxes}. "
            "Drop or clip boxes outside, or change `shape` or `stride`."
        )
