from pathlib import Path

import pytest

from keras_mtl.recipe import load_recipe

SLEEPY = Path(__file__).with_name("sleepy_recipe.py")


@pytest.fixture(scope="session")
def sleepy():
    return load_recipe(SLEEPY)
