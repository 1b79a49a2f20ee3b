import numpy as np
import pytest

from keras_mtl.data import draw_pairs, paste_pairs


def test_paste_by_hand():
    left = np.array([[[1, 2], [3, 9]]])
    right = np.array([[[5, 6], [7, 8]]])
    canvas = paste_pairs(left, right, offset=(1, 1))
    assert canvas.shape == (1, 3, 3, 1)
    np.testing.assert_array_equal(
        canvas[0, :, :, 0], [[1, 2, 0], [3, 9, 6], [0, 7, 8]]
    )


def test_paste_takes_the_brighter_pixel_and_keeps_the_dtype():
    left = np.array([[[250, 10]]], "uint8")
    right = np.array([[[20, 30]]], "uint8")
    canvas = paste_pairs(left, right, offset=(0, 0))
    assert canvas.dtype == np.uint8
    np.testing.assert_array_equal(canvas.ravel(), [250, 30])


def test_paste_keeps_pairs_apart():
    images = np.arange(1, 4).reshape(3, 1, 1)
    canvas = paste_pairs(images, 10 * images, offset=(0, 2))
    np.testing.assert_array_equal(
        canvas[:, 0, :, 0], [[1, 0, 10], [2, 0, 20], [3, 0, 30]]
    )


def test_paste_leaves_its_arguments_alone():
    left, right = np.ones((1, 2, 2)), np.full((1, 2, 2), 3.0)
    paste_pairs(left, right, offset=(0, 0))
    np.testing.assert_array_equal(left, 1)
    np.testing.assert_array_equal(right, 3)


@pytest.mark.parametrize(
    ("left", "right", "offset", "message"),
    [
        (np.ones((2, 3, 3)), np.ones((1, 3, 3)), (0, 0), "`left` and `right`"),
        (np.ones((3, 3)), np.ones((3, 3)), (0, 0), r"left.shape=\(3, 3\)"),
        (np.ones((1, 3, 3)), np.ones((1, 3, 3)), (0, -1), "`offset` must be"),
    ],
)
def test_paste_rejects(left, right, offset, message):
    with pytest.raises(ValueError, match=message):
        paste_pairs(left, right, offset)


def test_every_image_is_drawn_equally_often():
    left, right = draw_pairs(7, 5, num_pairs=17, seed=0)
    assert len(left) == len(right) == 17
    assert set(np.bincount(left, minlength=7)) == {2, 3}
    assert set(np.bincount(right, minlength=5)) == {3, 4}


def test_pairs_are_a_function_of_the_seed():
    one = draw_pairs(50, 50, 50, seed=3)
    np.testing.assert_array_equal(one, draw_pairs(50, 50, 50, seed=3))
    assert not np.array_equal(one, draw_pairs(50, 50, 50, seed=4))
    assert not np.array_equal(one[0], one[1])
