"""AdaShare: which blocks run, what is shared, penalties, errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_mtl import Task
from keras_mtl.builders import (
    adashare,
    hard_sharing,
    running_probabilities,
)
from keras_mtl.builders.adashare import ChoiceAgreement
from tests.training.balancers import Ones

TASKS = [Task(name, "regression") for name in "abc"]
NAMES = ("low", "middle", "high")
# By block and task: logits of running against skipping.
LOGITS = {
    "low": {"a": 1.0, "b": -1.0, "c": 0.5},
    "middle": {"a": -0.5, "b": 2.0, "c": 1.5},
    "high": {"a": 0.2, "b": 0.1, "c": -3.0},
}


def build(**arguments):
    keras.utils.set_random_seed(0)
    options = {
        "inputs": keras.Input((4,), name="x"),
        "tasks": TASKS,
        "blocks": [layers.Dense(4, activation="tanh", name=n) for n in NAMES],
    }
    return adashare(**{**options, **arguments})


def choose(model):
    for block, by_task in LOGITS.items():
        for task, logit in by_task.items():
            layer = model.get_layer(f"{task}_{block}_choice")
            layer.logits.assign([logit, 0.0])
    return model


def alpha(block, task):
    return 1 / (1 + np.exp(-LOGITS[block][task]))


def sharing_by_hand():
    total = 0.0
    for i, block in enumerate(NAMES):
        for one, two in (("a", "b"), ("a", "c"), ("b", "c")):
            total += (3 - i) / 3 * abs(alpha(block, one) - alpha(block, two))
    return total


def sparsity_by_hand():
    return sum(np.log(alpha(b, t)) for b in NAMES for t in "abc")


def data(batch=16):
    x = np.random.default_rng(0).normal(size=(batch, 4)).astype("float32")
    return x, {"a": x[:, 0], "b": x[:, 1] ** 2, "c": x[:, 2] * x[:, 3]}


def test_inference_runs_the_likelier_blocks():
    model = choose(build())
    x, _ = data()
    outputs = model.predict(x, verbose=0)
    for task in "abc":
        h = x
        for block in NAMES:
            if LOGITS[block][task] > 0:
                kernel, bias = model.get_layer(block).get_weights()
                h = np.tanh(h @ kernel + bias)
        kernel, bias = model.get_layer(task).get_weights()
        np.testing.assert_allclose(
            outputs[task], h @ kernel + bias, rtol=1e-5, atol=1e-6
        )


def test_blocks_are_shared_and_choices_are_each_tasks_own():
    users = {}
    for key, variables in build().variables_by_task().items():
        for v in variables:
            users.setdefault(v.path.split("/")[0], set()).add(key)
    assert users == {
        **{name: set("abc") for name in NAMES},
        **{f"{t}_{n}_choice": {t} for t in "abc" for n in NAMES},
        **{t: {t} for t in "abc"},
    }


def test_probabilities_are_told():
    told = running_probabilities(choose(build()))
    assert told == pytest.approx(
        {f"{t}_{b}_choice": alpha(b, t) for b in NAMES for t in "abc"}
    )


@pytest.mark.parametrize(
    ("sparsity", "sharing"), [(0.3, 0.0), (0.0, 0.7), (0.3, 0.7)]
)
def test_penalties_by_hand(sparsity, sharing):
    model = choose(build(sparsity=sparsity, sharing=sharing))
    model(data()[0])
    expected = sparsity * sparsity_by_hand() + sharing * sharing_by_hand()
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)


def test_no_penalties():
    model = build(sparsity=0.0, sharing=0.0)
    model(data()[0])
    assert model.losses == []


@pytest.mark.parametrize("balancer", [None, Ones()], ids=["none", "sum"])
def test_a_step_follows_the_gradients_of_losses_and_penalties(balancer):
    # So hot that the draw plays no part, and the mixture is one half.
    x, y = data()
    model = choose(build(sparsity=0.3, sharing=0.7, temperature=1e8))
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        outputs = model(x, training=True)
        total = tf.add_n(model.losses)
        for key, value in y.items():
            total += tf.reduce_mean((outputs[key][:, 0] - value) ** 2)
    gradients = tape.gradient(total, variables)
    expected = {
        v.path: np.array(v) - 0.1 * np.array(g)
        for v, g in zip(variables, gradients, strict=True)
    }
    model.compile(keras.optimizers.SGD(0.1), balancer=balancer)
    model.fit(x, y, batch_size=16, verbose=0)
    for v in variables:
        np.testing.assert_allclose(
            v, expected[v.path], rtol=1e-4, atol=1e-6, err_msg=v.path
        )


@pytest.mark.slow
def test_sharing_brings_choices_together_and_sparsity_skips():
    x, y = data(32)
    told = {}
    for sparsity, sharing in ((0.0, 0.0), (0.0, 5.0), (5.0, 0.0)):
        model = choose(build(sparsity=sparsity, sharing=sharing))
        model.compile(keras.optimizers.Adam(0.1))
        model.fit(x, y, batch_size=32, epochs=30, verbose=0)
        told[sparsity, sharing] = running_probabilities(model)

    def spread(probabilities):
        low = [probabilities[f"{t}_low_choice"] for t in "abc"]
        return max(low) - min(low)

    assert spread(told[0.0, 5.0]) < 0.3 * spread(told[0.0, 0.0])
    assert max(told[5.0, 0.0].values()) < min(0.2, min(told[0, 0].values()))


def test_options_reach_the_choices():
    model = build(temperature=2.5, hard=True, depth=1)
    layer = model.get_layer("b_high_choice")
    assert layer.hard and float(layer.temperature) == 2.5
    assert "b_low_choice" not in running_probabilities(model)


def test_blocks_that_were_warmed_up_go_on_from_their_weights():
    blocks = [layers.Dense(4, activation="tanh", name=n) for n in NAMES]
    warm = hard_sharing(keras.Input((4,)), TASKS, blocks)
    x, y = data()
    warm.compile(keras.optimizers.SGD(0.1))
    warm.fit(x, y, verbose=0)
    model = build(blocks=blocks)
    for task in "abc":
        model.get_layer(task).set_weights(warm.get_layer(task).get_weights())
    # Before anything is chosen, inference runs every block.
    expected = warm.predict(x, verbose=0)
    for task, found in model.predict(x, verbose=0).items():
        np.testing.assert_allclose(found, expected[task], rtol=1e-6)


def test_blocks_without_weights_always_run():
    model = build(
        inputs=keras.Input((4, 4, 2)),
        blocks=[
            layers.Conv2D(2, 3, padding="same", name="conv"),
            layers.MaxPooling2D(name="halve"),
            layers.Flatten(name="flat"),
        ],
    )
    assert [n for n in running_probabilities(model) if n.startswith("a")] == [
        "a_conv_choice"
    ]
    outputs = model.predict(np.ones((2, 4, 4, 2), "float32"), verbose=0)
    assert outputs["a"].shape == (2, 1)


def test_the_penalty_is_saved(tmp_path):
    model = choose(build(sharing=0.7))
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    x, _ = data()
    model(x), loaded(x)
    assert float(sum(loaded.losses)) == pytest.approx(float(sum(model.losses)))
    assert loaded.weight_penalty.get_config() == (
        model.weight_penalty.get_config()
    )


BAD = {
    "shape": (
        {"blocks": [layers.Dense(4, name="l"), layers.Dense(5, name="h")]},
        r"`blocks` must keep the shape.*'h'.*\(None, 4\) into \(None, 5\)",
    ),
    "sparsity": ({"sparsity": -0.1}, "`sparsity`.*not negative"),
    "sharing": ({"sharing": -0.1}, "`sharing`.*not negative.*sharing=-0.1"),
    "temperature": ({"temperature": 0}, "`temperature`.*above 0"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)


def test_a_penalty_on_what_is_no_choice():
    with pytest.raises(ValueError, match=r"must name SkipChoice layers.*'low'"):
        ChoiceAgreement([["low"]], 0.1).check(build())
