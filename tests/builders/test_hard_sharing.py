"""Hard sharing: which blocks are shared, which are copies, what is refused."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_mtl import MultiTaskModel, Task, TaskSet, builders
from keras_mtl.builders.hard_sharing import hard_sharing

TASKS = [
    Task("a", "binary"),
    Task("b", "regression"),
    Task("c", "multiclass", units=3),
]


def blocks():
    return [
        layers.Dense(4, activation="tanh", name="one"),
        layers.Dense(5, activation="tanh", name="two"),
    ]


def build(**arguments):
    keras.utils.set_random_seed(0)
    options = {"inputs": keras.Input((3,)), "tasks": TASKS, "blocks": blocks()}
    return hard_sharing(**{**options, **arguments})


def layer_names(model):
    return [v.name for v in model.layers if v.weights]


def groups(model):
    """Paths of shared variables, and of each task's own, by layer."""
    model.compile("sgd")
    split = model.partition

    def names(variables):
        return sorted({v.path.split("/")[0] for v in variables})

    return names(split.shared), {
        t: names(split.private[t]) for t in model.tasks
    }


DEPTHS = {
    "default": (
        None,
        (["one", "two"], {"a": ["a"], "b": ["b"], "c": ["c"]}),
    ),
    "all": (2, (["one", "two"], {"a": ["a"], "b": ["b"], "c": ["c"]})),
    "one": (
        1,
        (
            ["one"],
            {k: [k, f"{k}_two"] for k in "abc"},
        ),
    ),
    "none": (0, ([], {k: [k, f"{k}_one", f"{k}_two"] for k in "abc"})),
    "tree": (
        {"c": 0, "a": 2, "b": 1},
        (
            ["one"],
            # "a" alone follows the tower to its end.
            {
                "a": ["a", "two"],
                "b": ["b", "b_two"],
                "c": ["c", "c_one", "c_two"],
            },
        ),
    ),
    "two_of_three": (
        {"a": 2, "b": 2, "c": 1},
        (["one", "two"], {"a": ["a"], "b": ["b"], "c": ["c", "c_two"]}),
    ),
}


@pytest.mark.parametrize(("depth", "expected"), DEPTHS.values(), ids=DEPTHS)
def test_depth_says_what_is_shared(depth, expected):
    model = build(depth=depth)
    assert isinstance(model, MultiTaskModel)
    assert list(model.output) == ["a", "b", "c"]
    shared, private = groups(model)
    assert shared == expected[0]
    assert private == expected[1]


def test_outputs_by_hand():
    model = build(depth={"a": 2, "b": 1, "c": 2})
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    kernel = {v.name: [np.array(w) for w in v.weights] for v in model.layers}

    def dense(name, h):
        return h @ kernel[name][0] + kernel[name][1]

    one = np.tanh(dense("one", x))
    two = np.tanh(dense("two", one))
    logits = dense("c", two)
    expected = {
        "a": 1 / (1 + np.exp(-dense("a", two))),
        "b": dense("b", np.tanh(dense("b_two", one))),
        "c": np.exp(logits) / np.exp(logits).sum(-1, keepdims=True),
    }
    outputs = model.predict(x, verbose=0)
    for key, value in expected.items():
        np.testing.assert_allclose(outputs[key], value, rtol=1e-5, atol=1e-6)


def test_copies_start_from_weights_of_their_own():
    model = build(depth=0)
    kernels = [model.get_layer(f"{k}_two").kernel for k in "abc"]
    arrays = [np.array(k) for k in kernels]
    assert len({id(k) for k in kernels}) == 3
    assert not np.allclose(arrays[0], arrays[1])
    assert not np.allclose(arrays[1], arrays[2])


def test_the_shared_blocks_are_used_as_they_are():
    mine = blocks()
    model = build(blocks=mine, depth={"a": 1, "b": 2, "c": 2})
    assert model.get_layer("one") is mine[0]
    assert model.get_layer("two") is mine[1]


def test_blocks_that_were_built_before_keep_their_weights_where_shared():
    mine = blocks()
    mine[1](mine[0](np.zeros((1, 3), "float32")))
    kernel = np.array(mine[0].kernel)
    model = build(blocks=mine, depth=1)
    np.testing.assert_array_equal(model.get_layer("one").kernel, kernel)
    assert model.get_layer("a_two").kernel.shape == (4, 5)
    assert model.get_layer("a_two").kernel is not mine[1].kernel


def functional_block():
    x = keras.Input((4,))
    return keras.Model(x, layers.Dense(4, name="inner")(x) + x, name="residual")


NESTED = {
    "sequential": lambda: keras.Sequential(
        [layers.Dense(4), layers.BatchNormalization(), layers.ReLU()],
        name="stack",
    ),
    "functional": functional_block,
    "stateless": lambda: layers.ReLU(name="relu"),
    "recurrent": lambda: keras.Sequential(
        [layers.Reshape((2, 2)), layers.LSTM(4)], name="rnn"
    ),
}


@pytest.mark.parametrize("make", NESTED.values(), ids=NESTED)
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_models_as_blocks(make, depth):
    first = layers.Dense(4, name="first")
    model = build(blocks=[first, make()], depth=depth)
    model.compile("sgd", run_eagerly=True)
    x = np.ones((2, 3), "float32")
    y = {"a": np.ones(2), "b": np.ones(2), "c": np.zeros(2, "int64")}
    assert np.isfinite(model.train_on_batch(x, y)[0])
    names = {v.name for v in model.layers}
    block = make().name
    assert ({block} if depth == 2 else {f"{k}_{block}" for k in "abc"}) <= names
    # Nothing of the block is shared unless it lies in the shared depth.
    shared = {id(v) for v in model.partition.shared}
    copies = [b for b in model.layers if b.name.endswith(block)]
    for weight in (v for b in copies for v in b.trainable_variables):
        assert (id(weight) in shared) == (depth == 2)


