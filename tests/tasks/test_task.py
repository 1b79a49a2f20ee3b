"""A task: what each kind brings, what configs carry, what is refused."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from keras_mtl import MultiTaskModel, Task
from keras_mtl.tasks.task import FunctionLoss, resolve_loss

# kind: (loss, metric, direction, units of the head, activation, classifies)
KINDS = {
    "binary": ("binary_crossentropy", "accuracy", "max", 1, "sigmoid", True),
    "multiclass": (
        "sparse_categorical_crossentropy",
        "accuracy",
        "max",
        3,
        "softmax",
        True,
    ),
    "multilabel": (
        "binary_crossentropy",
        "accuracy",
        "max",
        3,
        "sigmoid",
        True,
    ),
    "regression": ("mean_squared_error", "mae", "min", 1, "linear", False),
}


@keras.saving.register_keras_serializable(package="tests")
def absolute(y_true, y_pred):
    return keras.ops.mean(keras.ops.abs(y_true - y_pred), axis=-1)


@keras.saving.register_keras_serializable(package="tests")
class Cubic(keras.losses.Loss):
    def __init__(self, factor=1.0, name="cubic", **kwargs):
        super().__init__(name=name, **kwargs)
        self.factor = factor

    def call(self, y_true, y_pred):
        cubes = keras.ops.abs(y_true - y_pred) ** 3
        return self.factor * keras.ops.mean(cubes, axis=-1)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable(package="tests")
class Bias(keras.metrics.Mean):
    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(y_pred - y_true, sample_weight)


def task_of(kind, **arguments):
    units = KINDS[kind][3]
    if units > 1:
        arguments.setdefault("units", units)
    return Task("t", kind, **arguments)


def revived(task):
    """The task after its config went through JSON."""
    config = keras.saving.serialize_keras_object(task)
    return keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_kind_brings(kind):
    loss, metric, direction, units, activation, classifies = KINDS[kind]
    task = task_of(kind)
    assert task.loss.name == loss
    assert task.metrics == [metric]
    assert task.monitor == f"t_{metric}"
    assert task.direction == direction
    assert task.classifies == classifies
    assert task.pointwise == (kind != "multiclass")
    assert task.weight == 1.0
    head = task.make_head("out")
    assert (head.name, head.units) == ("out", units)
    assert head.activation.__name__ == activation
    assert repr(task) == f"Task('t', {kind!r})"


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_units_widen_the_head(kind):
    assert Task("t", kind, units=4).make_head("t").units == 4


def test_heads_are_float32_under_any_policy():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        head = Task("t", "binary").make_head("t")
    finally:
        keras.config.set_dtype_policy(before)
    assert head.compute_dtype == "float32"


LOSSES = {
    "mse": (keras.losses.MeanSquaredError, "regression"),
    "mean_absolute_error": (keras.losses.MeanAbsoluteError, "regression"),
    "huber": (keras.losses.Huber, "regression"),
    "log_cosh": (keras.losses.LogCosh, "regression"),
    "poisson": (keras.losses.Poisson, "regression"),
    "cosine_similarity": (keras.losses.CosineSimilarity, "regression"),
    "binary_crossentropy": (keras.losses.BinaryCrossentropy, "binary"),
    "binary_focal_crossentropy": (
        keras.losses.BinaryFocalCrossentropy,
        "binary",
    ),
    "categorical_crossentropy": (
        keras.losses.CategoricalCrossentropy,
        "multiclass",
    ),
    "sparse_categorical_crossentropy": (
        keras.losses.SparseCategoricalCrossentropy,
        "multiclass",
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_names_of_losses_give_their_class_and_kind(name):
    cls, kind = LOSSES[name]
    task = Task("t", loss=name, units=3)
    assert type(task.loss) is cls
    assert task.kind == kind


def test_every_name_that_keras_knows_is_averaged_over_the_batch():
    y_true = np.array([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]], "float32")
    y_pred = np.array([[0.3, 0.7], [0.1, 0.9], [0.6, 0.4]], "float32")
    for name in (
        "mse",
        "mae",
        "mape",
        "msle",
        "bce",
        "kld",
        "hinge",
        "poisson",
    ):
        values = np.array(keras.losses.get(name)(y_true, y_pred))
        assert values.shape == (3,)
        loss = resolve_loss(name)
        assert isinstance(loss, keras.losses.Loss)
        np.testing.assert_allclose(loss(y_true, y_pred), values.mean(), 1e-6)


def test_functions_as_losses():
    task = Task("t", loss=absolute)
    assert isinstance(task.loss, FunctionLoss)
    assert (task.kind, task.loss.name) == ("regression", "absolute")
    assert not task.pointwise
    y_true, y_pred = np.zeros((2, 2)), np.array([[1.0, 3.0], [0.0, 2.0]])
    assert float(task.loss(y_true, y_pred)) == pytest.approx(1.5)
    np.testing.assert_allclose(task.loss.call(y_true, y_pred), [2.0, 1.0])


DIRECTIONS = {
    "accuracy": "max",
    "auc": "max",
    "f1_score": "max",
    "r2_score": "max",
    "recall_at_precision": "max",
    "top_k_categorical_accuracy": "max",
    "mean_io_u": "max",
    "one_hot_mean_io_u": "max",
    "binary_io_u": "max",
    "concordance_correlation": "max",
    "pearson_correlation": "max",
    "cosine_similarity": "max",
    "mae": "min",
    "mse": "min",
    "root_mean_squared_error": "min",
    "crossentropy": "min",
    "kl_divergence": "min",
    "log_cosh": "min",
    "false_positives": "min",
    "false_negatives": "min",
    "true_positives": "max",
    "true_negatives": "max",
}


@pytest.mark.parametrize("name", DIRECTIONS)
def test_direction_by_the_name_of_the_first_metric(name):
    metric = keras.metrics.Mean(name=name)
    assert (
        Task("t", "regression", metrics=[metric]).direction
        == (DIRECTIONS[name])
    )


def test_direction_given_and_without_metrics():
    task = Task("auc", "regression", metrics=[])
    assert (task.monitor, task.direction) == ("auc_loss", "min")
    assert Task("t", "binary", direction="min").direction == "min"
    # The task's own name says nothing.
    assert Task("top_accuracy", "regression").direction == "min"
    named = Task("t", "regression", metrics=[absolute])
    assert named.monitor == "t_absolute"


HEADS = {
    "layer": lambda: layers.Dense(3, activation="softmax"),
    "sequential": lambda: keras.Sequential(
        [layers.Dense(4, activation="relu"), layers.Dense(3)]
    ),
}


@pytest.mark.parametrize("make", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("called", [False, True])
def test_heads_are_copied(make, called):
    given = make()
    if called:
        given(np.zeros((1, 5)))
    task = Task("t", "multiclass", units=3, head=given)
    one, two = task.make_head("one"), task.make_head("two")
    assert (one.name, two.name) == ("one", "two")
    if not called:  # other features than those it was called on
        for head in (one, two):
            assert head(np.zeros((2, 7))).shape == (2, 3)
    else:
        assert one(np.zeros((2, 5))).shape == (2, 3)
        two(np.zeros((2, 5)))
    assert not {id(v) for v in one.weights} & {id(v) for v in two.weights}
    assert not {id(v) for v in one.weights} & {id(v) for v in given.weights}
    assert not np.allclose(one.weights[0], two.weights[0])


def test_a_layer_that_was_called_makes_heads_for_other_features():
    given = layers.Dense(3)
    given(np.zeros((1, 5)))
    head = Task("t", "regression", head=given).make_head("t")
    assert head(np.zeros((2, 7))).shape == (2, 3)


ROUND_TRIPS = {
    "kind": lambda: Task("t", "binary"),
    "all": lambda: Task(
        "t",
        "multiclass",
        units=3,
        loss=keras.losses.SparseCategoricalCrossentropy(ignore_class=2),
        metrics=[
            keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2"),
            "accuracy",
        ],
        direction="min",
        head=layers.Dense(3, activation="softmax"),
        weight=0.25,
        unit="m",
        class_names=["x", "y", "z"],
    ),
    "huber": lambda: Task("t", "regression", loss=keras.losses.Huber(0.3)),
    "function": lambda: Task("t", "regression", loss=absolute),
    "own_loss": lambda: Task("t", loss=Cubic(2.0, reduction="sum")),
    "own_metric": lambda: Task(
        "t", "regression", metrics=[Bias(name="bias"), absolute]
    ),
    "own_head": lambda: Task("t", "regression", head=HEADS["sequential"]()),
    "no_metrics": lambda: Task("t", "regression", metrics=[]),
}


@pytest.mark.parametrize("make", ROUND_TRIPS.values(), ids=ROUND_TRIPS)
def test_config_round_trip(make):
    task = make()
    again = revived(task)
    for attribute in (
        "name",
        "kind",
        "units",
        "weight",
        "unit",
        "class_names",
        "monitor",
        "direction",
        "pointwise",
    ):
        assert getattr(again, attribute) == getattr(task, attribute), attribute
    assert type(again.loss) is type(task.loss)
    y_true, y_pred = np.array([[1.0], [0.0]]), np.array([[0.3], [0.9]])
    if task.kind == "multiclass":
        y_true, y_pred = np.array([0, 1]), np.eye(3)[[0, 2]] * 0.6 + 0.1
    assert float(again.loss(y_true, y_pred)) == float(task.loss(y_true, y_pred))
    assert again.loss.reduction == task.loss.reduction
    assert len(again.metrics) == len(task.metrics)
    for own, other in zip(again.metrics, task.metrics, strict=True):
        assert type(own) is type(other)
    if task.head is not None:
        assert type(again.head) is type(task.head)
        assert again.make_head("h").count_params is not None
    assert revived(again).get_config() == again.get_config()


def test_own_objects_survive_a_model_file(tmp_path):
    tasks = [
        Task("a", loss=Cubic(2.0), metrics=[Bias(name="bias")], weight=0.5),
        Task("b", "regression", loss=absolute, head=layers.Dense(1)),
    ]
    x = keras.Input((2,))
    h = layers.Dense(2)(x)
    outputs = {t.name: t.make_head(t.name) for t in tasks}
    outputs["a"] = layers.Dense(1, name="a_out")
    model = MultiTaskModel(
        x, {k: head(h) for k, head in outputs.items()}, tasks=tasks
    )
    model.compile("sgd", run_eagerly=True)
    inputs, y = np.ones((3, 2)), dict.fromkeys("ab", np.zeros(3))
    model.fit(inputs, y, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert loaded.tasks["a"].loss.factor == 2.0
    assert loaded.tasks["a"].weight == 0.5
    expected = model.evaluate(inputs, y, verbose=0, return_dict=True)
    assert {"a_bias", "a_loss", "b_loss", "b_mae"} <= set(expected)
    logs = loaded.evaluate(inputs, y, verbose=0, return_dict=True)
    assert logs == pytest.approx(expected)


def test_with_loss_leaves_the_task_as_it_was():
    task = Task("t", "regression", weight=2.0)
    other = task.with_loss("mae")
    assert type(task.loss) is keras.losses.MeanSquaredError
    assert type(other.loss) is keras.losses.MeanAbsoluteError
    assert (other.name, other.kind, other.weight) == ("t", "regression", 2.0)


def test_a_loss_of_class_indices_needs_classes():
    task = Task("t", "regression")
    for make in (
        lambda: Task("t", "regression", loss="sparse_categorical_crossentropy"),
        lambda: task.with_loss("sparse_categorical_crossentropy"),
    ):
        with pytest.raises(
            ValueError, match=r"`loss` of task 't'.*'multiclass"
        ):
            make()


BAD = {
    "no_name": (("",), {"kind": "binary"}, r"`name`.*non-empty.*name=''"),
    "name": ((3,), {"kind": "binary"}, r"`name` of a task.*name=3"),
    "slash": (("a/b",), {"kind": "binary"}, r"`name`.*'/'.*'a/b'"),
    "neither": (("t",), {}, r"`kind` or `loss` of task 't'.*one of binary"),
    "kind": (
        ("t", "regresion"),
        {},
        r"`kind` of task 't'.*binary, .*kind='regresion'",
    ),
    "weight": (("t", "binary"), {"weight": -1}, r"`weight`.*negative.*=-1"),
    "nan": (
        ("t", "binary"),
        {"weight": float("nan")},
        r"`weight` of task 't'.*finite.*nan",
    ),
    "no_weight": (
        ("t", "binary"),
        {"weight": "1"},
        r"`weight` of task 't' must be a.*number.*'1'",
    ),
    "direction": (
        ("t", "binary"),
        {"direction": "up"},
        r"`direction` of task 't'.*'max' or 'min'.*'up'",
    ),
    "units": (
        ("t", "multiclass"),
        {"units": 0},
        r"`units` of task 't' must be a positive integer.*0",
    ),
    "one_class": (
        ("t", "multiclass"),
        {"units": 1},
        r"`units` of task 't'.*two classes.*'binary'",
    ),
    "float_units": (
        ("t", "multiclass"),
        {"units": 2.5},
        r"`units` of task 't' must be a positive integer.*2.5",
    ),
    "class_names": (
        ("t", "multiclass"),
        {"units": 3, "class_names": ["a", "b"]},
        r"`class_names` of task 't'.*3 units.*2",
    ),
    "loss": (
        ("t", "regression"),
        {"loss": "mes"},
        r"`loss` must be a Keras loss.*'mes'",
    ),
    "loss_type": (
        ("t", "regression"),
        {"loss": 3},
        r"`loss` must be a Keras loss.*3",
    ),
    "metrics": (
        ("t", "regression"),
        {"metrics": "mae"},
        r"`metrics` of task 't' must be a list.*\['mae'\]",
    ),
    "head": (
        ("t", "regression"),
        {"head": lambda x: x},
        r"`head` of task 't' must be a Keras layer",
    ),
}


@pytest.mark.parametrize(("args", "kwargs", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(args, kwargs, message):
    with pytest.raises(ValueError, match=message):
        Task(*args, **kwargs)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_units_are_needed_only_for_the_head(kind):
    task = Task("t", kind)
    with pytest.raises(ValueError, match=r"`units` of task 't'.*`head`"):
        task.make_head("t")
