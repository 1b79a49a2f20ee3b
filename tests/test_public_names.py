"""What the package says it exports is what it exports."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import keras_mtl

PACKAGES = [
    name
    for _, name, is_package in pkgutil.walk_packages(
        keras_mtl.__path__, "keras_mtl."
    )
    if is_package and ".cli" not in name and ".tfds" not in name
]


@pytest.mark.parametrize("name", ["keras_mtl", *PACKAGES])
def test_every_name_in_all_is_there(name):
    module = importlib.import_module(name)
    for exported in getattr(module, "__all__", []):
        assert getattr(module, exported) is not None


def test_a_missing_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Tusk'"):
        keras_mtl.Tusk  # noqa: B018


def test_importing_makes_no_layer_that_would_change_names():
    code = (
        "import keras, keras_mtl;"
        "assert keras_mtl.MultiTaskModel and keras_mtl.builders;"
        "assert keras.layers.InputLayer((1,)).name == 'input_layer'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
