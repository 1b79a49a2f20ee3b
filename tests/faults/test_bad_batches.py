"""Batches with NaN, infinity and worse: counted by task, no silent damage."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import ops

from keras_mtl import MultiTaskModel, Task, balancers
from keras_mtl.callbacks import Checkpoint, load_checkpoint

TASKS = ("a", "b", "c")
# An infinite one leaves all losses finite: tanh makes 1 of it.
INPUTS = {"input": np.nan, "infinite input": -np.inf}
BATCH = 8


@tf.custom_gradient
def _nan_gradient(x):
    return tf.identity(x), lambda upstream: upstream * float("nan")


@keras.saving.register_keras_serializable("faults")
def breakable(y_true, y_pred):
    """Squares; where a label is above 50 the gradient, not the loss, is NaN."""
    bad = ops.any(y_true > 50)
    y_pred = tf.cond(bad, lambda: _nan_gradient(y_pred), lambda: y_pred)
    return ops.mean(ops.square(ops.minimum(y_true, 60) - y_pred), axis=-1)


def built(balancer, batch_norm=True):
    keras.utils.set_random_seed(0)
    x = keras.Input((4,))
    h = keras.layers.Dense(6, activation="tanh", name="low")(x)
    if batch_norm:
        h = keras.layers.BatchNormalization(name="norm")(h)
    model = MultiTaskModel(
        x,
        {name: keras.layers.Dense(1, name=name)(h) for name in TASKS},
        tasks=[Task(name, "regression", metrics=[]) for name in TASKS],
    )
    model.compile(
        keras.optimizers.Adam(0.01),
        loss={"a": breakable, "b": breakable, "c": "mse"},
        balancer=balancer,
    )
    return model


def batch(seed, faults):
    """A batch, and the tasks that cannot be used in it."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(BATCH, 4)).astype("float32")
    y = {k: draw.normal(size=(BATCH, 1)).astype("float32") for k in TASKS}
    lost = set()
    for task, fault in faults:
        row = int(draw.integers(BATCH))
        if fault in INPUTS:
            x[row, 0] = INPUTS[fault]
            lost |= set(TASKS)
        elif fault == "gradient" and task != "c":
            y[task][row] = 100.0
            lost.add(task)
        elif fault == "label":
            y[task][row] = np.inf  # in a stream; arrays are refused
            lost.add(task)
        elif fault == "loss":
            y["c"][row] = 1e30  # its square is infinite
            lost.add("c")
        elif fault == "missing":
            y[task][row] = np.nan  # no fault: that label is missing
    return x, y, lost


FAULTS = st.lists(
    st.tuples(
        st.sampled_from(TASKS),
        st.sampled_from([*INPUTS, "gradient", "loss", "missing"]),
    ),
    max_size=3,
)
STEPS = st.lists(FAULTS, min_size=1, max_size=5)
MODELS = {}


def finite(model):
    variables = [*model.variables, *model.optimizer.variables]
    return all(np.isfinite(v.numpy()).all() for v in variables)


def as_new(name):
    """The model of a balancer, traced once for all tests."""
    if name not in MODELS:
        model = built(name)
        model.train_on_batch(*batch(0, [])[:2])
        state = [*model.variables, *model.optimizer.variables]
        MODELS[name] = model, [(v, v.numpy()) for v in state]
    model, start = MODELS[name]
    for variable, value in start:
        variable.assign(value)
    model.reset_metrics()
    return model


def check(name, steps):
    """Some steps, good and bad, of one balancer."""
    model = as_new(name)
    for number, faults in enumerate(steps):
        x, y, lost = batch(number + 1, faults)
        heads = {t: model.get_layer(t).get_weights() for t in TASKS}
        low = model.get_layer("low").get_weights()
        model.train_on_batch(x, y)  # counts anew, as in Keras
        assert model.kept_out() == {t: int(t in lost) for t in TASKS}
        assert model.not_finite() == []
        for task in lost:
            now = model.get_layer(task).get_weights()
            assert all(map(np.array_equal, heads[task], now)), task
        if lost == set(TASKS):
            now = model.get_layer("low").get_weights()
            assert all(map(np.array_equal, low, now))
        assert finite(model), faults


@given(steps=STEPS)
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_a_bad_task_moves_nothing_and_is_counted(steps):
    check("fixed", steps)


def test_an_infinite_input_moves_nothing_though_losses_are_finite():
    check("fixed", [[], [("a", "infinite input")], []])


def test_an_infinite_input_that_a_model_means_is_trained_on():
    x = keras.Input((4,))
    h = keras.layers.Dense(6)(ops.clip(x, -1.0, 1.0))
    model = MultiTaskModel(
        x,
        {name: keras.layers.Dense(1, name=name)(h) for name in "ab"},
        tasks=[Task(name, "regression", metrics=[]) for name in "ab"],
    )
    model.compile("sgd", balancer="fixed")
    before = model.get_weights()
    inputs, y, _ = batch(0, [("a", "infinite input")])
    model.train_on_batch(inputs, {name: y[name] for name in "ab"})
    assert model.kept_out() == {"a": 0, "b": 0}
    assert finite(model)
    assert not any(map(np.array_equal, before, model.get_weights()))


# Methods that look at more than one step, or at more than one loss a step.
@pytest.mark.slow
@pytest.mark.parametrize("name", list(balancers.registry))
def test_so_with_every_balancer(name):
    if not _takes_no_arguments(name):
        pytest.skip("needs an argument")

    @given(steps=STEPS)
    @settings(max_examples=40, deadline=None, derandomize=True)
    def run(steps):
        check(name, steps)

    run()


