"""What a schedule is: a factor on each task's loss, from step to step."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl._registry import Registry
from keras_mtl.tasks import TaskSet
from keras_mtl.tasks.task_set import check_keys

registry = Registry("schedule")


class Schedule(keras.layers.Layer):
    """Decides which tasks train when.

    A factor of 0 takes a task out of a step: to the balancer, to its head and
    to its optimizer state it is as if its labels were missing, and what its
    head averages over batches stands still, too. Other factors multiply its
    loss, before any balancing. What is logged is the loss without its factor.

    A schedule is a Keras layer, so that its state is saved with the model and
    resumed, and its factors are tensors, so that no graph is traced anew when
    tasks change. Implement `factors` for what depends on the step, or
    `epoch_factors` for what depends on the epoch.
    """

    tasks: TaskSet

    def bind(
        self, tasks: TaskSet, private: Mapping[str, Sequence[Any]]
    ) -> None:
        """Tells the tasks and the variables of each alone. Called once.

        Args:
            tasks: The tasks, in the order of every vector.
            private: The variables that one task alone depends on: those that
                train, and what its forward pass writes, as moving averages.
        """
        self.tasks = tasks

    def build(self, input_shape: Sequence[int]) -> None:
        """Creates the state for `input_shape == (T,)`."""
        self.num_tasks = int(input_shape[0])
        self.epoch_state = self.add_state("factors", (self.num_tasks,), "ones")
        self.built = True

    def get_build_config(self) -> None:
        """None: a revived schedule is built when the model binds its tasks."""
        return

    def add_state(
        self, name: str, shape: Sequence[int], initializer: str = "zeros"
    ) -> Any:
        """A variable that the schedule moves itself, for `build` to make."""
        return self.add_weight(
            shape=tuple(shape),
            initializer=initializer,
            trainable=False,
            # Without it, a distribution strategy would keep one replica's.
            aggregation="mean",
            name=name,
        )

    def factors(self, step: Any) -> Any:
        """The factors of a step.

        It may be called more than once a step, for the same factors.

        Args:
            step: Steps that the optimizer has done, an integer tensor.

        Returns:
            A float32 tensor `(T,)`, nowhere negative.
        """
        return ops.convert_to_tensor(self.epoch_state)

    def epoch_factors(self, epoch: int) -> Sequence[float] | None:
        """The factors of an epoch, from 0; None leaves them as they are."""
        return None

    def on_epoch_begin(self, epoch: int) -> None:
        """Called before each epoch of `fit`, outside the graph."""
        factors = self.epoch_factors(epoch)
        if factors is not None:
            self.epoch_state.assign(factors)

    def on_epoch_end(
        self, model: Any, epoch: int, logs: Mapping[str, float]
    ) -> None:
        """Called after each epoch of `fit`, validation included."""

    def by_task(self, value: Any, argument: str, default: Any) -> list[Any]:
        """A value for each task, from a dict that may leave tasks out.

        Raises:
            ValueError: Keys that are no tasks.
        """
        if not isinstance(value, Mapping):
            return [value] * len(self.tasks)
        check_keys(value, self.tasks, argument=argument, all_needed=False)
        return [value.get(name, default) for name in self.tasks]

    def log(self, logs: Mapping[str, float], task: str, monitor: str) -> float:
        """A task's log of an epoch.

        Args:
            logs: The logs.
            task: The task.
            monitor: What follows the task in the key; `val_` may come first:
                `"val_loss"` reads `val_<task>_loss`.

        Raises:
            ValueError: There is no such log.
        """
        prefix = "val_" if monitor.startswith("val_") else ""
        key = f"{prefix}{task}_{monitor.removeprefix('val_')}"
        if key not in logs:
            raise ValueError(
                f"`monitor` of schedule {self.name!r} must name a log of every "
                f"task. Expected: {key!r} in the logs. Received logs: "
                f"{sorted(logs)}. Logs with 'val_' need `validation_data`."
            )
        return float(logs[key])


def get(identifier: Any, **kwargs: Any) -> Schedule:
    """A schedule from its name, its config or itself, as Keras does it.

    Args:
        identifier: A name ("round_robin"), a config dict, or a schedule.
        **kwargs: Arguments of the constructor, with a name.

    Raises:
        ValueError: No such schedule.

    Example:
    >>> get("round_robin", steps=10).steps
    10
    """
    if isinstance(identifier, Schedule):
        return identifier
    if isinstance(identifier, str):
        return registry[identifier](**kwargs)  # type: ignore[no-any-return]
    if isinstance(identifier, Mapping):
        revived = keras.saving.deserialize_keras_object(dict(identifier))
        if isinstance(revived, Schedule):
            return revived
    raise ValueError(
        "`schedule` must be a name, a config or a keras_mtl schedule. "
        f"Received: {identifier!r}. Names: {', '.join(registry)}."
    )


def serialize(schedule: Schedule | None) -> Any:
    """The config of a schedule, for `get`."""
    return keras.saving.serialize_keras_object(schedule)
