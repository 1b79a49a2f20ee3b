"""What a step tells: losses, metrics, weights and conflict, by task."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_mtl.tasks import Task, TaskSet
from keras_mtl.tasks.task import metric_name
from keras_mtl.training.losses import Labels


class Means(keras.metrics.Metric):
    """Running means of several values, in two variables for all.

    Args:
        keys: The log key of each value.
        name: The metric's name.
    """

    def __init__(self, keys: list[str], name: str) -> None:
        super().__init__(name=name)
        self.keys = keys
        shape = (len(keys),)
        self.total = self.add_variable(shape, "zeros", name="total")
        self.count = self.add_variable(shape, "zeros", name="count")

    def update_state(self, values: Any, weights: Any) -> None:
        """Adds values `(n,)` with weights `(n,)`, 0 for an absent one."""
        weights = ops.cast(weights, self.dtype)
        # 0 · NaN is NaN: what does not count must not be read at all.
        values = ops.where(weights > 0, ops.cast(values, self.dtype), 0.0)
        self.total.assign_add(values * weights)
        self.count.assign_add(weights)

    def result(self) -> dict[str, Any]:
        """The mean by key; NaN for a value that was always absent."""
        means = ops.where(
            self.count > 0, ops.divide_no_nan(self.total, self.count), _NAN
        )
        return dict(zip(self.keys, ops.unstack(means), strict=True))


class KeptOut(keras.metrics.Metric):
    """How often each task was kept out of a step, since the epoch began.

    Args:
        num_tasks: T.
    """

    def __init__(self, num_tasks: int) -> None:
        super().__init__(name="kept_out")
        # All replicas of a step keep the same tasks out.
        self.count = self.add_variable(
            (num_tasks,),
            "zeros",
            aggregation="only_first_replica",
            name="count",
        )

    def update_state(self, kept_out: Any) -> None:
        """Adds booleans `(T,)`."""
        self.count.assign_add(ops.cast(kept_out, self.dtype))

    def result(self) -> Any:
        """The sum over the tasks."""
        return ops.sum(self.count)


class LabelCounts(keras.metrics.Metric):
    """In how many examples each task had a label.

    Args:
        num_tasks: T.
    """

    def __init__(self, num_tasks: int) -> None:
        super().__init__(name="labels")
        # Floats would stop to count at 2²⁴.
        self.count = self.add_variable(
            (num_tasks,), "zeros", dtype="int64", name="count"
        )

    def update_state(self, labels: Mapping[str, Labels]) -> None:
        """Adds the labels of one batch, by task."""
        counts = []
        for batch in labels.values():
            there = batch.there  # 0 or 1; its sum is made for the loss, too
            rest = tuple(range(1, len(there.shape)))
            if rest:  # one label among the values of an example is enough
                there = ops.max(there, axis=rest)
            counts.append(ops.sum(there))
        self.count.assign_add(ops.cast(ops.stack(counts), "int64"))

    def result(self) -> Any:
        """The sum over the tasks."""
        return ops.sum(self.count)


class TaskMetrics:
    """The Keras metrics of all tasks, each fed its own output's labels.

    Args:
        metrics: Metrics by task, as `compile` takes them.
        weighted_metrics: The same, for metrics that see sample weights.
    """

    def __init__(
        self,
        tasks: TaskSet,
        outputs: Mapping[str, Any],
        metrics: Mapping[str, Any],
        weighted_metrics: Mapping[str, Any],
    ) -> None:
        # (task, log key, metric, whether it sees sample weights)
        self.rows: list[tuple[str, str, Any, bool]] = []
        seen: set[str] = set()
        for weighted, by_task in ((False, metrics), (True, weighted_metrics)):
            for name, task in tasks.items():
                for identifier in _as_list(by_task.get(name)):
                    metric = resolve_metric(identifier, task, outputs[name])
                    key = f"{name}_{metric.name}"
                    if key in seen and weighted:
                        key = f"{name}_weighted_{metric.name}"
                    if key in seen:
                        raise ValueError(
                            f"`metrics` of task {name!r} has two metrics named "
                            f"{metric.name!r}. Give one of them another `name`."
                        )
                    seen.add(key)
                    self.rows.append((name, key, metric, weighted))

    @property
    def metrics(self) -> list[Any]:
        """The metric objects."""
        return [metric for _, _, metric, _ in self.rows]

    def update_state(self, labels: Mapping[str, Labels]) -> None:
        """Feeds each metric the labels that are there."""
        for name, _, metric, weighted in self.rows:
            batch = labels[name]
            y_true, y_pred = batch.y_true, batch.y_pred
            weights = batch.weights if weighted else batch.there
            if batch.one_by_one and not isinstance(metric, _MEANS):
                # Values came one by one for the loss; curves and matrices
                # want whole rows.
                y_true, y_pred = y_true[..., 0], y_pred[..., 0]
                if not isinstance(metric, _POINTWISE_CURVES):
                    weights = ops.min(weights, axis=-1)
            metric.update_state(y_true, y_pred, sample_weight=weights)

    def result(self, count: Mapping[str, Any]) -> dict[str, Any]:
        """Results by log key; NaN for a task that never had a label."""
        return {
            key: ops.where(
                count[name] > 0, ops.cast(metric.result(), "float32"), _NAN
            )
            for name, key, metric, _ in self.rows
        }


class TaskLogs:
    """All trackers of a model, and the dict that a step returns.

    Args:
        tasks: The tasks.
        metrics: Their metrics.
        weighted: Whether weights are logged.
        conflicts: Whether cosines of gradients are logged.
        guarded: Whether tasks may be kept out of a step, which is logged.
    """

    def __init__(
        self,
        tasks: TaskSet,
        metrics: TaskMetrics,
        *,
        weighted: bool,
        conflicts: bool,
        guarded: bool,
    ) -> None:
        names = list(tasks)
        self.tasks = names
        self.total = keras.metrics.Mean(name="loss")
        self.losses = Means(_keys(names, "loss"), "loss_by_task")
        self.metrics = metrics
        balance = _keys(names, "weight") if weighted else []
        if conflicts:
            balance = [*balance, "min_cosine"]
        self.balance = Means(balance, "balance") if balance else None
        self.kept_out = KeptOut(len(names)) if guarded else None
        # Read and reset once an epoch, apart from Keras's own: neither
        # validation nor the dict of a step knows of them.
        self.labels = LabelCounts(len(names))
        self.cosines = (
            Means(_keys(names, "cosine"), "cosine") if conflicts else None
        )

    @property
    def trackers(self) -> list[Any]:
        """Every metric object, for Keras to reset."""
        training_only = [
            m for m in (self.balance, self.kept_out) if m is not None
        ]
        return [
            self.total,
            self.losses,
            *self.metrics.metrics,
            *training_only,
        ]

    def update(
        self,
        batch_size: Any,
        total: Any,
        losses: Any,
        present: Any,
        labels: Mapping[str, Labels],
    ) -> None:
        """Adds one batch.

        Args:
            batch_size: Number of samples: an integer where the graph knows it,
                else a scalar tensor.
            total: The total loss.
            losses: Losses `(T,)`.
            present: Which tasks had a label `(T,)`.
            labels: Labels and predictions by task.
        """
        self.total.update_state(total, sample_weight=batch_size)
        # Keras weighs the losses of outputs by the batch size only where it
        # is known when the step is traced; so do we.
        known = batch_size if isinstance(batch_size, int) else 1
        self.losses.update_state(losses, known * ops.cast(present, "float32"))
        self.metrics.update_state(labels)

    def update_balance(
        self,
        weights: Any,
        labelled: Any,
        usable: Any,
        conflict: Any,
    ) -> None:
        """Adds what the balancer did in one step.

        Args:
            weights: Weights `(T,)`, or None.
            labelled: Which tasks had a label `(T,)`.
            usable: Which of them took part `(T,)`.
            conflict: The angles between gradients, or None.
        """
        if self.balance is not None:
            values, counts = [], []
            if weights is not None:
                values.append(weights)
                counts.append(ops.cast(usable, "float32"))
            if conflict is not None:
                values.append(conflict.smallest[None])
                counts.append(conflict.known[None])
            self.balance.update_state(
                ops.concatenate(values), ops.concatenate(counts)
            )
        if self.cosines is not None:
            self.cosines.update_state(conflict.means, conflict.means_known)
        if self.kept_out is not None:
            self.kept_out.update_state(
                ops.logical_and(labelled, ops.logical_not(usable))
            )

    def count_labels(self, labels: Mapping[str, Labels]) -> None:
        """Counts the labels of one batch of training."""
        self.labels.update_state(labels)

    def epoch_result(self) -> dict[str, float]:
        """The logs of an epoch, by key."""
        counts = ops.convert_to_numpy(self.labels.count)
        logs = {
            f"{name}_labels": float(count)
            for name, count in zip(self.tasks, counts, strict=True)
        }
        if self.cosines is not None:
            logs |= {k: float(v) for k, v in self.cosines.result().items()}
        return logs

    def reset_epoch(self) -> None:
        """Begins the logs of an epoch anew."""
        self.labels.reset_state()
        if self.cosines is not None:
            self.cosines.reset_state()

    def result(self, *, training: bool) -> dict[str, Any]:
        """The logs by key, in the order in which Keras writes them."""
        count = dict(
            zip(self.tasks, ops.unstack(self.losses.count), strict=True)
        )
        logs = {"loss": self.total.result(), **self.losses.result()}
        logs |= self.metrics.result(count)
        if training and self.balance is not None:
            logs |= self.balance.result()
        if training and self.kept_out is not None:
            logs["kept_out"] = self.kept_out.result()
        return logs


def _keys(tasks: list[str], suffix: str) -> list[str]:
    return [f"{task}_{suffix}" for task in tasks]


_NAN = float("nan")
_MEANS = (keras.metrics.Mean,)  # and all that wrap a function in it
_POINTWISE_CURVES = (keras.metrics.AUC,)


def resolve_metric(identifier: Any, task: Task, output: Any) -> Any:
    """A Keras metric from an instance, a name, a config or a function.

    "accuracy" and "crossentropy" become the metric of the task's loss, as in
    Keras.

    Raises:
        ValueError: No such metric.
    """
    if isinstance(identifier, keras.metrics.Metric):
        return identifier
    name = metric_name(identifier) if not isinstance(identifier, dict) else None
    if name in ("accuracy", "acc", "crossentropy", "ce"):
        family = _family(task, output)
        kind = "Crossentropy" if name in ("crossentropy", "ce") else "Accuracy"
        return getattr(keras.metrics, f"{family}{kind}")(name=name)
    try:
        metric = keras.metrics.get(identifier)
    except ValueError as error:
        raise ValueError(
            f"`metrics` of task {task.name!r} holds {identifier!r}, which "
            "Keras does not know. Expected: a metric, its name or a function."
        ) from error
    if not isinstance(metric, keras.metrics.Metric):
        metric = keras.metrics.MeanMetricWrapper(metric, name=name)
    if name is not None:
        metric.name = name
    return metric


def _family(task: Task, output: Any) -> str:
    if isinstance(task.loss, keras.losses.SparseCategoricalCrossentropy):
        return "SparseCategorical"
    if isinstance(
        task.loss,
        (
            keras.losses.CategoricalCrossentropy,
            keras.losses.CategoricalFocalCrossentropy,
        ),
    ):
        return "Categorical"
    if task.kind in ("binary", "multilabel") or output.shape[-1] == 1:
        return "Binary"
    return "SparseCategorical"


def _as_list(metrics: Any) -> list[Any]:
    if metrics is None:
        return []
    return list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]
