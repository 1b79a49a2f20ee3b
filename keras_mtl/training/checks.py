"""Holds data against the tasks before a step runs, on the host."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from keras_mtl.tasks import TaskSet
from keras_mtl.tasks.task_set import check_keys
from keras_mtl.training.label_checks import any_label, check_labels, check_spec

_DATA_REMEDY = "Name the labels after the outputs."
_YIELDED = (
    "`x` must yield (inputs, labels) or (inputs, labels, sample_weights), "
    "with labels in a dict by task."
)


class DataGuard:
    """Checks everything that `fit`, `evaluate` and their kin are given.

    Arrays are checked whole, before training; generators and `PyDataset`s
    batch by batch as they are drawn; a `tf.data.Dataset` by its element spec
    (drawing from it would change its order).

    Args:
        tasks: The tasks.
        outputs: Symbolic outputs by key.
    """

    def __init__(self, tasks: TaskSet, outputs: Mapping[str, Any]) -> None:
        self.tasks = tasks
        self.outputs = outputs
        # An error raised inside a data thread reaches `fit` wrapped in
        # TensorFlow's own; it is kept here to be raised as it was.
        self.error: Exception | None = None

    def guard(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        labels_needed: bool = True,
        argument: str | None = None,
    ) -> Any:
        """Checks data, or wraps it to be checked while it is drawn.

        Args:
            x: What Keras takes as `x`.
            y: What Keras takes as `y`.
            sample_weight: What Keras takes as `sample_weight`.
            labels_needed: Whether every task must have a label somewhere.
            argument: The argument that holds all this, if not the call's own.

        Returns:
            `x`, wrapped where its batches are only known later.

        Raises:
            ValueError: The data do not suit the tasks.
        """
        with self._naming(argument):
            if x is None:
                raise ValueError(
                    "`x` must be given. Expected: arrays with `y`, a "
                    "tf.data.Dataset, a PyDataset or a generator. Received: "
                    "None."
                )
            if hasattr(x, "element_spec"):
                self._check_dataset(x)
                return x
            if isinstance(x, keras.utils.PyDataset):
                return _CheckedPyDataset(x, self, argument)
            if isinstance(x, Iterator):
                return self._checked(x, argument)
            if y is None and not _is_arrays(x):
                return x
            self._check_arrays(x, y, sample_weight, labels_needed)
            return x

    def check_batch(self, x: Any, y: Any, sample_weight: Any = None) -> None:
        """Holds keys, shapes and labels of one batch against the tasks.

        Raises:
            ValueError: A wrong key, or labels that do not suit their task.
        """
        self._check_structure(y, sample_weight)
        for name, task in self.tasks.items():
            check_labels(task, y[name], self.outputs[name])
        self._check_sizes(x, y, sample_weight)

    def check_drawn(self, batch: Any, argument: str | None = None) -> None:
        """`check_batch` on what a generator or a `PyDataset` yields.

        Raises:
            ValueError: As `check_batch`.
        """
        with self._naming(argument):
            if not isinstance(batch, (tuple, list)) or not (
                2 <= len(batch) <= 3
            ):
                raise ValueError(
                    f"{_YIELDED} Received: {type(batch).__name__}"
                    f"{_length(batch)}."
                )
            self.check_batch(*batch)

    @contextmanager
    def keeping_errors(self) -> Iterator[None]:
        """Keeps in `error` what is raised while data are drawn."""
        try:
            yield
        except Exception as error:
            self.error = error
            raise

    def _check_arrays(
        self, x: Any, y: Any, sample_weight: Any, labels_needed: bool
    ) -> None:
        self._check_structure(y, sample_weight)
        if not _is_arrays(x):
            raise ValueError(
                "`x` must be an array, or a list or dict of arrays. Received: "
                f"{type(x).__name__} of "
                f"{type(keras.tree.flatten(x)[0]).__name__}. Pass "
                "np.asarray(x)."
            )
        labels = {
            name: check_labels(task, y[name], self.outputs[name])
            for name, task in self.tasks.items()
        }
        sizes = self._check_sizes(x, y, sample_weight)
        if 0 in sizes.values():
            raise ValueError(
                "`x` is empty: there is no sample to learn from. Expected: at "
                f"least one. Received: {sizes}."
            )
        for array in keras.tree.flatten(x):
            values = np.asarray(array)
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                bad = int((~np.isfinite(values)).sum())
                raise ValueError(
                    f"`x` holds {bad} values that are NaN or infinite. "
                    "Expected: finite inputs (only labels may be missing). "
                    "Impute or drop them."
                )
        weights = self._weights_by_task(sample_weight)
        for name, task in self.tasks.items():
            weight = weights.get(name)
            if weight is not None and not np.isfinite(np.asarray(weight)).all():
                raise ValueError(
                    f"`sample_weight` of task {name!r} holds NaN or infinite "
                    "values. Expected: finite numbers. Write 0 for a sample "
                    "that is not to count."
                )
            if labels_needed and not any_label(task, labels[name], weight):
                raise ValueError(
                    f"`y[{name!r}]` holds no label: all {len(labels[name])} "
                    "are missing. Expected: at least one (NaN, -1 for classes, "
                    "or a sample weight of 0 say that a label is missing). "
                    f"Drop the task {name!r} or bring labels for it."
                )

    def _check_sizes(
        self, x: Any, y: Any, sample_weight: Any
    ) -> dict[str, int]:
        arrays = {f"x[{i}]": a for i, a in enumerate(keras.tree.flatten(x))}
        arrays |= {f"y[{name!r}]": y[name] for name in self.tasks}
        if isinstance(sample_weight, Mapping):
            arrays |= {
                f"sample_weight[{name!r}]": weight
                for name, weight in sample_weight.items()
            }
        else:
            arrays["sample_weight"] = sample_weight
        sizes = {
            name: int(array.shape[0])
            for name, array in arrays.items()
            if getattr(array, "shape", None)
        }
        if len(set(sizes.values())) > 1:
            raise ValueError(
                "`x`, `y` and `sample_weight` must hold the same number of "
                f"samples. Received: {sizes}. Cut or repeat the odd one."
            )
        return sizes

    def _check_structure(self, y: Any, sample_weight: Any) -> None:
        extra = [k for k in self.outputs if k not in self.tasks]
        if isinstance(y, Mapping):  # outputs without a loss may have labels
            y = {k: v for k, v in y.items() if k not in extra}
        check_keys(
            y, self.tasks, argument="y", all_needed=True, remedy=_DATA_REMEDY
        )
        if isinstance(sample_weight, (list, tuple)):
            raise ValueError(
                "`sample_weight` must be one array for all tasks or a dict by "
                f"task. Received: {type(sample_weight).__name__}. Name the "
                "weights after the outputs."
            )
        if isinstance(sample_weight, Mapping):
            check_keys(
                {k: v for k, v in sample_weight.items() if k not in extra},
                self.tasks,
                argument="sample_weight",
                all_needed=False,
                remedy="A task left out has weights of 1.",
            )

    def _check_dataset(self, dataset: Any) -> None:
        spec = dataset.element_spec
        if not isinstance(spec, tuple) or not 2 <= len(spec) <= 3:
            raise ValueError(f"{_YIELDED} Received a dataset of {spec}.")
        labels = spec[1]
        self._check_structure(labels, spec[2] if len(spec) > 2 else None)
        for name, task in self.tasks.items():
            shape = getattr(labels[name], "shape", None)
            if shape is not None and shape.rank is not None:
                check_spec(
                    task,
                    tuple(shape),
                    labels[name].dtype.as_numpy_dtype,
                    self.outputs[name],
                )
        if int(dataset.cardinality()) == 0:
            raise ValueError(
                "`x` is an empty dataset: there is no batch to learn from. "
                "Expected: at least one. Look at its filters and at `take`."
            )

    def _weights_by_task(self, sample_weight: Any) -> Mapping[str, Any]:
        if isinstance(sample_weight, Mapping):
            return sample_weight
        return dict.fromkeys(self.tasks, sample_weight)

    def _checked(
        self, batches: Iterator[Any], argument: str | None
    ) -> Iterator[Any]:
        with self.keeping_errors():
            for batch in batches:
                self.check_drawn(batch, argument)
                yield batch

    @contextmanager
    def _naming(self, argument: str | None) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            if argument is None:
                raise
            raise ValueError(f"In `{argument}`: {error}") from None


def complete_weights(sample_weight: Any, y: Any) -> Any:
    """Sample weights for every output: 1 for those that are left out.

    Keras itself refuses a dict that lacks an output.
    """
    if not (isinstance(sample_weight, Mapping) and isinstance(y, Mapping)):
        return sample_weight
    return {
        name: sample_weight[name]
        if sample_weight.get(name) is not None
        else np.ones(len(labels), "float32")
        for name, labels in y.items()
    }


class _CheckedPyDataset(keras.utils.PyDataset):
    """A `PyDataset` whose batches are checked as they are drawn."""

    def __init__(
        self, dataset: Any, guard: DataGuard, argument: str | None
    ) -> None:
        super().__init__(
            workers=dataset.workers,
            use_multiprocessing=dataset.use_multiprocessing,
            max_queue_size=dataset.max_queue_size,
        )
        self._dataset = dataset
        self._guard = guard
        self._argument = argument

    def __getitem__(self, index: int) -> Any:
        with self._guard.keeping_errors():
            batch = self._dataset[index]
            self._guard.check_drawn(batch, self._argument)
        return batch

    @property
    def num_batches(self) -> Any:
        """As the data set says."""
        return self._dataset.num_batches

    def __len__(self) -> int:
        return len(self._dataset)

    def on_epoch_begin(self) -> None:
        """Handed on."""
        self._dataset.on_epoch_begin()

    def on_epoch_end(self) -> None:
        """Handed on."""
        self._dataset.on_epoch_end()


def _is_arrays(x: Any) -> bool:
    return all(hasattr(a, "shape") for a in keras.tree.flatten(x))


def _length(batch: Any) -> str:
    return f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""
