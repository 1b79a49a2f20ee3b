"""AttentionMask: against a loop in numpy; what it normalizes and refuses."""

import itertools

import keras
import numpy as np
import pytest

from keras_mtl.layers import AttentionMask

from .central_differences import assert_gradients_are_differences

RNG = np.random.default_rng(0)
SHAPES = {
    "vectors": ((6, 4), None),
    "vectors_after": ((6, 4), (6, 3)),
    "sequences_after": ((3, 5, 4), (3, 5, 2)),
    "maps": ((2, 3, 2, 4), None),
    "maps_after": ((2, 3, 2, 4), (2, 3, 2, 4)),
}
each_shape = pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)


def made(shapes, **arguments):
    keras.utils.set_random_seed(0)
    layer = AttentionMask(dtype="float64", **arguments)
    x = [RNG.normal(size=shape) for shape in shapes if shape]
    x = x if len(x) == 2 else x[0]
    layer(x)
    for v in layer.variables:
        low = 0.5 if "variance" in v.path else -1.0
        v.assign(RNG.uniform(low, 1.0, size=v.shape))
    return layer, x


def normalized(x, norm, training):
    """Batch normalization of `(positions, channels)`, channel by channel."""
    result = np.zeros_like(x)
    gamma, beta, mean, variance = (np.array(w) for w in norm.weights)
    for c in range(x.shape[1]):
        m, v = mean[c], variance[c]
        if training:
            m = sum(x[:, c]) / len(x)
            v = sum((x[:, c] - m) ** 2) / len(x)
        for i in range(len(x)):
            scaled = (x[i, c] - m) / np.sqrt(v + norm.epsilon)
            result[i, c] = gamma[c] * scaled + beta[c]
    return result


def product(x, kernel):
    result = np.zeros((x.shape[0], kernel.shape[1]))
    for i, c, d in itertools.product(*map(range, (len(x), *kernel.shape))):
        result[i, d] += x[i, c] * kernel[c, d]
    return result


def by_loops(layer, x, training):
    u, *rest = x if isinstance(x, list) else [x]
    flat = np.concatenate(
        [part.reshape(-1, part.shape[-1]) for part in (u, *rest)], axis=1
    )
    inner = product(flat, np.array(layer.inner_kernel))
    if layer.batch_norm:
        inner = normalized(inner, layer.inner_norm, training)
    else:
        inner = inner + np.array(layer.inner_bias)
    outer = product(np.where(inner > 0, inner, 0), np.array(layer.outer_kernel))
    if layer.batch_norm:
        outer = normalized(outer, layer.outer_norm, training)
    else:
        outer = outer + np.array(layer.outer_bias)
    return (1 / (1 + np.exp(-outer))).reshape(u.shape)


@each_shape
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_forward_by_loops(shapes, training, batch_norm):
    layer, x = made(shapes, batch_norm=batch_norm)
    expected = by_loops(layer, x, training)
    np.testing.assert_allclose(layer(x, training=training), expected, rtol=1e-9)


@each_shape
@pytest.mark.parametrize("batch_norm", [False, True])
def test_gradients_by_differences(shapes, batch_norm):
    layer, x = made(shapes, batch_norm=batch_norm)
    assert_gradients_are_differences(layer, x)


def test_masked_positions_do_not_count_in_the_moments():
    layer, x = made(((2, 4, 3), (2, 4, 2)))
    mask = np.array([[1, 1, 1, 0], [1, 0, 0, 0]], bool)
    spoilt = [np.where(mask[..., None], part, 1e3) for part in x]
    masks = [mask, mask]
    for first, second in zip(
        layer(x, mask=masks, training=True)[mask],
        layer(spoilt, mask=masks, training=True)[mask],
        strict=True,
    ):
        np.testing.assert_allclose(first, second, rtol=1e-6)


BAD = {
    "three": [(None, 4), (None, 4), (None, 4)],
    "positions": [(None, 4, 2), (None, 5, 2)],
    "ranks": [(None, 4, 2), (None, 2)],
    "channels": (None, 4, None),
}


@pytest.mark.parametrize("shape", BAD.values(), ids=BAD)
def test_other_inputs_are_refused(shape):
    with pytest.raises(ValueError, match=r"`inputs` of layer 'mine'.*Received"):
        AttentionMask(name="mine").build(shape)
