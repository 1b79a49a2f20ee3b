import keras
import numpy as np
import pytest

from keras_mtl import MultiTaskModel, Task, builders, schedules
from keras_mtl.training.forward_state import forward_state

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 4)).astype("float32")
Y = {name: RNG.normal(size=(8, 1)).astype("float32") for name in "ab"}
PARTS = ("trunk_norm", "a_norm", "b_norm")


class Counter(keras.layers.Layer):
    """Counts the batches that it was trained on."""

    def build(self, input_shape):
        self.count = self.add_weight(
            shape=(), initializer="zeros", dtype="int32", trainable=False
        )

    def call(self, x, training=False):
        if training:
            self.count.assign_add(1)
        return x


def model_of(schedule, **compiled):
    """Two heads and a trunk with moving averages; "b" has a counter, too."""
    keras.utils.set_random_seed(0)
    x = keras.Input((4,))
    h = keras.layers.Dense(4, name="trunk")(x)
    h = keras.layers.BatchNormalization(momentum=0.5, name="trunk_norm")(h)
    outputs = {}
    for name in "ab":
        own = keras.layers.BatchNormalization(
            momentum=0.5, name=f"{name}_norm"
        )(h)
        if name == "b":
            own = Counter(name="counter")(own)
        outputs[name] = keras.layers.Dense(1, name=name)(own)
    tasks = [Task(name, "regression", metrics=[]) for name in outputs]
    model = MultiTaskModel(x, outputs, tasks=tasks)
    model.compile("sgd", schedule=schedule, **compiled)
    return model


def averages(model):
    return {
        name: np.concatenate(
            [
                np.array(model.get_layer(name).moving_mean),
                np.array(model.get_layer(name).moving_variance),
            ]
        )
        for name in PARTS
    }


def train(model, epochs=1, initial_epoch=0):
    """Epochs of two steps; tells which moving averages moved."""
    before = averages(model)
    model.fit(
        X,
        Y,
        batch_size=4,
        epochs=initial_epoch + epochs,
        initial_epoch=initial_epoch,
        shuffle=False,
        verbose=0,
    )
    after = averages(model)
    return {
        name for name in PARTS if not np.array_equal(before[name], after[name])
    }


def test_what_a_forward_pass_writes_and_nothing_that_is_frozen():
    frozen = keras.layers.Dense(4, name="frozen")
    frozen.trainable = False
    inner = keras.Sequential(
        [frozen, keras.layers.BatchNormalization(name="inner")]
    )
    model = builders.hard_sharing(
        keras.Input((2,)),
        [Task("a", "regression"), Task("b", "regression")],
        [
            inner,
            keras.layers.Dropout(0.1),
            keras.layers.BatchNormalization(name="norm"),
        ],
    )
    # It has variables of its own, which it looks after itself.
    model.compile(
        "sgd", balancer="dynamic_weight_average", schedule="all_tasks"
    )
    assert sorted(k.variable.path for k in forward_state(model)) == sorted(
        [
            "norm/moving_mean",
            "norm/moving_variance",
            f"{inner.name}/inner/moving_mean",
            f"{inner.name}/inner/moving_variance",
        ]
    )


def test_without_balancer_and_schedule_nothing_is_kept():
    assert forward_state(model_of(None)) == []


