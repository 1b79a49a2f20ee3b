"""The training loop for a model that several processes train together."""

import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import keras

from keras_mtl.training.backends import backend
from keras_mtl.training.epoch_end import EpochEnd

# By name: they are of floors above, or of Keras.
_WRITERS = {
    "Checkpoint",
    "CSVLogger",
    "ModelCheckpoint",
    "RemoteMonitor",
    "SharingTensorBoard",
    "TaskTensorBoard",
    "TensorBoard",
}


def fit_on_workers(
    model: Any,
    x: Any,
    *,
    epochs: int = 1,
    verbose: int = 0,
    callbacks: Sequence[Any] | None = None,
    validation_data: Any = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
) -> Any:
    """`fit` for several processes, with the same results as one.

    Keras 3's own `fit` does not work with a `MultiWorkerMirroredStrategy`.
    Every process runs the same program and calls this function:

    ```python
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    with strategy.scope():
        model = MultiTaskModel(…)
        model.compile("adam", balancer="mgda")
    fit_on_workers(model, dataset.batch(256), callbacks=[Checkpoint(path)])
    ```

    Callbacks see what they see in `fit`. Those of Keras and `keras_mtl` that
    write files run in the first process only, and so does one of your own
    with an attribute `chief_only = True`. The others run in all of them, so
    they have to decide by the logs, which after an epoch are the same
    everywhere; logs of a batch are of the process's own part. If one process
    stops (`model.stop_training`), all do, at most one batch later.

    When a process dies, the others raise a `ConnectionError`. Start all again:
    load the checkpoint in the scope of the strategy, and go on from its
    epoch.

    Args:
        model: A `MultiTaskModel` compiled in the scope of the strategy.
        x: A `tf.data.Dataset` of batches for all processes together, in the
            same order in each (`shuffle` with a seed). Each reads all of it
            and keeps its part of every batch.
        epochs: As in `fit`.
        verbose: As in `fit`, for the first process.
        callbacks: As in `fit`.
        validation_data: A data set as `x`.
        initial_epoch: As in `fit`.
        steps_per_epoch: As in `fit`.
        validation_steps: As in `fit`.

    Returns:
        The `keras.callbacks.History`.

    Raises:
        ValueError: The model is not of such a strategy, `x` is no data set,
            or a callback cannot work with it.
        ConnectionError: Another process has ended.
    """
    workers = backend().Workers(model)
    for argument, data in (("x", x), ("validation_data", validation_data)):
        if data is None and argument != "x":
            continue
        if not hasattr(data, "element_spec"):
            raise ValueError(
                f"`{argument}` must be a tf.data.Dataset of batches for all "
                f"workers together. Received: {type(data).__name__}."
            )
        model.check_data(data, argument=argument)
    train = _Batches(workers.share(x), steps_per_epoch)
    callback_list = keras.callbacks.CallbackList(
        [
            EpochEnd(model.balancer is not None),
            *_of_this_worker(callbacks or (), workers.is_chief),
        ],
        add_history=True,
        add_progbar=bool(verbose) and workers.is_chief,
        verbose=verbose,
        epochs=epochs,
        steps=steps_per_epoch,
        model=model,
    )
    validation = (
        None
        if validation_data is None
        else _Batches(workers.share(validation_data), validation_steps)
    )
    with workers.watched():
        _train(workers, train, validation, callback_list, initial_epoch, epochs)
    return model.history


class _Batches:
    """A data set, of which so many batches are an epoch; None for all."""

    def __init__(self, dataset: Any, steps: int | None) -> None:
        self.dataset, self.steps = dataset, steps
        self._iterator: Any = None

    def __iter__(self) -> Iterator[Any]:
        """From the beginning, as for every evaluation."""
        return islice(iter(self.dataset), self.steps)

    def read_on(self) -> Iterator[Any]:
        """From where the last epoch ended; anew, if there the data end."""
        if self.steps is None:
            yield from self.dataset
            return
        for step in range(self.steps):
            batch = None
            if self._iterator is not None:
                batch = next(self._iterator, None)
            if batch is None and step == 0:
                self._iterator = iter(self.dataset)
                batch = next(self._iterator, None)
            if batch is None:
                self._iterator = None
                warnings.warn(
                    f"`x` has ended after {step} of `steps_per_epoch`="
                    f"{self.steps} batches, and so has the epoch. Repeat the "
                    "data set, or leave `steps_per_epoch` out.",
                    stacklevel=4,
                )
                return
            yield batch


def _train(
    workers: Any,
    batches: _Batches,
    validation: _Batches | None,
    callbacks: Any,
    initial_epoch: int,
    epochs: int,
) -> None:
    model = workers.model
    train_step = workers.train_step(batches.dataset)
    test_step = validation and workers.test_step(validation.dataset)
    model.stop_training = False
    callbacks.on_train_begin()
    logs: dict[str, Any] = {}
    for epoch in range(initial_epoch, epochs):
        model.reset_metrics()
        callbacks.on_epoch_begin(epoch)
        stops, step = False, -1
        for step, batch in enumerate(batches.read_on()):
            callbacks.on_train_batch_begin(step)
            # What one has decided is known to all in the next step: no
            # process leaves while others wait for it.
            step_logs, stops = train_step(batch, bool(model.stop_training))
            callbacks.on_train_batch_end(step, step_logs)
            if stops:
                break
        logs = _numbers(model.get_metrics_result()) if step >= 0 else {}
        if validation is not None and not stops:
            logs |= _evaluate(model, validation, test_step, callbacks)
        callbacks.on_epoch_end(epoch, logs)
        if workers.any_wants_to_stop(stops or bool(model.stop_training)):
            break
    model.optimizer.finalize_variable_values(model.trainable_variables)
    callbacks.on_train_end(logs)


def _evaluate(
    model: Any, batches: _Batches, test_step: Any, callbacks: Any
) -> dict[str, float]:
    callbacks.on_test_begin()
    model.reset_metrics()
    for step, batch in enumerate(batches):
        callbacks.on_test_batch_begin(step)
        callbacks.on_test_batch_end(step, test_step(batch))
    logs = _numbers(model.get_metrics_result(training=False))
    callbacks.on_test_end(logs)
    return {f"val_{key}": value for key, value in logs.items()}


def _of_this_worker(callbacks: Sequence[Any], is_chief: bool) -> list[Any]:
    """The callbacks that are to run in this process."""
    found = []
    for callback in callbacks:
        names = {kind.__name__ for kind in type(callback).__mro__}
        if "BackupAndRestore" in names:
            raise ValueError(
                "`callbacks` holds a BackupAndRestore, which would restore "
                "the model of one worker alone. Take "
                "keras_mtl.callbacks.Checkpoint, and load_checkpoint in the "
                "scope of the strategy."
            )
        writes = names & _WRITERS or getattr(callback, "chief_only", False)
        if is_chief or not writes:
            found.append(callback)
    return found


def _numbers(logs: dict[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in logs.items()}
