"""Models of builders with classes of their own, loaded in a new process."""

import importlib
import runpy
import subprocess
import sys

import keras
import pytest

import keras_mtl
from keras_mtl import Task, builders

LOADS = """
import sys

import keras
import keras_mtl

for path in sys.argv[1:]:
    assert isinstance(keras.saving.load_model(path), keras_mtl.MultiTaskModel)
"""


def test_the_package_imports_all_that_registers_classes(monkeypatch):
    imported = ["keras_mtl.heads", "keras_mtl.tasks"]  # by `training` itself
    monkeypatch.setattr(importlib, "import_module", imported.append)
    runpy.run_path(keras_mtl.__file__)
    modules = {
        entry.__module__ for entry in keras.saving.get_custom_objects().values()
    }
    rooms = {".".join(module.split(".")[:2]) for module in modules}
    assert "keras_mtl.builders" in rooms
    assert {r for r in rooms if r.startswith("keras_mtl.")} <= {*imported}


@pytest.mark.slow
def test_importing_the_package_is_enough(tmp_path):
    paths = []
    for name in ("adashare", "aitm"):
        model = builders.registry[name](
            keras.Input((4,)),
            [Task("click", "binary"), Task("buy", "binary")],
            [keras.layers.Dense(4, name="low")],
        )
        paths.append(str(tmp_path / f"{name}.keras"))
        model.save(paths[-1])
    subprocess.run([sys.executable, "-c", LOADS, *paths], check=True)
