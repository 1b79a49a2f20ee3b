"""Towers fused by NDDR: what is shared, what options reach, what is refused."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_mtl import Task, builders
from keras_mtl.builders.nddr import nddr

TASKS = [Task("a", "binary"), Task("b", "regression")]


def blocks():
    return [
        layers.Dense(4, activation="relu", name="low"),
        layers.Dense(4, activation="relu", name="high"),
    ]


def build(**arguments):
    keras.utils.set_random_seed(0)
    options = {"inputs": keras.Input((3,)), "tasks": TASKS, "blocks": blocks()}
    return nddr(**{**options, **arguments})


def test_only_the_last_fusion_is_private():
    model = build()
    model.compile("sgd")
    split = model.partition

    def names(variables):
        return sorted({v.path.split("/")[0] for v in variables})

    assert names(split.shared) == [
        "a_high",
        "a_low",
        "a_low_nddr",
        "b_high",
        "b_low",
        "b_low_nddr",
    ]
    assert names(split.private["a"]) == ["a", "a_high_nddr"]
    assert names(split.private["b"]) == ["b", "b_high_nddr"]


def test_plain_with_own_of_one_towers_are_separate():
    fused = build(own=1, normalization=None, activation=None)
    separate = builders.hard_sharing(
        keras.Input((3,)), TASKS, blocks(), depth=0
    )
    for layer in separate.layers[1:]:
        layer.set_weights(fused.get_layer(layer.name).get_weights())
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    expected = separate.predict(x, verbose=0)
    for key, value in fused.predict(x, verbose=0).items():
        np.testing.assert_array_equal(value, expected[key])


def test_options_reach_each_layer():
    model = build(
        own=0.6,
        normalization="layer",
        activation="gelu",
        kernel_regularizer="l2",
        after=["high"],
    )
    fused = [v for v in model.layers if v.name.endswith("_nddr")]
    assert [v.name for v in fused] == ["a_high_nddr", "b_high_nddr"]
    for tower, layer in enumerate(fused):
        assert layer.tower == tower
        assert layer.own == 0.6
        assert isinstance(layer.normalizer, layers.LayerNormalization)
        assert layer.activation is keras.activations.gelu
        assert isinstance(layer.kernel_regularizer, keras.regularizers.L2)
    assert len(model.losses) == 2


BAD = {
    "norm": ({"normalization": "bath"}, "`normalization` must be.*'bath'"),
    "own": ({"own": -1}, "`own` must be a number from 0 to 1.*own=-1"),
    "after": ({"after": ["lo"]}, "`after` must name blocks.*'lo'.*'low'"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)
