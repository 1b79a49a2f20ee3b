"""Blocks: what is taken as a tower, copies, and cuts through a backbone."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_mtl import Task, builders
from keras_mtl.builders import cut
from keras_mtl.builders.blocks import copy_block

TASKS = [Task("a", "binary"), Task("b", "regression")]


def backbone():
    """Two residual stages, with a skip connection inside each."""
    keras.utils.set_random_seed(0)
    x = h = keras.Input((8, 8, 3), name="image")
    for stage in ("one", "two"):
        h = layers.Conv2D(4, 3, 2, "same", name=f"{stage}_conv")(h)
        skip = h
        h = layers.Conv2D(4, 3, padding="same", name=f"{stage}_inner")(h)
        h = layers.BatchNormalization(name=f"{stage}_norm")(h)
        h = layers.Add(name=f"{stage}_out")([h, skip])
    h = layers.GlobalAveragePooling2D(name="pool")(h)
    return keras.Model(x, h, name="net")


def test_cut_blocks_applied_in_turn_are_the_backbone():
    net = backbone()
    blocks = cut(net, ["one_out", "two_out", "pool"])
    assert [b.name for b in blocks] == [
        "net_one_out",
        "net_two_out",
        "net_pool",
    ]
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    h = x
    for block in blocks:
        h = block(h)
    np.testing.assert_allclose(h, net(x), rtol=1e-6)
    # The very variables, not copies.
    assert {id(v) for b in blocks for v in b.variables} == {
        id(v) for v in net.variables
    }


def test_what_lies_behind_the_last_tap_is_left_off():
    (block,) = cut(backbone(), ["one_out"])
    assert block.output.shape == (None, 4, 4, 4)
    assert not any("two" in layer.name for layer in block.layers)


@pytest.mark.parametrize(
    ("taps", "message"),
    [
        (
            ["one_outt"],
            r"`taps` must name layers of 'net'.*'one_outt'.*one_out",
        ),
        ("one_out", "`taps` must be a list of names"),
        ([], "`taps` must be a list of names of layers, at least one"),
        (["one_inner", "one_out"], "cannot be cut at 'one_out'"),
        (["two_out", "one_out"], "cannot be cut at 'one_out'"),
    ],
    ids=["unknown", "string", "empty", "skip passes by", "wrong order"],
)
def test_cuts_that_cannot_be_made_are_refused(taps, message):
    with pytest.raises(ValueError, match=message):
        cut(backbone(), taps)


def test_only_a_functional_model_of_one_input_can_be_cut():
    with pytest.raises(ValueError, match="`backbone` must be a Functional"):
        cut(layers.Dense(1), ["x"])
    pair = [keras.Input((2,)), keras.Input((2,))]
    two = keras.Model(pair, layers.Add(name="add")(pair))
    with pytest.raises(ValueError, match="`backbone` must have one input"):
        cut(two, ["add"])


def test_copies_of_a_built_model_start_from_its_weights():
    block, _ = cut(backbone(), ["one_out", "two_out"])
    copy = copy_block(block, "a")
    assert copy.name == "a_net_one_out"
    for mine, theirs in zip(copy.weights, block.weights, strict=True):
        assert mine is not theirs
        np.testing.assert_array_equal(mine, theirs)
    anew = copy_block(block, "a", keep_weights=False)
    kernel = next(w for w in anew.weights if w.path.endswith("kernel"))
    assert not np.array_equal(kernel, block.weights[0])


def test_a_sequential_is_its_layers_and_another_model_is_one_block():
    inputs = keras.Input((8, 8, 3))
    whole = builders.hard_sharing(inputs, TASKS, backbone())
    assert [layer.name for layer in whole.layers[1:]] == ["net", "a", "b"]
    tower = keras.Sequential(
        [layers.Flatten(name="flat"), layers.Dense(3, name="low")]
    )
    model = builders.hard_sharing(inputs, TASKS, tower, depth=1)
    assert [layer.name for layer in model.layers if layer.weights] == [
        "a_low",
        "b_low",
        "a",
        "b",
    ]


@pytest.mark.slow
def test_a_backbone_of_keras_applications_trains_in_stages():
    net = keras.applications.MobileNetV2(
        input_shape=(32, 32, 3), alpha=0.35, include_top=False, weights=None
    )
    blocks = cut(net, ["block_2_add", "block_5_add", "out_relu"])
    pool = layers.GlobalAveragePooling2D(name="pool")
    model = builders.hard_sharing(
        keras.Input((32, 32, 3)), TASKS, [*blocks, pool], depth={"a": 4, "b": 2}
    )
    model.compile("sgd", balancer="pcgrad")
    by_task = {
        task: {id(v) for v in variables}
        for task, variables in model.variables_by_task().items()
    }
    low = {id(v) for b in blocks[:2] for v in b.trainable_variables}
    high = {id(v) for v in blocks[2].trainable_variables}
    assert by_task["a"] & by_task["b"] == low
    assert high <= by_task["a"] - by_task["b"]
    draw = np.random.default_rng(0)
    history = model.fit(
        draw.normal(size=(4, 32, 32, 3)).astype("float32"),
        {"a": np.array([0, 1, 0, 1]), "b": draw.normal(size=4)},
        verbose=0,
    ).history
    assert np.isfinite(history["loss"][0])
