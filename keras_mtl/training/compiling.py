"""What `compile` makes of its arguments: tasks, factors, a balancer."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_mtl.balancers import base as balancers
from keras_mtl.schedules import base as schedules
from keras_mtl.tasks import Task, TaskSet
from keras_mtl.tasks.task_set import check_keys


def tasks_to_train(
    given: TaskSet | None, outputs: Mapping[str, Any], loss: Any
) -> TaskSet:
    """Puts the losses of `compile` over the tasks of the model.

    Args:
        given: The model's tasks, if it has any.
        outputs: Its outputs by key.
        loss: None, one loss for all outputs, or a dict by output; None in the
            dict leaves an output out.

    Returns:
        The tasks in the order of every vector: the given ones first.

    Raises:
        ValueError: A loss for no output, or an output without a loss.
    """
    if loss is not None and not isinstance(loss, Mapping):
        if isinstance(loss, (list, tuple)):  # no order is ever guessed
            check_keys(loss, outputs, argument="loss", all_needed=False)
        loss = dict.fromkeys(outputs, loss)
    loss = loss or {}
    check_keys(loss, outputs, argument="loss", all_needed=False)
    known: Mapping[str, Task] = given or {}
    tasks = []
    for name in [*known, *(k for k in outputs if k not in known)]:
        if name in loss and loss[name] is None:
            continue
        if name in known and name in loss:
            tasks.append(known[name].with_loss(loss[name]))
        elif name in known:
            tasks.append(known[name])
        elif name in loss:
            tasks.append(Task(name, loss=loss[name], metrics=[]))
        else:
            raise ValueError(
                f"The output {name!r} has neither a task nor a loss, so "
                "nothing would ever train it. Expected: a loss for each of "
                f"{list(outputs)}. Received: losses for {[*known, *loss]}. "
                f"Give it one, or write loss={{{name!r}: None}} to leave it "
                "out on purpose."
            )
    return TaskSet(tasks)


def loss_weight(value: Any, task: str) -> float:
    """A factor of `loss_weights`, which must be a finite number."""
    if not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
        raise ValueError(
            f"`loss_weights[{task!r}]` must be a finite number. Received: "
            f"{value!r}. Leave a task out of the dict to keep its own weight."
        )
    return float(value)


def ready_balancer(
    identifier: Any, tasks: TaskSet, shared: Sequence[Any]
) -> balancers.Balancer | None:
    """The balancer, bound to the tasks and built for the shared variables."""
    if identifier is None:
        return None
    balancer = balancers.get(identifier)
    num_tasks = len(tasks)
    if balancer.built and balancer.num_tasks != num_tasks:
        raise ValueError(
            f"`balancer` was built for {balancer.num_tasks} tasks; this "
            f"model has {num_tasks}. Pass a new one."
        )
    balancer.bind(tasks)
    if isinstance(balancer, balancers.TrackingBalancer):
        balancer.bind_variables([math.prod(v.shape) for v in shared])
    if not balancer.built:
        balancer.build((num_tasks,))
    if (
        getattr(balancer, "needs_gradients", True)
        and not isinstance(balancer, balancers.LossBalancer)
        and num_tasks > 1
        and not shared
    ):
        warnings.warn(
            "The tasks of this model share no trainable variable: "
            f"`balancer={balancer.name}` has nothing to balance.",
            stacklevel=4,
        )
    return balancer


def ready_schedule(
    identifier: Any, tasks: TaskSet, private: Mapping[str, Sequence[Any]]
) -> schedules.Schedule | None:
    """The schedule, bound to the tasks and built for them."""
    if identifier is None:
        return None
    schedule = schedules.get(identifier)
    if schedule.built and schedule.num_tasks != len(tasks):
        raise ValueError(
            f"`schedule` was built for {schedule.num_tasks} tasks; this model "
            f"has {len(tasks)}. Pass a new one."
        )
    schedule.bind(tasks, private)
    if not schedule.built:
        schedule.build((len(tasks),))
    return schedule
