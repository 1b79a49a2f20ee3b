import keras
import numpy as np
import pytest

from keras_mtl import MultiTaskModel, Task, balancers, builders
from keras_mtl.analysis.memory import step_memory


def model(balancer=None, optimizer="sgd", tasks="ab"):
    built = builders.hard_sharing(
        keras.Input((4,), name="x"),
        [Task(name, "regression") for name in tasks],
        [keras.layers.Dense(3, activation="relu", name="shared")],
    )
    built.compile(optimizer, balancer=balancer)
    built.optimizer.build(built.trainable_variables)
    return built


def batch(examples):
    return np.zeros((examples, 4), "float32")


SHARED = 4 * (4 * 3 + 3)  # bytes
WEIGHTS = SHARED + 2 * 4 * (3 + 1)


def test_tensors_of_a_forward_pass_grow_with_the_batch():
    one, two = (step_memory(model(), batch(n)) for n in (8, 16))
    # Product, bias and activation of the shared layer; product and bias of
    # the heads; 4 bytes each.
    assert two - one == 8 * 4 * (3 * 3 + 2 * 2 * 1)


def test_variables_of_the_optimizer_count():
    sgd, adam = (
        step_memory(model(optimizer=name), batch(8)) for name in ("sgd", "adam")
    )
    assert adam - sgd == 2 * WEIGHTS


def test_exact_gradients_are_kept_for_each_task():
    equal = step_memory(model(), batch(8))
    exact = step_memory(model(balancers.MGDA()), batch(8))
    cheap = step_memory(model(balancers.MGDA(wrt="features")), batch(8))
    assert exact - cheap == SHARED
    assert cheap >= equal


def test_more_inputs_than_the_model_reads():
    table = {"x": batch(8), "y": batch(8)}
    inputs = {"x": keras.Input((4,), name="x")}
    task = Task("a", "regression")
    built = MultiTaskModel(
        inputs, {"a": task.make_head("a")(inputs["x"])}, tasks=[task]
    )
    built.compile("sgd")
    assert step_memory(built, table) == step_memory(built, {"x": batch(8)})


@keras.saving.register_keras_serializable("test_memory")
class AsManyAsThereAre(keras.layers.Layer):
    """Means over the examples that are not zero: nobody knows how many."""

    def call(self, inputs):
        rows = keras.ops.nonzero(keras.ops.any(inputs != 0, axis=-1))[0]
        return inputs + keras.ops.mean(keras.ops.take(inputs, rows, axis=0))


def test_an_open_size_is_unknown():
    built = builders.hard_sharing(
        keras.Input((4,)),
        [Task("a", "regression")],
        [AsManyAsThereAre(name="open")],
    )
    built.compile("sgd")
    assert step_memory(built, batch(8)) is None


def recurrent(steps, unroll=False):
    built = builders.hard_sharing(
        keras.Input((steps, 4)),
        [Task("a", "regression")],
        [keras.layers.GRU(8, unroll=unroll, name="over_time")],
    )
    built.compile("sgd")
    return step_memory(built, np.zeros((16, steps, 4), "float32"))


def test_a_recurrent_layer_takes_memory_in_each_step():
    short, long = recurrent(4), recurrent(24)
    assert long == pytest.approx(recurrent(24, unroll=True), rel=0.2)
    # A gate, a candidate and a state of 8 units are the least of a step.
    assert long - short > 20 * 16 * 4 * (2 + 1 + 1) * 8


@pytest.mark.parametrize("names", ["a", "abc"])
def test_single_tasks_share_nothing(names):
    assert step_memory(model(tasks=names), batch(2)) > WEIGHTS
