import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.analysis.model_inputs import own_inputs
from keras_mtl.analysis.results import EQUAL, Metric
from keras_mtl.analysis.training import (
    build_model,
    evaluate,
    first_batch,
    inputs_and_truth,
    judged,
    judging_metrics,
    load_splits,
    named_balancers,
    other_metrics,
    train_once,
)
from keras_mtl.balancers import PCGrad, get
from keras_mtl.data import Mixture
from keras_mtl.recipe import Score, Splits
from keras_mtl.tasks import Task, TaskSet


def test_a_single_task_is_trained_on_its_own_labels(tiny):
    splits = load_splits(tiny, "made")
    up = TaskSet([tiny.tasks["up"]])
    model, history, seconds = train_once(tiny, splits, up, seed=0, epochs=1)
    assert list(model.output) == ["up"]
    assert {"loss", "up_loss", "up_accuracy", "val_up_accuracy"} <= set(history)
    assert seconds > 0
    measures = evaluate(model, tiny, splits, "test", up)
    assert set(measures) == {"up_loss", "up_accuracy"}
    assert judged(measures, judging_metrics(tiny)) == {
        "up": measures["up_accuracy"]
    }


def test_datasets_serve_as_splits(tiny):
    arrays = load_splits(tiny, "made")
    splits = Splits(
        *(tf.data.Dataset.from_tensor_slices(s).batch(32) for s in arrays[:3])
    )
    recipe = dataclasses.replace(tiny, load=lambda source, data_dir: splits)
    splits = load_splits(recipe, "made")
    size = TaskSet([tiny.tasks["size"]])
    model, _, _ = train_once(recipe, splits, size, seed=0, epochs=1)
    scores = evaluate(model, recipe, splits, "test", size)
    assert scores == pytest.approx(
        evaluate(model, recipe, arrays, "test", size)
    )
    assert first_batch(splits.test, 32).shape == (32, 6)


def test_a_mixture_serves_to_train(tiny):
    arrays = load_splits(tiny, "made")
    x, y = arrays.train
    mixture = Mixture(
        {
            "first": (x[:60], {"up": y["up"][:60]}),
            "second": (x[60:], {"size": y["size"][60:]}),
        },
        tiny.tasks,
        batch_size=20,
    )
    recipe = replaced(tiny, train=mixture)
    splits = load_splits(recipe, "made")
    size = TaskSet([tiny.tasks["size"]])
    model, history, _ = train_once(
        recipe, splits, size, seed=0, epochs=2, initial_epoch=1
    )
    assert list(model.output) == ["size"]
    assert int(model.optimizer.iterations) == 5
    assert np.isfinite(history["size_loss"]).all()


def largest_error(model, x, truth):
    predicted = model.predict(x, verbose=0)["size"][:, 0]
    return np.abs(predicted - truth["size"]).max()


def test_scores_are_taken_of_predictions_as_a_whole(tiny):
    recipe = dataclasses.replace(
        tiny,
        scores={
            "size": [
                Score("largest", "min", largest_error, "m"),
                Score("doubled", "max", lambda model, x, truth: 2.0),
            ]
        },
    )
    splits = load_splits(recipe, "made")
    model, _, _ = train_once(recipe, splits, recipe.tasks, seed=0, epochs=1)
    measures = evaluate(model, recipe, splits, "test", recipe.tasks)
    assert measures["size_doubled"] == 2
    assert measures["size_largest"] == pytest.approx(
        largest_error(model, *splits.test)
    )
    metrics = judging_metrics(recipe)
    assert metrics["size"] == Metric("largest", "min", "m")
    assert judged(measures, metrics)["size"] == measures["size_largest"]
    others = other_metrics(recipe)
    assert [m.name for m in others["size"]] == ["doubled", "mae"]
    assert [m.direction for m in others["size"]] == ["max", "min"]
    assert others["up"] == []


def test_a_score_that_fails_is_named(tiny):
    def missing(model, x, truth):
        return truth["boxes"]

    recipe = dataclasses.replace(
        tiny, scores={"up": [Score("map", "max", missing)]}
    )
    splits = load_splits(recipe, "made")
    model = build_model(recipe, recipe.tasks)
    with pytest.raises(
        ValueError, match=r"Score 'map' of task 'up' failed on test.*boxes"
    ):
        evaluate(model, recipe, splits, "test", recipe.tasks)


