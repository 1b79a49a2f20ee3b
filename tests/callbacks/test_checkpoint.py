import os
import zipfile

import keras
import numpy as np
import pytest

from keras_mtl.callbacks import Checkpoint, load_checkpoint


@pytest.fixture
def model():
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("adam", "mse")
    return model


def fit(model, *callbacks, epochs=2):
    x = np.ones((4, 2))
    model.fit(x, x[:, :1], epochs=epochs, callbacks=callbacks, verbose=0)


def test_model_epoch_and_logs_come_back_together(model, tmp_path):
    path = tmp_path / "model.keras"
    fit(model, Checkpoint(path))
    loaded, epochs, history = load_checkpoint(path)
    assert epochs == 2
    assert len(history["loss"]) == 2
    for before, now in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(before, now)
    assert os.listdir(tmp_path) == ["model.keras"]


def test_history_goes_on(model, tmp_path):
    path = tmp_path / "model.keras"
    fit(model, Checkpoint(path, {"loss": [9.0]}), epochs=1)
    assert load_checkpoint(path)[2]["loss"][0] == 9.0
    assert len(load_checkpoint(path)[2]["loss"]) == 2


def test_a_save_that_fails_leaves_the_last_one(model, tmp_path, monkeypatch):
    path = tmp_path / "model.keras"
    fit(model, Checkpoint(path))

    def full(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OSError, match="No space left"):
        fit(model, Checkpoint(path))
    monkeypatch.undo()
    assert load_checkpoint(path)[1] == 2
    assert os.listdir(tmp_path) == ["model.keras"]


class Mixed:
    """As much of a mixture as a checkpoint asks for."""

    def __init__(self, logs=()):
        self.logs = list(logs)

    def state(self):
        return {"logs": self.logs}

    def restore(self, state):
        self.logs = state["logs"]


def test_a_mixture_goes_on_with_its_logs(model, tmp_path):
    path = tmp_path / "model.keras"
    mixture = Mixed([{"loss": 0.1}, {"loss": float("nan")}])
    fit(model, Checkpoint(path, mixture=mixture))
    new = Mixed()
    load_checkpoint(path, mixture=new)
    assert repr(new.logs) == repr(mixture.logs)
    fit(model, Checkpoint(path))
    with pytest.raises(ValueError, match="knows of no mixture"):
        load_checkpoint(path, mixture=new)


@pytest.mark.parametrize(
    "state",
    [
        "{",
        "[]",
        "{}",
        '{"epochs": "1", "history": {}}',
        '{"epochs": 1, "history": {"loss": ["x"]}}',
        '{"epochs": 1, "history": {}, "mixture": {}}',
    ],
)
def test_a_state_that_is_none(model, tmp_path, state):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("keras_mtl_training.json", state)
    with pytest.raises(ValueError, match="holds no training state"):
        load_checkpoint(path)


def test_weights_that_are_not_finite_are_not_saved(model, tmp_path):
    path = tmp_path / "model.keras"
    fit(model, Checkpoint(path), epochs=1)
    before = path.read_bytes()
    model.set_weights([w * np.nan for w in model.get_weights()])
    with pytest.warns(RuntimeWarning, match="not finite after epoch 1"):
        fit(model, Checkpoint(path), epochs=1)
    assert path.read_bytes() == before


def test_errors(model, tmp_path):
    with pytest.raises(ValueError, match=r"must end in '\.keras'"):
        Checkpoint(tmp_path / "model.h5")
    with pytest.raises(FileNotFoundError, match="There is no checkpoint"):
        load_checkpoint(tmp_path / "model.keras")
    model.save(tmp_path / "plain.keras")
    with pytest.raises(ValueError, match="holds no training state"):
        load_checkpoint(tmp_path / "plain.keras")
