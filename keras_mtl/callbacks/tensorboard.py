"""Logs for TensorBoard, grouped by what is measured."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf


class TaskTensorBoard(keras.callbacks.Callback):
    """Writes the logs of each epoch as `<what>/<task>` scalars.

    TensorBoard makes one section of `loss/left`, `loss/right`, …, one of
    `accuracy/…`, one of `weight/…`. Training and validation are two runs in
    one folder, so that they share their charts.

    Args:
        log_dir: The run's folder.

    Example:
    >>> model.fit(  # doctest: +SKIP
    ...     x, y, callbacks=[TaskTensorBoard("runs/first")]
    ... )
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        super().__init__()
        self.log_dir = Path(log_dir)
        self._writers: dict[str, Any] = {}

    def on_epoch_end(
        self, epoch: int, logs: Mapping[str, float] | None = None
    ) -> None:
        """Writes one point of every curve."""
        for key, value in (logs or {}).items():
            run = "validation" if key.startswith("val_") else "train"
            if run not in self._writers:
                path = str(self.log_dir / run)
                self._writers[run] = tf.summary.create_file_writer(path)
            with self._writers[run].as_default():
                tag = scalar_tag(key.removeprefix("val_"), self.model.tasks)
                tf.summary.scalar(tag, float(value), step=epoch)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Closes the files."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()


def scalar_tag(key: str, tasks: Any) -> str:
    """`left_accuracy` as `accuracy/left`; other logs under `all tasks`."""
    # The longest name first: "age_group_loss" is not a log of task "age".
    for name in sorted(tasks, key=len, reverse=True):
        if key.startswith(f"{name}_"):
            return f"{key.removeprefix(f'{name}_')}/{name}"
    return f"all tasks/{key}"
