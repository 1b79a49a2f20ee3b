"""What a .keras file carries, and that a run resumes bit for bit."""

import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import MultiTaskModel, Task, balancers
from tests.training import models

ROOT = pathlib.Path(__file__).parents[2]


def run(*arguments, expect=0):
    result = subprocess.run(
        [sys.executable, "-m", "tests.training.resume_script", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == expect, result.stderr[-2000:]


@pytest.mark.parametrize("balancer", ["dynamic_weight_average", "pcgrad"])
def test_killed_and_resumed_in_a_new_process_is_bit_identical(
    tmp_path, balancer
):
    whole, parts = str(tmp_path / "whole.keras"), str(tmp_path / "parts.keras")
    run(whole, "0", "4", balancer)
    run(parts, "0", "2", balancer, "die", expect=-9)
    run(parts, "2", "4", balancer)
    with np.load(f"{whole}.npz") as a, np.load(f"{parts}.npz") as b:
        assert set(a) == set(b)
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


@pytest.mark.parametrize(
    "name", [None, "mgda", "pcgrad", "graddrop", "gradnorm", "uncertainty"]
)
def test_a_reloaded_model_trains_on_as_the_saved_one(name, tmp_path):
    x, y = models.data(16)
    model = models.model(dropout=0.5)
    model.compile("adam", balancer=name, loss_weights={"age": 0.5})
    model.fit(x, y, epochs=2, verbose=0, shuffle=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is MultiTaskModel
    assert type(loaded.balancer) is type(model.balancer)
    histories = [
        m.fit(x, y, epochs=2, verbose=0, shuffle=False).history
        for m in (model, loaded)
    ]
    assert histories[0].keys() == histories[1].keys()
    for key, values in histories[0].items():  # NaN where nothing was computed
        np.testing.assert_array_equal(values, histories[1][key], err_msg=key)
    for own, expected in zip(
        loaded.get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(own, expected)


def test_the_arguments_of_compile_and_the_tasks_are_carried(tmp_path):
    keras.utils.set_random_seed(0)
    inputs, outputs = models.graph()
    model = MultiTaskModel(
        inputs,
        outputs,
        tasks=[
            Task("age", "regression", unit="years", loss="huber", weight=2.0),
            Task(
                "zoo",
                "multiclass",
                units=3,
                class_names=["ape", "bat", "cat"],
                metrics=[keras.metrics.SparseTopKCategoricalAccuracy(2)],
            ),
        ],
    )
    model.compile(
        keras.optimizers.SGD(0.25, momentum=0.5),
        loss={"age": keras.losses.MeanSquaredError(reduction="sum")},
        weighted_metrics={"age": ["mae"]},
        balancer=balancers.get("mgda", wrt="features", update_every=4),
        steps_per_execution=2,
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert list(loaded.tasks) == ["age", "zoo"]
    assert loaded.tasks["age"].unit == "years"
    assert loaded.tasks["age"].loss.reduction == "sum"
    assert loaded.tasks["zoo"].class_names == ["ape", "bat", "cat"]
    assert loaded.balancer.get_config() == model.balancer.get_config()
    assert loaded.steps_per_execution == 2
    assert float(loaded.optimizer.learning_rate.numpy()) == 0.25
    x, y = models.data()
    assert loaded.evaluate(x, y, verbose=0, return_dict=True) == model.evaluate(
        x, y, verbose=0, return_dict=True
    )


def test_a_model_without_tasks_is_carried_by_its_losses(tmp_path):
    model = models.model(with_tasks=False)
    model.compile(
        "adam",
        loss={"zoo": "sparse_categorical_crossentropy", "age": "mse"},
        metrics={"zoo": ["accuracy"]},
        balancer=balancers.Fixed({"zoo": 0.5, "age": 2.0}),
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x, y = models.data()
    logs = loaded.evaluate(x, y, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(
        0.5 * logs["zoo_loss"] + 2 * logs["age_loss"], rel=1e-6
    )


def test_weights_files_fit_with_and_without_random_state(tmp_path):
    model = models.model(dropout=0.5)
    model.save_weights(tmp_path / "model.weights.h5")
    other = models.model(seed=5, dropout=0.5)
    other.load_weights(tmp_path / "model.weights.h5")
    plain = models.model(seed=6, cls=keras.Model)
    plain.save_weights(tmp_path / "plain.weights.h5")
    models.model(seed=7).load_weights(tmp_path / "plain.weights.h5")
    for own, expected in zip(
        other.get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(own, expected)


def test_backup_and_restore_brings_back_the_balancer(tmp_path):
    x, y = models.data(16)

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def fit(*callbacks):
        model = models.model()
        model.compile("adam", balancer="dynamic_weight_average")
        history = model.fit(
            x, y, epochs=4, verbose=0, shuffle=False, callbacks=[*callbacks]
        )
        return model, history

    whole, _ = fit()
    with pytest.raises(KeyboardInterrupt):
        fit(keras.callbacks.BackupAndRestore(tmp_path), Stop())
    resumed, history = fit(keras.callbacks.BackupAndRestore(tmp_path))
    assert len(history.history["loss"]) == 2
    for own, expected in zip(
        resumed.get_weights(), whole.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(own, expected)


def test_importing_the_package_after_keras_registers_its_classes():
    assert keras.saving.get_registered_object("keras_mtl>MultiTaskModel")
    assert keras_mtl.__version__
