import runpy
from pathlib import Path

import keras_tuner
import numpy as np
import pytest

from keras_mtl.data import correlated_tasks
from keras_mtl.tasks import TaskSet

FILE = Path(__file__).parents[2] / "recipes" / "correlation.py"


@pytest.fixture(scope="module")
def page():
    return runpy.run_path(str(FILE))


def parameters(recipe, sharing, tasks):
    hp = keras_tuner.HyperParameters()
    hp.values["sharing"] = sharing
    return recipe.build(hp, tasks).count_params()


def test_all_ways_have_as_many_parameters_as_the_page_says(page):
    recipe = page["recipe"]
    counts = {
        way: parameters(recipe, way, recipe.tasks) for way in recipe.sharings
    }
    counts["single-task"] = sum(
        parameters(recipe, "hard_sharing", TaskSet([task]))
        for task in recipe.tasks.values()
    )
    assert max(counts.values()) / min(counts.values()) < 1.035
    lines = [line.split() for line in page["__doc__"].splitlines()]
    for way, count in counts.items():
        line = next(words for words in lines if words[:1] == [way])
        assert line[-1] == f"{count:,}"


def test_mmoe_is_that_of_the_paper(page):
    hp = keras_tuner.HyperParameters()
    hp.values["sharing"] = "mmoe"
    model = page["build"](hp, page["recipe"].tasks)
    assert model.get_layer("experts").output.shape == (None, 8, 16)
    assert model.get_layer("first").input.shape == (None, 8)


def test_splits_are_of_one_problem_and_do_not_overlap(page, monkeypatch):
    sizes = {"train": 40, "validation": 30, "test": 20}
    monkeypatch.setitem(page["draw"].__globals__, "EXAMPLES", sizes)
    splits = page["load"]("0.9", None)
    problem = correlated_tasks(0.9, seed=0)
    rows = set()
    for split, size in zip(splits[:3], sizes.values(), strict=True):
        x, y = split
        assert x.shape == (size, 100)
        rows |= set(x[:, 0].tolist())
        for task, weights in zip(y, problem.weights, strict=True):
            # Five sines and the noise are what is left of the linear part.
            assert np.abs(y[task] - x @ weights).max() < 5.6
    assert len(rows) == 90


def test_seeds_of_neighbours_share_no_examples(page, monkeypatch):
    sizes = {"train": 4, "validation": 4, "test": 4}
    monkeypatch.setitem(page["draw"].__globals__, "EXAMPLES", sizes)
    rows = {
        value
        for seed in (0, 1, 2)
        for x, _ in page["draw"](0.5, seed)[:3]
        for value in x[:, 0].tolist()
    }
    assert len(rows) == 36
