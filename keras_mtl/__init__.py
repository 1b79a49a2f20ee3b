"""Multi-output, multi-task models in Keras 3."""

import importlib
import sys
from typing import Any

from keras_mtl._version import __version__

# Where each public name lives. They are imported when first asked for, so
# that `keras-mtl --help` need not wait for TensorFlow.
_HOMES = {
    "MultiTaskModel": "keras_mtl.training",
    "Recipe": "keras_mtl.recipe",
    "Score": "keras_mtl.recipe",
    "Splits": "keras_mtl.recipe",
    "Task": "keras_mtl.tasks",
    "TaskSet": "keras_mtl.tasks",
    "balancers": "keras_mtl.balancers",
    "builders": "keras_mtl.builders",
    "data": "keras_mtl.data",
    "export": "keras_mtl.serving",
    "heads": "keras_mtl.heads",
    "inspect_sharing": "keras_mtl.training",
    "layers": "keras_mtl.layers",
    "metrics": "keras_mtl.metrics",
    "plot_sharing": "keras_mtl.analysis",
    "schedules": "keras_mtl.schedules",
    "tuner": "keras_mtl.tuner",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'keras_mtl' has no attribute {name!r}")
    home = importlib.import_module(_HOMES[name])
    value = home if _HOMES[name] == f"keras_mtl.{name}" else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


if "keras" in sys.modules:
    # Keras is there already: register our classes with it at once, so that
    # `keras.saving.load_model` knows them.
    importlib.import_module("keras_mtl.training")
    importlib.import_module("keras_mtl.balancers")
    importlib.import_module("keras_mtl.builders")
    importlib.import_module("keras_mtl.data")
    importlib.import_module("keras_mtl.layers")
    importlib.import_module("keras_mtl.schedules")
