"""Boxes as maps in the graph: the same as `encode_boxes` makes of them."""

import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.data.box_maps import box_maps
from keras_mtl.heads import encode_boxes


def drawn(rng, count, height, width):
    """Boxes within an image, small and large."""
    a, b = rng.uniform(0, [width, height], (2, count, 2))
    low, high = np.minimum(a, b), np.maximum(a, b) + 0.01
    return np.concatenate([low, high], axis=1).astype("float32")


@pytest.mark.parametrize("count", [0, 1, 40])
def test_it_is_what_encode_boxes_computes(count):
    rng = np.random.default_rng(count)
    for stride in (1, 4):
        boxes = np.minimum(drawn(rng, count, 24, 40), [40, 24, 40, 24])
        classes = rng.integers(0, 3, count)
        shape = (24 // stride, 40 // stride)
        maps = tf.function(box_maps)(boxes, classes, 3, shape, stride)
        assert maps.shape == (*shape, 7) and maps.dtype == "float32"
        np.testing.assert_allclose(
            maps, encode_boxes(boxes, classes, 3, shape, stride), atol=1e-6
        )


def test_the_later_of_two_boxes_in_one_cell_counts():
    boxes = [[8, 8, 12, 12], [9, 9, 12, 12], [4, 4, 6, 6]]
    maps = box_maps(boxes, [1, 0, 1], 2, (4, 4))
    np.testing.assert_allclose(maps, encode_boxes(boxes, [1, 0, 1], 2, (4, 4)))
    np.testing.assert_allclose(maps[2, 2, 2:], [0.75, 0.75, 0.625, 0.625])


def test_what_is_no_box_is_left_out():
    boxes = [[2, 2, 6, 6], [3, 3, 3, 9], [0, 0, 4, 4], [20, 2, 30, 8]]
    maps = box_maps(boxes, [0, 0, -1, 0], 1, (4, 4))
    np.testing.assert_allclose(maps, encode_boxes(boxes[:1], [0], 1, (4, 4)))
