"""DSelect-k: against loops; sparsity, penalties, numbers of no expert."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.layers import DSelectKGate

from .central_differences import assert_gradients_are_differences

STEP = 1e-6  # of finite differences

RNG = np.random.default_rng(0)
SETTINGS = {
    "four": {"num_experts": 4, "k": 2},
    "one_of_eight": {"num_experts": 8, "k": 1},
    "five": {"num_experts": 5, "k": 3, "gamma": 2.5},
    "static": {"num_experts": 6, "k": 2, "static": True},
    "static_one": {"num_experts": 4, "k": 1, "static": True, "gamma": 0.7},
}
each_setting = pytest.mark.parametrize(
    "arguments", SETTINGS.values(), ids=SETTINGS
)


def made(arguments, shape=(7, 3), scale=0.2, **more):
    keras.utils.set_random_seed(0)
    layer = DSelectKGate(**{"dtype": "float64", **arguments, **more})
    x = RNG.normal(size=shape)
    layer(x)
    for v in layer.trainable_variables:
        v.assign(RNG.normal(size=v.shape) * scale)
    return layer, x


def smooth_step(t, gamma):
    if t <= -gamma / 2:
        return 0.0
    if t >= gamma / 2:
        return 1.0
    return -2 / gamma**3 * t**3 + 3 / (2 * gamma) * t + 0.5


def logits(weights, x):
    *kernel, bias = (np.array(v) for v in weights)
    result = np.zeros((len(x), len(bias)))
    for i, j in np.ndindex(result.shape):
        result[i, j] = bias[j]
        if kernel:
            for c in range(x.shape[1]):
                result[i, j] += x[i, c] * kernel[0][c, j]
    return result


def selectors(layer, x):
    """r: (batch, selectors, experts)."""
    x = x.reshape(len(x), -1, x.shape[-1]).mean(1)
    z = logits(layer.z, x)
    r = np.ones((len(x), layer.k, layer.num_experts))
    bits = int(np.ceil(np.log2(layer.num_experts)))
    for i, j, e in np.ndindex(r.shape):
        for b in range(bits):
            s = smooth_step(z[i, j * bits + b], layer.gamma)
            r[i, j, e] *= s if (e >> b) & 1 else 1 - s
    return r


def by_loops(layer, x):
    r = selectors(layer, x)
    x = x.reshape(len(x), -1, x.shape[-1]).mean(1)
    alpha = logits(layer.alpha, x) if layer.k > 1 else np.zeros((len(x), 1))
    result = np.zeros((len(x), layer.num_experts))
    for i in range(len(x)):
        weights = np.exp(alpha[i]) / np.exp(alpha[i]).sum()
        for j in range(layer.k):
            for e in range(layer.num_experts):
                result[i, e] += weights[j] * r[i, j, e]
    return result


@each_setting
@pytest.mark.parametrize("scale", [0.2, 1.0], ids=["soft", "partly_hard"])
@pytest.mark.parametrize("shape", [(7, 3), (7, 2, 5, 3)], ids=len)
def test_forward_by_loops(arguments, scale, shape):
    layer, x = made(arguments, shape, scale)
    np.testing.assert_allclose(
        layer(x), by_loops(layer, x), rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize("name", ["four", "one_of_eight", "five"])
@pytest.mark.parametrize("scale", [0.2, 1.0], ids=["soft", "partly_hard"])
def test_gradients_by_differences(name, scale):
    layer, x = made(SETTINGS[name], scale=scale)
    if scale == 1:  # some bits are 0 or 1: a product with zeros
        assert (selectors(layer, x) == 0).any()
    assert_gradients_are_differences(layer, x)


@pytest.mark.parametrize("name", ["static", "static_one"])
def test_gradients_of_a_static_gate_by_differences(name):
    layer, x = made(SETTINGS[name])
    factors = RNG.normal(size=(7, layer.num_experts))

    def loss():
        return tf.reduce_sum(factors * tf.sin(layer(x)))

    variables = [v.value for v in layer.trainable_variables]
    with tf.GradientTape() as tape:
        value = loss()
    for v, gradient in zip(
        variables, tape.gradient(value, variables), strict=True
    ):
        start = v.numpy()
        for i in range(len(start)):
            step = STEP * (np.arange(len(start)) == i)
            v.assign(start + step)
            above = loss()
            v.assign(start - step)
            expected = (above - loss()) / (2 * STEP)
            v.assign(start)
            np.testing.assert_allclose(gradient[i], expected, rtol=1e-6)


@each_setting
def test_at_most_k_weights_are_not_zero_once_the_bits_have_converged(arguments):
    layer, x = made(arguments, shape=(300, 3), scale=30.0)
    # Logits far from the middle, but on numbers that have an expert.
    r = selectors(layer, x)
    settled = np.isin(r, [0, 1]).all((1, 2)) & (r.sum(-1) == 1).all(1)
    gate = np.array(layer(x))[settled]
    assert len(gate) > 30 or layer.static
    assert ((gate > 0).sum(-1) <= layer.k).all()
    np.testing.assert_allclose(gate.sum(-1), 1, rtol=1e-12)
    if not layer.static and layer.k > 1:
        assert ((gate > 0).sum(-1) == layer.k).any()


@pytest.mark.parametrize("choices", [[0, 5], [3, 3], [4, 1]], ids=str)
def test_a_static_gate_selects_the_numbers_that_its_bits_spell(choices):
    layer, x = made(SETTINGS["static"])
    bits = [(c >> b) % 2 for c in choices for b in range(3)]
    layer.z[0].assign(2 * np.array(bits) - 1)
    layer.alpha[0].assign(np.log([0.75, 0.25]))
    expected = np.zeros(6)
    for choice, weight in zip(choices, [0.75, 0.25], strict=True):
        expected[choice] += weight
    np.testing.assert_allclose(layer(x), np.tile(expected, (7, 1)), rtol=1e-12)


def test_weights_add_up_to_one_for_a_power_of_two_at_any_time():
    layer, x = made(SETTINGS["four"])
    np.testing.assert_allclose(np.sum(layer(x), -1), 1, rtol=1e-12)
    layer, x = made(SETTINGS["five"])
    assert (np.sum(layer(x), -1) < 1).all()


@each_setting
def test_penalties_by_loops(arguments):
    layer, x = made(arguments, entropy=0.3)
    layer(x, training=True)
    r = selectors(layer, x)
    if layer.static:
        r = r[:1]
    entropy = barrier = 0.0
    for example in r:
        for selector in example:
            entropy -= sum(p * np.log(p) for p in selector if p > 0)
            barrier += 1 / sum(selector) - 1
    expected = [0.3 * entropy / len(r)]
    if layer.num_experts not in (4, 8):
        expected.append(barrier / len(r))
    assert [float(v) for v in layer.losses] == pytest.approx(expected, rel=1e-6)
    layer(x)
    assert not layer.losses


def test_penalties_are_zero_and_finite_once_converged():
    layer, x = made(SETTINGS["static"], entropy=0.3)
    layer.z[0].assign([1, -1, 1, -1, -1, -1])
    with tf.GradientTape() as tape:
        layer(x, training=True)
        loss = tf.add_n(layer.losses)
    assert float(loss) == pytest.approx(0, abs=1e-12)
    gradient = tape.gradient(loss, layer.z[0].value)
    np.testing.assert_array_equal(gradient, np.zeros(6))


def descend(layer, x, loss, steps=300):
    optimizer = keras.optimizers.Adam(0.03)
    for _ in range(steps):
        with tf.GradientTape() as tape:
            gate = layer(x, training=True)
            total = loss(gate) + tf.add_n(layer.losses)
        variables = layer.trainable_variables
        gradients = tape.gradient(total, [v.value for v in variables])
        optimizer.apply(gradients, variables)
    return np.array(layer(x))


def test_entropy_makes_selectors_converge():
    for entropy, most in ((0.0, 8), (1.0, 2)):
        layer, x = made(
            {"num_experts": 8, "k": 2, "static": True}, entropy=entropy
        )
        if entropy:
            gate = descend(layer, x, lambda gate: 0 * tf.reduce_sum(gate))
            assert (gate[0] > 0).sum() <= most
            assert gate[0].sum() == pytest.approx(1)
        else:
            assert (np.array(layer(x))[0] > 0).sum() == most


def test_selectors_keep_off_numbers_without_an_expert():
    # Numbers 5, 6 and 7 have no expert, and make the loss smallest.
    layer, x = made({"num_experts": 5, "k": 1, "static": True}, entropy=0.01)
    gate = descend(layer, x, lambda gate: tf.reduce_mean(gate) * 3)
    assert gate[0].sum() == pytest.approx(1, abs=0.3)
    layer._add_losses = lambda r: layer.add_loss(0 * tf.reduce_sum(r))
    layer.z[0].assign(np.zeros(3))
    assert descend(layer, x, lambda g: tf.reduce_mean(g) * 3)[0].sum() < 0.01


@pytest.mark.parametrize("k", [1, 2])
def test_a_static_gate_keeps_the_contracts_of_a_layer(k, tmp_path):
    keras.utils.set_random_seed(0)
    x = keras.Input((3,))
    layer = DSelectKGate(6, k=k, static=True, name="gate")
    model = keras.Model(x, layer(x))
    assert model.output.shape == (None, 6)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == layer.get_config()
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    batch = np.ones((5, 3), "float32")
    np.testing.assert_array_equal(loaded(batch), model(batch))
    compiled = tf.function(model, jit_compile=True)
    np.testing.assert_allclose(compiled(batch), model(batch), rtol=1e-6)
    half = DSelectKGate(6, k=k, static=True, dtype="mixed_bfloat16")
    assert half(batch).dtype == "bfloat16"
    assert {v.dtype for v in half.weights} == {"float32"}


BAD = {
    "one_expert": ({"num_experts": 1}, "least 2. Received: num_experts=1"),
    "none": ({"k": 0}, "`k` must.*Received: k=0"),
    "too_many": ({"k": 5}, "from 1 to num_experts=4. Received: k=5"),
    "negative": ({"entropy": -1}, "`entropy`.*Received: entropy=-1"),
    "no_width": ({"gamma": 0}, "`gamma`.*Received: gamma=0"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DSelectKGate(**{"num_experts": 4, **arguments})
