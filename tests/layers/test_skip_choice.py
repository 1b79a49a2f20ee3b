"""Skip choices: values, gradients, the sparsity loss."""

import numpy as np
import pytest

from keras_mtl.layers import SkipChoice

from .central_differences import assert_gradients_are_differences
from .choices import fix_noise, gumbel, softmax

UNIFORM = [0.3, 0.8]
LOGITS = [0.9, -0.2]


def pair(shape=(2, 3)):
    draw = np.random.default_rng(0)
    return [draw.normal(size=shape) for _ in range(2)]


def make(logits=LOGITS, **arguments):
    layer = SkipChoice(dtype="float64", **arguments)
    layer.build([(None, 3), (None, 3)])
    layer.logits.assign(logits)
    return layer


@pytest.mark.parametrize("shape", [(2, 3), (2, 4, 3), (2, 2, 2, 3)])
def test_a_step_of_training_by_hand(shape, monkeypatch):
    fix_noise(monkeypatch, UNIFORM)
    before, after = pair(shape)
    noise = gumbel(UNIFORM)
    u = softmax([(LOGITS[i] + noise[i]) / 2.0 for i in range(2)])[0]
    expected = np.zeros(shape)
    for place in np.ndindex(shape):
        expected[place] = u * after[place] + (1 - u) * before[place]
    layer = make(temperature=2.0)
    np.testing.assert_allclose(
        layer([before, after], training=True), expected, rtol=1e-12
    )


def test_gradients_of_a_step_against_differences(monkeypatch):
    fix_noise(monkeypatch, UNIFORM)
    layer = make(temperature=0.7, sparsity=0.3)
    assert_gradients_are_differences(layer, pair(), training=True)


@pytest.mark.parametrize("hard", [False, True])
def test_inference_runs_or_skips(hard):
    before, after = pair()
    layer = make(hard=hard)
    np.testing.assert_array_equal(layer([before, after]), after)
    assert layer.choice() == 0
    layer.logits.assign([0.1, 0.2])
    np.testing.assert_array_equal(layer([before, after]), before)
    assert layer.choice() == 1
    # A tie runs the block.
    layer.logits.assign([0.1, 0.1])
    np.testing.assert_array_equal(layer([before, after]), after)


@pytest.mark.parametrize("training", [False, True])
def test_sparsity_is_the_log_of_the_probability_of_running(training):
    layer = make(sparsity=0.3)
    layer(pair(), training=training)
    (loss,) = layer.losses
    assert float(loss) == pytest.approx(0.3 * np.log(softmax(LOGITS)[0]))
    assert float(layer.running_probability()) == pytest.approx(
        softmax(LOGITS)[0]
    )
    layer = make()
    layer(pair())
    assert layer.losses == []


def test_a_sure_choice_has_a_finite_loss():
    layer = make(logits=[-300.0, 300.0], sparsity=1.0)
    layer(pair())
    assert float(layer.losses[0]) == pytest.approx(-600.0)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`sparsity`.*not negative"):
        SkipChoice(sparsity=-0.1)
    with pytest.raises(ValueError, match=r"`temperature`.*above 0"):
        SkipChoice(temperature=0)
    with pytest.raises(ValueError, match="block's input and output of one"):
        SkipChoice()([np.zeros((2, 3)), np.zeros((2, 4))])
    with pytest.raises(ValueError, match=r"must be two.*Received: 3"):
        SkipChoice()([np.zeros((2, 3))] * 3)
