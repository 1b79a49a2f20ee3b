"""Pictures for TensorBoard of what is learned about sharing."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from keras_mtl.callbacks.figure_pixels import figure_pixels
from keras_mtl.training import inspect_sharing

_MAX_NUMBERS = 12  # of columns with the values written in
_MAX_EXAMPLES = 4
_MAX_ROWS = 8  # that the coefficients of one task are shown in

# Folders that a callback of its own draws for: a `TaskTensorBoard` leaves
# these to it, so that no picture is there twice.
_claimed: set[Path] = set()


class SharingTensorBoard(keras.callbacks.Callback):
    """Draws coefficients, gates, branches and attention after each epoch.

    `TaskTensorBoard` draws the same after some of the epochs. This is for
    pictures of all of them, or of other inputs than those of its `batch`;
    where both write to one folder, this one draws.

    What layers of the same kind learn for different tasks stands in one
    picture, a row a task: the cross-stitch coefficients after a block, the
    mean weight of each expert, the probability of each branch. Attention masks
    of feature maps are shown for some examples. See `inspect_sharing`.

    Args:
        log_dir: The run's folder; pictures appear as the run `sharing` in it.
        x: Inputs, in one batch, for what depends on data; perhaps more of them
            than the model reads.

    Example:
    >>> model.fit(  # doctest: +SKIP
    ...     x, y, callbacks=[SharingTensorBoard("runs/first", x[:256])]
    ... )
    """

    def __init__(self, log_dir: str | os.PathLike[str], x: Any = None) -> None:
        super().__init__()
        self.log_dir = Path(log_dir)
        self.x = x
        self._writer: Any = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Tells that it draws for this folder."""
        _claimed.add(self.log_dir.resolve())

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Writes one picture for each kind of layer."""
        pictures = sharing_pictures(self.model, self.x)
        if not pictures:
            return
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(
                str(self.log_dir / "sharing")
            )
        with self._writer.as_default():
            for name, figure in pictures.items():
                tf.summary.image(name, figure_pixels(figure)[None], step=epoch)
        self._writer.flush()

    def on_train_end(self, logs: Any = None) -> None:
        """Closes the file."""
        _claimed.discard(self.log_dir.resolve())
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def is_claimed(log_dir: Path) -> bool:
    """Whether a `SharingTensorBoard` of its own draws for this folder."""
    return log_dir.resolve() in _claimed


def forget_claim(log_dir: Path) -> None:
    """Forgets one that a training left behind that did not come to its end."""
    _claimed.discard(log_dir.resolve())


def sharing_pictures(model: Any, x: Any = None) -> dict[str, Figure]:
    """One picture for each kind of layer that `inspect_sharing` reads.

    Args:
        model: A multi-task model.
        x: Inputs, in one batch.

    Returns:
        Figures by what their layers have in common in their names.
    """
    if isinstance(x, Mapping) and isinstance(model.input, Mapping):
        # Keras would pair a dict with more keys by position.
        x = {name: x[name] for name in model.input}
    groups: dict[str, dict[str, np.ndarray]] = {}
    learned = inspect_sharing(model)
    found = learned if x is None else inspect_sharing(model, x)
    for name, values in found.items():
        row, group = _row_and_group(name, model.tasks or model.given_tasks)
        rows = groups.setdefault(group, {})
        if name in learned and values.ndim >= 2 and len(values) <= _MAX_ROWS:
            # Coefficients of subspaces or of channels, not of examples.
            for i, line in enumerate(values):
                rows[f"{row} {i}"] = line.reshape(-1)
        else:
            rows[row] = values
    return {
        group: _maps(group, rows)
        if max(v.ndim for v in rows.values()) >= 4
        else _table(group, rows)
        for group, rows in groups.items()
    }


def _row_and_group(name: str, tasks: Any) -> tuple[str, str]:
    # The longest name first: "age_group_gate" is not a layer of task "age".
    for task in sorted(tasks, key=len, reverse=True):
        if name.startswith(f"{task}_"):
            return task, name.removeprefix(f"{task}_")
    return name, name


def _table(group: str, rows: dict[str, np.ndarray]) -> Figure:
    """Rows of numbers, coloured; many examples are averaged."""
    lines = {row: _line(values) for row, values in rows.items()}
    width = max(len(line) for line in lines.values())
    table = np.full((len(lines), width), np.nan)
    for i, line in enumerate(lines.values()):
        table[i, : len(line)] = line
    figure = Figure(
        figsize=(min(2.2 + 0.55 * width, 12), 1.3 + 0.4 * len(lines)),
        layout="constrained",
    )
    axes = figure.add_subplot()
    image = axes.imshow(table, aspect="auto", cmap="viridis")
    figure.colorbar(image, ax=axes)
    axes.set_title(group, loc="left", fontsize=10)
    axes.set_yticks(range(len(lines)), list(lines))
    if width <= _MAX_NUMBERS:
        axes.set_xticks(range(width))
        finite = table[np.isfinite(table)]
        low, high = np.quantile(finite, (0, 1)) if finite.size else (0, 0)
        for (i, j), value in np.ndenumerate(table):
            if not np.isnan(value):
                dark = value < low + 0.6 * (high - low)
                axes.text(
                    j,
                    i,
                    f"{value:.2f}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if dark else "black",
                )
    return figure


def _line(values: np.ndarray) -> np.ndarray:
    """What stands in one row: the last axis, averaged over the others."""
    rows = np.asarray(values).reshape(-1, np.shape(values)[-1])
    return np.asarray(rows.mean(axis=0))


def _maps(group: str, rows: dict[str, np.ndarray]) -> Figure:
    """Masks of feature maps `(batch, h, w, channels)`: means over channels."""
    count = min(_MAX_EXAMPLES, *(len(values) for values in rows.values()))
    figure = Figure(
        figsize=(1.0 + 1.5 * count, 0.5 + 1.5 * len(rows)),
        layout="constrained",
    )
    figure.suptitle(f"{group}, mean over channels", fontsize=10)
    grid = figure.subplots(len(rows), count, squeeze=False)
    for line, (row, values) in zip(grid, rows.items(), strict=True):
        for axes, mask in zip(line, values[:count], strict=True):
            image = axes.imshow(
                mask.mean(axis=-1), vmin=0, vmax=1, cmap="viridis"
            )
            axes.set_xticks([])
            axes.set_yticks([])
        line[0].set_ylabel(row)
    figure.colorbar(image, ax=grid)
    return figure
