"""MMoE against the same network written in plain Keras; bad arguments."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from keras_mtl import Task
from keras_mtl.builders import mmoe

TASKS = [Task("a", "binary"), Task("b", "regression")]


def blocks():
    return [
        layers.Dense(5, activation="tanh", name="stem"),
        layers.Dense(4, activation="relu", name="low"),
        layers.Dense(3, activation="tanh", name="high"),
    ]


def build(**arguments):
    keras.utils.set_random_seed(0)
    return mmoe(
        **{
            "inputs": keras.Input((6,)),
            "tasks": TASKS,
            "blocks": blocks(),
            "num_experts": 3,
            **arguments,
        }
    )


class Weighted(keras.Layer):
    """Sums experts, one after another, with a gate's weights."""

    def call(self, inputs):
        gate, *experts = inputs
        return sum(gate[:, e, None] * h for e, h in enumerate(experts))


def plain():
    """The model of depth 1 with a tower of 2, of the layers of Keras."""
    x = keras.Input((6,))
    h = layers.Dense(5, "tanh", name="stem")(x)
    experts = []
    for e in range(3):
        low = layers.Dense(4, "relu", name=f"low_{e}")(h)
        experts.append(layers.Dense(3, "tanh", name=f"high_{e}")(low))
    outputs = {}
    for key, activation in (("a", "sigmoid"), ("b", None)):
        gate = layers.Dense(3, "softmax", use_bias=False, name=f"{key}_gate")(h)
        mixed = Weighted(name=f"{key}_mixture")([gate, *experts])
        tower = layers.Dense(2, "relu", name=f"{key}_tower_1")(mixed)
        outputs[key] = layers.Dense(1, activation, name=key)(tower)
    return keras.Model(x, outputs)


SINGLE = ["stem", *(f"{k}{s}" for k in "ab" for s in ("_gate", "_tower_1", ""))]


def gradients(model, x):
    with tf.GradientTape() as tape:
        y = model(x, training=True)
        loss = tf.add_n([tf.reduce_sum(tf.sin(3 * v)) for v in y.values()])
    found = tape.gradient(loss, [v.value for v in model.trainable_variables])
    return {
        v.path: np.array(g)
        for v, g in zip(model.trainable_variables, found, strict=True)
    }


def test_equals_a_plain_keras_network():
    ours, theirs = build(depth=1, tower_units=[2]), plain()
    experts = ours.get_layer("experts")
    for e in range(3):
        for level, name in enumerate(("low", "high")):
            theirs.get_layer(f"{name}_{e}").set_weights(
                [experts.kernels[level][e], experts.biases[level][e]]
            )
    for name in SINGLE:
        theirs.get_layer(name).set_weights(ours.get_layer(name).get_weights())
    x = np.random.default_rng(0).normal(size=(9, 6)).astype("float32")
    expected = theirs(x)
    for key, y in ours(x).items():
        np.testing.assert_allclose(y, expected[key], rtol=1e-5, atol=1e-6)
    left, right = gradients(ours, x), gradients(theirs, x)
    for name in SINGLE:
        for part in ("kernel", "bias"):
            path = f"{name}/{part}"
            if path in right:
                np.testing.assert_allclose(
                    left[path], right[path], rtol=1e-4, atol=1e-5
                )
    for level, name in enumerate(("low", "high"), 1):
        for part in ("kernel", "bias"):
            np.testing.assert_allclose(
                left[f"experts/{part}_{level}"],
                np.stack([right[f"{name}_{e}/{part}"] for e in range(3)]),
                rtol=1e-4,
                atol=1e-5,
            )


def test_gates_belong_to_tasks_and_experts_to_all():
    model = build(depth=1, tower_units=(2,))
    names = {
        key: {v.path.split("/")[0] for v in variables}
        for key, variables in model.variables_by_task().items()
    }
    shared = {"stem", "experts"}
    assert names == {k: shared | {f"{k}_gate", f"{k}_tower_1", k} for k in "ab"}


def test_the_use_of_experts_can_be_read_from_the_model():
    model = build(depth=1)
    gates = keras.Model(model.input, model.get_layer("a_gate").output)
    x = np.random.default_rng(0).normal(size=(9, 6)).astype("float32")
    weights = gates.predict(x, verbose=0)
    assert weights.shape == (9, 3)
    kernel = np.array(model.get_layer("a_gate").kernel)
    np.testing.assert_allclose(
        weights, ops.softmax(model.get_layer("stem")(x) @ kernel), rtol=1e-5
    )


def test_options_reach_the_gates():
    model = build(gate_dropout=0.5, load_balance=0.1)
    for key in "ab":
        gate = model.get_layer(f"{key}_gate")
        assert (gate.dropout, gate.load_balance) == (0.5, 0.1)
    x = np.ones((4, 6), "float32")
    model(x, training=True)
    assert len(model.losses) == 2


def test_equal_experts_are_one_tower():
    blocks = [layers.Dense(4, "tanh", kernel_initializer="ones", name="low")]
    model = build(blocks=blocks)
    x = np.random.default_rng(0).normal(size=(9, 6)).astype("float32")
    mixed = keras.Model(model.input, model.get_layer("a_mixture").output)
    np.testing.assert_allclose(
        mixed(x), np.tile(np.tanh(x.sum(1, keepdims=True)), 4), rtol=1e-5
    )


BAD = {
    "no_expert": ({"num_experts": 0}, "'experts' must have.*Received: 0"),
    "one_expert": ({"num_experts": 1}, "`num_experts`.*at least 2"),
    "no_width": ({"tower_units": (4, 0)}, r"`tower_units`.*\(4, 0\)"),
    "no_list": ({"tower_units": 4}, "`tower_units` must be a list"),
    "rate": ({"gate_dropout": 1.5}, "`dropout`.*Received: dropout=1.5"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)
