"""AITM: features handed along the chain, the calibration loss, errors."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_mtl import MultiTaskModel, Task
from keras_mtl.builders import aitm
from tests.training.balancers import Ones

CHAIN = [Task(name, "binary") for name in ("click", "buy", "return")]
KEYS = ("click", "buy", "return")


def build(**arguments):
    keras.utils.set_random_seed(0)
    options = {
        "inputs": keras.Input((3,), name="x"),
        "tasks": CHAIN,
        "blocks": [
            layers.Dense(4, activation="tanh", name="embedding"),
            layers.Dense(5, activation="tanh", name="tower"),
        ],
        "depth": 1,
    }
    return aitm(**{**options, **arguments})


def data(batch=6):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(batch, 3)).astype("float32")
    click = draw.integers(0, 2, batch)
    buy = click * draw.integers(0, 2, batch)
    return x, {
        "click": click,
        "buy": buy,
        "return": buy * (np.arange(batch) % 2),
    }


def by_hand(model, x):
    def dense(name, h):
        kernel, bias = model.get_layer(name).get_weights()
        return h @ kernel.astype("float64") + bias

    embedded = np.tanh(dense("embedding", x))
    handed_on, outputs = None, {}
    for key in KEYS:
        z = np.tanh(dense(f"{key}_tower", embedded))
        if handed_on is not None:
            q = np.maximum(dense(f"{key}_information", handed_on), 0)
            query, k, value = model.get_layer(f"{key}_transfer").get_weights()
            rows = []
            for p_row, q_row in zip(z, q, strict=True):
                scores = np.exp(
                    [(u @ query) @ (u @ k) / np.sqrt(5) for u in (p_row, q_row)]
                )
                w = scores / scores.sum()
                rows.append(w[0] * p_row @ value + w[1] * q_row @ value)
            z = np.array(rows)
        handed_on = z
        outputs[key] = 1 / (1 + np.exp(-dense(key, z)))
    return outputs


def excess(outputs):
    return sum(
        np.mean(np.maximum(outputs[later] - outputs[earlier], 0))
        for earlier, later in itertools.pairwise(KEYS)
    )


def test_outputs_by_hand():
    model = build()
    x, _ = data()
    expected = by_hand(model, x)
    for key, value in model.predict(x, verbose=0).items():
        np.testing.assert_allclose(value, expected[key], rtol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_the_calibration_loss_by_hand(training):
    model = build(calibration=0.4)
    x, _ = data(32)
    model(x, training=training)
    (loss,) = model.losses
    expected = excess(by_hand(model, x))
    assert expected > 0.01
    assert float(loss) == pytest.approx(0.4 * expected, rel=1e-5)


def test_no_calibration_no_loss():
    model = build(calibration=0.0)
    model(data()[0])
    assert model.losses == []
    single = build(tasks=CHAIN[:1])
    single(data()[0])
    assert float(sum(single.losses)) == 0.0


@pytest.mark.parametrize("outer", [keras.Model, MultiTaskModel])
def test_it_counts_in_a_model_that_holds_the_chain(outer):
    model = build(calibration=0.4)
    x, y = data(32)
    inputs = keras.Input((3,))
    whole = outer(inputs, model(inputs))
    expected = 0.4 * excess(by_hand(model, x))
    for _ in range(2):  # of each call alone
        whole(x)
        assert [float(v) for v in whole.losses] == pytest.approx(
            [expected], rel=1e-5
        )
    whole.compile("sgd", loss=dict.fromkeys(KEYS, "binary_crossentropy"))
    logs = whole.evaluate(x, y, verbose=0, return_dict=True)
    losses = sum(logs[f"{key}_loss"] for key in KEYS)
    assert logs["loss"] - losses == pytest.approx(expected, rel=1e-3)


def test_a_clone_keeps_it():
    clone = keras.models.clone_model(build(calibration=0.25))
    assert clone.calibration == 0.25
    assert list(clone.given_tasks) == list(KEYS)


def test_it_is_in_the_logged_loss():
    model = build(calibration=3.0)
    model.compile("sgd")
    x, y = data()
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    losses = sum(logs[f"{key}_loss"] for key in KEYS)
    assert logs["loss"] - losses == pytest.approx(
        3.0 * excess(by_hand(model, x)), rel=1e-4
    )


@pytest.mark.slow
def test_the_calibration_keeps_events_in_order():
    x, y = data(64)
    x = 3 * x
    rises = {}
    for calibration in (0.0, 50.0):
        model = build(calibration=calibration)
        model.compile(keras.optimizers.Adam(0.02))
        # Labels that rise along the chain, so that only the loss holds them.
        y = {
            "click": 0 * y["click"],
            "buy": y["buy"],
            "return": 0 * y["buy"] + 1,
        }
        model.fit(x, y, epochs=20, verbose=0)
        rises[calibration] = excess(model.predict(x, verbose=0))
    assert rises[50.0] < 0.05 * rises[0.0]


def test_heads_are_private_and_towers_serve_the_events_from_theirs_on():
    users = {}
    for key, variables in build().variables_by_task().items():
        for v in variables:
            users.setdefault(v.path.split("/")[0], set()).add(key)
    later = {"buy", "return"}
    assert users == {
        "embedding": set(KEYS),
        "click_tower": set(KEYS),
        "click": {"click"},
        "buy_tower": later,
        "buy_information": later,
        "buy_transfer": later,
        "buy": {"buy"},
        "return_tower": {"return"},
        "return_information": {"return"},
        "return_transfer": {"return"},
        "return": {"return"},
    }


@pytest.mark.parametrize("balancer", [None, Ones()], ids=["none", "sum"])
def test_a_step_follows_the_gradients_of_losses_and_calibration(balancer):
    # One tape over all of it, with no cut at a boundary.
    x, y = data(32)
    model = build(calibration=5.0)
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        outputs = model(x, training=True)
        total = 5.0 * sum(
            tf.reduce_mean(tf.nn.relu(outputs[later] - outputs[earlier]))
            for earlier, later in itertools.pairwise(KEYS)
        )
        for key in KEYS:
            p, t = outputs[key][:, 0], tf.cast(y[key], "float32")
            total -= tf.reduce_mean(
                t * tf.math.log(p) + (1 - t) * tf.math.log(1 - p)
            )
    gradients = tape.gradient(total, variables)
    expected = {
        v.path: np.array(v) - 0.5 * np.array(g)
        for v, g in zip(variables, gradients, strict=True)
    }
    model.compile(keras.optimizers.SGD(0.5), balancer=balancer)
    model.fit(x, y, batch_size=32, verbose=0)
    for v in variables:
        np.testing.assert_allclose(
            v, expected[v.path], rtol=1e-4, atol=1e-6, err_msg=v.path
        )


def test_the_calibration_is_saved(tmp_path):
    model = build(calibration=0.25)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert loaded.calibration == 0.25
    x, _ = data()
    model(x), loaded(x)
    assert float(loaded.losses[0]) == pytest.approx(float(model.losses[0]))


BAD = {
    "multiclass": (
        {"tasks": [CHAIN[0], Task("kind", "multiclass", units=3)]},
        "Received: task 'kind' of kind 'multiclass', units=3",
    ),
    "negative": ({"calibration": -1.0}, "`calibration`.*calibration=-1.0"),
    "infinite": ({"calibration": float("inf")}, "`calibration`.*finite"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)