def test_a_built_nested_block_is_copied_deeply():
    stack = NESTED["sequential"]()
    stack(np.zeros((1, 4), "float32"))
    model = build(blocks=[layers.Dense(4, name="first"), stack], depth=1)
    own = [model.get_layer(f"{k}_stack") for k in "ab"]
    ids = [{id(v) for v in block.variables} for block in own]
    assert len(ids[0]) == 6 and not ids[0] & ids[1]
    assert not ids[0] & {id(v) for v in stack.variables}


def test_several_inputs():
    keras.utils.set_random_seed(0)
    inputs = {
        "left": keras.Input((2,), name="left"),
        "right": keras.Input((3,), name="right"),
    }
    left = keras.Input((2,), name="left")
    right = keras.Input((3,), name="right")
    merge = keras.Model(
        {"left": left, "right": right},
        layers.Concatenate()([left, right]),
        name="merge",
    )
    for depth in (0, 1, 2):
        model = build(
            inputs=inputs, blocks=[merge, layers.Dense(4)], depth=depth
        )
        outputs = model.predict(
            {"right": np.ones((2, 3)), "left": np.zeros((2, 2))}, verbose=0
        )
        assert outputs["b"].shape == (2, 1)


def test_a_list_of_inputs():
    inputs = [keras.Input((2,)), keras.Input((3,))]
    model = build(inputs=inputs, blocks=[layers.Concatenate(), layers.Dense(4)])
    outputs = model.predict([np.ones((2, 2)), np.ones((2, 3))], verbose=0)
    assert outputs["c"].shape == (2, 3)


def test_tasks_as_a_dict_or_a_set_and_heads_of_their_own():
    head = keras.Sequential([layers.Dense(2), layers.Dense(1)], name="any")
    tasks = {"p": Task("p", "regression", head=head), "q": Task("q", "binary")}
    for given in (tasks, TaskSet(tasks)):
        model = build(tasks=given, name="mine")
        assert model.name == "mine"
        assert list(model.tasks) == ["p", "q"]
        assert model.get_layer("p").weights[0].shape == (5, 2)
        assert model.get_layer("p") is not head


def test_no_blocks_at_all():
    model = build(blocks=[])
    assert groups(model) == ([], {k: [k] for k in "abc"})


def test_saved_and_loaded(tmp_path):
    model = build(depth={"a": 2, "b": 1, "c": 0})
    model.compile("adam", balancer="uncertainty", run_eagerly=True)
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    y = {"a": np.ones(4), "b": np.ones(4), "c": np.zeros(4, "int64")}
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert layer_names(loaded) == layer_names(model)
    assert [v.path for v in loaded.weights] == [v.path for v in model.weights]
    for key, value in model.predict(x, verbose=0).items():
        np.testing.assert_array_equal(loaded.predict(x, verbose=0)[key], value)
    assert loaded.evaluate(x, y, verbose=0) == pytest.approx(
        model.evaluate(x, y, verbose=0)
    )


def test_found_by_name():
    assert builders.registry["hard_sharing"] is hard_sharing


BAD = {
    "too_deep": ({"depth": 3}, r"`depth` of task 'a'.*0 to 2. Received: 3"),
    "negative": ({"depth": -1}, r"`depth` of task 'a'.*Received: -1"),
    "fraction": ({"depth": 1.5}, r"`depth` of task 'a'.*Received: 1.5"),
    "boolean": ({"depth": True}, r"`depth` of task 'a'.*Received: True"),
    "one_too_deep": (
        {"depth": {"a": 1, "b": 5, "c": 0}},
        r"`depth` of task 'b'.*Received: 5",
    ),
    "misspelt": (
        {"depth": {"a": 1, "b": 1, "d": 0}},
        r"`depth` has keys that name no task: \['d'\]",
    ),
    "lacking": ({"depth": {"a": 1}}, r"`depth` lacks the keys \['b', 'c'\]"),
    "no_layer": ({"blocks": [lambda x: x]}, "`blocks` must hold Keras layers"),
    "one_layer": (
        {"blocks": layers.Dense(2)},
        "`blocks` must be a list of Keras layers.*Dense",
    ),
    "one_name": (
        {"blocks": [layers.Dense(2, name="x"), layers.Dense(2, name="x")]},
        "`blocks` must have different names.*'x'",
    ),
    "name_of_a_task": (
        {"blocks": [layers.Dense(2, name="a")]},
        "`blocks` must not be named as a task.*'a'",
    ),
    "same_block_twice": (
        {"blocks": [layers.Dense(3, name="x")] * 2},
        "`blocks` must have different names.*'x'",
    ),
    "no_task": ({"tasks": []}, "`tasks` must hold at least one task"),
    "no_units": (
        {"tasks": [Task("k", "multiclass")]},
        r"`units` of task 'k'.*number of classes.*units=…",
    ),
    "features": (
        {"inputs": keras.Input((4, 4, 1)), "blocks": [layers.Conv2D(2, 3)]},
        "default head of task 'a'.*pooling or Flatten",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)
