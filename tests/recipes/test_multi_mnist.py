import dataclasses
import pathlib

import numpy as np
import pytest

import keras_mtl
from keras_mtl.analysis.training import build_model, evaluate, train_once
from keras_mtl.recipe import load_recipe

RECIPE = pathlib.Path(__file__).parents[2] / "recipes" / "multi_mnist.py"


@pytest.fixture(scope="module")
def recipe():
    return load_recipe(RECIPE)


@pytest.fixture(scope="module")
def page(recipe):
    return recipe.load.__globals__


def pairs(count, start):
    """Pictures whose bright rows tell the classes."""
    number = np.arange(start, start + count)
    left, right = number % 10, number // 10 % 10
    image = np.zeros((count, 36, 36, 1), "uint8")
    for row, (one, two) in enumerate(zip(left, right, strict=True)):
        image[row, one, :18] = 255
        image[row, 35 - two, 18:] = 255
    return {"image": image, "left": left, "right": right}


@pytest.fixture(scope="module")
def splits(page):
    parts = {"train": pairs(360, 0), "test": pairs(40, 400)}
    page["load_multi_digits"] = lambda source, data_dir: parts
    page["PAIRS"] = 300
    return page["load"]("mnist", None)


def test_the_last_training_pairs_are_for_validation(splits):
    for part, first, count in (
        (splits.train, 0, 300),
        (splits.validation, 300, 60),
        (splits.test, 400, 40),
    ):
        (x, y), expected = part, pairs(count, first)
        np.testing.assert_array_equal(x, expected["image"])
        assert x.dtype == np.uint8 and list(y) == ["left", "right"]
        for side in y:
            np.testing.assert_array_equal(y[side], expected[side])


def test_each_task_adds_a_small_head_to_the_network(recipe):
    shared = 10 * (81 + 1) + 20 * (250 + 1) + 50 * (20 * 5 * 5 + 1)
    own = 50 * 51 + 10 * 51
    model = build_model(recipe, recipe.tasks)
    assert model.count_params() == shared + 2 * own
    alone = build_model(recipe, keras_mtl.TaskSet([recipe.tasks["left"]]))
    assert alone.count_params() == shared + own


def test_unprepared_mnist_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="'mnist', which is not prep"):
        load_recipe(RECIPE).load("mnist", str(tmp_path))


@pytest.mark.slow
def test_training(recipe, splits):
    quick = dataclasses.replace(recipe, batch_size=20)
    model, _, _ = train_once(
        quick, splits, recipe.tasks, "mgda", seed=0, epochs=15
    )
    measures = evaluate(model, quick, splits, "test", recipe.tasks)
    assert min(measures[f"{side}_accuracy"] for side in recipe.tasks) > 0.9
