"""Branching: given trees, learned trees, what is refused."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_mtl import Task, builders
from keras_mtl.builders import branching, hard_sharing, learned_tree
from keras_mtl.callbacks import TemperatureDecay
from keras_mtl.layers import BranchChoice

TASKS = [
    Task("a", "binary"),
    Task("b", "regression"),
    Task("c", "multiclass", units=3),
]


def blocks():
    return [
        layers.Dense(width, activation="tanh", name=name)
        for name, width in (("low", 5), ("middle", 4), ("high", 4))
    ]


def build(builder=branching, **arguments):
    keras.utils.set_random_seed(0)
    options = {
        "inputs": keras.Input((3,), name="x"),
        "tasks": TASKS,
        "blocks": blocks(),
    }
    return builder(**{**options, **arguments})


def data():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(16, 3)).astype("float32")
    y = {"a": x[:, 0] > 0, "b": x[:, 1], "c": np.arange(16) % 3}
    return x, {k: np.array(v, "float32") for k, v in y.items()}


def groups(model):
    """Paths of the variables of each set of tasks."""
    found = {}
    by_task = model.variables_by_task()
    for v in model.trainable_variables:
        users = "".join(
            k for k, vs in by_task.items() if any(v is w for w in vs)
        )
        found.setdefault(users, []).append(v.path)
    return found


def test_a_given_tree():
    model = build(
        tree=[[["b", "a", "c"]], [["a", "b"], ["c"]], [["b"], ["c"], ["a"]]]
    )
    users = {
        path.split("/")[0]: tasks
        for tasks, paths in groups(model).items()
        for path in paths
    }
    assert users == {
        "low": "abc",
        "middle": "ab",
        "c_middle": "c",
        "high": "b",
        "a_high": "a",
        "c_high": "c",
        **{k: k for k in "abc"},
    }


def test_a_group_of_several_is_named_by_its_tasks():
    model = build(tree=[[["a"], ["b", "c"]], [["a"], ["c", "b"]]], depth=1)
    names = {v.name for v in model.layers if v.weights}
    assert {"low", "middle", "branch_b_c_middle", "branch_c_b_high"} < names


def test_depths_of_hard_sharing_are_a_tree():
    tree = [[["a", "b", "c"]], [["a", "b"], ["c"]], [["a"], ["b"], ["c"]]]
    given = build(tree=tree)
    depths = build(hard_sharing, depth={"a": 3, "b": 2, "c": 1})
    assert groups(given) == groups(depths)
    for layer in depths.layers:
        layer.set_weights(given.get_layer(layer.name).get_weights())
    x, _ = data()
    for key, y in given.predict(x, verbose=0).items():
        np.testing.assert_array_equal(depths.predict(x, verbose=0)[key], y)


def test_one_group_all_the_way_is_hard_sharing():
    given = build(tree=[[["a", "b", "c"]]] * 3)
    assert groups(given) == groups(build(hard_sharing))


def test_a_learned_tree_at_inference_is_the_tree_it_tells():
    model = build()
    # From 0: the candidate of the block before that each one takes.
    for name, taken in {
        "branch_1_middle": 2,
        "branch_2_middle": 0,
        "branch_3_middle": 0,
        "branch_1_high": 1,
        "branch_2_high": 1,
        "branch_3_high": 2,
        "a": 0,
        "b": 1,
        "c": 2,
    }.items():
        model.get_layer(f"{name}_choice").logits.assign(np.eye(3)[taken])
    tree = learned_tree(model)
    assert tree == [
        [["a", "b", "c"]],
        [["a", "b"], ["c"]],
        [["a"], ["b"], ["c"]],
    ]
    given = build(tree=tree)
    for own, learned in {
        "low": "branch_1_low",
        "middle": "branch_2_middle",
        "c_middle": "branch_3_middle",
        "high": "branch_1_high",
        "b_high": "branch_2_high",
        "c_high": "branch_3_high",
        **{k: k for k in "abc"},
    }.items():
        given.get_layer(own).set_weights(model.get_layer(learned).get_weights())
    x, _ = data()
    expected = given.predict(x, verbose=0)
    for key, y in model.predict(x, verbose=0).items():
        np.testing.assert_allclose(y, expected[key], rtol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_any_logits_tell_a_tree_that_can_be_given(seed):
    model = build(depth=1)
    draw = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, BranchChoice):
            layer.logits.assign(draw.normal(size=3))
    again = build(depth=1, tree=learned_tree(model))
    assert set(again.output) == set("abc")


def test_a_learned_tree_has_a_candidate_for_each_task():
    model = build()
    choices = [v for v in model.layers if isinstance(v, BranchChoice)]
    # The first level reads one tensor: nothing to choose.
    assert len(choices) == 3 + 3 + 3
    assert all(v.logits.shape == (3,) for v in choices)
    users = groups(model)
    assert users["a"] == ["a_choice/logits", "a/kernel", "a/bias"]
    assert len(users["abc"]) == 3 * 3 * 2 + 2 * 3
    kernels = [model.get_layer(f"branch_{i}_low").kernel for i in (1, 2)]
    assert not np.allclose(*kernels)


def test_one_candidate_is_hard_sharing_without_choices():
    model = build(width=1)
    assert not any(isinstance(v, BranchChoice) for v in model.layers)
    assert learned_tree(model) == [[["a", "b", "c"]]] * 3


def test_options_reach_the_choices():
    model = build(temperature=2.5, hard=True)
    layer = model.get_layer("b_choice")
    assert layer.hard and float(layer.temperature) == 2.5


def test_tasks_that_need_different_features_part():
    # Two frozen candidates, each of which serves one task.
    keras.utils.set_random_seed(0)
    model = branching(
        keras.Input((2,)),
        [Task("a", "regression"), Task("b", "regression")],
        [layers.Dense(1, name="low")],
        temperature=1.0,
    )
    for i, kernel in ((1, [[1.0], [0.0]]), (2, [[0.0], [1.0]])):
        layer = model.get_layer(f"branch_{i}_low")
        layer.set_weights([np.array(kernel), np.zeros(1)])
        layer.trainable = False
    x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    model.compile(keras.optimizers.Adam(0.05))
    model.fit(
        x,
        {"a": x[:, 1], "b": x[:, 0]},
        epochs=60,
        verbose=0,
        callbacks=[TemperatureDecay(0.95)],
    )
    assert learned_tree(model) == [[["a"], ["b"]]]
    choices = [model.get_layer(f"{k}_choice").choice() for k in "ab"]
    assert choices == [1, 0]


@pytest.mark.slow
def test_a_training_that_goes_on_draws_as_if_it_had_not_stopped(tmp_path):
    x, y = data()

    def fit(model, **epochs):
        model.fit(
            x,
            y,
            batch_size=8,
            shuffle=False,
            verbose=0,
            callbacks=[TemperatureDecay(0.5)],
            **epochs,
        )

    whole = build(depth=1)
    whole.compile("adam")
    fit(whole, epochs=3)
    model = build(depth=1)
    model.compile("adam")
    fit(model, epochs=1)
    model.save(tmp_path / "m.keras")
    model = keras.saving.load_model(tmp_path / "m.keras")
    fit(model, initial_epoch=1, epochs=3)
    for a, b in zip(whole.weights, model.weights, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


GOOD = [["a", "b"], ["c"]]
BAD = {
    "levels": ({"tree": [GOOD]}, "`tree`.*Expected: 3 levels. Received: 1"),
    "levels_after_depth": (
        {"tree": [GOOD] * 3, "depth": 1},
        "Expected: 2 levels. Received: 3",
    ),
    "no_list": ({"tree": "abc,a"}, "`tree` must be a list.*'abc,a'"),
    "flat": (
        {"tree": [["a", "b", "c"]] * 3},
        "`tree` at block 'low' must be a list of groups, each a list",
    ),
    "empty_group": (
        {"tree": [[["a", "b", "c"], []]] * 3},
        "`tree` at block 'low' must be a list of groups",
    ),
    "lacking": (
        {"tree": [GOOD, GOOD, [["a"], ["c"]]]},
        r"`tree` at block 'high' lacks the tasks \['b'\]",
    ),
    "twice": (
        {"tree": [GOOD, [["a", "b"], ["c", "a"]], GOOD]},
        r"`tree` at block 'middle' has tasks twice: \['a'\]",
    ),
    "joined_again": (
        {"tree": [GOOD, [["a"], ["b", "c"]], GOOD]},
        r"at block 'middle' joins tasks that parted before: \['b', 'c'\]",
    ),
    "misspelt": (
        {
            "tasks": [Task("left", "binary"), Task("right", "binary")],
            "tree": [[["left", "rigth"]]] * 3,
        },
        r"at block 'low' has names of no task: \['rigth'\].*mean 'right'\?",
    ),
    "no_candidates": ({"width": 0}, "`width`.*at least 1. Received: 0"),
    "boolean": ({"width": True}, "`width`.*Received: True"),
    "width_and_tree": (
        {"width": 2, "tree": [GOOD] * 3},
        "`width` belongs to a learned tree.*Received: width=2",
    ),
    "temperature": ({"temperature": 0.0}, "`temperature`.*above 0"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)


def test_a_model_without_learned_branches_tells_no_tree():
    with pytest.raises(ValueError, match="must have learned branches"):
        learned_tree(build(hard_sharing))


def test_found_by_name():
    assert builders.registry["branching"] is branching
