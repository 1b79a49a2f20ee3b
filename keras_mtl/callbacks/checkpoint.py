"""One `.keras` file that a killed training goes on from."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import keras

from keras_mtl import _files

_STATE = "keras_mtl_training.json"


class Checkpoint(keras.callbacks.Callback):
    """Saves the model after every epoch, whole or not at all.

    The file is an ordinary `.keras` file with one more entry: the number of
    epochs done and their logs. It is written beside its place and renamed,
    so that model and epoch belong together whenever the process dies.

    Args:
        path: The file, ending in `.keras`.
        history: Logs of earlier epochs, from `load_checkpoint`.

    Example:
    >>> model.fit(  # doctest: +SKIP
    ...     x, y, epochs=10, callbacks=[Checkpoint("model.keras")]
    ... )
    >>> model, epoch, history = load_checkpoint(  # doctest: +SKIP
    ...     "model.keras"
    ... )
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        history: dict[str, list[float]] | None = None,
    ) -> None:
        super().__init__()
        self.path = Path(path)
        if self.path.suffix != ".keras":
            raise ValueError(
                "`path` of a checkpoint must end in '.keras'. "
                f"Received: path={str(path)!r}"
            )
        self.history = {k: list(v) for k, v in (history or {}).items()}

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Writes the file."""
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(float(value))
        state = {"epochs": epoch + 1, "history": self.history}
        staged = self.path.with_name(f".{self.path.stem}-{os.getpid()}.keras")
        try:
            self.model.save(staged)
            with zipfile.ZipFile(staged, "a") as archive:
                archive.writestr(_STATE, json.dumps(state))
            _files.replace(staged, self.path)
        finally:
            staged.unlink(missing_ok=True)


def load_checkpoint(
    path: str | os.PathLike[str],
) -> tuple[Any, int, dict[str, list[float]]]:
    """The model, the number of epochs done and their logs.

    Args:
        path: A file that `Checkpoint` has written.

    Raises:
        ValueError: `path` is something else.
        FileNotFoundError: There is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no checkpoint {str(path)!r}: no epoch was finished."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            state = json.loads(archive.read(_STATE))
    except (KeyError, zipfile.BadZipFile) as error:
        raise ValueError(
            "`path` must be a file that keras_mtl.callbacks.Checkpoint has "
            f"written. Received: {str(path)!r}, which holds no training state."
        ) from error
    model = keras.models.load_model(path)
    return model, int(state["epochs"]), state["history"]
