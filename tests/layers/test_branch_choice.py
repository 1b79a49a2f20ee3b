"""Branch choices: values, gradients, draws, what inference takes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.layers import BranchChoice

from .central_differences import assert_gradients_are_differences
from .choices import fix_noise, gumbel, softmax

UNIFORM = [0.3, 0.9, 0.55]
LOGITS = [0.4, -1.0, 0.7]


def parents(shape=(2, 3), count=3):
    draw = np.random.default_rng(0)
    return [draw.normal(size=shape) for _ in range(count)]


def make(logits=LOGITS, **arguments):
    layer = BranchChoice(dtype="float64", **arguments)
    layer.build([(None, 3)] * len(logits))
    layer.logits.assign(logits)
    return layer


@pytest.mark.parametrize("shape", [(2, 3), (2, 4, 3), (2, 2, 2, 3)])
@pytest.mark.parametrize("temperature", [5.0, 0.5])
def test_a_step_of_training_by_hand(shape, temperature, monkeypatch):
    fix_noise(monkeypatch, UNIFORM)
    x = parents(shape)
    noise = gumbel(UNIFORM)
    weights = softmax([(LOGITS[i] + noise[i]) / temperature for i in range(3)])
    expected = np.zeros(shape)
    for place in np.ndindex(shape):
        for i in range(3):
            expected[place] += weights[i] * x[i][place]
    layer = make(temperature=temperature)
    np.testing.assert_allclose(layer(x, training=True), expected, rtol=1e-12)


def test_gradients_of_a_step_against_differences(monkeypatch):
    fix_noise(monkeypatch, UNIFORM)
    layer = make(temperature=0.7)
    assert_gradients_are_differences(layer, parents(), training=True)


def test_a_hard_step_takes_one_parent_with_the_gradient_of_the_mixture(
    monkeypatch,
):
    fix_noise(monkeypatch, UNIFORM)
    x = [tf.constant(v) for v in parents()]
    taken = int(np.argmax(np.add(LOGITS, gumbel(UNIFORM))))
    assert taken == 1  # by the noise: the logit alone is the smallest
    gradients = {}
    for hard in (True, False):
        layer = make(hard=hard, temperature=0.7)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            # Linear, so that the slope does not depend on the value.
            total = tf.reduce_sum(y * np.arange(6.0).reshape(2, 3))
        gradients[hard] = tape.gradient(total, [layer.logits.value, *x])
        if hard:
            np.testing.assert_array_equal(y, x[taken])
    np.testing.assert_allclose(gradients[True][0], gradients[False][0])
    for i in range(3):
        expected = np.arange(6.0).reshape(2, 3) * (i == taken)
        np.testing.assert_array_equal(gradients[True][1 + i], expected)


def test_inference_takes_the_parent_of_the_largest_logit():
    layer, x = make(), parents()
    for _ in range(3):
        np.testing.assert_array_equal(layer(x, training=False), x[2])
    np.testing.assert_array_equal(layer(x), x[2])
    assert layer.choice() == 2
    np.testing.assert_allclose(layer.probabilities(), softmax(LOGITS))
    layer.logits.assign([3.0, 1.0, 2.0])
    assert layer.choice() == 0
    np.testing.assert_array_equal(layer(x), x[0])


def test_parents_are_drawn_as_often_as_their_probability():
    layer = make(hard=True, seed=1)
    draws = 3000
    draw = tf.function(lambda: layer.option_weights(training=True))
    counts = sum(draw().numpy() for _ in range(draws))
    probabilities = layer.probabilities()
    deviation = np.sqrt(probabilities * (1 - probabilities) / draws)
    assert (abs(counts / draws - probabilities) < 4 * deviation).all()


def test_each_step_draws_anew_and_a_seed_repeats():
    one, two = make(seed=5), make(seed=5)
    draws = [one.option_weights(True).numpy() for _ in range(3)]
    assert not np.allclose(draws[0], draws[1])
    for expected in draws:
        np.testing.assert_array_equal(two.option_weights(True), expected)


def test_the_temperature_rules_how_much_is_mixed():
    hot, cold = make(temperature=1e3), make(temperature=1e-3)
    for _ in range(5):
        np.testing.assert_allclose(hot.option_weights(True), 1 / 3, atol=0.01)
        assert np.max(cold.option_weights(True)) > 0.99


def test_the_temperature_is_a_variable_that_is_saved(tmp_path):
    x = [keras.Input((3,)), keras.Input((3,))]
    model = keras.Model(x, BranchChoice(temperature=4.0, name="c")(x))
    layer = model.get_layer("c")
    assert layer.temperature in layer.non_trainable_variables
    layer.temperature.assign(1.25)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras").get_layer("c")
    assert float(loaded.temperature) == 1.25
    assert loaded.initial_temperature == 4.0


@pytest.mark.parametrize("temperature", [0, -1.0, float("inf"), "hot", True])
def test_bad_temperatures(temperature):
    with pytest.raises(ValueError, match=r"`temperature`.*above 0. Received"):
        BranchChoice(temperature)


def test_bad_parents():
    with pytest.raises(ValueError, match="`inputs` must be a list of parents"):
        BranchChoice()(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="must be parents of one shape"):
        BranchChoice()([np.zeros((2, 3)), np.zeros((2, 4))])
