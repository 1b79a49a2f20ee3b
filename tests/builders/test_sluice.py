"""Sluice towers: subspaces, the mixture over layers, what is refused."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_mtl import Task, builders
from keras_mtl.builders.sluice import sluice

TASKS = [Task("a", "regression"), Task("b", "regression")]


def blocks(*widths):
    return [
        layers.Dense(width, activation="tanh", name=name)
        for name, width in zip(
            ("low", "middle", "high"), widths or (4, 4, 4), strict=True
        )
    ]


def build(**arguments):
    keras.utils.set_random_seed(0)
    options = {"inputs": keras.Input((3,)), "tasks": TASKS, "blocks": blocks()}
    return sluice(**{**options, **arguments})


def inputs():
    return np.random.default_rng(0).normal(size=(5, 3)).astype("float32")


def read_by(model, layer):
    """Names of the layers whose outputs `layer` reads."""
    tensors = model.get_layer(layer).input
    return [t._keras_history.operation.name for t in tensors]


def test_outputs_by_hand():
    model = build(own=0.7)
    x = inputs()
    weights = {v.name: [np.array(w) for w in v.weights] for v in model.layers}

    def dense(name, h):
        return h @ weights[name][0] + weights[name][1]

    towers, sums = {"a": x, "b": x}, {"a": 0, "b": 0}
    for block in ("low", "middle", "high"):
        given = {k: np.tanh(dense(f"{k}_{block}", towers[k])) for k in "ab"}
        halves = [given["a"][:, :2], given["a"][:, 2:]]
        halves += [given["b"][:, :2], given["b"][:, 2:]]
        mixed = [
            sum((0.7 if i == j else 0.1) * halves[j] for j in range(4))
            for i in range(4)
        ]
        towers = {"a": np.hstack(mixed[:2]), "b": np.hstack(mixed[2:])}
        sums = {key: sums[key] + towers[key] / 3 for key in "ab"}
    outputs = model.predict(x, verbose=0)
    for key in "ab":
        np.testing.assert_allclose(
            outputs[key], dense(key, sums[key]), rtol=1e-5, atol=1e-6
        )


def test_the_last_units_and_the_mixtures_are_private():
    model = build()
    model.compile("sgd")
    split = model.partition
    for key in "ab":
        assert sorted({v.path.split("/")[0] for v in split.private[key]}) == [
            key,
            f"{key}_high_sluice",
            f"{key}_mixture",
        ]
    assert not any("mixture" in v.path for v in split.shared)


def test_with_own_of_one_and_no_mixture_towers_are_separate():
    model = build(own=1, mixture=["high"])
    separate = builders.hard_sharing(
        keras.Input((3,)), TASKS, blocks(), depth=0
    )
    for layer in separate.layers[1:]:
        layer.set_weights(model.get_layer(layer.name).get_weights())
    expected = separate.predict(inputs(), verbose=0)
    for key, value in model.predict(inputs(), verbose=0).items():
        np.testing.assert_array_equal(value, expected[key])


MIXED = {
    "all": ((4, 4, 4), ["a_low_sluice", "a_middle_sluice", "a_high_sluice"]),
    "of_the_last_shape": ((6, 4, 4), ["a_middle_sluice", "a_high_sluice"]),
    "around_another": ((4, 6, 4), ["a_low_sluice", "a_high_sluice"]),
}


@pytest.mark.parametrize(("widths", "expected"), MIXED.values(), ids=MIXED)
def test_heads_mix_the_layers_of_the_last_shape(widths, expected):
    model = build(blocks=blocks(*widths))
    assert read_by(model, "a_mixture") == expected


def test_no_mixture_where_the_last_layer_is_alone():
    model = build(blocks=blocks(4, 4, 6))
    assert not any("mixture" in layer.name for layer in model.layers)


def test_chosen_layers_are_mixed():
    model = build(mixture=["low", "high"], after=["high"])
    assert read_by(model, "b_mixture") == ["b_low", "b_high_sluice"]


def test_each_towers_penalty_is_counted_once():
    model = build(orthogonality=0.5, after=["high"], mixture=["high"])
    model.compile("sgd")
    x = inputs()
    expected = 0.0
    for key in "ab":
        h = x
        for block in ("low", "middle", "high"):
            kernel, bias = model.get_layer(f"{key}_{block}").get_weights()
            h = np.tanh(h @ kernel + bias)
        product = h[:, :2].T @ h[:, 2:] / len(x)
        expected += 0.5 * np.sum(product**2)
    y = {key: np.zeros(5, "float32") for key in "ab"}
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    np.testing.assert_allclose(
        logs["loss"] - logs["a_loss"] - logs["b_loss"], expected, rtol=1e-4
    )


def test_the_penalty_drives_subspaces_apart():
    def overlap(orthogonality):
        model = build(orthogonality=orthogonality, after=["low"])
        x = inputs()
        steps = np.tile(x, (60, 1))
        y = {key: steps[:, 0] for key in "ab"}
        model.compile(keras.optimizers.Adam(0.02))
        model.fit(steps, y, batch_size=len(x), shuffle=False, verbose=0)
        kernel, bias = model.get_layer("a_low").get_weights()
        h = np.tanh(x @ kernel + bias)
        return np.sum((h[:, :2].T @ h[:, 2:] / len(x)) ** 2)

    assert overlap(5.0) < 0.2 * overlap(0.0)


BAD = {
    "split": ({"subspaces": 3}, "'a_low_sluice' must divide.*subspaces=3"),
    "none": ({"subspaces": 0}, "`subspaces` must be a positive integer"),
    "penalty": ({"orthogonality": -1}, "`orthogonality` must be.*=-1"),
    "after": ({"after": ["lw"]}, "`after` must name.*'lw'. Did you mean 'low'"),
    "mixture": (
        {"mixture": ["lw", "high"]},
        "`mixture` must name blocks.*'lw'. Did you mean 'low'",
    ),
    "not_the_last": (
        {"mixture": ["low", "middle"]},
        "`mixture` must name the last block too.*Add 'high'",
    ),
    "unequal": (
        {"blocks": blocks(4, 4, 6), "mixture": ["low", "high"]},
        "'a_mixture' must be features of equal shapes.*4.*6",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)
