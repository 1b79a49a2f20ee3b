"""Attention transfer: values and gradients by hand, what is refused."""

import numpy as np
import pytest

from keras_mtl.layers import AttentionTransfer

from .central_differences import assert_gradients_are_differences
from .choices import softmax


def sources(shape=(2, 3)):
    draw = np.random.default_rng(0)
    return [draw.normal(size=shape) for _ in range(2)]


def by_hand(layer, own, handed_on):
    """Weights and output, place by place."""
    query, key, value = (np.array(w) for w in layer.get_weights())
    channels = own.shape[-1]
    weights = np.zeros((*own.shape[:-1], 2))
    output = np.zeros(own.shape)
    for place in np.ndindex(own.shape[:-1]):
        scores, values = [], []
        for u in (own[place], handed_on[place]):
            q, k, v = np.zeros((3, channels))
            for i in range(channels):
                for j in range(channels):
                    q[j] += u[i] * query[i, j]
                    k[j] += u[i] * key[i, j]
                    v[j] += u[i] * value[i, j]
            scores.append(sum(q * k) / np.sqrt(channels))
            values.append(v)
        weights[place] = softmax(scores)
        for w, v in zip(weights[place], values, strict=True):
            output[place] += w * v
    return weights, output


@pytest.mark.parametrize("shape", [(4, 3), (2, 5, 3), (2, 3, 2, 4)])
def test_forward_by_hand(shape):
    layer = AttentionTransfer(dtype="float64", kernel_initializer="normal")
    own, handed_on = sources(shape)
    layer.build([own.shape, own.shape])
    layer.set_weights([40 * w for w in layer.get_weights()])
    weights, output = by_hand(layer, own, handed_on)
    np.testing.assert_allclose(layer([own, handed_on]), output, rtol=1e-10)
    np.testing.assert_allclose(
        layer.attention([own, handed_on]), weights, rtol=1e-10
    )
    assert weights.std() > 0.05  # it does weigh them differently


def test_gradients_against_differences():
    layer = AttentionTransfer(dtype="float64", kernel_regularizer="l2")
    assert_gradients_are_differences(layer, sources())


def test_kernels_start_different():
    layer = AttentionTransfer()
    layer(sources())
    kernels = layer.get_weights()
    assert not np.allclose(kernels[0], kernels[1])
    assert not np.allclose(kernels[1], kernels[2])
    assert [w.name for w in layer.weights] == ["query", "key", "value"]


def test_bad_inputs():
    with pytest.raises(ValueError, match="must be a list of own and handed-on"):
        AttentionTransfer()(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="features of one shape"):
        AttentionTransfer()([np.zeros((2, 3)), np.zeros((2, 4))])
    with pytest.raises(ValueError, match="`inputs` must be two"):
        AttentionTransfer()([np.zeros((2, 3))] * 3)
