"""Holds data against the tasks before a step runs, on the host."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_mtl.tasks import Task, TaskSet
from keras_mtl.tasks.task_set import check_keys
from keras_mtl.training.losses import MISSING_CLASS

_DATA_REMEDY = "Name the labels after the outputs."


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
        self.error: ValueError | None = None

    def guard(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        labels_needed: bool = True,
    ) -> Any:
        """Checks data, or wraps it to be checked while it is drawn.

        Args:
            x: What Keras takes as `x`.
            y: What Keras takes as `y`.
            sample_weight: What Keras takes as `sample_weight`.
            labels_needed: Whether every task must have a label somewhere.

        Returns:
            `x`, wrapped where its batches are only known later.

        Raises:
            ValueError: The data do not suit the tasks.
        """
        if isinstance(x, keras.utils.PyDataset):
            return _CheckedPyDataset(x, self)
        if hasattr(x, "element_spec"):
            self._check_dataset(x)
            return x
        if isinstance(x, Iterator):
            return self._checked(x)
        if y is None and not hasattr(x, "shape") and not _is_arrays(x):
            return x
        self._check_arrays(x, y, sample_weight, labels_needed)
        return x

    def check_batch(self, x: Any, y: Any, sample_weight: Any = None) -> None:
        """Holds the keys and the labels of one batch against the tasks.

        Raises:
            ValueError: A wrong key, or a label out of range.
        """
        self._check_structure(y, sample_weight)
        for name, task in self.tasks.items():
            check_labels(task, y[name], self.outputs[name])

    def _check_arrays(
        self, x: Any, y: Any, sample_weight: Any, labels_needed: bool
    ) -> None:
        self._check_structure(y, sample_weight)
        sizes = {
            f"x[{i}]": len(a) for i, a in enumerate(keras.tree.flatten(x))
        } | {f"y[{name!r}]": len(y[name]) for name in self.tasks}
        if len(set(sizes.values())) > 1:
            raise ValueError(
                "`x` and `y` must hold the same number of samples. "
                f"Received: {sizes}."
            )
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
        for name, task in self.tasks.items():
            labels = check_labels(task, y[name], self.outputs[name])
            weights = None
            if isinstance(sample_weight, Mapping):
                weights = sample_weight.get(name)
            if labels_needed and not _any_label(task, labels, weights):
                raise ValueError(
                    f"`y[{name!r}]` holds no label: all {len(labels)} are "
                    "missing. Expected: at least one (NaN, -1 for classes, or "
                    "a sample weight of 0 say that a label is missing). Drop "
                    f"the task {name!r} or bring labels for it."
                )

    def _check_structure(self, y: Any, sample_weight: Any) -> None:
        extra = [k for k in self.outputs if k not in self.tasks]
        if isinstance(y, Mapping):  # outputs without a loss may have labels
            y = {k: v for k, v in y.items() if k not in extra}
        check_keys(
            y, self.tasks, argument="y", all_needed=True, remedy=_DATA_REMEDY
        )
        if isinstance(sample_weight, Mapping):
            check_keys(
                sample_weight,
                self.tasks,
                argument="sample_weight",
                all_needed=False,
                remedy="A task left out has weights of 1.",
            )

    def _check_dataset(self, dataset: Any) -> None:
        spec = dataset.element_spec
        if not isinstance(spec, tuple) or len(spec) < 2:
            raise ValueError(
                "`x` must yield (inputs, labels) or (inputs, labels, "
                f"sample_weights). Received a dataset of {spec}."
            )
        self._check_structure(spec[1], spec[2] if len(spec) > 2 else None)
        if int(dataset.cardinality()) == 0:
            raise ValueError(
                "`x` is an empty dataset: there is no batch to learn from."
            )

    def _checked(self, batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            self._remember(batch)
            yield batch

    def _remember(self, batch: Any) -> None:
        try:
            self.check_batch(*batch)
        except ValueError as error:
            self.error = error
            raise


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

    def __init__(self, dataset: Any, guard: DataGuard) -> None:
        super().__init__(
            workers=dataset.workers,
            use_multiprocessing=dataset.use_multiprocessing,
            max_queue_size=dataset.max_queue_size,
        )
        self._dataset = dataset
        self._guard = guard

    def __getitem__(self, index: int) -> Any:
        batch = self._dataset[index]
        self._guard._remember(batch)
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


def check_labels(task: Task, labels: Any, output: Any) -> Any:
    """Holds the labels of one task against the range of its kind.

    Args:
        task: The task.
        labels: Its labels, anything array-like.
        output: The symbolic output, for its number of units.

    Returns:
        The labels as a numpy array.

    Raises:
        ValueError: A label is out of range.
    """
    values = np.asarray(labels)
    if values.dtype.kind not in "fiub":
        raise ValueError(
            f"`y[{task.name!r}]` must hold numbers. Received: dtype "
            f"{values.dtype}. Turn labels into integers or floats first."
        )
    if not task.classifies:
        return values
    sparse = isinstance(task.loss, keras.losses.SparseCategoricalCrossentropy)
    limit = output.shape[-1] - 1 if sparse else 1
    if limit is None or values.size == 0:
        return values
    there = ~_missing(task, values)
    bad = there & ((values < 0) | (values > limit))
    if bad.any():
        raise ValueError(
            f"`y[{task.name!r}]` holds a label out of range. Expected: "
            f"{'class indices' if sparse else 'values'} from 0 to {limit}, or "
            f"{MISSING_CLASS} for a missing one. Received: "
            f"{values[bad].flat[0]}. Correct the labels or the number of "
            "units of the output."
        )
    return values


def _missing(task: Task, values: Any) -> Any:
    missing = np.isnan(values) if values.dtype.kind == "f" else values != values
    return missing | (values == MISSING_CLASS) if task.classifies else missing


def _any_label(task: Task, values: Any, weights: Any) -> bool:
    there = ~_missing(task, values)
    if weights is not None:
        there = there.reshape(len(there), -1).any(axis=1) & (
            np.asarray(weights).reshape(len(there), -1) != 0
        ).any(axis=1)
    return bool(there.any())


def _is_arrays(x: Any) -> bool:
    return all(hasattr(a, "shape") for a in keras.tree.flatten(x))
