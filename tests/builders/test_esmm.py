"""ESMM: products along the chain, towers, what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_mtl import Task
from keras_mtl.builders import esmm
from tests.training.balancers import Ones

CHAIN = [Task(name, "binary") for name in ("click", "buy", "return")]


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
    return esmm(**{**options, **arguments})


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
    """Conditional probabilities, tower by tower."""

    def dense(name, h):
        kernel, bias = model.get_layer(name).get_weights()
        return h @ kernel.astype("float64") + bias

    embedded = np.tanh(dense("embedding", x))
    heads = {"click": "click", "buy": "buy_given_click"}
    heads["return"] = "return_given_buy"
    return {
        key: 1
        / (1 + np.exp(-dense(head, np.tanh(dense(f"{key}_tower", embedded)))))
        for key, head in heads.items()
    }


def test_outputs_are_products_along_the_chain():
    model = build()
    x, _ = data()
    given = by_hand(model, x)
    expected, product = {}, 1.0
    for key in ("click", "buy", "return"):
        product = product * given[key]
        expected[key] = product
    outputs = model.predict(x, verbose=0)
    for key, value in expected.items():
        np.testing.assert_allclose(outputs[key], value, rtol=1e-5)


def test_the_conditional_probability_is_a_layer_of_its_own():
    model = build()
    x, _ = data()
    conversion = keras.Model(
        model.input, model.get_layer("buy_given_click").output
    )
    np.testing.assert_allclose(
        conversion.predict(x, verbose=0), by_hand(model, x)["buy"], rtol=1e-5
    )


def test_no_event_is_likelier_than_the_one_before():
    x, _ = data(50)
    y = build().predict(5 * x, verbose=0)
    assert (y["buy"] <= y["click"]).all() and (y["return"] <= y["buy"]).all()


def test_towers_and_heads_serve_the_events_from_theirs_on():
    users = {}
    for key, variables in build().variables_by_task().items():
        for v in variables:
            users.setdefault(v.path.split("/")[0], set()).add(key)
    assert users == {
        "embedding": {"click", "buy", "return"},
        "click_tower": {"click", "buy", "return"},
        "click": {"click", "buy", "return"},
        "buy_tower": {"buy", "return"},
        "buy_given_click": {"buy", "return"},
        "return_tower": {"return"},
        "return_given_buy": {"return"},
    }


def test_examples_without_a_click_teach_the_conversion_tower():
    model = build()
    x, y = data()
    y = {key: np.zeros_like(value) for key, value in y.items()}
    before = model.get_layer("buy_tower").get_weights()[0]
    model.compile("sgd")
    model.fit(x, y, verbose=0)
    assert not np.array_equal(
        model.get_layer("buy_tower").get_weights()[0], before
    )


def test_a_step_of_a_balancer_follows_the_gradients_through_the_chain():
    # One tape a task, with no cut at the boundary, then the mean.
    x, y = data()
    model = build()
    variables = model.trainable_variables
    losses = {}
    with tf.GradientTape() as tape:
        outputs = model(x, training=True)
        for key in outputs:
            p, t = outputs[key][:, 0], tf.cast(y[key], "float32")
            losses[key] = -tf.reduce_mean(
                t * tf.math.log(p) + (1 - t) * tf.math.log(1 - p)
            )
        total = sum(losses.values())
    gradients = tape.gradient(total, variables)
    expected = {
        v.path: np.array(v) - 0.5 * np.array(g)
        for v, g in zip(variables, gradients, strict=True)
    }
    model.compile(keras.optimizers.SGD(0.5), balancer=Ones())
    model.fit(x, y, verbose=0)
    for v in variables:
        np.testing.assert_allclose(
            v, expected[v.path], rtol=1e-4, atol=1e-6, err_msg=v.path
        )


BAD = {
    "regression": (
        {"tasks": [CHAIN[0], Task("price", "regression")]},
        "kind 'binary'.*Received: task 'price' of kind 'regression'",
    ),
    "several_units": (
        {"tasks": [CHAIN[0], Task("buy", "binary", units=2)]},
        "one unit. Received: task 'buy' of kind 'binary', units=2",
    ),
    "logits": (
        {
            "tasks": [
                CHAIN[0],
                Task(
                    "buy",
                    "binary",
                    loss=keras.losses.BinaryCrossentropy(from_logits=True),
                ),
            ]
        },
        "losses of probabilities.*Received: task 'buy'.*from_logits",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_tasks(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)