def _takes_no_arguments(name):
    try:
        balancers.get(name)
    except (TypeError, ValueError):
        return False
    return True


# ------------------------------------------------------------------- in fit


def stream(*faults):
    """A `tf.data.Dataset`, whose values nobody looks at beforehand."""
    batches = [batch(i, f)[:2] for i, f in enumerate(faults)]
    x = np.concatenate([x for x, _ in batches])
    y = {k: np.concatenate([y[k] for _, y in batches]) for k in TASKS}
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH)


def test_the_history_counts_by_task():
    model = as_new("fixed")
    data = stream([], [("a", "gradient")], [("c", "label")], [("a", "label")])
    with pytest.warns(RuntimeWarning, match=r"'a' in 2, 'c' in 1 of the steps"):
        history = model.fit(
            data,
            epochs=2,
            shuffle=False,
            verbose=0,
            validation_data=stream([]),
        ).history
    assert history["a_kept_out"] == [2.0, 2.0]
    assert history["b_kept_out"] == [0.0, 0.0]
    assert history["c_kept_out"] == [1.0, 1.0]
    assert history["kept_out"] == [3.0, 3.0]
    assert finite(model)
    logs = model.evaluate(stream([]), verbose=0, return_dict=True)
    assert np.isfinite(list(logs.values())).all()


def test_inputs_that_are_not_finite_leave_moving_averages_alone():
    model = as_new("fixed")
    norm = model.get_layer("norm")
    model.train_on_batch(*batch(1, [])[:2])
    before = norm.get_weights()
    model.train_on_batch(*batch(1, [("a", "input")])[:2])
    assert all(map(np.array_equal, before, norm.get_weights()))
    model.train_on_batch(*batch(2, [])[:2])
    assert not np.array_equal(before[2], norm.get_weights()[2])


@pytest.mark.slow
def test_a_loss_that_is_always_zero_hinders_nobody():
    for balancer in ("fixed", "mgda", "uncertainty"):
        model = built(balancer)
        model.compile(
            keras.optimizers.Adam(0.01),
            loss={"a": lambda y_true, y_pred: 0.0 * y_pred, "c": "mse"},
            balancer=balancer,
        )
        history = model.fit(
            stream([], []), epochs=2, shuffle=False, verbose=0
        ).history
        assert history["a_loss"] == [0.0, 0.0]
        assert history["a_kept_out"] == [0.0, 0.0]
        assert finite(model)


@pytest.mark.slow
def test_a_loss_of_zero_where_it_must_be_positive_is_counted():
    model = built("mgda")
    model.compile(
        "sgd",
        loss={"a": lambda y_true, y_pred: 0.0 * y_pred},
        balancer="geometric_mean",
    )
    with pytest.warns(RuntimeWarning, match=r"finite and positive.*'a' in 2"):
        history = model.fit(stream([], []), shuffle=False, verbose=0).history
    assert history["a_kept_out"] == [2.0]
    assert finite(model)


class Broken(Exception):
    pass


def breaking(after):
    for number in range(after):
        yield batch(number, [])[:2]
    raise Broken(f"record {after} cannot be read")


class BreakingBatches(keras.utils.PyDataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        if index == 3:
            raise Broken("record 3 cannot be read")
        return batch(index, [])[:2]


@pytest.mark.parametrize(
    "workers", [0, pytest.param(2, marks=pytest.mark.slow)]
)
def test_data_that_raise_in_the_middle_say_so_themselves(tmp_path, workers):
    path = tmp_path / "model.keras"
    model = built("fixed")
    model.fit(
        stream([]), shuffle=False, verbose=0, callbacks=[Checkpoint(path)]
    )
    before = path.read_bytes()
    for data in (breaking(3), BreakingBatches(workers=workers)):
        with pytest.raises(Broken, match=r"^record 3 cannot be read$"):
            model.fit(
                data, verbose=0, shuffle=False, callbacks=[Checkpoint(path)]
            )
    assert path.read_bytes() == before
    assert finite(model)
    # Nothing of it is left: good data train afterwards.
    model.fit(stream([]), shuffle=False, verbose=0)


def test_without_a_balancer_it_is_said_and_the_good_model_is_kept(tmp_path):
    path = tmp_path / "model.keras"
    model = built(None)
    model.fit(
        stream([], []), shuffle=False, verbose=0, callbacks=[Checkpoint(path)]
    )
    before = path.read_bytes()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.fit(
            stream([], [("a", "gradient")], []),
            shuffle=False,
            verbose=0,
            callbacks=[Checkpoint(path)],
        )
    said = " ".join(str(w.message) for w in told)
    assert "The losses of ['a', 'b', 'c'] are NaN after epoch 1" in said
    assert "Weights or loss of the model are not finite after epoch 1" in said
    assert not finite(model)
    assert path.read_bytes() == before
    assert finite(load_checkpoint(path)[0])


class Breaking(keras.layers.Layer):
    """Passes values on, and NaN back."""

    def call(self, inputs):
        return _nan_gradient(inputs)


def test_what_breaks_in_the_midst_of_the_shared_part_is_told_of():
    inputs = keras.Input((4,))
    shared = Breaking()(keras.layers.Dense(6, name="low")(inputs))
    model = MultiTaskModel(
        inputs,
        {name: keras.layers.Dense(1, name=name)(shared) for name in "ab"},
    )
    model.compile("sgd", loss="mse", balancer="uncertainty")
    x = np.ones((BATCH, 4), "float32")
    y = {name: np.ones((BATCH, 1), "float32") for name in "ab"}
    with pytest.warns(RuntimeWarning, match="Weights are NaN .* epoch 1"):
        model.fit(x, y, batch_size=BATCH, verbose=0)
