"""MultiTaskModel does what keras.Model does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl import MultiTaskModel, Task
from tests.training import models

LOSSES = {"zoo": "sparse_categorical_crossentropy", "age": "mse"}
METRICS = {"zoo": ["accuracy"], "age": ["mae", "mse"]}

COMPILE = {
    "plain": {},
    "loss_weights": {"loss_weights": {"age": 0.3, "zoo": 2.0}},
    "sgd_clipped": {
        "optimizer": keras.optimizers.SGD(0.5, global_clipnorm=0.1)
    },
    "jit": {"jit_compile": True},
    "eager": {"run_eagerly": True},
    "steps_per_execution": {"steps_per_execution": 2},
    "ema": {"optimizer": keras.optimizers.Adam(0.01, use_ema=True)},
    "accumulation": {
        "optimizer": keras.optimizers.Adam(gradient_accumulation_steps=2)
    },
}


@pytest.mark.parametrize(
    ("arguments", "weighted"),
    [
        pytest.param(
            arguments,
            weighted,
            # With weights more is at stake.
            marks=[] if weighted or name == "plain" else pytest.mark.slow,
            id=f"{name}-weighted" if weighted else name,
        )
        for name, arguments in COMPILE.items()
        for weighted in (False, True)
    ],
)
def test_same_history_and_weights_as_keras(arguments, weighted):
    x, y = models.data(25)  # the last batch has one sample
    weights = None
    if weighted:
        rng = np.random.default_rng(1)
        weights = {k: rng.uniform(0.5, 2, len(x)).astype("float32") for k in y}
    found = []
    for cls in (keras.Model, MultiTaskModel):
        model = models.model(
            cls=cls,
            with_tasks=False,
            dropout=0.3,
            batch_norm=True,
            regularizer="l2",
        )
        optimizer = arguments.get("optimizer", keras.optimizers.Adam())
        options = {k: v for k, v in arguments.items() if k != "optimizer"}
        model.compile(
            type(optimizer).from_config(optimizer.get_config()),
            loss=LOSSES,
            metrics=METRICS,
            **options,
        )
        keras.utils.set_random_seed(3)
        history = model.fit(
            x,
            y,
            sample_weight=weights,
            batch_size=8,
            epochs=2,
            verbose=0,
            validation_data=(x, y),
        )
        found.append((history.history, model.get_weights()))
        evaluated = model.evaluate(x, y, verbose=0, return_dict=True)
        found[-1] += (evaluated,)
    (history, weights, results), (own_history, own_weights, own_results) = found
    assert set(own_history) == set(history)
    for key, values in history.items():
        np.testing.assert_allclose(own_history[key], values, rtol=2e-6)
    for own, expected in zip(own_weights, weights, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-7)
    assert own_results == pytest.approx(results, rel=2e-6)


def test_predict_train_and_test_on_batch_as_keras():
    x, y = models.data()
    found = []
    for cls in (keras.Model, MultiTaskModel):
        model = models.model(cls=cls, with_tasks=False)
        model.compile("sgd", loss=LOSSES, metrics=METRICS)
        logs = model.train_on_batch(x, y, return_dict=True)
        found.append((logs, model.test_on_batch(x, y, return_dict=True)))
        outputs = model.predict(x, verbose=0)
        found[-1] += (outputs,)
    for own, expected in zip(found[1][:2], found[0][:2], strict=True):
        assert own == pytest.approx(expected, rel=1e-6)
    for key, value in found[0][2].items():
        np.testing.assert_array_equal(found[1][2][key], value)


def test_fits_what_keras_fits():
    x, y = models.data(16)
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            part = slice(4 * i, 4 * i + 4)
            return x[part], {k: v[part] for k, v in y.items()}

    def generator():
        for i in range(4):
            yield Batches()[i]

    losses = []
    for source in (dataset, Batches(), generator()):
        model = models.model()
        model.compile("sgd", balancer="mgda")
        history = model.fit(
            source, epochs=1, verbose=0, steps_per_epoch=4, shuffle=False
        )
        losses.append(history.history["loss"][0])
    arrays = models.model()
    arrays.compile("sgd", balancer="mgda")
    history = arrays.fit(x, y, batch_size=4, verbose=0, shuffle=False)
    assert losses == pytest.approx([history.history["loss"][0]] * 3, rel=1e-6)


def test_each_metric_sees_its_own_head():
    x, y = models.data()
    model = models.model()
    model.compile("sgd")
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    outputs = model.predict(x, verbose=0)
    assert logs["zoo_accuracy"] == pytest.approx(
        np.mean(outputs["zoo"].argmax(-1) == y["zoo"])
    )
    assert logs["age_mae"] == pytest.approx(
        np.mean(np.abs(outputs["age"][:, 0] - y["age"])), rel=1e-5
    )
    assert logs["loss"] == pytest.approx(
        logs["zoo_loss"] + logs["age_loss"], rel=1e-6
    )


def test_metrics_count_labels_that_are_there():
    x, y = models.data(missing=True)
    model = models.model()
    model.compile(
        "sgd",
        metrics={"age": ["mse"], "zoo": ["accuracy"]},
        weighted_metrics={"age": ["mae"]},
    )
    weights = {"age": np.arange(len(x), dtype="float32")}
    logs = model.evaluate(
        x, y, sample_weight=weights, verbose=0, return_dict=True
    )
    outputs = model.predict(x, verbose=0)
    there = ~np.isnan(y["age"])
    there[0] = False  # its weight is 0
    errors = (outputs["age"][:, 0] - y["age"])[there]
    assert logs["age_mse"] == pytest.approx(np.mean(errors**2), rel=1e-5)
    w = weights["age"][there]
    assert logs["age_mae"] == pytest.approx(
        np.sum(np.abs(errors) * w) / w.sum(), rel=1e-5
    )
    there = y["zoo"] >= 0
    assert logs["zoo_accuracy"] == pytest.approx(
        np.mean(outputs["zoo"].argmax(-1)[there] == y["zoo"][there])
    )


def test_from_model_shares_layers_and_names_outputs():
    keras.utils.set_random_seed(0)
    x = keras.Input((5,))
    h = keras.layers.Dense(4)(x)
    old = keras.Model(x, [keras.layers.Dense(1, name=n)(h) for n in ("b", "a")])
    new = MultiTaskModel.from_model(old)
    assert list(new.output) == ["b", "a"]
    assert {id(v) for v in new.weights} == {id(v) for v in old.weights}
    inputs = models.data()[0]
    predictions = new.predict(inputs, verbose=0)
    for key, value in zip("ba", old.predict(inputs, verbose=0), strict=True):
        np.testing.assert_array_equal(predictions[key], value)


def test_one_task_is_keras_with_our_keys():
    x, y = models.data()
    keras.utils.set_random_seed(0)
    inputs, outputs = models.graph()
    model = MultiTaskModel(
        inputs, {"age": outputs["age"]}, tasks=[Task("age", "regression")]
    )
    for balancer in (None, "mgda", "uncertainty", "graddrop", "pcgrad"):
        model.compile("adam", balancer=balancer)
        logs = model.fit(x, {"age": y["age"]}, verbose=0).history
        assert np.isfinite(logs["age_loss"][0])
        assert {"loss", "age_loss", "age_mae"} <= set(logs)


def test_callbacks_see_our_logs_and_can_stop():
    x, y = models.data()
    model = models.model()
    model.compile("adam", balancer="pcgrad")
    seen = []
    stop = keras.callbacks.EarlyStopping(
        "val_age_mae", mode="min", patience=0, min_delta=9
    )
    history = model.fit(
        x,
        y,
        epochs=5,
        verbose=0,
        validation_data=(x, y),
        callbacks=[
            stop,
            keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: seen.append(set(logs))
            ),
        ],
    )
    assert len(history.history["loss"]) == 2
    balance = {"zoo_weight", "age_weight", "min_cosine"}
    assert balance <= seen[0]
    assert not {f"val_{k}" for k in balance} & set(history.history)


def test_switching_the_balancer_drops_the_old_ones_variables():
    model = models.model()
    model.compile("adam", balancer="uncertainty")
    assert len(model.trainable_variables) == 9
    model.compile("adam")
    assert len(model.trainable_variables) == 8
    assert model.balancer is None


def test_metrics_of_rows_with_gaps():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = keras.Input((3,))
    model = MultiTaskModel(
        x,
        {"tags": keras.layers.Dense(4, activation="sigmoid", name="tags")(x)},
        tasks=[
            Task(
                "tags",
                "multilabel",
                units=4,
                metrics=["accuracy", "auc", keras.metrics.F1Score(None)],
            )
        ],
    )
    model.compile("sgd")
    inputs = rng.normal(size=(20, 3)).astype("float32")
    labels = rng.integers(-1, 2, (20, 4))
    labels[:6] = np.abs(labels[:6])  # whole rows, for F1
    logs = model.evaluate(inputs, {"tags": labels}, verbose=0, return_dict=True)
    scores = model.predict(inputs, verbose=0)["tags"]
    there = labels >= 0
    hits = (scores > 0.5) == labels
    assert logs["tags_accuracy"] == pytest.approx(hits[there].mean(), rel=1e-5)
    auc = keras.metrics.AUC()
    auc.update_state(labels[there], scores[there])
    assert logs["tags_auc"] == pytest.approx(float(auc.result()), rel=1e-5)
    whole = there.all(axis=1)
    f1 = keras.metrics.F1Score(None)
    f1.update_state(labels[whole].astype("float32"), scores[whole])
    np.testing.assert_allclose(logs["tags_f1_score"], f1.result(), rtol=1e-5)


def test_validation_weights_may_leave_tasks_out():
    x, y = models.data(16)
    model = models.model()
    model.compile("sgd", balancer="fixed")
    weights = {"age": np.linspace(0.5, 2, 16).astype("float32")}
    history = model.fit(
        x, y, epochs=1, verbose=0, validation_data=(x, y, weights)
    ).history
    weighted = model.evaluate(
        x, y, sample_weight=weights, verbose=0, return_dict=True
    )
    plain = model.evaluate(x, y, verbose=0, return_dict=True)
    found = {key: history[f"val_{key}"][0] for key in ("age_loss", "zoo_loss")}
    assert found["age_loss"] == pytest.approx(weighted["age_loss"], rel=1e-5)
    assert found["age_loss"] != pytest.approx(plain["age_loss"], rel=1e-3)
    assert found["zoo_loss"] == pytest.approx(plain["zoo_loss"], rel=1e-5)
