"""The messages and services of TF Serving, from `tensorflow-serving-api`."""

import importlib
from types import ModuleType

_INSTALL = 'pip install "keras-mtl[serving]"'


def available() -> bool:
    """Whether the package is there."""
    try:
        stubs("predict_pb2")
    except ValueError:
        return False
    return True


def stubs(name: str) -> ModuleType:
    """A module of the package.

    Args:
        name: As in `predict_pb2`.

    Returns:
        The module.

    Raises:
        ValueError: The package cannot be imported.
    """
    try:
        return importlib.import_module(f"tensorflow_serving.apis.{name}")
    except ImportError as error:
        raise ValueError(
            "gRPC needs the package 'tensorflow-serving-api', which cannot be "
            f"imported ({error}). Run: {_INSTALL}; or use the REST API."
        ) from error
