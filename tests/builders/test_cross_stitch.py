"""Cross-stitched towers: what is shared, what is computed, what is refused."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_mtl import Task, builders
from keras_mtl.builders.cross_stitch import cross_stitch

TASKS = [Task("a", "binary"), Task("b", "regression")]


def blocks():
    return [
        layers.Dense(4, activation="tanh", name="low"),
        layers.Dense(4, activation="tanh", name="high"),
    ]


def build(**arguments):
    keras.utils.set_random_seed(0)
    options = {"inputs": keras.Input((3,)), "tasks": TASKS, "blocks": blocks()}
    return cross_stitch(**{**options, **arguments})


def names(variables):
    return sorted({v.path.split("/")[0] for v in variables})


def inputs(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_outputs_by_hand():
    model = build(own=0.7)
    x = inputs(5, 3)
    weights = {v.name: [np.array(w) for w in v.weights] for v in model.layers}

    def dense(name, h):
        return h @ weights[name][0] + weights[name][1]

    towers = {"a": x, "b": x}
    for block in ("low", "high"):
        given = {k: np.tanh(dense(f"{k}_{block}", towers[k])) for k in "ab"}
        towers = {
            "a": 0.7 * given["a"] + 0.3 * given["b"],
            "b": 0.3 * given["a"] + 0.7 * given["b"],
        }
    outputs = model.predict(x, verbose=0)
    a = 1 / (1 + np.exp(-dense("a", towers["a"])))
    np.testing.assert_allclose(outputs["a"], a, rtol=1e-5)
    np.testing.assert_allclose(
        outputs["b"], dense("b", towers["b"]), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("per", ["tower", "channel"])
def test_with_own_of_one_towers_are_separate(per):
    stitched = build(own=1, per=per)
    separate = builders.hard_sharing(
        keras.Input((3,)), TASKS, blocks(), depth=0
    )
    for layer in separate.layers[1:]:
        layer.set_weights(stitched.get_layer(layer.name).get_weights())
    x = inputs(5, 3)
    expected = separate.predict(x, verbose=0)
    for key, value in stitched.predict(x, verbose=0).items():
        np.testing.assert_array_equal(value, expected[key])


LAST = {
    "each": (
        None,
        ["a_high", "a_low", "a_low_stitch", "b_high", "b_low", "b_low_stitch"],
        ["a", "a_high_stitch"],
    ),
    "low": (["low"], ["a_low", "b_low"], ["a", "a_high", "a_low_stitch"]),
    "high": (
        ["high"],
        ["a_high", "a_low", "b_high", "b_low"],
        ["a", "a_high_stitch"],
    ),
}


@pytest.mark.parametrize(("after", "shared", "of_a"), LAST.values(), ids=LAST)
def test_only_what_follows_the_last_unit_is_private(after, shared, of_a):
    model = build(after=after)
    model.compile("sgd")
    split = model.partition
    assert names(split.shared) == shared
    assert names(split.private["a"]) == of_a
    assert names(split.private["b"]) == [v.replace("a", "b", 1) for v in of_a]


def test_each_task_reads_the_features_of_all_towers():
    model = build()
    model.compile("sgd")
    split = model.partition
    slots = {
        step.outputs[0]
        for step in split.graph.steps
        if step.operation.name in ("a_high", "b_high")
    }
    assert len(slots) == 2
    assert {key: set(split.boundary[key]) for key in "ab"} == {
        "a": slots,
        "b": slots,
    }


def test_the_first_blocks_can_be_shared_plainly():
    model = build(depth=1)
    assert [layer.name for layer in model.layers[1:]] == [
        "low",
        "a_high",
        "b_high",
        "a_high_stitch",
        "b_high_stitch",
        "a",
        "b",
    ]


def test_towers_of_a_trained_model_start_from_its_weights():
    trained = keras.Sequential([keras.Input((3,)), layers.Dense(4)], name="net")
    model = build(blocks=[trained, layers.Dense(4, name="high")])
    for key in "ab":
        copy = model.get_layer(f"{key}_net")
        for own, given in zip(copy.weights, trained.weights, strict=True):
            assert own is not given
            np.testing.assert_array_equal(own, given)


def test_a_mask_reaches_the_next_block():
    model = build(
        inputs=keras.Input((None,), dtype="int32"),
        blocks=[
            layers.Embedding(7, 4, mask_zero=True, name="embedded"),
            layers.LSTM(4, return_sequences=True, name="low"),
            layers.LSTM(4, name="high"),
        ],
    )
    short = model.predict(np.array([[3, 5]]), verbose=0)
    padded = model.predict(np.array([[3, 5, 0, 0]]), verbose=0)
    for key in "ab":
        np.testing.assert_allclose(padded[key], short[key], rtol=1e-5)


def test_a_task_learns_to_read_the_tower_that_knows():
    tasks = [Task("a", "regression"), Task("b", "regression")]
    low = layers.Dense(4, use_bias=False, trainable=False, name="low")
    model = build(inputs=keras.Input((8,)), tasks=tasks, blocks=[low])
    # The tower of `a` sees what both labels depend on, that of `b` noise.
    model.get_layer("a_low").set_weights([np.eye(8)[:, :4]])
    model.get_layer("b_low").set_weights([np.eye(8)[:, 4:]])
    x = inputs(4096, 8)
    label = x[:, :4].sum(1)
    model.compile(keras.optimizers.Adam(0.05))
    model.fit(x, {"a": label, "b": -label}, batch_size=32, verbose=0)
    for key in "ab":
        knows, noise = model.get_layer(f"{key}_low_stitch").coefficients()
        assert abs(noise) < 0.2 * abs(knows)


BAD = {
    "misspelt": (
        {"after": ["low", "hgih"]},
        r"`after` must name blocks.*'low', 'high'.*'hgih'. Did you mean 'high'",
    ),
    "shared": (
        {"after": ["low"], "depth": 1},
        r"`after` must name blocks that are not shared plainly: \['high'\]",
    ),
    "string": ({"after": "low"}, "`after` must be a list of names.*'low'"),
    "nothing": ({"after": []}, r"`after` must be a list.*at least one.*\[\]"),
    "own": ({"own": 90}, "`own` must be a number from 0 to 1.*own=90"),
    "per": ({"per": "task"}, "`per` must be 'tower' or 'channel'.*'task'"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)


def two_outputs():
    x = keras.Input((3,))
    return keras.Model(x, [layers.Dense(4)(x), layers.Dense(4)(x)], name="two")


def test_a_block_with_several_outputs_cannot_be_mixed():
    with pytest.raises(ValueError, match=r"`after`.*one output.*'two'"):
        build(blocks=[two_outputs(), layers.Add(name="sum")])
    build(blocks=[two_outputs(), layers.Add(name="sum")], after=["sum"])
