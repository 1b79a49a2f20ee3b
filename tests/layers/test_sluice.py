"""Sluice: subspaces and their penalty against loops, and bad options."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.layers import CrossStitch, Sluice

from .central_differences import (
    assert_gradients_are_differences,
    disturb,
    draw,
)

SHAPES = {"vectors": (3, 6), "sequences": (2, 3, 6), "maps": (2, 2, 2, 6)}
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


@pytest.mark.parametrize("subspaces", [1, 2, 3])
@each_shape
def test_forward_is_the_sum_over_all_subspaces(subspaces, shape):
    inputs = draw(shape, shape, shape)
    unit = Sluice(1, subspaces=subspaces, dtype="float64")
    unit(inputs)
    disturb(unit)
    alpha = unit.coefficients()
    assert alpha.shape == (subspaces, 3, subspaces)
    width = 6 // subspaces
    expected = np.zeros(shape)
    for index in np.ndindex(*shape):
        s, place = divmod(index[-1], width)
        for t in range(3):
            for r in range(subspaces):
                value = inputs[t][(*index[:-1], r * width + place)]
                expected[index] += alpha[s, t, r] * value
    np.testing.assert_allclose(unit(inputs), expected, rtol=1e-12)


def penalty(x, subspaces, rows=None):
    """The sum over pairs of subspaces, by loops."""
    x = x.reshape(-1, x.shape[-1])
    x = x if rows is None else x[rows.reshape(-1)]
    width = x.shape[-1] // subspaces
    total = 0.0
    for s in range(subspaces):
        for r in range(s):
            for i in range(width):
                for j in range(width):
                    product = 0.0
                    for row in x:
                        product += row[s * width + i] * row[r * width + j]
                    total += (product / len(x)) ** 2
    return total


@pytest.mark.parametrize("subspaces", [2, 3])
@each_shape
def test_penalty_is_on_the_own_towers_subspaces(subspaces, shape):
    inputs = draw(shape, shape)
    for tower in range(2):
        unit = Sluice(
            tower, subspaces=subspaces, orthogonality=0.3, dtype="float64"
        )
        unit(inputs)
        (loss,) = unit.losses
        np.testing.assert_allclose(
            loss, 0.3 * penalty(inputs[tower], subspaces), rtol=1e-12
        )


def test_orthogonal_subspaces_cost_nothing():
    x = np.eye(4)
    unit = Sluice(0, orthogonality=1.0, dtype="float64")
    unit([x, x + 1])
    np.testing.assert_allclose(unit.losses[0], 0, atol=1e-15)
    unit([x + 1, x])
    assert unit.losses[0] > 0.1


def test_penalty_does_not_grow_with_the_batch():
    (x,) = draw((5, 6))
    unit = Sluice(0, orthogonality=1.0, dtype="float64")
    unit([x, x])
    once = float(unit.losses[0])
    unit([np.tile(x, (4, 1))] * 2)
    np.testing.assert_allclose(unit.losses[0], once)


def test_padding_does_not_count_in_the_penalty():
    x, other = draw((2, 3, 6), (2, 3, 6))
    mask = np.array([[True, True, False], [True, False, False]])
    given = tf.constant(x)
    given._keras_mask = tf.constant(mask)
    unit = Sluice(0, orthogonality=1.0, dtype="float64")
    unit([given, tf.constant(other)])
    np.testing.assert_allclose(unit.losses[0], penalty(x, 2, mask))
    given._keras_mask = tf.zeros((2, 3), "bool")
    unit([given, tf.constant(other)])
    assert float(unit.losses[0]) == 0


def test_no_penalty_by_default():
    unit = Sluice(0)
    unit(draw((2, 4), (2, 4)))
    assert not unit.losses


@pytest.mark.parametrize("orthogonality", [0.0, 0.7])
@each_shape
def test_gradients_are_central_differences(orthogonality, shape):
    inputs = draw(shape, shape)
    unit = Sluice(1, orthogonality=orthogonality, dtype="float64")
    unit(inputs)
    disturb(unit)
    assert_gradients_are_differences(unit, inputs)


def test_rows_begin_near_the_identity_and_sum_to_one():
    unit = Sluice(1, own=0.7, subspaces=2, dtype="float64")
    unit(draw((2, 4), (2, 4)))
    expected = np.full((2, 2, 2), 0.1)
    expected[0, 1, 0] = expected[1, 1, 1] = 0.7
    np.testing.assert_allclose(unit.coefficients(), expected)


def test_own_of_one_gives_the_own_tower():
    inputs = draw((3, 6), (3, 6), (3, 6))
    for tower in range(3):
        unit = Sluice(tower, own=1, subspaces=3, dtype="float64")
        np.testing.assert_array_equal(unit(inputs), inputs[tower])


def test_one_subspace_is_cross_stitch():
    inputs = draw((3, 6), (3, 6), (3, 6))
    unit = Sluice(2, own=0.6, subspaces=1, dtype="float64")
    stitch = CrossStitch(2, own=0.6, dtype="float64")
    np.testing.assert_allclose(unit(inputs), stitch(inputs), rtol=1e-12)


BAD = {
    "none": ({"subspaces": 0}, "`subspaces` must be a positive.*subspaces=0"),
    "boolean": ({"subspaces": True}, "`subspaces` must be.*subspaces=True"),
    "negative": ({"orthogonality": -1}, "`orthogonality` must be.*=-1"),
    "infinite": ({"orthogonality": float("inf")}, "`orthogonality`.*=inf"),
    "word": ({"orthogonality": "x"}, "`orthogonality` must be.*='x'"),
    "own": ({"own": -0.1}, "`own` must be a number from 0 to 1.*own=-0.1"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        Sluice(0, **options)


def test_channels_that_cannot_be_split():
    towers = [keras.Input((5,)), keras.Input((5,))]
    with pytest.raises(ValueError, match=r"`subspaces` of 'u'.*divide.*=2"):
        Sluice(0, name="u")(towers)


def test_unequal_towers():
    towers = [keras.Input((4,)), keras.Input((6,))]
    with pytest.raises(ValueError, match="equal shapes"):
        Sluice(0)(towers)
