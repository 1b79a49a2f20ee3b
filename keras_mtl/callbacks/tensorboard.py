"""Logs for TensorBoard, grouped by what is measured."""

import os
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_mtl.callbacks.figure_pixels import figure_pixels
from keras_mtl.callbacks.gradient_board import GradientBoard
from keras_mtl.callbacks.sharing_drawing import draw_sharing
from keras_mtl.callbacks.sharing_tensorboard import (
    SharingTensorBoard,
    forget_claim,
    is_claimed,
)
from keras_mtl.callbacks.window_means import WindowMeans


class TaskTensorBoard(keras.callbacks.Callback):
    """Writes losses, metrics, weights and conflict as `<what>/<task>`.

    TensorBoard makes one section of `loss/left`, `loss/right`, …, one of
    `accuracy/…`, one of `weight/…`. Training and validation are two runs in
    one folder, so that they share their charts. These are the logs of each
    epoch.

    Every so many steps there are also the means of losses, of weights and of
    the smallest cosine over the steps since the last time (`loss by step/…`),
    the factors of the schedule and the learning rate. They are what the step
    has computed anyway: nothing is computed or traced for them.

    Once, as training begins, it draws which layers serve which tasks, as
    `keras_mtl.plot_sharing` does: the picture `sharing`.

    Where layers learn how to share, the run `sharing` has pictures of them:
    of cross-stitch coefficients, of branches, and of whatever else
    `SharingTensorBoard` reads out of the model's weights; with `x`, also of
    the weights of gates and the masks of attention on these inputs. As
    drawing takes a while, that is after the first epoch, the second, the
    fourth, the eighth, …, and the last.

    With `batch`, after each epoch: the length of each task's gradient in the
    shared variables, the cosine of each pair, the share of pairs that point
    apart, and a picture of all cosines, on that batch. This takes a backward
    pass for each task, whatever the balancer is.

    Args:
        log_dir: The run's folder.
        every: Steps between two points by step; None for none.
        batch: `(x, y)`: inputs, and labels by task.
        x: Inputs, in one batch; by default those of `batch`.

    Raises:
        ValueError: `every` is below 1; or, as training begins, a batch for a
            model that shares nothing.

    Example:
    >>> model.fit(  # doctest: +SKIP
    ...     x, y, callbacks=[TaskTensorBoard("runs/first")]
    ... )
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        every: int | None = 100,
        batch: tuple[Any, Any] | None = None,
        x: Any = None,
    ) -> None:
        super().__init__()
        if every is not None and every < 1:
            raise ValueError(
                "`every` must be a positive number of steps, or None for no "
                f"points by step. Received: every={every!r}"
            )
        self.log_dir = Path(log_dir)
        self.every = every
        self.batch = batch
        self.x = batch[0] if x is None and batch is not None else x
        self._is_pictured = False
        self._writers: dict[str, Any] = {}
        self._gradients: GradientBoard | None = None
        self._sharing: SharingTensorBoard | None = None
        self._means: WindowMeans | None = None
        self._last = 0

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Prepares the looks at gradients and at what is shared."""
        forget_claim(self.log_dir)
        self._sharing = SharingTensorBoard(self.log_dir, self.x)
        self._sharing.set_model(self.model)
        if self.batch is not None:
            if not self.model.partition.shared:
                raise ValueError(
                    "`batch` is for models that share variables between "
                    f"tasks. Received: {self.model.name!r}, in which each "
                    "task has its own. Leave it out."
                )
            self._gradients = GradientBoard(self.model, *self.batch)
        # A model that is trained in several fits is drawn in the first.
        if not self._is_pictured and len(self.model.tasks) > 1:
            self._is_pictured = True
            self._try_to_draw(self._picture)

    def on_epoch_begin(
        self, epoch: int, logs: Mapping[str, float] | None = None
    ) -> None:
        """Begins the first window of steps."""
        self._means = WindowMeans(self.model) if self.every else None
        self._last = 0

    # Not `on_train_batch_end`: with that, Keras would turn every log of every
    # step into a number and wait for it.
    def on_train_batch_begin(
        self, batch: int, logs: Mapping[str, float] | None = None
    ) -> None:
        """Writes the means of the steps before, when it is time."""
        if self._means is None or not self.every:
            return
        if batch - self._last < self.every:
            return
        self._last = batch
        step = int(_number(self.model.optimizer.iterations))
        for key, value in self._means.take().items():
            what, _, task = scalar_tag(key, self.model.tasks).partition("/")
            self._write("train", f"{what} by step/{task}", value, step)
        for key, value in _settings(self.model).items():
            self._write("train", key, value, step)

    def on_epoch_end(
        self, epoch: int, logs: Mapping[str, float] | None = None
    ) -> None:
        """Writes one point of every curve, and the pictures."""
        for key, value in (logs or {}).items():
            run = "validation" if key.startswith("val_") else "train"
            tag = scalar_tag(key.removeprefix("val_"), self.model.tasks)
            self._write(run, tag, value, epoch)
        if self._gradients is not None:
            scalars, picture = self._gradients.look()
            for tag, value in scalars.items():
                self._write("train", tag, value, epoch)
            with self._writer("train").as_default():
                tf.summary.image(
                    "gradient cosines", figure_pixels(picture)[None], step=epoch
                )
        # Else up to two minutes of them would go with a process that dies.
        for writer in self._writers.values():
            writer.flush()
        if (
            self._sharing is not None
            and not is_claimed(self.log_dir)
            and self._is_to_draw(epoch + 1)
            and not self._try_to_draw(
                partial(self._sharing.on_epoch_end, epoch)
            )
        ):
            self._sharing.on_train_end()
            self._sharing = None

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Closes the files."""
        if self._sharing is not None:
            self._sharing.on_train_end()
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()
        self._gradients = self._means = self._sharing = None

    def _is_to_draw(self, done: int) -> bool:
        """Whether it is a power of two of epochs, or all of them."""
        return (
            done.bit_count() == 1
            or done == (self.params or {}).get("epochs")
            or bool(self.model.stop_training)
        )

    def _picture(self) -> None:
        """Draws which layers serve which tasks."""
        pixels = figure_pixels(draw_sharing(self.model))
        with self._writer("train").as_default():
            tf.summary.image("sharing", pixels[None], step=0)

    def _try_to_draw(self, draw: Callable[[], None]) -> bool:
        """Whether it could be drawn."""
        try:
            draw()
        # Whatever it is: pictures that nobody asked for must not end a fit.
        except Exception as error:
            warnings.warn(
                "TaskTensorBoard cannot draw what is shared and goes on "
                f"without: {type(error).__name__}: {error}",
                stacklevel=2,
            )
            return False
        return True

    def _writer(self, run: str) -> Any:
        if run not in self._writers:
            path = str(self.log_dir / run)
            self._writers[run] = tf.summary.create_file_writer(path)
        return self._writers[run]

    def _write(self, run: str, tag: str, value: Any, step: int) -> None:
        with self._writer(run).as_default():
            tf.summary.scalar(tag, float(value), step=step)


def scalar_tag(key: str, tasks: Any) -> str:
    """`left_accuracy` as `accuracy/left`; other logs under `all tasks`."""
    # The longest name first: "age_group_loss" is not a log of task "age".
    for name in sorted(tasks, key=len, reverse=True):
        if key.startswith(f"{name}_"):
            return f"{key.removeprefix(f'{name}_')}/{name}"
    return f"all tasks/{key}"


def _settings(model: Any) -> dict[str, float]:
    """What the step was told, rather than found out."""
    found = {
        "all tasks by step/learning_rate": _number(
            model.optimizer.learning_rate
        )
    }
    if model.schedule is not None:
        factors = keras.ops.convert_to_numpy(
            model.schedule.factors(model.optimizer.iterations)
        )
        for task, factor in zip(model.tasks, factors, strict=True):
            found[f"schedule by step/{task}"] = float(factor)
    return found


def _number(variable: Any) -> float:
    # `float` does not take the variables of a `MirroredStrategy`.
    return float(keras.ops.convert_to_numpy(variable))
