"""TaskEmbedding: against a loop in numpy; what it refuses."""

import keras
import numpy as np
import pytest

from keras_mtl.layers import TaskEmbedding

from .central_differences import assert_gradients_are_differences

RNG = np.random.default_rng(0)
SHAPES = {"vectors": (5, 3), "sequences": (2, 4, 3), "maps": (2, 2, 4, 3)}
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
each_dim = pytest.mark.parametrize("dim", [2, None])


def made(dim, shape):
    keras.utils.set_random_seed(0)
    layer = TaskEmbedding(dim, dtype="float64")
    x = RNG.normal(size=shape)
    layer(x)
    return layer, x


@each_shape
@each_dim
def test_forward_by_loops(dim, shape):
    layer, x = made(dim, shape)
    embedding = layer.coefficients()
    assert embedding.shape == (dim or 3,)
    y = np.array(layer(x))
    assert y.shape == (*shape[:-1], 3 + (dim or 0))
    for *position, c in np.ndindex(y.shape):
        at = tuple(position)
        if dim is None:
            expected = x[at][c] + embedding[c]
        else:
            expected = x[at][c] if c < 3 else embedding[c - 3]
        assert y[at][c] == pytest.approx(expected, rel=1e-12)


@each_shape
@each_dim
def test_gradients_by_differences(dim, shape):
    layer, x = made(dim, shape)
    assert_gradients_are_differences(layer, x)


def test_features_that_are_not_finite_do_not_spoil_the_embedding():
    layer = TaskEmbedding(2)
    y = layer(np.full((1, 3), np.nan, "float32"))
    assert np.isfinite(y[:, 3:]).all()


@pytest.mark.parametrize("dim", [0, -1, 1.5, True, "8"])
def test_other_lengths_are_refused(dim):
    with pytest.raises(ValueError, match=r"`dim` must be.*Received"):
        TaskEmbedding(dim)


def test_unknown_channels_are_refused():
    with pytest.raises(ValueError, match=r"`inputs` of layer 'mine'.*channels"):
        TaskEmbedding(None, name="mine").build((None, 3, None))
