"""Training on a mixture: `fit` follows its epochs, and tasks learn apart."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_mtl import MultiTaskModel, Task
from keras_mtl.data import Mixture, rates

TASKS = [Task("a", "regression"), Task("b", "binary")]
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(96, 4)).astype("float32")
W = DRAW.normal(size=(4, 2)).astype("float32")
SOURCES = {
    "numbers": (X[:32], {"a": X[:32] @ W[:, 0]}),
    "classes": (X[32:], {"b": (X[32:] @ W[:, 1] > 0).astype(int)}),
}
VALIDATION = (X, {"a": X @ W[:, 0], "b": (X @ W[:, 1] > 0).astype(int)})


def model_of(**compiled):
    keras.utils.set_random_seed(0)
    x = keras.Input((4,))
    h = layers.Dense(16, activation="tanh", name="trunk")(x)
    model = MultiTaskModel(
        x,
        {
            "a": layers.Dense(1, name="a")(h),
            "b": layers.Dense(1, activation="sigmoid", name="b")(h),
        },
        tasks=TASKS,
    )
    model.compile(keras.optimizers.Adam(0.02), **compiled)
    return model


def mixture(**arguments):
    return Mixture(SOURCES, TASKS, **{"batch_size": 8, **arguments})


def test_two_sources_with_labels_of_their_own_teach_both_tasks():
    model = model_of(balancer="mgda")
    history = model.fit(
        mixture(), epochs=40, validation_data=VALIDATION, verbose=0
    ).history
    assert history["val_a_loss"][-1] < 0.2 * history["val_a_loss"][0]
    assert history["val_b_accuracy"][-1] > 0.9


def test_the_first_epoch_of_a_mixture_is_what_is_evaluated():
    model = model_of()
    held_out = mixture(seed=1)
    expected = model.evaluate(held_out.dataset(), return_dict=True, verbose=0)
    assert model.evaluate(held_out, return_dict=True, verbose=0) == expected
    history = model.fit(
        mixture(), epochs=1, validation_data=held_out, verbose=0
    ).history
    after = model.evaluate(held_out, return_dict=True, verbose=0)
    for key, value in after.items():
        assert history[f"val_{key}"] == [pytest.approx(value, rel=1e-6)]


@pytest.mark.parametrize("steps", [1, 3])
def test_fit_draws_each_epoch_as_the_mixture_plans_it(steps):
    seen = []

    class Spy(Mixture):
        def plan(self, epoch):
            seen.append(epoch)
            return super().plan(epoch)

    model = model_of(steps_per_execution=steps)
    model.fit(
        Spy(SOURCES, TASKS, batch_size=8),
        initial_epoch=2,
        epochs=5,
        verbose=0,
    )
    assert list(dict.fromkeys(seen)) == [2, 3, 4]
    assert int(model.optimizer.iterations) == 3 * 12


def test_as_by_hand_and_resumed_it_ends_at_the_same_weights():
    whole, by_hand, resumed = (model_of() for _ in range(3))
    whole.fit(mixture(), epochs=4, verbose=0)
    mixed = mixture()
    for epoch in range(4):
        for batch in mixed.dataset(epoch):
            by_hand.train_on_batch(*batch)
    resumed.fit(mixture(), epochs=2, verbose=0)
    resumed.fit(mixture(), initial_epoch=2, epochs=4, verbose=0)
    for model in (by_hand, resumed):
        for a, b in zip(model.weights, whole.weights, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_adaptive_rates_follow_the_logs_of_fit():
    rule = rates.ByLoss({"numbers": "val_a_loss", "classes": "val_b_loss"})
    mixed = mixture(rates=rule)
    model = model_of()
    logs = model.fit(
        mixed, epochs=3, validation_data=VALIDATION, verbose=0
    ).history
    assert mixed.counts(0) == {"numbers": 32, "classes": 64}
    ratio = [logs[f"val_{t}_loss"][1] / logs[f"val_{t}_loss"][0] for t in "ab"]
    expected = round(96 * ratio[0] / sum(ratio))
    assert mixed.counts(2)["numbers"] == expected
    # Another fit from the start forgets what the first one saw.
    again = model_of()
    same = again.fit(
        mixed, epochs=3, validation_data=VALIDATION, verbose=0
    ).history
    np.testing.assert_allclose(same["val_a_loss"], logs["val_a_loss"], 1e-5)
    with pytest.raises(ValueError, match="rates of epoch 3 depend on logs"):
        model.fit(
            mixture(rates=rule),
            initial_epoch=3,
            epochs=4,
            validation_data=VALIDATION,
            verbose=0,
        )


@pytest.mark.parametrize(
    "argument",
    [{"y": {}}, {"batch_size": 3}, {"steps_per_epoch": 3}],
    ids=["y", "batch_size", "steps_per_epoch"],
)
def test_what_a_mixture_has_itself_is_refused(argument):
    (name,) = argument
    with pytest.raises(ValueError, match=f"`{name}` must be left out"):
        model_of().fit(mixture(), verbose=0, **argument)


def test_labels_are_counted_by_task_and_epoch():
    x = X[:32].repeat(2, axis=0)
    y = np.where(np.arange(64) % 4 == 0, np.nan, x @ W[:, 0])
    sources = {"numbers": (x, {"a": y}), "classes": SOURCES["classes"]}
    mixed = Mixture(sources, TASKS, batch_size=8, rates="uniform")
    for compiled in ({}, {"balancer": "mgda", "steps_per_execution": 4}):
        history = model_of(**compiled).fit(
            mixed, epochs=2, validation_data=VALIDATION, verbose=0
        )
        # 64 of each source in an epoch: one pass, a quarter without a label.
        assert history.history["a_labels"] == [48.0, 48.0]
        assert history.history["b_labels"] == [64.0, 64.0]


def test_labels_are_counted_beside_a_balancer_and_in_no_plain_fit():
    x, y = VALIDATION
    y = {"a": np.where(np.arange(96) < 30, y["a"], np.nan), "b": y["b"]}
    weights = {"a": np.ones(96), "b": (np.arange(96) < 10).astype("float32")}
    seen = []

    class Spy(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(set(logs))

    model = model_of(balancer="uncertainty")
    history = model.fit(
        x,
        y,
        sample_weight=weights,
        epochs=2,
        validation_data=VALIDATION,
        callbacks=[Spy()],
        verbose=0,
    ).history
    assert history["a_labels"] == [30.0, 30.0]
    assert history["b_labels"] == [10.0, 10.0]
    assert {"a_labels", "b_labels"} <= seen[0]
    plain = model_of().fit(x, y, verbose=0).history
    assert "b_loss" in plain
    assert not any(key.endswith(("_labels", "_cosine")) for key in plain)


@pytest.mark.slow
def test_callbacks_in_a_list_of_keras_see_labels_too():
    x, y = VALIDATION
    model = model_of(balancer="uncertainty")
    callbacks = keras.callbacks.CallbackList(add_history=True, model=model)
    history = model.fit(x, y, callbacks=callbacks, verbose=0).history
    assert history["b_labels"] == [96.0]


OPPOSED = {
    "one": (X[:48], {"a": X[:48] @ W[:, 0]}),
    "other": (X[48:], {"c": -(X[48:] @ W[:, 0])}),
    "third": (X, {"d": X @ W[:, 0]}),
}
THREE = [Task(name, "regression") for name in "acd"]
BY_CONFLICT = rates.ByConflict(
    {"one": "a_cosine", "other": "c_cosine", "third": "d_cosine"}, strength=3
)


def model_in_conflict(balancer="pcgrad", **compiled):
    """Tasks read one and the same feature, for which one wants another."""
    keras.utils.set_random_seed(0)
    x = keras.Input((4,))
    h = layers.Dense(1, name="trunk")(x)
    heads = {
        name: layers.Rescaling(1.0, name=name)(h) for name in ("a", "c", "d")
    }
    model = MultiTaskModel(x, heads, tasks=THREE)
    model.compile(keras.optimizers.SGD(0.01), balancer=balancer, **compiled)
    return model


def test_rates_by_conflict_follow_the_cosines_of_fit():
    mixed = Mixture(OPPOSED, THREE, batch_size=24, rates=BY_CONFLICT)
    model = model_in_conflict()
    history = model.fit(mixed, epochs=3, verbose=0).history
    for epoch in range(2):
        cosines = [history[f"{task}_cosine"][epoch] for task in "acd"]
        # "c" alone wants the opposite of what the two others want.
        assert cosines[1] < -0.2 and min(cosines[0], cosines[2]) > cosines[1]
        weights = np.array([48, 48, 96]) * np.exp(3 * np.array(cosines))
        expected = 192 * weights / weights.sum()
        counts = list(mixed.counts(epoch + 1).values())
        assert np.abs(counts - expected).max() < 1
        assert [
            history[f"{task}_labels"][epoch + 1] for task in "acd"
        ] == counts


@pytest.mark.slow
def test_rates_by_conflict_resume_as_if_nothing_had_happened():
    def mixed():
        return Mixture(OPPOSED, THREE, batch_size=24, rates=BY_CONFLICT)

    whole, first, second = (model_in_conflict("mgda") for _ in range(3))
    expected = whole.fit(mixed(), epochs=4, verbose=0).history
    before = mixed()
    first.fit(before, epochs=2, verbose=0)
    state = json.loads(json.dumps(before.state()))
    after = mixed()
    after.restore(state)
    second.set_weights(first.get_weights())
    found = second.fit(after, initial_epoch=2, epochs=4, verbose=0).history
    for key in ("loss", "a_cosine", "c_labels"):
        np.testing.assert_array_equal(found[key], expected[key][2:])


def test_rates_by_conflict_need_a_balancer_of_gradients():
    mixed = Mixture(OPPOSED, THREE, batch_size=24, rates=BY_CONFLICT)
    with pytest.raises(ValueError, match="'_cosine' need a balancer of grad"):
        model_in_conflict("uncertainty").fit(mixed, epochs=2, verbose=0)


@pytest.mark.slow
def test_new_rates_trace_no_step_anew():
    traces = []

    class Traced(MultiTaskModel):
        def train_step(self, data):
            traces.append(1)
            return super().train_step(data)

    model = model_in_conflict()
    model.__class__ = Traced
    mixed = Mixture(OPPOSED, THREE, batch_size=24, rates=BY_CONFLICT)
    model.fit(mixed, epochs=1, verbose=0)
    once = len(traces)
    model.fit(mixed, initial_epoch=1, epochs=4, verbose=0)
    assert len({tuple(mixed.counts(e).values()) for e in range(4)}) > 1
    assert len(traces) == once


def test_what_cannot_be_read_is_an_error_that_names_source_and_example():
    labels = np.where(np.arange(64) == 50, 2, 1)
    tasks = [TASKS[0], Task("k", "multiclass", units=2)]
    far = tf.data.Dataset.from_tensor_slices((X[32:], {"k": labels}))
    keras.utils.set_random_seed(0)
    x = keras.Input((4,))
    model = MultiTaskModel(
        x,
        {
            "a": layers.Dense(1, name="a")(x),
            "k": layers.Dense(2, activation="softmax", name="k")(x),
        },
        tasks=tasks,
    )
    model.compile("sgd")
    mixed = Mixture({"numbers": SOURCES["numbers"], "far": far}, tasks)
    with pytest.raises(
        ValueError,
        match=r"^The source 'far' has a label out of range: task 'k', "
        r"example 50\. Expected: 0 to 1, or -1 where .* Received: 2",
    ):
        model.fit(mixed, verbose=0)
