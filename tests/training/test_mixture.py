"""Training on a mixture: `fit` follows its epochs, and tasks learn apart."""

import keras
import numpy as np
import pytest
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
