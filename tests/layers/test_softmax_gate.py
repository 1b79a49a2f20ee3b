"""The softmax gate: against loops; dropout, load balance, precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.layers import SoftmaxGate

from .central_differences import assert_gradients_are_differences

RNG = np.random.default_rng(0)
SHAPES = {"vectors": (5, 3), "sequences": (5, 7, 3), "maps": (5, 2, 4, 3)}
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def made(shape, dtype="float64", **arguments):
    keras.utils.set_random_seed(0)
    layer = SoftmaxGate(4, dtype=dtype, **arguments)
    x = RNG.normal(size=shape).astype(dtype)
    layer(x)
    for v in layer.trainable_variables:
        v.assign(RNG.normal(size=v.shape))
    return layer, x


def by_loops(layer, x, mask=None):
    kernel, bias = np.array(layer.kernel), np.zeros(layer.num_experts)
    if layer.use_bias:
        bias = np.array(layer.bias)
    result = np.zeros((len(x), layer.num_experts))
    for i, example in enumerate(x):
        total, count = np.zeros(x.shape[-1]), 0
        for index in np.ndindex(example.shape[:-1]):
            if mask is None or mask[i][index[: mask.ndim - 1]]:
                total += example[index]
                count += 1
        logits = np.zeros(layer.num_experts)
        for e in range(layer.num_experts):
            logits[e] = bias[e]
            for c in range(x.shape[-1]):
                logits[e] += total[c] / max(count, 1) * kernel[c, e]
        result[i] = np.exp(logits) / np.exp(logits).sum()
    return result


@each_shape
@pytest.mark.parametrize("use_bias", [False, True])
def test_forward_by_loops(shape, use_bias):
    layer, x = made(shape, use_bias=use_bias)
    np.testing.assert_allclose(layer(x), by_loops(layer, x), rtol=1e-10)


@each_shape
def test_gradients_by_differences(shape):
    layer, x = made(shape, use_bias=True)
    assert_gradients_are_differences(layer, x)


@pytest.mark.parametrize("shape", [(3, 4, 3), (3, 4, 2, 3)], ids=len)
def test_masked_positions_are_left_out(shape):
    layer, x = made(shape)
    mask = np.array([[1, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]], bool)
    gate = np.array(layer(x, mask=mask))
    np.testing.assert_allclose(gate, by_loops(layer, x, mask), rtol=1e-10)
    x[~mask] = 1e6
    np.testing.assert_allclose(layer(x, mask=mask), gate, rtol=1e-10)


def test_load_balance_is_the_squared_variation_of_importance():
    layer, x = made((5, 3), load_balance=0.7)
    gate = np.array(layer(x, training=True))
    importance = [sum(row[e] for row in gate) for e in range(4)]
    mean = sum(importance) / 4
    variance = sum((value - mean) ** 2 for value in importance) / 4
    assert [float(v) for v in layer.losses] == pytest.approx(
        [0.7 * variance / mean**2]
    )
    layer(x)
    assert not layer.losses


def test_load_balance_is_zero_for_equal_use_and_most_for_one_expert():
    layer, x = made((5, 3), load_balance=1.0)
    layer.kernel.assign(np.zeros((3, 4)))
    layer(x, training=True)
    assert float(layer.losses[0]) == pytest.approx(0, abs=1e-12)
    layer.kernel.assign(np.eye(3, 4) * 1e3)
    layer(np.abs(x) * [1, 0, 0], training=True)
    assert float(layer.losses[0]) == pytest.approx(3)  # n - 1


def test_dropout_shuts_experts_and_scales_up_the_rest():
    layer, _ = made((5, 3), dropout=0.3)
    x = RNG.normal(size=(2000, 3))
    whole = np.array(layer(x))
    assert (whole > 0).all()
    gate = np.array(layer(x, training=True))
    np.testing.assert_allclose(gate.sum(-1), 1, rtol=1e-12)
    kept = gate > 0
    assert kept.mean(0) == pytest.approx([0.7] * 4, abs=0.04)
    expected = whole * kept
    np.testing.assert_allclose(
        gate, expected / expected.sum(-1, keepdims=True), rtol=1e-10
    )
    assert not np.array_equal(layer(x, training=True), gate)


def test_where_all_would_be_shut_none_is():
    layer, _ = made((5, 3), dropout=0.95)
    x = tf.constant(RNG.normal(size=(400, 3)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        gate = layer(x, training=True)
        loss = tf.reduce_sum(tf.sin(gate))
    assert np.isfinite(tape.gradient(loss, x)).all()
    np.testing.assert_allclose(tf.reduce_sum(gate, -1), 1, rtol=1e-12)
    untouched = np.all(np.isclose(gate, layer(x)), axis=-1)
    assert untouched.mean() == pytest.approx(0.95**4, abs=0.08)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_the_softmax_is_taken_in_single_precision(policy):
    half, x = made((50, 3), "float32")
    layer = SoftmaxGate(4, dtype=policy)
    x = tf.cast(x * 8, layer.compute_dtype)
    layer(x)
    layer.set_weights(half.get_weights())
    expected = half(tf.cast(x, "float32"))
    assert layer(x).dtype == layer.compute_dtype
    np.testing.assert_array_equal(
        tf.cast(layer(x), "float32"),
        tf.cast(tf.cast(expected, layer.compute_dtype), "float32"),
    )


BAD = {
    "one_expert": ({"num_experts": 1}, "least 2. Received: num_experts=1"),
    "no_expert": ({"num_experts": 0}, "Received: num_experts=0"),
    "all_dropped": ({"dropout": 1}, "`dropout`.*Received: dropout=1"),
    "negative_rate": ({"dropout": -0.1}, "`dropout`.*Received: dropout=-0.1"),
    "negative_factor": (
        {"load_balance": -1},
        "`load_balance`.*Received: load_balance=-1",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SoftmaxGate(**{"num_experts": 4, **arguments})
