from pathlib import Path

import pytest

from keras_mtl.recipe import load_recipe


@pytest.fixture(scope="session")
def tiny():
    return load_recipe(Path(__file__).with_name("tiny_recipe.py"))
