"""Bad input is refused with words that tell what to do, before training."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl import MultiTaskModel, Task, balancers
from tests.training import models

X, Y = models.data(12)
KEYS = r"Expected: a dict with the keys \['zoo', 'age'\]"


@pytest.fixture(scope="module")
def model():
    """Never trained by the tests that ask for it."""
    compiled = models.model()
    compiled.compile("sgd")
    return compiled


@pytest.fixture
def untrained(model):
    before = model.get_weights()
    yield model
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def with_(**labels):
    return {**Y, **labels}


def misspelt(labels):
    return {"zoo": labels["zoo"], "aeg": labels["age"]}


def dataset(x, *others, batch=4):
    return tf.data.Dataset.from_tensor_slices((x, *others)).batch(batch)


class Batches(keras.utils.PyDataset):
    """Three batches, the second one spoilt."""

    def __init__(self, spoil=lambda y: y, **kwargs):
        super().__init__(**kwargs)
        self.spoil = spoil

    def __len__(self):
        return 3

    def __getitem__(self, i):
        part = slice(4 * i, 4 * i + 4)
        y = {k: v[part] for k, v in Y.items()}
        return X[part], self.spoil(y) if i == 1 else y


def generator(spoil):
    yield from (Batches(spoil)[i] for i in range(3))


COMPILE = {
    "loss": ({"loss": {"zo": "mse"}}, rf"`loss` .*'zo'.*{KEYS}.*mean 'zoo'\?"),
    "loss_list": ({"loss": ["mse", "mse"]}, rf"`loss`.*{KEYS}.*list"),
    "loss_name": ({"loss": {"age": "mes"}}, "`loss` must be.*'mes'"),
    "metrics": ({"metrics": {"zo": "mse"}}, rf"`metrics` .*{KEYS}.*'zoo'\?"),
    "metrics_list": ({"metrics": ["mse"]}, rf"`metrics`.*{KEYS}.*list"),
    "metrics_name": ({"metrics": {"age": "mea"}}, "`metrics`.*'age'.*'mea'"),
    "weighted_metrics": (
        {"weighted_metrics": {"zo": "mse"}},
        rf"`weighted_metrics`.*{KEYS}.*'zoo'\?",
    ),
    "loss_weights": (
        {"loss_weights": {"zoo": 1, "aeg": 2}},
        rf"`loss_weights`.*'aeg'.*{KEYS}.*'age'\?",
    ),
    "loss_weights_list": ({"loss_weights": [1, 2]}, "`loss_weights`.*list"),
    "loss_weights_none": (
        {"loss_weights": {"zoo": None}},
        r"`loss_weights\['zoo'\]` must be a finite number. Received: None",
    ),
    "loss_weights_nan": (
        {"loss_weights": {"zoo": np.nan}},
        r"`loss_weights\['zoo'\]` must be a finite number. Received: nan",
    ),
    "nothing_left": (
        {"loss": {"zoo": None, "age": None}},
        "`tasks` must hold at least one task",
    ),
    "balancer": (
        {"balancer": "mgd"},
        "no balancer named 'mgd'.*mean 'mgda'.*one of: .*pcgrad",
    ),
    "balancer_type": ({"balancer": 3}, "`balancer` must be.*Received: 3.*mgda"),
}


@pytest.mark.parametrize(
    ("arguments", "message"), COMPILE.values(), ids=COMPILE
)
def test_compile(arguments, message):
    model = models.model()
    with pytest.raises(ValueError, match=message):
        model.compile("sgd", **arguments)
    with pytest.raises(ValueError, match=r"call `compile\(\)`"):
        model.fit(X, Y)


def test_balancer_of_another_number_of_tasks():
    x, outputs = models.graph()
    balancer = balancers.get("uncertainty")
    model = MultiTaskModel(x, {"age": outputs["age"]})
    model.compile("sgd", loss="mse", balancer=balancer)
    with pytest.raises(ValueError, match="built for 1 tasks; this model has 2"):
        models.model().compile("sgd", balancer=balancer)


def test_an_output_that_nobody_reads_and_the_way_out():
    x, outputs = models.graph()
    model = MultiTaskModel(x, outputs, tasks=[Task("age", "regression")])
    with pytest.raises(ValueError, match=r"'zoo' has neither.*loss=\{'zoo': N"):
        model.compile("sgd")
    model.compile("sgd", loss={"zoo": None}, run_eagerly=True)
    for labels in ({"age": Y["age"]}, Y):
        logs = model.fit(X, labels, verbose=0).history
        assert set(logs) == {"loss", "age_loss", "age_mae"}
    assert set(model.predict(X, verbose=0)) == {"zoo", "age"}


def test_tasks_and_outputs():
    x, outputs = models.graph()
    for wrong in (list(outputs.values()), outputs["age"], {"a": outputs}):
        with pytest.raises(
            ValueError, match=r"`outputs` must be a dict.*from_m"
        ):
            MultiTaskModel(x, wrong)
    with pytest.raises(ValueError, match=rf"`tasks`.*'zo'.*{KEYS}.*'zoo'\?"):
        MultiTaskModel(x, outputs, tasks=[Task("zo", "regression")])
    with pytest.raises(ValueError, match=r"`tasks`.*Task objects.*'zoo'"):
        MultiTaskModel(x, outputs, tasks=["zoo", "age"])
    with pytest.raises(ValueError, match=r"`model` must be a Functional"):
        MultiTaskModel.from_model(keras.layers.Dense(1))


def test_a_model_that_shares_nothing_warns():
    x = keras.Input((5,))
    outputs = {k: keras.layers.Dense(1, name=k)(x) for k in ("a", "b")}
    model = MultiTaskModel(x, outputs)
    with pytest.warns(UserWarning, match="share no trainable variable") as seen:
        model.compile("sgd", loss="mse", balancer="mgda", run_eagerly=True)
    assert seen[0].filename == __file__
    y = {"a": Y["age"], "b": Y["age"]}
    assert np.isfinite(model.fit(X, y, verbose=0).history["loss"][0])


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch"])
def test_before_compile(method):
    with pytest.raises(ValueError, match=r"call `compile\(\)`"):
        getattr(models.model(), method)(X, Y)


LABELS = {
    "misspelt": (misspelt(Y), rf"`y`.*'aeg'.*{KEYS}.*'age'\? Name the lab"),
    "lacking": ({"zoo": Y["zoo"]}, rf"`y` lacks the keys \['age'\].*{KEYS}"),
    "list": ([Y["zoo"], Y["age"]], rf"`y` must be a dict.*{KEYS}.*list"),
    "array": (Y["age"], rf"`y` must be a dict.*{KEYS}.*ndarray"),
    "none": (None, rf"`y` must be a dict.*{KEYS}.*NoneType"),
    "range": (
        with_(zoo=Y["zoo"] + 2),
        r"`y\['zoo'\]`.*class indices from 0 to 2.*Received: [34]\. Correct",
    ),
    "negative": (with_(zoo=Y["zoo"] - 4), r"`y\['zoo'\]`.*Received: -[234]"),
    "fraction": (with_(zoo=Y["zoo"] + 0.5), r"`y\['zoo'\]`.*Received: \d\.5"),
    "infinite": (with_(age=Y["age"] * np.inf), r"`y\['age'\]`.*infinite.*NaN"),
    "one_hot": (
        with_(zoo=np.eye(3)[Y["zoo"]]),
        r"`y\['zoo'\]`.*\(batch,\) or \(batch, 1\).*\(12, 3\).*categorical_cro",
    ),
    "two_columns": (
        with_(age=np.zeros((12, 2))),
        r"`y\['age'\]`.*\(batch, 1\) or \(batch,\).*\(12, 2\)",
    ),
    "rank": (with_(age=np.zeros((12, 1, 1))), r"`y\['age'\]`.*\(12, 1, 1\)"),
    "scalar": (with_(age=np.float32(1)), r"`y\['age'\]`.*axis of samples"),
    "strings": (
        with_(zoo=np.array(["a"] * 12)),
        r"`y\['zoo'\]` must hold numbers.*dtype <U1.*indices",
    ),
    "objects": (
        with_(age=np.array([1.0, None] * 6, dtype=object)),
        r"`y\['age'\]` must hold numbers.*object.*NaN where one is missing",
    ),
    "no_array": (with_(age=None), r"`y\['age'\]` must be an array.*NoneType"),
    "python_list": (
        with_(zoo=[1] * 12),
        r"`y\['zoo'\]` must be an array.*list",
    ),
    "length": (
        with_(age=Y["age"][:5]),
        r"same number of samples. Received: .*\"y\['age'\]\": 5",
    ),
}


@pytest.mark.parametrize(("y", "message"), LABELS.values(), ids=LABELS)
def test_labels(untrained, y, message):
    with pytest.raises(ValueError, match=message):
        untrained.fit(X, y, verbose=0)
    with pytest.raises(ValueError, match=message):
        untrained.evaluate(X, y, verbose=0)
    with pytest.raises(ValueError, match=message):
        untrained.train_on_batch(X, y)
    with pytest.raises(ValueError, match=f"^In `validation_data`: .*{message}"):
        untrained.fit(X, Y, validation_data=(X, y), verbose=0)


MISSING = {
    "labels": (with_(age=np.full(12, np.nan)), None),
    "classes": (with_(zoo=np.full(12, -1)), None),
    "weights_by_task": (Y, {"age": np.zeros(12)}),
    "weights": (Y, np.zeros(12)),
}


@pytest.mark.parametrize(("y", "weights"), MISSING.values(), ids=MISSING)
def test_no_label_at_all(untrained, y, weights):
    with pytest.raises(ValueError, match=r"no label: all 12 are missing.*Drop"):
        untrained.fit(X, y, sample_weight=weights, verbose=0)


def test_no_label_at_all_is_no_error_in_evaluate():
    model = models.model()
    model.compile("sgd", run_eagerly=True)
    y = with_(age=np.full(12, np.nan, "float32"))
    logs = model.evaluate(X, y, verbose=0, return_dict=True)
    assert np.isnan(logs["age_loss"])
    assert logs["loss"] == pytest.approx(logs["zoo_loss"])


WEIGHTS = {
    "misspelt": ({"aeg": np.ones(12)}, rf"`sample_weight`.*{KEYS}.*'age'\?"),
    "length": ({"age": np.ones(11)}, r"\"sample_weight\['age'\]\": 11"),
    "one_length": (np.ones(11), r"'sample_weight': 11"),
    "nan": ({"age": np.full(12, np.nan)}, "`sample_weight` of task 'age'.*NaN"),
    "list": ([np.ones(12)] * 2, "`sample_weight` must be.*Received: list"),
}


@pytest.mark.parametrize(("weights", "message"), WEIGHTS.values(), ids=WEIGHTS)
def test_sample_weights(untrained, weights, message):
    with pytest.raises(ValueError, match=message):
        untrained.fit(X, Y, sample_weight=weights, verbose=0)


NAN = np.where(np.arange(5) == 1, np.nan, X)
INPUTS = {
    "nan": (NAN, Y, "`x` holds 12 values that are NaN.*Impute"),
    "infinite": (np.full_like(X, np.inf), Y, "`x` holds 60 values"),
    "list": (X.tolist(), Y, r"`x` must be an array.*list of float.*asarray"),
    "none": (None, Y, "`x` must be given"),
    "empty": (
        X[:0],
        {k: v[:0] for k, v in Y.items()},
        "`x` is empty.*at least",
    ),
    "width": (X[:, :3], Y, r"expected shape=\(None, 5\)"),
}


@pytest.mark.parametrize(("x", "y", "message"), INPUTS.values(), ids=INPUTS)
def test_inputs(untrained, x, y, message):
    with pytest.raises(ValueError, match=message):
        untrained.fit(x, y, verbose=0)


DATASETS = {
    "misspelt": (dataset(X, misspelt(Y)), rf"`y`.*'aeg'.*{KEYS}.*'age'\?"),
    "tuple": (dataset(X, (Y["zoo"], Y["age"])), rf"`y` must be a dict.*{KEYS}"),
    "weights": (
        dataset(X, Y, {"aeg": np.ones(12)}),
        rf"`sample_weight`.*{KEYS}.*'age'\?",
    ),
    "inputs_only": (
        tf.data.Dataset.from_tensor_slices(X).batch(4),
        r"`x` must yield \(inputs, labels\).*dataset of TensorSpec",
    ),
    "empty": (dataset(X, Y).take(0), "`x` is an empty dataset"),
    "unbatched": (dataset(X, Y).unbatch(), r"axis of samples.*\.batch\(32\)"),
    "one_hot": (
        dataset(X, with_(zoo=np.eye(3)[Y["zoo"]])),
        r"`y\['zoo'\]`.*\(batch,\).*\(None, 3\)",
    ),
    "strings": (
        dataset(X, with_(zoo=np.array(["a"] * 12))),
        r"`y\['zoo'\]` must hold numbers",
    ),
}


@pytest.mark.parametrize(("data", "message"), DATASETS.values(), ids=DATASETS)
def test_datasets(untrained, data, message):
    with pytest.raises(ValueError, match=message):
        untrained.fit(data, verbose=0)
    with pytest.raises(ValueError, match=message):
        untrained.evaluate(data, verbose=0)
    with pytest.raises(ValueError, match=f"^In `validation_data`: .*{message}"):
        untrained.fit(X, Y, validation_data=data, verbose=0)


@pytest.fixture(scope="module")
def learner():
    """Trained, and spoilt, by the tests that ask for it."""
    compiled = models.model()
    compiled.compile("sgd", jit_compile=False)
    return compiled


SPOILT = {
    "misspelt": (misspelt, rf"^`y`.*'aeg'.*{KEYS}.*'age'\?"),
    "lacking": (lambda y: {"zoo": y["zoo"]}, r"^`y` lacks the keys \['age'\]"),
    "range": (lambda y: {**y, "zoo": y["zoo"] + 9}, r"^`y\['zoo'\]`.*0 to 2"),
}


@pytest.mark.parametrize(("spoil", "message"), SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_batch_half_way(learner, spoil, message, workers):
    # `workers > 1` means threads; the message must not be lost in one.
    batches = Batches(spoil, workers=workers)
    with pytest.raises(ValueError, match=message):
        learner.fit(batches, verbose=0, shuffle=False)
    with pytest.raises(
        ValueError, match=f"^In `validation_data`: .*{message[1:]}"
    ):
        learner.fit(X, Y, validation_data=batches, verbose=0)
    with pytest.raises(ValueError, match=message):
        learner.fit(generator(spoil), verbose=0, shuffle=False)
    with pytest.raises(ValueError, match=message):
        learner.train_on_batch(*batches[1])
    # An error is told once: good data train afterwards.
    learner.fit(Batches(workers=workers), verbose=0, shuffle=False)


@pytest.mark.parametrize(
    "batch", [X, (X,), {"x": X}], ids=["x", "tuple", "dict"]
)
def test_what_a_generator_yields(learner, batch):
    with pytest.raises(ValueError, match=r"`x` must yield \(inputs, labels\)"):
        learner.fit(iter([batch]), verbose=0, shuffle=False)


def test_streams_with_labels_out_of_range(learner):
    data = dataset(X, with_(zoo=Y["zoo"] + 9))
    with pytest.raises(ValueError, match=r"`y` holds a class index.*\[0, 3\)"):
        learner.fit(data, verbose=0, shuffle=False)


def test_streams_that_run_out_of_labels_later_only_warn(learner):
    labels = with_(age=np.where(np.arange(12) < 6, Y["age"], np.nan))
    batches = dataset(X, labels, batch=6).repeat()
    with pytest.warns(RuntimeWarning, match=r"no label for \['age'\].*epoch 2"):
        learner.fit(
            batches, epochs=3, steps_per_epoch=1, verbose=0, shuffle=False
        )


def test_a_task_must_have_the_units_of_its_output():
    x, outputs = models.graph()
    wrong = [Task("zoo", "multiclass", units=5), Task("age", "regression")]
    with pytest.raises(ValueError, match=r"`units` of task 'zoo'.*Expected: 3"):
        MultiTaskModel(x, outputs, tasks=wrong)


def test_streams_without_a_label(learner):
    data = dataset(X, with_(age=np.full(12, np.nan, "float32")))
    with pytest.raises(ValueError, match=r"no label for \['age'\].*epoch 1"):
        learner.fit(data, epochs=3, verbose=0, shuffle=False)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_streams_without_a_batch(learner):
    data = dataset(X, Y).filter(lambda *batch: False)
    with pytest.raises(ValueError, match="`x` yielded no batch"):
        learner.fit(data, verbose=0, shuffle=False)


@pytest.mark.parametrize("balancer", [None, "mgda"])
def test_streams_with_nan_inputs_warn_and_name_the_tasks(balancer):
    model = models.model()
    model.compile("sgd", balancer=balancer, run_eagerly=True)
    data = dataset(NAN.astype("float32"), Y, batch=12)
    with pytest.warns(
        RuntimeWarning, match=r"\['zoo', 'age'\] are NaN.*epoch 1"
    ):
        model.fit(data, verbose=0, shuffle=False)


def test_weights_that_broke_while_losses_did_not_are_told_of():
    inputs = keras.Input((3,))
    low = keras.layers.Dense(4, activation="tanh")(inputs)
    outputs = {
        "zoo": keras.layers.Dense(1, name="zoo")(low),
        "age": keras.layers.Dense(1, name="age")(low),
    }
    model = MultiTaskModel(inputs, outputs)
    model.compile("sgd", loss="mse")
    x = np.ones((8, 3), "float32")
    x[-1, 0] = np.inf  # which tanh makes 1 of, with a derivative of 0
    y = {"zoo": np.ones((8, 1), "float32"), "age": np.ones((8, 1), "float32")}
    with pytest.warns(RuntimeWarning, match="Weights are NaN .* epoch 1"):
        model.fit(dataset(x, y), verbose=0, shuffle=False)


def test_what_is_odd_but_right():
    model = models.model()
    model.compile("sgd", run_eagerly=True)
    column = with_(age=Y["age"][:, None], zoo=Y["zoo"][:, None])
    for y in (Y, column, {k: tf.constant(v) for k, v in Y.items()}):
        logs = model.fit(X, y, batch_size=11, verbose=0).history
        assert np.isfinite(logs["loss"][0])
    halves = model.fit(
        X,
        Y,
        sample_weight={"age": np.ones(12)},
        validation_split=0.5,
        verbose=0,
    )
    assert "val_age_loss" in halves.history


@pytest.mark.parametrize(
    "loss",
    [
        "categorical_crossentropy",
        keras.losses.SparseCategoricalCrossentropy(ignore_class=9),
        keras.losses.CategoricalGeneralizedCrossEntropy(),
        lambda y_true, y_pred: keras.ops.mean(y_true[:, :1] - y_pred, -1),
    ],
    ids=["one_hot", "ignored_class", "sparse_in_its_own_way", "own"],
)
def test_losses_take_labels_of_their_own_shape(loss):
    model = models.model()
    model.compile("sgd", loss={"zoo": loss}, metrics={}, run_eagerly=True)
    labels = Y["zoo"]
    if isinstance(loss, keras.losses.SparseCategoricalCrossentropy):
        labels = np.where(labels == 1, 9, labels)
    elif not isinstance(loss, keras.losses.CategoricalGeneralizedCrossEntropy):
        labels = np.eye(3, dtype="float32")[labels]
    logs = model.fit(X, with_(zoo=labels), verbose=0).history
    assert np.isfinite(logs["zoo_loss"][0])


def test_predict_is_never_hindered():
    model = models.model()
    assert model.predict(NAN[:2], verbose=0)["age"].shape == (2, 1)
    model.compile("sgd")
    assert model.predict(NAN[:2], verbose=0)["zoo"].shape == (2, 3)
