"""Where runs are kept, and what is needed to repeat them."""

import datetime
import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_mtl import _files
from keras_mtl._version import __version__
from keras_mtl.recipe import Recipe

_PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "numpy")


def new_run(out: str | Path, recipe: Recipe) -> Path:
    """A free path `<out>/<recipe>/<YYYYmmdd-HHMMSS>`; makes nothing.

    What killed runs have left beside it, half of a directory, is removed.
    """
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    path = Path(out) / recipe.name / stamp
    number = 2
    while path.exists():
        path = path.with_name(f"{stamp}-{number}")
        number += 1
    _files.clear_abandoned(path.parent)
    return path


def describe_run(
    recipe: Recipe,
    settings: Mapping[str, Any],
    origin: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The content of `config.json`.

    Args:
        recipe: What was run.
        settings: How: source, seeds, epochs and so on.
        origin: Whatever the caller knows of the command and the file.
    """
    return {
        "recipe": recipe.name,
        **(origin or {}),
        **settings,
        "batch_size": recipe.batch_size,
        "tasks": [task.get_config() for task in recipe.tasks.values()],
        "deploy": recipe.deploy is not None,
        "started": datetime.datetime.now()
        .astimezone()
        .isoformat("T", "seconds"),
        "versions": {
            "python": sys.version.split()[0],
            "keras_mtl": __version__,
            **package_versions(),
        },
        "machine": f"{platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} CPUs",
    }


def package_versions() -> dict[str, str]:
    """Versions of what a training depends on."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # TensorFlow comes under one of two names
    return found
