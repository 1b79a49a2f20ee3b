import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.analysis.results import EQUAL
from keras_mtl.analysis.training import (
    build_model,
    evaluate,
    first_batch,
    load_splits,
    named_balancers,
    train_once,
)
from keras_mtl.balancers import PCGrad, get
from keras_mtl.recipe import Splits
from keras_mtl.tasks import TaskSet


def test_a_single_task_is_trained_on_its_own_labels(tiny):
    splits = load_splits(tiny, "made")
    up = TaskSet([tiny.tasks["up"]])
    model, history, seconds = train_once(tiny, splits, up, seed=0, epochs=1)
    assert list(model.output) == ["up"]
    assert {"loss", "up_loss", "up_accuracy", "val_up_accuracy"} <= set(history)
    assert seconds > 0
    assert set(evaluate(model, splits.test, up, 32)) == {"up"}


def test_datasets_serve_as_splits(tiny):
    arrays = load_splits(tiny, "made")
    splits = Splits(
        *(tf.data.Dataset.from_tensor_slices(s).batch(32) for s in arrays)
    )
    recipe = dataclasses.replace(tiny, load=lambda source, data_dir: splits)
    splits = load_splits(recipe, "made")
    size = TaskSet([tiny.tasks["size"]])
    model, _, _ = train_once(recipe, splits, size, seed=0, epochs=1)
    scores = evaluate(model, splits.test, size, 32)
    assert scores == pytest.approx(evaluate(model, arrays.test, size, 32))
    assert first_batch(splits.test, 32).shape == (32, 6)


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
