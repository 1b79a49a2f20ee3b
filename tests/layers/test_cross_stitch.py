"""Cross-stitch: against loops, at its beginning, and what it refuses."""

import keras
import numpy as np
import pytest

from keras_mtl.layers import CrossStitch

from .central_differences import (
    assert_gradients_are_differences,
    disturb,
    draw,
)

SHAPES = {"vectors": (3, 4), "sequences": (2, 3, 4), "maps": (2, 3, 2, 4)}
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
each_per = pytest.mark.parametrize("per", ["tower", "channel"])


@each_per
@each_shape
def test_forward_is_the_sum_over_towers(per, shape):
    inputs = draw(shape, shape, shape)
    unit = CrossStitch(1, per=per, dtype="float64")
    unit(inputs)
    disturb(unit)
    alpha = unit.coefficients()
    expected = np.zeros(shape)
    for index in np.ndindex(*shape):
        for t in range(3):
            factor = alpha[t] if per == "tower" else alpha[t, index[-1]]
            expected[index] += factor * inputs[t][index]
    np.testing.assert_allclose(unit(inputs), expected, rtol=1e-12)


@each_per
@each_shape
def test_gradients_are_central_differences(per, shape):
    inputs = draw(shape, shape)
    unit = CrossStitch(0, per=per, dtype="float64")
    unit(inputs)
    disturb(unit)
    assert_gradients_are_differences(unit, inputs)


@pytest.mark.parametrize("tower", [0, 1, 2])
def test_a_row_begins_near_the_identity_and_sums_to_one(tower):
    inputs = draw((2, 4), (2, 4), (2, 4))
    row = CrossStitch(tower, own=0.8, dtype="float64")
    row(inputs)
    expected = [0.1, 0.1, 0.1]
    expected[tower] = 0.8
    np.testing.assert_allclose(row.coefficients(), expected)
    channels = CrossStitch(tower, own=0.8, per="channel", dtype="float64")
    channels(inputs)
    assert channels.coefficients().shape == (3, 4)
    for c in range(4):
        np.testing.assert_allclose(channels.coefficients()[:, c], expected)


@each_per
def test_own_of_one_gives_the_own_tower(per):
    inputs = draw((3, 4), (3, 4), (3, 4))
    for tower in range(3):
        unit = CrossStitch(tower, own=1, per=per, dtype="float64")
        np.testing.assert_array_equal(unit(inputs), inputs[tower])


def test_one_tower_alone_is_itself():
    (x,) = draw((3, 4))
    np.testing.assert_array_equal(CrossStitch(0, dtype="float64")([x]), x)


def test_equal_towers_stay_what_they_are():
    (x,) = draw((3, 4))
    unit = CrossStitch(2, dtype="float64")
    np.testing.assert_allclose(unit([x, x, x]), x, rtol=1e-12)


def test_the_own_towers_mask_goes_on():
    unit = CrossStitch(1)
    assert unit.compute_mask([None, None], ["first", "second"]) == "second"
    assert unit.compute_mask([None, None], None) is None


def test_lengths_may_be_unknown():
    towers = [keras.Input((None, 4)), keras.Input((None, 4))]
    assert CrossStitch(0)(towers).shape == (None, None, 4)


BAD = {
    "negative": ({"tower": -1}, "`tower` must be the place.*tower=-1"),
    "boolean": ({"tower": True}, "`tower` must be the place.*tower=True"),
    "big": ({"tower": 0, "own": 1.5}, "`own` must be a number.*own=1.5"),
    "true": ({"tower": 0, "own": True}, "`own` must be.*own=True"),
    "word": ({"tower": 0, "own": "x"}, "`own` must be.*own='x'"),
    "nan": ({"tower": 0, "own": float("nan")}, "`own` must be.*own=nan"),
    "per": ({"tower": 0, "per": "layer"}, "`per` must be 'tower'.*'layer'"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        CrossStitch(**options)


BAD_INPUTS = {
    "widths": ([(4,), (5,)], "equal shapes.*4.*5.*width and stride"),
    "sizes": ([(6, 6, 4), (3, 3, 4)], "equal shapes"),
    "ranks": ([(6, 4), (4,)], "equal shapes"),
    "too_few": ([(4,)], "`tower` of 'unit' must be less.*tower=1 and 1"),
    "channels": ([(3, None), (3, None)], "known number of channels"),
}


@pytest.mark.parametrize(
    ("shapes", "message"), BAD_INPUTS.values(), ids=BAD_INPUTS
)
def test_bad_inputs(shapes, message):
    with pytest.raises(ValueError, match=message):
        CrossStitch(1, name="unit")([keras.Input(s) for s in shapes])


def test_one_tensor_is_no_list_of_towers():
    with pytest.raises(ValueError, match="must be a list of features"):
        CrossStitch(0)(keras.Input((4,)))


def test_coefficients_before_the_first_call():
    with pytest.raises(ValueError, match=r"`coefficients`.*has been called"):
        CrossStitch(0).coefficients()
