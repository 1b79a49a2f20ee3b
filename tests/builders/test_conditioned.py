"""Conditioned towers: by hand, what is shared, what is refused."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_mtl import Task, builders

TASKS = [Task("a", "binary"), Task("b", "regression")]
X = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")


def build(**arguments):
    keras.utils.set_random_seed(0)
    model = builders.conditioned(
        **{
            "inputs": keras.Input((3,)),
            "tasks": TASKS,
            "blocks": [
                layers.Dense(4, activation="tanh", name="low"),
                layers.ReLU(name="relu"),
                layers.Dense(5, activation="tanh", name="high"),
            ],
            **arguments,
        }
    )
    draw = np.random.default_rng(1)
    for v in model.variables:
        v.assign_add(0.5 * draw.normal(size=v.shape))
    return model


def dense(model, name, h):
    kernel, bias = (np.array(w) for w in model.get_layer(name).weights)
    return h @ kernel + bias


def assert_outputs(model, expected):
    outputs = model.predict(X, verbose=0)
    for key in "ab":
        logits = dense(model, key, expected[key])
        value = 1 / (1 + np.exp(-logits)) if key == "a" else logits
        np.testing.assert_allclose(outputs[key], value, rtol=2e-5, atol=1e-6)


def test_film_by_hand():
    model = build()
    expected = {}
    for key in "ab":
        h = X
        for block in ("low", "high"):
            film = np.array(model.get_layer(f"{key}_{block}_film").bias)
            delta, beta = np.split(film, 2)
            h = (1 + delta) * np.tanh(dense(model, block, h)) + beta
            h = np.maximum(h, 0) if block == "low" else h
        expected[key] = h
    assert_outputs(model, expected)


@pytest.mark.parametrize("embedding_dim", [2, None])
@pytest.mark.parametrize("depth", [0, 1])
def test_embedding_by_hand(embedding_dim, depth):
    model = build(
        conditioning="embedding", embedding_dim=embedding_dim, depth=depth
    )
    expected = {}
    for key in "ab":
        h = X
        for place, block in enumerate(("low", "relu", "high")):
            if place == depth:
                e = np.array(model.get_layer(f"{key}_embedding").embedding)
                assert e.shape == (embedding_dim or (4 if depth else 3),)
                h = (
                    h + e
                    if embedding_dim is None
                    else np.concatenate([h, np.tile(e, (len(h), 1))], axis=1)
                )
            h = (
                np.maximum(h, 0)
                if block == "relu"
                else np.tanh(dense(model, block, h))
            )
        expected[key] = h
    assert_outputs(model, expected)


@pytest.mark.parametrize("conditioning", ["film", "embedding"])
def test_the_tower_is_shared_and_conditions_are_not(conditioning):
    model = build(conditioning=conditioning)
    own = {
        "film": ["low_film", "high_film"],
        "embedding": ["embedding"],
    }[conditioning]
    for key, variables in model.variables_by_task().items():
        assert {v.path.split("/")[0] for v in variables} == {
            "low",
            "high",
            key,
            *(f"{key}_{name}" for name in own),
        }


def calls(model, name):
    """How often a layer is called in the graph of the model."""
    model.compile("sgd")
    steps = model.partition.graph.steps
    return sum(step.operation.name == name for step in steps)


def test_what_no_condition_reached_is_called_once():
    assert calls(build(), "low") == 1
    assert calls(build(), "high") == 2
    assert calls(build(depth=2), "high") == 1
    assert calls(build(conditioning="embedding"), "low") == 2
    assert calls(build(conditioning="embedding", depth=2), "low") == 1


def test_batch_norm_in_the_tower_averages_over_tasks():
    norm = layers.BatchNormalization(momentum=0.0, name="norm")
    blocks = [layers.Dense(2, name="low"), norm]
    model = build(blocks=blocks)
    model(X, training=True)
    # The hazard: what is left are the moments of the last task's call.
    h = keras.Model(
        model.input, {k: model.get_layer(f"{k}_low_film").output for k in "ab"}
    ).predict(X, verbose=0)
    assert not np.allclose(h["a"].mean(0), h["b"].mean(0))
    close = [
        np.allclose(norm.moving_mean, h[k].mean(0), rtol=1e-3) for k in "ab"
    ]
    assert sum(close) == 1


BAD = {
    "conditioning": ({"conditioning": "flim"}, "'film' or 'embedding'.*'flim'"),
    "dim": (
        {"conditioning": "embedding", "embedding_dim": 0},
        "`dim` must be.*Received: 0",
    ),
    "no_weights": (
        {"blocks": [layers.ReLU(name="relu")]},
        r"`blocks` must hold a layer with weights.*\['relu'\]",
    ),
    "indices": (
        {
            "conditioning": "embedding",
            "inputs": keras.Input((3,), dtype="int32"),
        },
        "one tensor of floats.*pass `depth=1`",
    ),
    "several_inputs": (
        {
            "conditioning": "embedding",
            "inputs": [keras.Input((3,)), keras.Input((3,))],
        },
        "one tensor of floats.*pass `depth=1`",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)
