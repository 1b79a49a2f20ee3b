"""The newer kinds: what each brings, and what is refused."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from keras_mtl import MultiTaskModel, Task, heads
from keras_mtl.tasks.kinds import KINDS

LEVELS = [0.1, 0.5, 0.9]
# kind: (arguments, loss, first metric, direction, units, head, classifies)
ROWS = {
    "ordinal": (
        {"units": 4},
        heads.OrdinalLoss,
        "rank_error",
        "min",
        4,
        heads.OrdinalHead,
        True,
    ),
    "quantile": (
        {"levels": LEVELS},
        heads.QuantileLoss,
        "pinball",
        "min",
        3,
        heads.QuantileHead,
        False,
    ),
    "heteroscedastic": (
        {},
        heads.GaussianLoss,
        "mae_of_mean",
        "min",
        2,
        heads.GaussianHead,
        False,
    ),
    "tagging": (
        {"units": 5},
        keras.losses.SparseCategoricalCrossentropy,
        "accuracy",
        "max",
        5,
        layers.Dense,
        True,
    ),
    "sequence": (
        {"units": 9},
        keras.losses.SparseCategoricalCrossentropy,
        "accuracy",
        "max",
        9,
        heads.SequenceHead,
        True,
    ),
}


def test_every_kind_is_tested():
    old = {"binary", "multiclass", "multilabel", "regression"}
    assert old | set(ROWS) == set(KINDS)


@pytest.mark.parametrize("kind", ROWS)
def test_what_a_kind_brings(kind):
    arguments, loss, metric, direction, units, head, classifies = ROWS[kind]
    task = Task("t", kind, **arguments)
    assert type(task.loss) is loss
    assert task.monitor == f"t_{metric}"
    assert (task.direction, task.units) == (direction, units)
    assert task.classifies == classifies
    assert not task.pointwise
    keras.config.set_dtype_policy("mixed_float16")
    try:
        made = task.make_head("out")
    finally:
        keras.config.set_dtype_policy("float32")
    assert type(made) is head
    assert (made.name, made.compute_dtype) == ("out", "float32")
    sequential = "time" in task.features
    features = np.ones((2, 6, 3) if sequential else (2, 3), "float32")
    received = features
    if kind == "sequence":
        received = [features, np.ones((2, 6), "int32")]
    assert made(received).shape == (*features.shape[:-1], units)


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("given", [False, True])
def test_config_round_trip(kind, given):
    arguments, *_, head, _ = ROWS[kind]
    task = Task("t", kind, **arguments)
    if given:
        task = Task("t", kind, **arguments, head=task.make_head("own"))
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(task)))
    again = keras.saving.deserialize_keras_object(config)
    for attribute in (
        "name",
        "kind",
        "units",
        "levels",
        "monitor",
        "target_input",
    ):
        assert getattr(again, attribute) == getattr(task, attribute)
    assert again.loss.get_config() == task.loss.get_config()
    assert list(map(type, again.metrics)) == list(map(type, task.metrics))
    assert type(again.make_head("h")) is head


@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        (heads.OrdinalLoss, "ordinal"),
        (lambda: heads.QuantileLoss(LEVELS), "quantile"),
        (heads.GaussianLoss, "heteroscedastic"),
    ],
)
def test_losses_tell_the_kind(loss, kind):
    task = Task("t", loss=loss())
    assert task.kind == kind
    assert task.levels == (LEVELS if kind == "quantile" else None)


def test_ordered_classes_may_have_the_loss_of_classes():
    loss = "sparse_categorical_crossentropy"
    task = Task("t", "ordinal", units=3, loss=loss)
    assert task.loss.name == loss
    assert isinstance(task.make_head("t"), heads.OrdinalHead)


@pytest.mark.parametrize("kind", ["ordinal", "quantile", "heteroscedastic"])
def test_a_model_of_the_kind_is_saved_with_its_task(kind, tmp_path):
    keras.utils.set_random_seed(0)
    task = Task("t", kind, **ROWS[kind][0])
    inputs = keras.Input((3,))
    model = MultiTaskModel(
        inputs, {"t": task.make_head("t")(inputs)}, tasks=[task]
    )
    model.compile("sgd")
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    y = {"t": np.arange(8) % 4}
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    expected = model.evaluate(x, y, verbose=0, return_dict=True)
    received = loaded.evaluate(x, y, verbose=0, return_dict=True)
    assert received == pytest.approx(expected, rel=1e-6)


BAD = {
    "levels": (
        ("quantile", {}),
        r"`levels` of task 't' is needed.*levels=\[0.1",
    ),
    "no_levels": (
        ("regression", {"levels": [0.5]}),
        "`levels` of task 't' is for the kind 'quantile' only",
    ),
    "falling": (
        ("quantile", {"levels": [0.9, 0.1]}),
        r"`levels` must be rising.*\[0.9, 0.1\]",
    ),
    "other_levels": (
        (
            "quantile",
            {"levels": [0.5], "loss": heads.QuantileLoss([0.1, 0.9])},
        ),
        r"`levels` of task 't' must be those of its loss, \[0.1, 0.9\]",
    ),
    "other_units": (
        ("quantile", {"levels": [0.1, 0.9], "units": 3}),
        "`units` of task 't' must be 2, the width of its kind 'quantile'",
    ),
    "units": (
        ("heteroscedastic", {"units": 3}),
        "`units` of task 't' must be 2.*'heteroscedastic'.*units=3",
    ),
    "one_class": (
        ("ordinal", {"units": 1}),
        "`units` of task 't'.*two classes",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(arguments, message):
    kind, keywords = arguments
    with pytest.raises(ValueError, match=message):
        Task("t", kind, **keywords)


@pytest.mark.parametrize("kind", ["ordinal", "tagging", "sequence"])
def test_units_are_needed_for_the_head(kind):
    with pytest.raises(ValueError, match=r"`units` of task 't'.*the number of"):
        Task("t", kind).make_head("t")


def test_with_loss_holds_the_levels():
    task = Task("t", "quantile", levels=LEVELS)
    assert task.with_loss("mae").levels == LEVELS
    with pytest.raises(ValueError, match="`levels` of task 't' must be those"):
        task.with_loss(heads.QuantileLoss([0.5]))
