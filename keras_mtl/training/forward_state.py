"""Puts back what a forward pass wrote and was not to, as moving averages."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keras_mtl.graph import Partition


@dataclass
class Kept:
    """A variable that a forward pass may write, as it was before the step.

    Attributes:
        variable: The variable.
        before: Its value.
        trains: Whether the schedule lets a task train that depends on it, a
            boolean scalar; None if that makes no difference.
        finite: Whether only finite values may come in.
    """

    variable: Any
    before: Any
    trains: Any
    finite: bool


def forward_state(model: Any) -> list[Kept]:
    """The variables that a forward pass may write, and what they hold now.

    The schedule keeps the losses of tasks out of a step, and the balancer
    those of inputs that are not finite, but by then batch normalization has
    averaged over the inputs.

    Args:
        model: A compiled `MultiTaskModel`, before its step.

    Returns:
        What is to be put back after the step; nothing if the model has
        neither balancer nor schedule.
    """
    if model.balancer is None and model.schedule is None:
        return []
    others = [x for x in (model.balancer, model.schedule) if x is not None]
    owned = {id(v) for other in others for v in other.variables}
    trains = _trains(model)
    state = []
    for variable in _written(model):
        if id(variable) in owned:
            continue
        # Kernels that train were moved by the optimizer, too, and stay finite.
        finite = (
            model.balancer is not None
            and _is_float(variable)
            and not variable.trainable
        )
        own = trains.get(model.partition.reach.get(id(variable), frozenset()))
        if finite or own is not None:
            state.append(Kept(variable, ops.copy(variable), own, finite))
    return state


def put_back(state: list[Kept]) -> None:
    """Puts back, value by value, what the step was not to write.

    Args:
        state: From `forward_state`, before the step.
    """
    for kept in state:
        now = ops.convert_to_tensor(kept.variable)
        stays = kept.trains
        if kept.finite:
            finite = ops.isfinite(now)
            stays = finite if stays is None else ops.logical_and(finite, stays)
        kept.variable.assign(ops.where(stays, now, kept.before))


def heads(model: Any, split: Partition) -> dict[str, list[Any]]:
    """The variables that one task alone depends on, moving averages included.

    Args:
        model: A `MultiTaskModel`.
        split: Its partition.

    Returns:
        Variables by task: first those that train.
    """
    return {
        task: [
            *split.private[task],
            *(
                v
                for v in _written(model)
                if _is_float(v)
                and not v.trainable
                and split.reach.get(id(v)) == frozenset({task})
            ),
        ]
        for task in split.tasks
    }


def _written(model: Any) -> Iterator[Any]:
    seen = set()
    for layer in model._flatten_layers():
        # Not `non_trainable_variables`, which has all weights that are frozen,
        # and the state of random seeds, which may go on.
        written = list(layer._non_trainable_variables)
        if isinstance(layer, keras.layers.SpectralNormalization):
            written.append(layer.kernel)  # which it divides by its norm
        if isinstance(layer, keras.layers.RNN) and layer.stateful:
            # In no list of Keras, and so of no task: where a network is in its
            # sequences goes on whatever trains.
            written += keras.tree.flatten(layer.states)
        for variable in written:
            if id(variable) not in seen:
                seen.add(id(variable))
                yield variable


def _trains(model: Any) -> dict[frozenset[str], Any]:
    """For each set of tasks that share state, whether one of them trains."""
    if model.schedule is None:
        return {}
    split: Partition = model.partition
    _, active = model.step_factors()
    # In an order that is the same in every run.
    sets = dict.fromkeys(split.reach.get(id(v)) for v in _written(model))
    return {
        tasks: ops.any(
            ops.logical_and(active, [task in tasks for task in split.tasks])
        )
        for tasks in sets
        if tasks
    }


def _is_float(variable: Any) -> bool:
    return bool(keras.backend.is_float_dtype(variable.dtype))
