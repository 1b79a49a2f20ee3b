import dataclasses
from pathlib import Path

import keras
import pytest

from keras_mtl import builders
from keras_mtl.recipe import load_recipe


@pytest.fixture(scope="session")
def tiny():
    return load_recipe(Path(__file__).with_name("tiny_recipe.py"))


@pytest.fixture(scope="session")
def several_ways(tiny):
    """The tiny recipe where a tower is shared or each task has its own."""

    def build(hp, tasks):
        sharing = hp.Choice("sharing", ["hard_sharing", "cross_stitch"])
        units, depth = (4, 1) if sharing == "hard_sharing" else (5, 0)
        return builders.hard_sharing(
            keras.Input((6,), name="table"),
            tasks,
            [keras.layers.Dense(units, name="tower")],
            depth=depth,
        )

    return dataclasses.replace(
        tiny, build=build, sharings=("hard_sharing", "cross_stitch")
    )
