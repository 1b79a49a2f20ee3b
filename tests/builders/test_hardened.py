"""Hardened models: what is left of choices, and that it predicts the same."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_mtl import Task, builders
from keras_mtl.builders import hardened
from keras_mtl.graph import unroll
from keras_mtl.layers import BranchChoice, SkipChoice

TASKS = [Task(name, "regression") for name in "abc"]
NAMES = ("low", "middle", "high")


def build(name, **arguments):
    keras.utils.set_random_seed(0)
    return builders.registry[name](
        keras.Input((4,), name="x"),
        TASKS,
        [layers.Dense(4, activation="tanh", name=n) for n in NAMES],
        **arguments,
    )


def choose(model, taken):
    """Makes choices by name; the others take the first option."""
    for layer in model.layers:
        if isinstance(layer, (BranchChoice, SkipChoice)):
            logits = np.zeros(layer.logits.shape)
            logits[taken.get(layer.name.removesuffix("_choice"), 0)] = 1
            layer.logits.assign(logits)
    return model


def calls(model):
    return sorted(
        step.operation.name for step in unroll(model, nested=False).steps
    )


def assert_predicts_as(small, model):
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    found = small(x)
    assert list(found) == list(model.output)
    for key, expected in model(x).items():
        np.testing.assert_allclose(found[key], expected, rtol=1e-6, atol=1e-7)


def test_a_learned_tree_keeps_the_branches_that_it_chose():
    taken = {"branch_2_high": 1, "b": 1, "c": 1}
    model = choose(build("branching"), taken)
    small = hardened(model)
    assert_predicts_as(small, model)
    assert calls(small) == sorted(
        [
            *("branch_1_low", "branch_1_middle", "branch_1_high"),
            *("branch_2_middle", "branch_2_high"),
            *("a", "b", "c"),
        ]
    )
    assert small.get_layer("branch_2_high") is model.get_layer("branch_2_high")


def test_tasks_run_the_blocks_that_they_chose_and_equal_beginnings_once():
    skips = dict.fromkeys(["b_middle", "c_low", "c_middle", "c_high"], 1)
    model = choose(build("adashare"), skips)
    small = hardened(model)
    assert_predicts_as(small, model)
    # a: low, middle, high. b: low, high. c: nothing but its head.
    assert calls(small) == ["a", "b", "c", "high", "high", "low", "middle"]
    own = {key: {v.path for v in vs} for key, vs in _variables(small)}
    assert own["c"] == {"c/kernel", "c/bias"}
    assert small.losses == [] and small.weight_penalty is None


def _variables(model):
    return model.variables_by_task().items()


def test_it_trains_on():
    small = hardened(build("adashare"))
    assert [task.name for task in small.given_tasks.values()] == list("abc")
    small.compile(keras.optimizers.SGD(0.1), balancer="mgda", run_eagerly=True)
    x = np.ones((8, 4), "float32")
    losses = [
        small.train_on_batch(x, {k: x[:, 0] for k in "abc"})[0]
        for _ in range(3)
    ]
    assert losses[2] < losses[0]


@pytest.mark.parametrize("name", ["hard_sharing", "cross_stitch"])
def test_a_model_without_choices_is_refused(name):
    with pytest.raises(ValueError, match="`model` must have learned choices"):
        hardened(build(name))
