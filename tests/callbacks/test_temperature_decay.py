"""Temperatures fall by the schedule, without a trace more, across resumes."""

import keras
import numpy as np
import pytest

from keras_mtl import MultiTaskModel, Task, builders
from keras_mtl.callbacks import TemperatureDecay
from keras_mtl.layers import BranchChoice


def build(**arguments):
    keras.utils.set_random_seed(0)
    model = builders.branching(
        keras.Input((3,), name="x"),
        [Task("a", "binary"), Task("b", "regression")],
        [keras.layers.Dense(4, name="low")],
        **arguments,
    )
    model.compile("adam")
    return model


X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
Y = {"a": np.arange(8) % 2, "b": np.linspace(0, 1, 8)}


class Seen(keras.callbacks.Callback):
    """The temperature that the steps of each epoch used."""

    def on_train_begin(self, logs=None):
        self.temperatures = []

    def on_train_batch_end(self, batch, logs=None):
        layer = self.model.get_layer("a_choice")
        self.temperatures.append(float(layer.temperature))


def fit(model, *callbacks, **arguments):
    seen = Seen()
    model.fit(
        X, Y, batch_size=4, verbose=0, callbacks=[*callbacks, seen], **arguments
    )
    return seen.temperatures


def test_it_falls_once_an_epoch_down_to_the_minimum():
    model = build(temperature=4.0)
    temperatures = fit(model, TemperatureDecay(0.5, minimum=0.8), epochs=4)
    assert temperatures == pytest.approx([4, 4, 2, 2, 1, 1, 0.8, 0.8])
    for layer in model.layers:
        if isinstance(layer, BranchChoice):
            assert float(layer.temperature) == pytest.approx(0.8)


def test_without_it_the_temperature_stays():
    assert fit(build(temperature=4.0), epochs=2) == [4.0] * 4


def test_a_training_that_goes_on_goes_on_with_the_temperature():
    temperatures = fit(
        build(temperature=4.0), TemperatureDecay(0.5), epochs=4, initial_epoch=2
    )
    assert temperatures == pytest.approx([1, 1, 0.5, 0.5])


def test_a_low_start_is_not_raised():
    assert fit(build(temperature=0.05), TemperatureDecay(0.5), epochs=2) == (
        pytest.approx([0.05] * 4)
    )


def test_nothing_is_traced_anew(monkeypatch):
    traces = []
    option_weights = BranchChoice.option_weights

    def counted(self, training):
        traces.append(self.name)
        return option_weights(self, training)

    monkeypatch.setattr(BranchChoice, "option_weights", counted)
    model = build()
    traces.clear()
    fit(model, TemperatureDecay(0.5), epochs=1)
    once = len(traces)
    assert once > 0
    fit(model, TemperatureDecay(0.5), epochs=4)
    assert len(traces) == once


def test_choices_in_nested_models_are_found():
    x = keras.Input((3,))
    inner = keras.Model(x, BranchChoice(4.0, name="c")([x, 2 * x]), name="in")
    model = MultiTaskModel(x, {"a": keras.layers.Dense(1)(inner(x))})
    model.compile("sgd", loss={"a": "mse"})
    model.fit(
        X,
        {"a": Y["b"]},
        epochs=2,
        verbose=0,
        callbacks=[TemperatureDecay(0.5)],
    )
    assert float(inner.get_layer("c").temperature) == pytest.approx(2.0)


def test_a_model_without_choices_is_refused():
    model = build(tree=[[["a", "b"]]])
    with pytest.raises(ValueError, match="needs a model with learned choices"):
        fit(model, TemperatureDecay())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 0}, "`rate`.*Received: rate=0"),
        ({"rate": 1.5}, "`rate`.*Received: rate=1.5"),
        ({"minimum": 0}, "`minimum` must be a finite number above 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TemperatureDecay(**arguments)
