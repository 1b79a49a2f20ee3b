"""Loads models from files that may be damaged or of somebody else."""

import os
from pathlib import Path
from typing import Any

import keras


def load_keras_file(path: str | os.PathLike[str]) -> Any:
    """The model of a `.keras` file, of which nothing is run as code.

    As `keras.models.load_model` in safe mode, with one kind of error for
    whatever may be wrong with the file.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no whole model.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no model file {str(path)!r}.")
    try:
        return keras.models.load_model(path, safe_mode=True)
    # Whatever a file can hold, Keras, zip or HDF5 may stumble over.
    except Exception as error:
        words = " ".join(str(error).split())
        raise ValueError(
            f"The model file {str(path)!r} cannot be loaded: "
            f"{type(error).__name__}: {words[:400]}. Either the file is "
            "damaged or was changed, or layers of its own are not imported "
            "here. Nothing that it holds was run."
        ) from error
