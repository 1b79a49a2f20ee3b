import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl import Task, builders
from keras_mtl.callbacks import TerminateOnNonFinite


@pytest.fixture(scope="module")
def make():
    """Models by balancer, as new."""
    made = {}

    def model(balancer):
        if balancer not in made:
            keras.utils.set_random_seed(0)
            new = builders.hard_sharing(
                keras.Input((2,)),
                [
                    Task("a", "regression", metrics=[]),
                    Task("b", "regression", metrics=[]),
                ],
                [keras.layers.Dense(4, name="low")],
            )
            new.compile("sgd", balancer=balancer)
            made[balancer] = new, new.get_weights()
        found, weights = made[balancer]
        found.set_weights(weights)
        return found

    return model


def data(bad, steps=6, value=1e30):
    """One example a step; the loss of "a" is infinite in some of them."""
    x = np.ones((steps, 2), "float32")
    y = {k: np.ones((steps, 1), "float32") for k in "ab"}
    y["a"][bad] = value
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(1)


class Steps(keras.callbacks.Callback):
    count = 0

    def on_train_batch_end(self, batch, logs=None):
        self.count += 1


def fit(model, callback, *args, **kwargs):
    steps = Steps()
    model.fit(
        data(*args, **kwargs),
        epochs=2,
        shuffle=False,
        verbose=0,
        callbacks=[callback, steps],
    )
    return steps.count


def test_it_stops_in_that_step_and_the_weights_are_good(make):
    model = make("fixed")
    callback = TerminateOnNonFinite()
    with pytest.warns(RuntimeWarning) as told:
        assert fit(model, callback, [2, 4]) == 3
    said = " ".join(str(w.message) for w in told)
    assert "In step 3 of epoch 1 the loss" in said
    assert "'a' (1)" in said and "the weights are good" in said
    assert callback.counts == {"a": 1, "b": 0}
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_it_raises(make):
    with pytest.raises(ValueError, match=r"step 3 of epoch 1 .*'a' \(1\)"):
        fit(make("fixed"), TerminateOnNonFinite("raise"), [2])


@pytest.mark.filterwarnings("ignore:The loss or gradient:RuntimeWarning")
def test_some_may_be_let_pass_over_all_epochs(make):
    callback = TerminateOnNonFinite("raise", after=3)
    with pytest.raises(ValueError, match=r"step 5 of epoch 2 .*'a' \(4\)"):
        fit(make("fixed"), callback, [2, 4])
    callback = TerminateOnNonFinite("raise", after=4)
    assert fit(make("fixed"), callback, [2, 4]) == 12
    assert callback.counts == {"a": 4, "b": 0}


def test_without_a_balancer_it_says_what_that_means(make):
    model = make(None)
    callback = TerminateOnNonFinite("raise")
    with pytest.raises(
        ValueError, match=r"step 3 .*no longer good.*checkpoint"
    ):
        fit(model, callback, [2])
    assert callback.counts == {"a": 1, "b": 0}


def test_a_task_without_labels_is_no_fault(make):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert (
            fit(make(None), TerminateOnNonFinite(), [0, 1], value=np.nan) == 12
        )


@pytest.mark.parametrize("balancer", [None, "fixed"])
def test_losses_that_explode(make, balancer):
    callback = TerminateOnNonFinite("raise", max_loss=1e3)
    with pytest.raises(
        ValueError, match=r"step 3 .*max_loss=1000.*'a': 3.3e\+03"
    ):
        fit(make(balancer), callback, [2], value=100.0)
    assert fit(make(balancer), TerminateOnNonFinite("raise"), []) == 12


def test_errors(make):
    with pytest.raises(ValueError, match="`action` must be one of"):
        TerminateOnNonFinite("skip")
    with pytest.raises(ValueError, match="`after` must be an integer"):
        TerminateOnNonFinite(after=-1)
    with pytest.raises(ValueError, match="`max_loss` must be a positive"):
        TerminateOnNonFinite(max_loss=0)
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="is for a keras_mtl"):
        model.fit(
            np.ones((2, 2)),
            np.ones((2, 1)),
            verbose=0,
            callbacks=[TerminateOnNonFinite()],
        )
