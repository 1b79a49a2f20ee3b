"""Soft sharing: which layers are tied, and what the tie does."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_mtl import MultiTaskModel, Task, builders

TASKS = [Task("a", "regression"), Task("b", "regression")]


def build(**arguments):
    keras.utils.set_random_seed(0)
    return builders.soft_sharing(
        **{
            "inputs": keras.Input((3,)),
            "tasks": TASKS,
            "blocks": [
                layers.Dense(4, activation="tanh", name="low"),
                layers.Dropout(0.1, name="drop"),
                layers.Dense(5, activation="tanh", name="high"),
            ],
            **arguments,
        }
    )


def test_layers_with_weights_are_tied_behind_depth():
    groups = [["a_low", "b_low"], ["a_high", "b_high"]]
    assert build().weight_penalty.layers == groups
    assert build(depth=1).weight_penalty.layers == groups[1:]


def test_tasks_share_nothing_but_what_depth_says():
    for depth, common in ((0, set()), (1, {"low"})):
        split = build(depth=depth).variables_by_task()
        names = [{v.path.split("/")[0] for v in vs} for vs in split.values()]
        assert names[0] & names[1] == common


@pytest.mark.parametrize("penalty", ["l2", "mean", "trace_norm"])
def test_a_strong_tie_makes_towers_alike_while_they_train(penalty):
    draw = np.random.default_rng(0)
    # One epoch of the same batch, over and over.
    x = np.tile(draw.normal(size=(8, 3)), (60, 1)).astype("float32")
    y = {"a": x[:, 0], "b": x[:, 1]}

    def apart(strength):
        model = build(penalty=penalty, strength=strength)
        model.compile(keras.optimizers.Adam(0.02))
        model.fit(x, y, batch_size=8, verbose=0)
        kernels = [
            np.array(model.get_layer(f"{k}_high").kernel).ravel() for k in "ab"
        ]
        # For the trace norm: the smaller singular value.
        return np.linalg.svd(np.stack(kernels), compute_uv=False)[-1]

    assert apart(0.5) < 0.25 * apart(0.0)


def test_a_built_model_gives_all_towers_its_weights():
    x = keras.Input((3,))
    h = layers.BatchNormalization()(layers.Dense(4)(x))
    block = keras.Model(x, h, name="net")
    model = build(blocks=block)
    assert float(model.losses[0]) == 0.0
    assert model.weight_penalty.layers == [["a_net", "b_net"]]


def test_weights_of_models_in_a_block_are_tied():
    x, y = keras.Input((3,)), keras.Input((4,))
    deep = keras.Model(y, layers.Dense(2)(y), name="deep")
    model = build(blocks=keras.Model(x, deep(layers.Dense(4)(x)), name="net"))
    for key, number in (("a", 1.0), ("b", 3.0)):
        tower = model.get_layer(f"{key}_net")
        tower.set_weights([np.full(w.shape, number) for w in tower.weights])
    expected = 0.01 * (3 - 1) ** 2 * (3 * 4 + 4 + 4 * 2 + 2)
    assert float(model.losses[0]) == pytest.approx(expected, rel=1e-6)


def test_a_model_made_from_one_keeps_its_penalty_and_tasks():
    model = build(strength=0.3)
    again = MultiTaskModel.from_model(model)
    assert list(again.given_tasks) == ["a", "b"]
    expected = float(model.losses[0])
    assert expected > 0
    assert [float(x) for x in again.losses] == pytest.approx([expected])
    renamed = [Task("a", "regression", unit="m"), TASKS[1]]
    tasks = MultiTaskModel.from_model(model, tasks=renamed).given_tasks
    assert tasks["a"].unit == "m"


def test_a_single_task_has_no_penalty():
    model = build(tasks=TASKS[:1])
    assert model.weight_penalty is None and model.losses == []


BAD = {
    "penalty": ({"penalty": "l3"}, "`penalty` must be one of l2.*'l3'"),
    "strength": ({"strength": -1.0}, "`strength` must be.*-1.0"),
    "no_weights": (
        {"blocks": [layers.ReLU(name="relu")]},
        r"`blocks` must hold a layer with weights.*\['relu'\]",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)
