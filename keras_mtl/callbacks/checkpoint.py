"""One `.keras` file that a killed training goes on from."""

import json
import math
import os
import shutil
import warnings
import zipfile
from pathlib import Path
from typing import Any

import keras

from keras_mtl import _files
from keras_mtl.training.finite import weights_are_finite
from keras_mtl.training.loading import load_keras_file

_STATE = "keras_mtl_training.json"


class Checkpoint(keras.callbacks.Callback):
    """Saves the model after every epoch, whole or not at all.

    The file is an ordinary `.keras` file with one more entry: the number of
    epochs done and their logs. It is written beside its place and renamed,
    so that model and epoch belong together whenever the process dies.

    Before the first epoch the model is saved once, so that a place that
    cannot be written to, or that has no room for two such files, is told of
    before anything is trained; an older file stays until an epoch is done.

    A model whose weights are not finite is not saved: the last file that is
    good is kept. Neither is one without a balancer after an epoch whose loss
    was not finite, for no task was kept out of the step.

    Args:
        path: The file, ending in `.keras`.
        history: Logs of earlier epochs, from `load_checkpoint`.
        mixture: The `keras_mtl.data.Mixture` that `fit` is given, if its
            rates follow the logs: they are kept, too.

    Raises:
        ValueError: `path` does not end in `.keras`.
        CannotWriteError: An `OSError`; the file cannot be written. Said
            before the first epoch where that can be known.

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
        mixture: Any = None,
    ) -> None:
        super().__init__()
        self.path = Path(path)
        if self.path.suffix != ".keras":
            raise ValueError(
                "`path` of a checkpoint must end in '.keras'. "
                f"Received: path={str(path)!r}"
            )
        self.history = {k: list(v) for k, v in (history or {}).items()}
        self.mixture = mixture
        self._begun = False

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Clears away what an earlier process, now dead, was writing."""
        _files.clear_leftovers(self.path)
        self._begun = False

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Finds out before the first epoch whether the file can be written."""
        if self._begun:
            return
        self._begun = True
        model = self.model
        if not model.built:  # by its first batch
            _files.check_place(self.path)
            return
        if model.optimizer is not None and not model.optimizer.built:
            # Else what is saved now cannot be loaded.
            model.optimizer.build(model.trainable_variables)
        if self.path.exists():
            self._save(epoch, publish=False)
        elif weights_are_finite(model):
            self._save(epoch)
            size = self.path.stat().st_size
            if shutil.disk_usage(self.path.parent).free < size:
                raise _files.CannotWriteError(
                    self.path,
                    f"there is no room for a second file of {size} bytes, "
                    "which is written before it takes the place of the first",
                )

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Writes the file."""
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(float(value))
        if self._is_good(logs or {}):
            self._save(epoch + 1)
        else:
            warnings.warn(
                "Weights or loss of the model are not finite after epoch "
                f"{epoch + 1}, and it was not saved: {str(self.path)!r} has "
                "the last epoch that was good. "
                "keras_mtl.callbacks.TerminateOnNonFinite ends a training in "
                "the step where that begins.",
                RuntimeWarning,
                stacklevel=2,
            )

    def _is_good(self, logs: dict[str, float]) -> bool:
        # With a balancer, the loss of a step without any task is NaN.
        balanced = getattr(self.model, "balancer", None) is not None
        loss_is_good = balanced or math.isfinite(logs.get("loss", 0.0))
        return loss_is_good and weights_are_finite(self.model)

    def _save(self, epochs: int, publish: bool = True) -> None:
        state: dict[str, Any] = {"epochs": epochs, "history": self.history}
        if self.mixture is not None:
            state["mixture"] = self.mixture.state()
        with _files.hidden_directory(self.path) as directory:
            # Keras puts files of its own beside it if memory is short.
            staged = directory / "model.keras"
            self.model.save(staged)
            with zipfile.ZipFile(staged, "a") as archive:
                archive.writestr(_STATE, json.dumps(state))
            if publish:
                _files.replace(staged, self.path)


def load_checkpoint(
    path: str | os.PathLike[str], mixture: Any = None
) -> tuple[Any, int, dict[str, list[float]]]:
    """The model, the number of epochs done and their logs.

    The model is loaded in Keras's safe mode: nothing of the file is run.

    Args:
        path: A file that `Checkpoint` has written.
        mixture: A new `keras_mtl.data.Mixture` of the same arguments, which
            is to go on where that of the file was.

    Raises:
        ValueError: `path` is something else, or damaged.
        FileNotFoundError: There is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no checkpoint {str(path)!r}: no epoch was finished."
        )
    epochs, history, _ = _read_state(path)
    model = load_keras_file(path)
    if mixture is not None:
        restore_mixture(path, mixture)
    return model, epochs, history


def restore_mixture(path: str | os.PathLike[str], mixture: Any) -> None:
    """Lets a mixture go on where that of a checkpoint was.

    Args:
        path: A file that `Checkpoint` has written.
        mixture: A new `keras_mtl.data.Mixture` of the same arguments.

    Raises:
        ValueError: The file has no state of a mixture.
    """
    state = _read_state(Path(path))[2]
    if state is None:
        raise ValueError(
            f"The checkpoint {str(path)!r} knows of no mixture: it was "
            "written by a Checkpoint that was not given `mixture`."
        )
    mixture.restore(state)


def _read_state(path: Path) -> tuple[int, dict[str, list[float]], Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            state = json.loads(archive.read(_STATE))
        epochs, history = state["epochs"], state["history"]
        if type(epochs) is not int or epochs < 0:
            raise ValueError(f"{epochs!r} epochs")
        history = {key: list(map(float, of)) for key, of in history.items()}
        mixture = state.get("mixture")
        if mixture is not None:
            mixture = {"logs": [_numbers(logs) for logs in mixture["logs"]]}
    # A file of somebody else may hold anything.
    except Exception as error:
        raise ValueError(
            "`path` must be a file that keras_mtl.callbacks.Checkpoint has "
            f"written. Received: {str(path)!r}, which holds no training state "
            f"({type(error).__name__}: {error})."
        ) from error
    return epochs, history, mixture


def _numbers(logs: dict[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in logs.items()}
