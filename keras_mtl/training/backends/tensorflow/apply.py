"""The optimizer's step, without a trace of tasks that took no part."""

from typing import Any

import keras
import tensorflow as tf

from keras_mtl.graph import Partition
from keras_mtl.training.backends.tensorflow import replicas
from keras_mtl.training.backends.tensorflow.backward import Gradients
from keras_mtl.training.backends.tensorflow.branches import usually, whole


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

    tasks = _tasks(model)
    if _reads_all(optimizer):
        # What is not finite in a head may not reach the others.
        pairs = [
            (_masked(g, _moves(tasks[id(v)], usable)), v)
            if id(v) in tasks
            else (g, v)
            for g, v in pairs
        ]
    states = _states(model, tasks)
    # Under accumulation the step that applies may carry gradients of earlier
    # batches.
    if optimizer.gradient_accumulation_steps or not states:
        _apply(optimizer, pairs)
        return

    fine = tf.reduce_all(usable)

    def step() -> Any:
        _apply(optimizer, pairs)
        return tf.constant(0)

    def keep() -> list[Any]:
        return [tf.identity(state) for state, _ in states]

    def put_back(kept: list[Any]) -> Any:
        for (state, movers), old in zip(states, kept, strict=True):
            old = tf.reshape(old, state.shape)
            moves = _moves(movers, usable)
            state.assign(tf.where(moves, tf.identity(state), old))
        return tf.constant(0)

    def step_and_put_back() -> Any:
        kept = keep()
        step()
        return put_back(kept)

    if model.jit_compile and not replicas.are_there():
        # XLA compiles both sides, and would copy what a condition hands out.
        usually(fine, step, step_and_put_back)
        return
    # Replicas cannot wait for each other inside of a condition. A step outside
    # of one starts on some variables while the pass to others still runs, too.
    nothing = [tf.zeros([0], state.dtype) for state, _ in states]
    kept = whole(fine, lambda: nothing, keep)
    step()
    whole(fine, lambda: tf.constant(0), lambda: put_back(kept))


def _apply(optimizer: Any, pairs: list[tuple[Any, Any]]) -> None:
    if not replicas.are_there():
        optimizer.apply_gradients(pairs)
        return
    there = [(g, v) for g, v in pairs if g is not None]
    with replicas.already_added(optimizer):
        optimizer.apply_gradients(
            [*there, *((None, v) for g, v in pairs if g is None)]
        )


def _reads_all(optimizer: Any) -> bool:
    """Whether one variable's gradient may reach another's step or a later one.

    Of an optimizer that is not Keras's own that is not known: it may.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return (
        inner is not optimizer
        or inner.global_clipnorm is not None
        or bool(inner.gradient_accumulation_steps)
        or not type(inner).__module__.startswith("keras.")
    )


def _tasks(model: Any) -> dict[int, list[int] | None]:
    """The tasks that let a variable move, by its id.

    None where it has an entry for each task, which that task lets move.
    Variables that always may are left out.
    """
    split: Partition = model.partition
    index = {task: t for t, task in enumerate(split.tasks)}
    owned = {
        id(v) for v in (model.balancer.variables if model.balancer else ())
    }
    found: dict[int, list[int] | None] = {}
    for variable in model.trainable_variables:
        if id(variable) in owned:
            # What a balancer learns for each task; other shapes always move.
            if tuple(variable.shape) == (len(split.tasks),):
                found[id(variable)] = None
        elif reach := split.reach[id(variable)]:
            found[id(variable)] = sorted(index[task] for task in reach)
    return found


def _moves(tasks: list[int] | None, usable: Any) -> Any:
    if tasks is None:
        return usable
    return tf.reduce_any(tf.gather(usable, tasks))


def _masked(gradient: Any, moves: Any) -> Any:
    if gradient is None:
        return gradient
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(
            _masked(gradient.values, moves),
            gradient.indices,
            gradient.dense_shape,
        )
    return tf.where(moves, gradient, tf.zeros_like(gradient))


def _states(
    model: Any, tasks: dict[int, list[int] | None]
) -> list[tuple[Any, list[int] | None]]:
    """Variables and their optimizer state, and the tasks that move them."""
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
        if id(variable) not in tasks:
            continue
        states = {id(variable): variable}
        states.update(
            (id(slot[i]), slot[i])
            for slot in slots
            if isinstance(slot[i], keras.Variable)
            and slot[i].shape == variable.shape
        )
        pairs += [(state, tasks[id(variable)]) for state in states.values()]
    return pairs
