"""A Functional model that learns several tasks at once."""

import functools
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keras_mtl._registry import PACKAGE
from keras_mtl.balancers import base as balancers
from keras_mtl.balancers.base import (
    CoordinateBalancer,
    GradientBalancer,
)
from keras_mtl.graph import partition
from keras_mtl.schedules import base as schedules
from keras_mtl.tasks import TaskSet
from keras_mtl.tasks.task import serialize_loss
from keras_mtl.tasks.task_set import check_keys
from keras_mtl.training.arguments import (
    by_name,
    fill_weights,
    first_epoch,
    take_mixture,
)
from keras_mtl.training.backends import backend
from keras_mtl.training.checks import DataGuard, complete_weights
from keras_mtl.training.compiling import (
    loss_weight,
    ready_balancer,
    ready_schedule,
    tasks_to_train,
)
from keras_mtl.training.distributed import distributed, variable_scope
from keras_mtl.training.epoch_end import EpochEnd
from keras_mtl.training.forward_state import forward_state, heads, put_back
from keras_mtl.training.logs import TaskLogs, TaskMetrics
from keras_mtl.training.losses import loss_totals, mean_loss, read_labels


@keras.saving.register_keras_serializable(package=PACKAGE)
class MultiTaskModel(keras.Model):
    """A `keras.Model` whose outputs are tasks, balanced while it trains.

    A drop-in for a Functional `keras.Model` with a dict of outputs: `fit`,
    `evaluate`, `predict`, callbacks, saving and export are Keras's own. What
    is added: labels may be missing, `compile` takes a `balancer`, and logs
    tell each task's weight and the conflict between tasks.

    Args:
        inputs: Symbolic inputs, as for `keras.Model`.
        outputs: A dict from task key to symbolic output.
        tasks: `keras_mtl.Task`s for these keys, from which `compile` takes
            losses, metrics and loss weights. May be left out if `compile`
            is given `loss`.
        weight_penalty: A penalty on weights of several layers together,
            such as `training.SoftSharing`. It is one of the model's `losses`,
            beside regularizers of single weights.
        name: Name of the model.

    Raises:
        ValueError: `outputs` is not a dict, or `tasks` do not match it, or
            `weight_penalty` does not fit the layers.

    Example:
        >>> from keras_mtl import Task
        >>> x = keras.Input((4,))
        >>> h = keras.layers.Dense(8, activation="relu")(x)
        >>> model = MultiTaskModel(
        ...     x,
        ...     {
        ...         "age": keras.layers.Dense(1)(h),
        ...         "job": keras.layers.Dense(3, activation="softmax")(h),
        ...     },
        ...     tasks=[
        ...         Task("age", "regression"),
        ...         Task("job", "multiclass", units=3),
        ...     ],
        ... )
        >>> model.compile("adam", balancer="mgda")
    """

    # The cut of the forward pass that is under way; see `tapped`.
    _tap: Any = None
    # Whether `evaluate` is under way, within a `fit` or not.
    _evaluates = False

    def __init__(
        self,
        *args: Any,
        tasks: Any = None,
        weight_penalty: Any = None,
        **kwargs: Any,
    ) -> None:
        # Keras revives Functional subclasses only by this signature.
        if len(args) > 1 and isinstance(args[1], _ClonedOutputs):
            tasks, weight_penalty = args[1].tasks, args[1].weight_penalty
            args = (args[0], dict(args[1]), *args[2:])
        super().__init__(*args, **kwargs)
        if not isinstance(self.output, Mapping) or any(
            not isinstance(x, keras.KerasTensor) for x in self.output.values()
        ):
            raise ValueError(
                "`outputs` must be a dict from task keys to tensors, so that "
                "no order is ever guessed. Received: "
                f"{type(self.output).__name__}. MultiTaskModel.from_model "
                "turns a model with other outputs into one."
            )
        self.given_tasks: TaskSet | None = None
        if tasks is not None:
            self.given_tasks = _task_set(tasks)
            check_keys(
                self.given_tasks,
                self.output,
                argument="tasks",
                all_needed=False,
                remedy="Name tasks after the outputs.",
            )
            _check_units(self.given_tasks, self.output)
        self.tasks: TaskSet | None = self.given_tasks
        if isinstance(weight_penalty, dict):  # from a config
            weight_penalty = keras.saving.deserialize_keras_object(
                weight_penalty
            )
        if weight_penalty is not None:
            weight_penalty.check(self)
        self.weight_penalty = weight_penalty
        self.balancer: balancers.Balancer | None = None
        self.schedule: schedules.Schedule | None = None

    @classmethod
    def from_model(cls, model: Any, tasks: Any = None) -> "MultiTaskModel":
        """A multi-task model on the layers and weights of a Functional model.

        Args:
            model: A Functional `keras.Model`. Outputs that are no dict are
                keyed by the names of their layers, as in Keras.
            tasks: As in the constructor. Those of a `MultiTaskModel` by
                default, whose `weight_penalty` is kept.

        Returns:
            A model that shares layers and weights with `model`.

        Raises:
            ValueError: `model` is not Functional.
        """
        if not isinstance(model, keras.Model) or not hasattr(
            model, "output_names"
        ):
            raise ValueError(
                "`model` must be a Functional keras.Model, whose graph is "
                f"known. Received: {type(model).__name__}. Build it from "
                "keras.Input, or pass inputs and outputs of your own."
            )
        outputs = model.output
        if not isinstance(outputs, Mapping):
            outputs = dict(zip(model.output_names, model.outputs, strict=True))
        if tasks is None:
            tasks = getattr(model, "given_tasks", None)
        return cls(
            inputs=model.input,
            outputs=outputs,
            tasks=tasks,
            weight_penalty=getattr(model, "weight_penalty", None),
            name=model.name,
        )

    def variables_by_task(self) -> dict[str, list[Any]]:
        """The trainable variables that each task depends on.

        One of several tasks is shared, one of a single task is its own; which
        is told by the graph, call by call.

        Returns:
            Lists by task, in the model's order. Variables of no task, such as
            those of an output without a loss, are in none.

        Example:
            >>> from keras_mtl import Task, builders
            >>> model = builders.hard_sharing(
            ...     keras.Input((4,)),
            ...     [Task("a", "binary"), Task("b", "binary")],
            ...     [keras.layers.Dense(8, name="low")],
            ... )
            >>> [v.path for v in model.variables_by_task()["b"]]
            ['low/kernel', 'low/bias', 'b/kernel', 'b/bias']
        """
        split = (
            self.partition
            if self.compiled
            else partition(self, list(self.given_tasks or self.output))
        )
        return {
            task: [
                v
                for v in self.trainable_variables
                if task in split.reach.get(id(v), ())
            ]
            for task in split.tasks
        }

    def call(
        self, inputs: Any, training: Any = None, mask: Any = None, **kwargs: Any
    ) -> Any:
        """The outputs. Inputs in a dict are matched by their names.

        There may be more of them than the model has, as other models read
        them. Keras would pair such a dict with its inputs by position.
        """
        if isinstance(self.input, Mapping):
            inputs, mask = (
                {name: part[name] for name in self.input}
                if isinstance(part, Mapping)
                else part
                for part in (inputs, mask)
            )
        return super().call(inputs, training=training, mask=mask, **kwargs)

    # ------------------------------------------------------------ compile

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        balancer: Any = None,
        schedule: Any = None,
        **kwargs: Any,
    ) -> None:
        """Configures training.

        Args:
            optimizer: As in Keras.
            loss: A dict of Keras losses by task, or one for all. Defaults to
                the tasks' own. None in the dict leaves an output out.
            loss_weights: A dict of factors on the losses by task, applied
                before the balancer sees them. Defaults to the tasks' weights.
            metrics: A dict of (lists of) Keras metrics by task. Defaults to
                the tasks' own.
            weighted_metrics: The same, for metrics that take `sample_weight`
                into account.
            balancer: None (the weighted sum of losses), a name ("pcgrad"), a
                config or a `keras_mtl` balancer.
            schedule: None (all tasks train in every step), a name
                ("round_robin"), a config or a `keras_mtl` schedule.
            **kwargs: As in Keras: `run_eagerly`, `steps_per_execution`,
                `jit_compile`, `auto_scale_loss`.

        Raises:
            ValueError: A key names no output, an output has no loss, or
                something does not work with the distribution strategy in
                whose scope the model was made.
        """
        with variable_scope(self):
            self._compile(
                optimizer,
                {
                    "loss": loss,
                    "loss_weights": loss_weights,
                    "metrics": metrics,
                    "weighted_metrics": weighted_metrics,
                },
                balancer,
                schedule,
                **kwargs,
            )

    def _compile(
        self,
        optimizer: Any,
        arguments: dict[str, Any],
        balancer: Any,
        schedule: Any,
        **kwargs: Any,
    ) -> None:
        loss, loss_weights, metrics, weighted_metrics = arguments.values()
        tasks = tasks_to_train(self.given_tasks, self.output, loss)
        for argument, value in (
            ("loss_weights", loss_weights),
            ("metrics", metrics),
            ("weighted_metrics", weighted_metrics),
        ):
            if value is not None:
                check_keys(value, tasks, argument=argument, all_needed=False)
        task_metrics = TaskMetrics(
            tasks,
            self.output,
            {n: t.metrics for n, t in tasks.items()}
            if metrics is None
            else metrics,
            weighted_metrics or {},
        )
        factors = [
            loss_weight((loss_weights or {}).get(name, task.weight), name)
            for name, task in tasks.items()
        ]
        # What can fail comes first: a model is never compiled by half.
        split = partition(self, list(tasks))
        balancer = ready_balancer(balancer, tasks, split.shared)
        schedule = ready_schedule(schedule, tasks, heads(self, split))
        optimizer = keras.optimizers.get(optimizer)
        if distributed(self):
            backend().check_strategy(self, optimizer, balancer, kwargs)
        super().compile(optimizer=optimizer, **kwargs)
        self._tracker.untrack(self.balancer)
        self._tracker.untrack(self.schedule)
        self.balancer = balancer
        self.schedule = schedule
        self.tasks = tasks
        self.partition = split
        # A model saved before its first step then loads without a warning.
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        self._compiled = _Compiled(
            arguments=arguments,
            loss_weights=factors,
            logs=TaskLogs(
                tasks,
                task_metrics,
                weighted=self.balancer is not None
                and not isinstance(self.balancer, CoordinateBalancer),
                conflicts=isinstance(
                    self.balancer, (GradientBalancer, CoordinateBalancer)
                )
                and getattr(self.balancer, "needs_gradients", True),
                guarded=self.balancer is not None,
            ),
            guard=DataGuard(tasks, self.output),
        )

    def get_compile_config(self) -> dict[str, Any]:
        """What `compile` was given, serialized."""
        if not self.compiled:
            return {}
        return {
            **super().get_compile_config(),
            **{
                key: keras.saving.serialize_keras_object(value)
                for key, value in self._compiled.arguments.items()
            },
            "loss": serialize_loss(self._compiled.arguments["loss"]),
            "balancer": balancers.serialize(self.balancer),
            "schedule": schedules.serialize(self.schedule),
        }

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compiles as `get_compile_config` tells."""
        config = keras.saving.deserialize_keras_object(dict(config))
        self.compile(**config)

    # ------------------------------------------------------------ one step

    @property
    def loss_weight_vector(self) -> Any:
        """The factors of `loss_weights`, `(T,)` in the order of the tasks."""
        return ops.convert_to_tensor(self._compiled.loss_weights, "float32")

    def step_factors(self) -> tuple[Any, Any]:
        """What losses are multiplied by in this step, `(T,)`, and who trains.

        Returns:
            `loss_weights` times the schedule's factors; booleans, or None if
            there is no schedule.
        """
        if self.schedule is None:
            return self.loss_weight_vector, None
        factors = self.schedule.factors(self.optimizer.iterations)
        return self.loss_weight_vector * factors, factors > 0

    def each_loss(
        self, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> tuple[dict[str, Any], list[Any], Any]:
        """The unweighted loss of each task on one batch, as scalars.

        Within a distribution strategy the batch is that of all replicas.

        Args:
            y: Labels by task.
            y_pred: Outputs by task.
            sample_weight: None, weights for all tasks, or a dict by task.

        Returns:
            Labels as read, by task; T losses; whether each task has a label,
            booleans `(T,)`.
        """
        labels, totals = {}, {}
        for name, task in (self.tasks or {}).items():
            weight = (
                sample_weight.get(name)
                if isinstance(sample_weight, Mapping)
                else sample_weight
            )
            labels[name] = read_labels(task, y[name], y_pred[name], weight)
            totals[name] = loss_totals(task, labels[name])
        whole = backend().added_totals(self.tasks, totals).values()
        losses = [ops.cast(mean_loss(own), "float32") for own in whole]
        counts = ops.stack([ops.cast(own.count, "float32") for own in whole])
        return labels, losses, counts > 0

    def task_losses(
        self, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> tuple[dict[str, Any], Any, Any]:
        """As `each_loss`, with losses `(T,)` and booleans `(T,)`."""
        labels, losses, present = self.each_loss(y, y_pred, sample_weight)
        return labels, ops.stack(losses), present

    def _get_own_losses(self) -> list[Any]:
        """As of any model, and the weight penalty.

        Keras asks each nested layer for these, so that the penalty counts
        where the model is part of another, too. A model has no `add_loss`.
        """
        losses: list[Any] = super()._get_own_losses()
        if self.weight_penalty is None:
            return losses
        return [*losses, self.weight_penalty(self)]

    def extra_loss(self) -> Any:
        """The sum of `losses`, each counted once."""
        return sum(
            (ops.sum(ops.cast(x, "float32")) for x in self.losses),
            start=ops.zeros((), "float32"),
        )

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The scalar that logs call `loss`; see `keras.Model.compute_loss`."""
        _, losses, _ = self.task_losses(y, y_pred, sample_weight)
        return self._logged_loss(losses)

    def _logged_loss(self, losses: Any) -> Any:
        weighted = losses * self.loss_weight_vector
        if self.balancer is not None:
            return self.balancer.logged_loss(weighted) + self.extra_loss()
        return ops.sum(weighted) + self.extra_loss()

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of training; called by `fit`."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        state = forward_state(self)
        result = backend().train_step(self, x, y, sample_weight)
        put_back(state)
        logs = self._compiled.logs
        logs.update(
            _batch_size(x),
            result.total,
            result.losses,
            result.seen,
            result.labels,
        )
        logs.update_balance(
            result.weights,
            result.labelled,
            result.usable,
            result.conflict,
        )
        logs.count_labels(result.labels)
        return self._results(training=True)

    def epoch_logs(self) -> dict[str, float]:
        """What is told once an epoch, not in every step.

        Returns:
            `<task>_labels`: in how many examples of this epoch the task had a
            label. With a balancer of gradients `<task>_cosine`: the mean
            cosine of its gradient with those of the others; NaN where there
            were none beside it.
        """
        return self._compiled.logs.epoch_result()

    def reset_epoch_logs(self) -> None:
        """Begins `epoch_logs` anew; `fit` does so in every epoch."""
        self._compiled.logs.reset_epoch()

    def kept_out(self) -> dict[str, int]:
        """In how many steps of this epoch each task was kept out.

        A balancer never sees a task whose loss or gradient is not finite:
        such a task takes no part in the step. Without a balancer, as in
        Keras, no task is kept out.

        Returns:
            Counts by task, since metrics were last reset.
        """
        tracker = self._compiled.logs.kept_out
        if tracker is None:
            return dict.fromkeys(self.tasks or {}, 0)
        counts = ops.convert_to_numpy(tracker.count)
        return dict(zip(self.tasks or {}, map(int, counts), strict=True))

    def not_finite(self) -> list[str]:
        """The tasks of which a loss that counted was NaN or infinite.

        With a balancer there are none, for such a loss is kept out.

        Returns:
            Their names, since metrics were last reset.
        """
        sums = ops.convert_to_numpy(self._compiled.logs.losses.total)
        return [
            name
            for name, total in zip(self.tasks or {}, sums, strict=True)
            if not math.isfinite(total)
        ]

    def test_step(self, data: Any) -> dict[str, Any]:
        """One step of evaluation; called by `evaluate`."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        labels, losses, present = self.task_losses(y, y_pred, sample_weight)
        total = self._logged_loss(losses)
        self._compiled.logs.update(
            _batch_size(x), total, losses, present, labels
        )
        return self._results(training=False)

    def get_metrics_result(self, training: bool | None = None) -> Any:
        """The logs of all replicas, which Keras asks for after an epoch.

        Without replicas they are those of the last step, and nothing is asked.

        Args:
            training: Whether they are of training; told by the call that is
                under way, if left out.
        """
        if distributed(self) and self.compiled:
            if training is None:
                training = not self._evaluates
            return self._results(training=training)
        return super().get_metrics_result()

    def _results(self, *, training: bool) -> dict[str, Any]:
        logs = self._compiled.logs.result(training=training)
        for metric in self._layer_metrics():
            logs[metric.name] = metric.result()
        return logs

    def _layer_metrics(self) -> list[Any]:
        # Keras's own tracker of the total comes first; `TaskLogs` has ours.
        return list(super().metrics[1:])

    @property
    def metrics(self) -> list[Any]:
        """All metric objects, in Keras's order."""
        if not self.compiled:
            return super().metrics  # type: ignore[no-any-return]
        return [*self._compiled.logs.trackers, *self._layer_metrics()]

    @contextmanager
    def tapped(self, tap: Any) -> Iterator[None]:
        """Lets `tap.read` stand between the calls of the graph meanwhile.

        Args:
            tap: An object with `read(consumer, slot, tensor)`; see
                `UnrolledGraph.run`.
        """
        self._tap = tap
        try:
            yield
        finally:
            self._tap = None

    def _run_through_graph(
        self, inputs: Any, operation_fn: Any = lambda op: op, **kwargs: Any
    ) -> Any:
        if self._tap is None:
            outputs = super()._run_through_graph(
                inputs, operation_fn=operation_fn, **kwargs
            )
            # So calls `clone_model`, which hands on nothing but outputs.
            if "call_fn" in kwargs and isinstance(
                keras.tree.flatten(inputs)[0], keras.KerasTensor
            ):
                return _ClonedOutputs(outputs, self)
            return outputs
        return self.partition.graph.run(
            keras.tree.flatten(inputs), operation_fn, self._tap.read
        )

    def _maybe_symbolic_build(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: `compile` has built all that there is.

        With a distribution strategy, Keras would draw a batch beforehand and
        take the mean over its parts, which fails where they are of different
        sizes or strings.
        """

    # ------------------------------------------------------ Keras's entries

    @functools.wraps(keras.Model.fit)
    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """As in Keras, on data that are checked before training starts.

        `x` may be a `keras_mtl.data.Mixture`, too, and so may
        `validation_data`, of which the first epoch is taken.
        """
        call = by_name(super().fit, args, kwargs)
        self._assert_compile_called("fit")
        if distributed(self):
            backend().check_fit(self)
        guard = self._compiled.guard
        follower = take_mixture(call)
        call["x"] = guard.guard(
            call.get("x"), call.get("y"), call.get("sample_weight")
        )
        fill_weights(call)
        validation = call.get("validation_data")
        if isinstance(validation, (tuple, list)):
            guard.guard(
                *validation, labels_needed=False, argument="validation_data"
            )
            if len(validation) == 3:
                x, y, weights = validation
                call["validation_data"] = (x, y, complete_weights(weights, y))
        elif validation is not None:
            call["validation_data"] = guard.guard(
                first_epoch(validation), argument="validation_data"
            )
        callbacks = call.get("callbacks")
        tells_more = self.balancer is not None or bool(follower)
        ours = [EpochEnd(tells_more), *follower]
        if isinstance(callbacks, keras.callbacks.CallbackList):
            # First, so that those of the user see what it adds to the logs.
            callbacks.callbacks[:0] = ours
            for callback in ours:
                callback.set_model(self)
        else:
            given = keras.tree.flatten(callbacks) if callbacks else []
            call["callbacks"] = [*ours, *given]
        with self._explained(*follower):
            return super().fit(**call)

    @functools.wraps(keras.Model.evaluate)
    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """As in Keras, on checked data; of a mixture, on its first epoch."""
        call = by_name(super().evaluate, args, kwargs)
        self._assert_compile_called("evaluate")
        if not call.get("_use_cached_eval_dataset"):
            call["x"] = self._compiled.guard.guard(
                first_epoch(call.get("x")),
                call.get("y"),
                call.get("sample_weight"),
                labels_needed=False,
            )
        fill_weights(call)
        self._evaluates = True
        try:
            with self._explained():
                return super().evaluate(**call)
        finally:
            self._evaluates = False

    @functools.wraps(keras.Model.train_on_batch)
    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """As in Keras, on a checked batch."""
        return self._on_batch(super().train_on_batch, args, kwargs)

    @functools.wraps(keras.Model.test_on_batch)
    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """As in Keras, on a checked batch."""
        return self._on_batch(super().test_on_batch, args, kwargs)

    def check_data(self, x: Any, argument: str | None = None) -> None:
        """Holds a data set against the tasks, as `fit` does.

        Args:
            x: What `fit` takes as `x`, labels included.
            argument: The argument that holds it, for messages.

        Raises:
            ValueError: The data do not suit the tasks.
        """
        self._assert_compile_called("check_data")
        self._compiled.guard.guard(x, argument=argument)

    def _on_batch(
        self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = by_name(function, args, kwargs)
        self._assert_compile_called(function.__name__)
        self._compiled.guard.check_batch(
            call["x"], call.get("y"), call.get("sample_weight")
        )
        fill_weights(call)
        with self._explained():
            return function(**call)

    @contextmanager
    def _explained(self, *readers: Any) -> Iterator[None]:
        """Turns errors of the graph into ones that name task or source."""
        guard = self._compiled.guard
        guard.error = None
        try:
            yield
        except Exception as error:
            if guard.error is not None:
                raise guard.error from None
            for reader in readers:
                if (clear := reader.explain(error)) is not None:
                    raise ValueError(clear) from error
            if (clear := backend().explain(error)) is not None:
                raise ValueError(clear) from error
            raise

    # -------------------------------------------------------------- saving

    def get_config(self) -> dict[str, Any]:
        """The graph, the tasks and the weight penalty."""
        config: dict[str, Any] = super().get_config()
        if self.given_tasks is not None:
            config["tasks"] = [
                keras.saving.serialize_keras_object(task)
                for task in self.given_tasks.values()
            ]
        if self.weight_penalty is not None:
            config["weight_penalty"] = keras.saving.serialize_keras_object(
                self.weight_penalty
            )
        return config

    def save_own_variables(self, store: Any) -> None:
        """Saves random state too, which Keras leaves out."""
        super().save_own_variables(store)
        for i, state in enumerate(self._random_state()):
            store[f"random_{i}"] = state

    def load_own_variables(self, store: Any) -> None:
        """Loads random state where the file has it."""
        states = self._random_state()
        keys = [f"random_{i}" for i in range(len(states))]
        if states and all(key in store for key in keys):
            for key, state in zip(keys, states, strict=True):
                state.assign(store[key])

    def _random_state(self) -> list[Any]:
        return [
            v for v in self.variables if v.path.endswith("seed_generator_state")
        ]


class _ClonedOutputs(dict[str, Any]):
    """Outputs of a clone, with what belongs to a model beside its graph."""

    def __init__(self, outputs: Mapping[str, Any], model: Any) -> None:
        super().__init__(outputs)
        self.tasks = model.given_tasks
        self.weight_penalty = model.weight_penalty


@dataclass
class _Compiled:
    """What `compile` made: kept in one object, so that Keras tracks none.

    Attributes:
        arguments: Arguments of `compile` that Keras's own does not see.
        loss_weights: One factor a task.
        logs: Trackers of losses, metrics, weights.
        guard: Checks of data.
    """

    arguments: dict[str, Any]
    loss_weights: list[float]
    logs: TaskLogs
    guard: DataGuard


def _task_set(tasks: Any) -> TaskSet:
    if isinstance(tasks, TaskSet):
        return tasks
    if isinstance(tasks, (list, tuple)):
        tasks = [
            keras.saving.deserialize_keras_object(t)
            if isinstance(t, dict)
            else t
            for t in tasks
        ]
    return TaskSet(tasks)


def _check_units(tasks: TaskSet, outputs: Mapping[str, Any]) -> None:
    for name, task in tasks.items():
        width = outputs[name].shape[-1]
        if None not in (task.units, width) and task.units != width:
            raise ValueError(
                f"`units` of task {name!r} must be the width of its output. "
                f"Expected: {width}. Received: units={task.units}. Correct the "
                "task or the output's last layer."
            )


def _batch_size(x: Any) -> Any:
    return ops.shape(keras.tree.flatten(x)[0])[0]
