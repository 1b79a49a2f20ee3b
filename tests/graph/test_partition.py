"""The partition, held against what the gradient tape says."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.graph import partition, unroll
from tests.graph.cases import GRAPHS, make_inputs, tree


@pytest.fixture(params=GRAPHS, ids=lambda case: case.__name__)
def model(request):
    keras.utils.set_random_seed(0)
    return keras.Model(*request.param())


def _reach_by_tape(model):
    x = make_inputs(model)
    with tf.GradientTape(persistent=True) as tape:
        outputs = model(x, training=True)
        losses = {k: tf.reduce_sum(y**2) for k, y in outputs.items()}
    variables = model.trainable_variables
    reach = {v.path: set() for v in variables}
    for task, loss in losses.items():
        gradients = tape.gradient(loss, variables)
        for v, g in zip(variables, gradients, strict=True):
            if g is not None:
                reach[v.path].add(task)
    return reach


def test_variables_are_of_the_tasks_that_the_tape_finds(model):
    tasks = list(model.output)
    split = partition(model, tasks)
    reach = _reach_by_tape(model)
    assert {v.path for v in split.shared} == {
        p for p, r in reach.items() if len(r) > 1
    }
    for task in tasks:
        assert {v.path for v in split.private[task]} == {
            p for p, r in reach.items() if r == {task}
        }
    assert not split.idle


def test_unrolled_graph_computes_what_the_model_does(model):
    x = make_inputs(model)
    graph = unroll(model)

    def as_keras_does(operation):
        def call(*args, **kwargs):
            return operation(*args, **kwargs)

        return call

    outputs = graph.run(
        keras.tree.flatten(x), as_keras_does, lambda consumer, slot, t: t
    )
    expected = model(x)
    assert set(outputs) == set(expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(outputs[key], value)


def test_gradients_at_the_boundary_make_up_the_whole(model):
    """Each task's gradient, through its copies, equals the tape's own."""
    from keras_mtl.training import MultiTaskModel
    from keras_mtl.training.backends.tensorflow.backward import Backward
    from keras_mtl.training.backends.tensorflow.boundary import BoundaryTap

    mtl = MultiTaskModel(model.input, model.output)
    mtl.compile("sgd", loss=dict.fromkeys(model.output, "mse"))
    x = make_inputs(model)
    with tf.GradientTape(persistent=True) as tape:
        tap = BoundaryTap(mtl.partition, tape)
        with mtl.tapped(tap):
            outputs = mtl(x, training=True)
        losses = {t: tf.reduce_sum(outputs[t] ** 2) for t in mtl.tasks}
        plain = {
            t: tf.reduce_sum(y**2) for t, y in mtl(x, training=True).items()
        }
    backward = Backward(tap, list(losses.values()))
    shared = mtl.partition.shared
    blocks = backward.variable_blocks()
    for t, task in enumerate(mtl.tasks):
        own = mtl.partition.private[task]
        for v, expected in zip(
            own, tape.gradient(plain[task], own), strict=True
        ):
            np.testing.assert_allclose(
                backward.private[t][id(v)], expected, rtol=1e-5, atol=1e-6
            )
        whole = tape.gradient(
            plain[task],
            [v.value for v in shared],
            unconnected_gradients="zero",
        )
        for block, expected in zip(blocks, whole, strict=True):
            np.testing.assert_allclose(
                block.rows[t],
                tf.reshape(tf.convert_to_tensor(expected), [-1]),
                rtol=1e-5,
                atol=1e-6,
            )


def test_boundary_of_a_tree_lies_at_each_branching():
    keras.utils.set_random_seed(0)
    model = keras.Model(*tree())
    split = partition(model, ["a", "b", "c"])
    names = {
        task: [split.graph.symbols[slot].name for slot in slots]
        for task, slots in split.boundary.items()
    }
    high = model.get_layer("high").output.name
    low = model.get_layer("low").output.name
    assert names == {"a": [high], "b": [high], "c": [low]}


def test_an_output_without_a_loss_is_of_no_task():
    model = keras.Model(*tree())
    split = partition(model, ["a", "b"])
    assert {v.path for v in split.idle} == {"c/kernel", "c/bias"}
    assert {v.path for v in split.shared} == {
        "low/kernel",
        "low/bias",
        "high/kernel",
        "high/bias",
    }