def test_truth_stands_for_the_labels_where_there_is_one(tiny):
    splits = load_splits(tiny, "made")
    model = build_model(tiny, tiny.tasks)
    x, labels = inputs_and_truth(model, splits, "test")
    assert x is splits.test[0] and labels == splits.test[1]
    told = splits._replace(truth={"test": "boxes"})
    assert inputs_and_truth(model, told, "test")[1] == "boxes"
    assert sorted(inputs_and_truth(model, told, "validation")[1]) == [
        *("size", "up")
    ]


def test_first_batch_of_dict_inputs():
    x = {"a": np.arange(5), "b": np.arange(5)}
    batch = first_batch((x, None), 2)
    assert {key: list(value) for key, value in batch.items()} == {
        "a": [0, 1],
        "b": [0, 1],
    }


def test_balancers_by_name():
    named = named_balancers([None, "mgda", PCGrad(seed=1), PCGrad(seed=2)])
    assert list(named) == [EQUAL, "mgda", "pcgrad", "pcgrad 2"]
    assert named[EQUAL] is None
    assert get(named["pcgrad 2"]).seed == 2


@pytest.mark.parametrize(
    "optimizer",
    ["sgd", keras.optimizers.SGD(0.01), lambda hp: keras.optimizers.SGD()],
)
def test_every_model_has_an_optimizer_of_its_own(tiny, optimizer):
    recipe = dataclasses.replace(tiny, optimizer=optimizer)
    one, two = (build_model(recipe, tiny.tasks) for _ in range(2))
    assert type(one.optimizer) is keras.optimizers.SGD
    assert one.optimizer is not two.optimizer


def replaced(tiny, **splits):
    loaded = load_splits(tiny, "made")._replace(**splits)
    return dataclasses.replace(tiny, load=lambda source, data_dir: loaded)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"test": (0, {"up": 0})}, r"`y of test` lacks the keys \['size'\]"),
        ({"validation": (0,)}, r"`validation`.*must be \(x, y\).*1 values"),
        ({"train": 3}, r"`train`.*must be \(x, y\).*Received: int"),
        (
            {
                "train": Mixture(
                    {"a": (np.ones((4, 6)), {"up": np.ones(4)})},
                    [Task("up", "binary")],
                )
            },
            r"`tasks of the mixture` lacks the keys \['size'\]",
        ),
        ({"truth": {"tset": 0}}, r"`truth`.*'validation' and 'test'.*tset"),
    ],
)
def test_splits_are_checked(tiny, splits, message):
    with pytest.raises(ValueError, match=message):
        load_splits(replaced(tiny, **splits), "made")


def test_three_splits_are_wanted(tiny):
    recipe = dataclasses.replace(tiny, load=lambda source, data_dir: (1, 2))
    with pytest.raises(ValueError, match=r"must return keras_mtl\.Splits"):
        load_splits(recipe, "made")


def test_build_must_give_a_multi_task_model_of_the_tasks(tiny):
    def plain(hp, tasks):
        inputs = keras.Input((6,))
        return keras.Model(inputs, {"up": keras.layers.Dense(1)(inputs)})

    with pytest.raises(ValueError, match=r"must return a keras_mtl\.MultiTask"):
        build_model(dataclasses.replace(tiny, build=plain), tiny.tasks)

    def all_tasks(hp, tasks):
        return tiny.build(hp, tiny.tasks)

    with pytest.raises(ValueError, match=r"name no task: \['size'\].*`tasks`"):
        build_model(
            dataclasses.replace(tiny, build=all_tasks),
            TaskSet([tiny.tasks["up"]]),
        )


def test_units_are_those_of_the_labels(tiny):
    size = Task("size", "regression", unit="m", metrics=["mae", "mse"])
    recipe = dataclasses.replace(tiny, tasks=[tiny.tasks["up"], size])
    assert judging_metrics(recipe) == {
        "up": Metric("accuracy", "max"),
        "size": Metric("mae", "min", "m"),
    }
    assert other_metrics(recipe)["size"] == [Metric("mse", "min")]


def test_models_are_given_the_inputs_that_they_have():
    """Keras would pair those of a larger dict by position."""
    inputs = {"b": keras.Input((2,), name="b")}
    model = keras.Model(inputs, {"up": keras.layers.Dense(1)(inputs["b"])})
    x = {"a": np.zeros((3, 5)), "b": np.ones((3, 2))}
    assert list(own_inputs(model, x)) == ["b"]
    assert own_inputs(model, x)["b"] is x["b"]
    alone = keras.Model(inputs["b"], model.output)
    assert own_inputs(alone, x["b"]) is x["b"]