MODES = [
    pytest.param({"run_eagerly": True}, id="eager"),
    pytest.param(
        {
            "jit_compile": False,
            "steps_per_execution": 2,
            "balancer": "uncertainty",
        },
        id="two_steps_a_call",
    ),
    pytest.param(
        {"jit_compile": True, "balancer": "mgda"},
        id="xla",
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize("compiled", MODES)
def test_a_task_left_out_has_its_moving_averages_as_they_were(compiled):
    model = model_of(schedules.RoundRobin(2), **compiled)
    counter = model.get_layer("counter")
    moved = [train(model, initial_epoch=epoch) for epoch in range(3)]
    assert moved == [
        {"trunk_norm", "a_norm"},
        {"trunk_norm", "b_norm"},
        {"trunk_norm", "a_norm"},
    ]
    assert int(counter.count) == 2


def test_a_frozen_head_has_the_moving_averages_of_its_best_epoch():
    model = model_of(
        schedules.TaskEarlyStopping(
            "loss", patience=2, min_delta=10.0, tasks=["b"]
        ),
        jit_compile=False,
    )
    assert train(model) == set(PARTS)
    # The first epoch counts as the best; two more freeze the task.
    best = averages(model)
    assert train(model, initial_epoch=1) == set(PARTS)
    train(model, initial_epoch=2)
    assert model.schedule.stopped() == ["b"]
    np.testing.assert_array_equal(averages(model)["b_norm"], best["b_norm"])
    assert train(model, epochs=2, initial_epoch=3) == {"trunk_norm", "a_norm"}


def test_a_batch_without_labels_of_a_task_goes_into_its_moving_averages():
    model = model_of("all_tasks", jit_compile=False)
    before = averages(model)
    model.train_on_batch(X, {**Y, "b": np.full_like(Y["b"], np.nan)})
    after = averages(model)
    for name in PARTS:
        assert not np.array_equal(before[name], after[name])


def weights_of(model, name):
    return [np.array(v) for v in model.get_layer(name).weights]


def test_a_task_left_out_has_kernels_that_are_rescaled_as_they_were():
    x = keras.Input((4,))
    h = keras.layers.Dense(4, name="trunk")(x)
    outputs = {
        name: keras.layers.SpectralNormalization(
            keras.layers.Dense(1), name=name
        )(h)
        for name in "ab"
    }
    tasks = [Task(name, "regression", metrics=[]) for name in outputs]
    model = MultiTaskModel(x, outputs, tasks=tasks)
    model.compile("sgd", schedule=schedules.RoundRobin(), jit_compile=False)
    # Kernel, bias and an estimate of a singular vector.
    before = {name: weights_of(model, name) for name in "ab"}
    assert len(before["b"]) == 3
    model.train_on_batch(X, Y)
    for old, new in zip(before["b"], weights_of(model, "b"), strict=True):
        np.testing.assert_array_equal(new, old)
    for old, new in zip(before["a"], weights_of(model, "a"), strict=True):
        assert not np.array_equal(new, old)
    # The other way round.
    before = {name: weights_of(model, name) for name in "ab"}
    model.train_on_batch(X, Y)
    for old, new in zip(before["a"], weights_of(model, "a"), strict=True):
        np.testing.assert_array_equal(new, old)
    assert not np.array_equal(weights_of(model, "b")[0], before["b"][0])


def test_the_place_in_a_sequence_goes_on_but_for_what_is_not_finite():
    x = keras.Input(batch_shape=(8, 2, 1))
    h = keras.layers.Dense(3, name="trunk")(x)
    outputs = {
        name: keras.layers.Dense(1, name=name)(
            keras.layers.SimpleRNN(2, stateful=True, name=f"{name}_rnn")(h)
        )
        for name in "ab"
    }
    tasks = [Task(name, "regression", metrics=[]) for name in outputs]
    model = MultiTaskModel(x, outputs, tasks=tasks)
    model.compile(
        "sgd",
        balancer="uncertainty",
        schedule=schedules.RoundRobin(),
        jit_compile=False,
    )
    (state,) = model.get_layer("b_rnn").states
    places = []
    for fill in (1.0, np.nan, 2.0):
        inputs = np.ones((8, 2, 1), "float32")
        inputs[3] = fill
        model.train_on_batch(inputs, Y)
        places.append(np.array(state))
    assert np.isfinite(places).all()
    # "b" has no part in the first step and the third.
    assert (places[0] != 0).all()
    np.testing.assert_array_equal(places[1][3], places[0][3])
    assert (places[2] != places[1]).all()
