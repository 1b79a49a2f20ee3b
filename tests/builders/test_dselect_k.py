"""DSelect-k: whose gates, which options, which experts; bad arguments."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_mtl import Task
from keras_mtl.builders import dselect_k

TASKS = [Task("a", "binary"), Task("b", "regression")]


def build(**arguments):
    keras.utils.set_random_seed(0)
    return dselect_k(
        **{
            "inputs": keras.Input((6,)),
            "tasks": TASKS,
            "blocks": [layers.Dense(4, activation="tanh", name="low")],
            "num_experts": 5,
            **arguments,
        }
    )


@pytest.mark.parametrize("static", [False, True])
def test_options_reach_a_gate_of_each_task(static):
    model = build(k=3, static=static, entropy=0.2, gamma=2.0)
    for key in "ab":
        gate = model.get_layer(f"{key}_gate")
        assert (gate.num_experts, gate.k, gate.static) == (5, 3, static)
        assert (gate.entropy, gate.gamma) == (0.2, 2.0)
        own = {v.path for v in gate.weights}
        for other, variables in model.variables_by_task().items():
            paths = {v.path for v in variables}
            assert own <= paths if other == key else not own & paths
    # The entropy and the barrier of each task.
    model(np.ones((4, 6), "float32"), training=True)
    assert len(model.losses) == 4


def test_a_task_reads_the_experts_that_it_has_selected():
    model = build(k=1, static=True)
    chosen = {"a": 4, "b": 1}
    for key, expert in chosen.items():
        bits = [(expert >> b) % 2 for b in range(3)]
        model.get_layer(f"{key}_gate").z[0].assign(2.0 * np.array(bits) - 1)
    x = np.random.default_rng(0).normal(size=(9, 6)).astype("float32")
    kernels = np.array(model.get_layer("experts").kernels[0])
    for key, expert in chosen.items():
        mixture = model.get_layer(f"{key}_mixture").output
        np.testing.assert_allclose(
            keras.Model(model.input, mixture)(x),
            np.tanh(x @ kernels[expert]),
            rtol=1e-5,
            atol=1e-6,
        )


BAD = {
    "no_expert": ({"num_experts": 0}, "'experts' must have.*Received: 0"),
    "one_expert": ({"num_experts": 1}, "`num_experts`.*least 2"),
    "too_many": ({"k": 6}, "`k`.*from 1 to num_experts=5. Received: k=6"),
    "entropy": ({"entropy": -0.1}, "`entropy`.*Received: entropy=-0.1"),
    "gamma": ({"gamma": 0.0}, "`gamma`.*Received: gamma=0.0"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)
