"""The optimizer's step, without a trace of tasks that took no part."""

from typing import Any

import keras
import tensorflow as tf

from keras_mtl.graph import Partition
from keras_mtl.training.backends.tensorflow import replicas
from keras_mtl.training.backends.tensorflow.backward import Gradients
from keras_mtl.training.backends.tensorflow.branches import usually


def apply(model: Any, gradients: Gradients, usable: Any) -> None:
    """One optimizer step that leaves no trace of a task that took no part.

    A zero gradient would still move a head by momentum and weight decay, so
    variables of such tasks, and their optimizer state, are put back.

    Args:
        model: A compiled `MultiTaskModel`.
        gradients: One, or None, for each of its trainable variables.
        usable: Which tasks took part `(T,)`.
    """
    optimizer, variables = model.optimizer, model.trainable_variables
    # An output left out on purpose is no reason for the optimizer to warn.
    idle = {id(v) for v in model.partition.idle}
    pairs = [
        (gradient, variable)
        for gradient, variable in zip(gradients, variables, strict=True)
        if gradient is not None or id(variable) not in idle
    ]

    if replicas.are_there():
        _apply_on_replicas(model, pairs, usable)
        return

    def apply_all() -> Any:
        optimizer.apply_gradients(pairs)
        return tf.constant(0)

    def apply_masked(moving: dict[int, Any]) -> None:
        # A head's gradient that is not finite must not reach a norm over all
        # gradients, nor the sums of gradient accumulation.
        optimizer.apply_gradients(
            [
                (_masked(gradient, moving.get(id(variable))), variable)
                for gradient, variable in pairs
            ]
        )

    def apply_to_usable() -> Any:
        moving = _moving(model, usable)
        kept = [
            (state, keep, tf.identity(state))
            for state, keep in _states(model, moving)
        ]
        apply_masked(moving)
        for state, keep, old in kept:
            state.assign(tf.where(keep, tf.identity(state), old))
        return tf.constant(0)

    if optimizer.gradient_accumulation_steps:
        # The step that applies may carry gradients of earlier batches.
        apply_masked(_moving(model, usable)) if model.balancer else apply_all()
    else:
        usually(tf.reduce_all(usable), apply_all, apply_to_usable)


def _apply_on_replicas(
    model: Any, pairs: list[tuple[Any, Any]], usable: Any
) -> None:
    """The same, where no condition may hold the optimizer's step.

    Args:
        model: A compiled `MultiTaskModel`.
        pairs: Gradients of all replicas' examples, and variables.
        usable: Which tasks took part `(T,)`.
    """
    fine = tf.reduce_all(usable)
    moving = _moving(model, usable)
    states = _states(model, moving)
    there = [(g, v) for g, v in pairs if g is not None]
    gradients = usually(
        fine,
        lambda: [g for g, _ in there],
        lambda: [_masked(g, moving.get(id(v))) for g, v in there],
    )
    nothing = [tf.zeros([0], state.dtype) for state, _ in states]
    kept = usually(
        fine, lambda: nothing, lambda: [tf.identity(s) for s, _ in states]
    )
    with replicas.already_added(model.optimizer):
        model.optimizer.apply_gradients(
            [
                *zip(gradients, [v for _, v in there], strict=True),
                *((None, v) for g, v in pairs if g is None),
            ]
        )

    def put_back() -> Any:
        for (state, keep), old in zip(states, kept, strict=True):
            old = tf.reshape(old, state.shape)
            state.assign(tf.where(keep, tf.identity(state), old))
        return tf.constant(0)

    usually(fine, lambda: tf.constant(0), put_back)


def _moving(model: Any, usable: Any) -> dict[int, Any]:
    """Whether a variable may move, by its id.

    A boolean for each entry where a variable has one for each task. Variables
    that always may are left out.
    """
    split: Partition = model.partition
    index = {task: t for t, task in enumerate(split.tasks)}
    owned = {
        id(v) for v in (model.balancer.variables if model.balancer else ())
    }
    found = {}
    for variable in model.trainable_variables:
        if id(variable) in owned:
            # What a balancer learns for each task; other shapes always move.
            if tuple(variable.shape) == tuple(usable.shape):
                found[id(variable)] = usable
        elif reach := split.reach[id(variable)]:
            found[id(variable)] = tf.reduce_any(
                tf.gather(usable, sorted(index[t] for t in reach))
            )
    return found


def _masked(gradient: Any, moves: Any) -> Any:
    if gradient is None or moves is None:
        return gradient
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(
            _masked(gradient.values, moves),
            gradient.indices,
            gradient.dense_shape,
        )
    return tf.where(moves, gradient, tf.zeros_like(gradient))


def _states(model: Any, moving: dict[int, Any]) -> list[tuple[Any, Any]]:
    """Pairs of a variable or its optimizer state, and whether it may move."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    variables = model.trainable_variables
    # Optimizers keep one list a kind of state, in the order of variables.
    slots = [
        state
        for state in vars(optimizer).values()
        if isinstance(state, list) and len(state) == len(variables)
    ]
    pairs = []
    for i, variable in enumerate(variables):
        if id(variable) not in moving:
            continue
        states = {id(variable): variable}
        states.update(
            (id(slot[i]), slot[i])
            for slot in slots
            if isinstance(slot[i], keras.Variable)
            and slot[i].shape == variable.shape
        )
        pairs += [(state, moving[id(variable)]) for state in states.values()]
    return pairs
