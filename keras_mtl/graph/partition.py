"""Which variables belong to which tasks, and where the shared part ends."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import keras

from keras_mtl.graph.unroll import Step, UnrolledGraph, unroll


@dataclass(frozen=True)
class Partition:
    """The split of a model into what tasks share and what is their own.

    A variable is *shared* if at least two tasks depend on it, *private* if
    one does. The *boundary* of a task is the set of tensors that calls
    serving it alone read from calls that serve more than one task.

    Attributes:
        tasks: Task keys, in the order of every vector.
        reach: For the id of each variable, the tasks that depend on it.
        shared: Trainable variables of at least two tasks.
        private: Trainable variables of exactly one task, by task.
        idle: Trainable variables of no task.
        called_privately: For each task, those shared variables that calls
            serving this task alone use as well (one layer in two heads).
        boundary: For each task, the slots that it reads across the boundary.
        graph: The unrolled model.
        readers: For each step, by id, the tasks that depend on it.
    """

    tasks: tuple[str, ...]
    reach: dict[int, frozenset[str]]
    shared: list[Any]
    private: dict[str, list[Any]]
    idle: list[Any]
    called_privately: dict[str, list[Any]]
    boundary: dict[str, list[int]]
    graph: UnrolledGraph
    readers: dict[int, frozenset[str]]

    def task_across(self, consumer: Step | str, slot: int) -> str | None:
        """The task for which `consumer` reads `slot` across the boundary."""
        if isinstance(consumer, str):
            task = consumer
        else:
            readers = self.readers[id(consumer)]
            if len(readers) != 1:
                return None
            (task,) = readers
        return task if slot in self.boundary.get(task, ()) else None


def partition(model: Any, tasks: "tuple[str, ...] | list[str]") -> Partition:
    """Finds what the tasks of a Functional model share.

    Layers called twice, nested models, several inputs, skip connections and
    outputs that feed other outputs are all followed call by call. A frozen
    layer has no trainable variables and so is in no group.

    Args:
        model: A Functional `keras.Model` whose outputs are a dict by key.
        tasks: The output keys that have a loss.

    Returns:
        The partition.

    Example:
        >>> x = keras.Input((2,))
        >>> h = keras.layers.Dense(3, name="trunk")(x)
        >>> outputs = {k: keras.layers.Dense(1, name=k)(h) for k in "ab"}
        >>> split = partition(keras.Model(x, outputs), ["a", "b"])
        >>> [v.path for v in split.shared]
        ['trunk/kernel', 'trunk/bias']
    """
    graph = unroll(model)
    readers = readers_of(graph, tasks)
    called = {id(v) for step in graph.steps for v in _variables(step.operation)}
    # In the model's order, without what hangs on it beside the graph.
    trainable = {id(v): v for v in model.trainable_variables if id(v) in called}
    reach: dict[int, set[str]] = {id(v): set() for v in model.variables}
    called_by: dict[int, set[str]] = defaultdict(set)
    for step in graph.steps:
        tasks_of_step = readers[id(step)]
        for variable in _variables(step.operation):
            reach[id(variable)] |= tasks_of_step
            if len(tasks_of_step) == 1:
                called_by[id(variable)] |= tasks_of_step

    shared = [v for i, v in trainable.items() if len(reach[i]) > 1]
    shared_ids = {id(v) for v in shared}
    return Partition(
        tasks=tuple(tasks),
        reach={i: frozenset(r) for i, r in reach.items()},
        shared=shared,
        private={
            t: [v for i, v in trainable.items() if reach[i] == {t}]
            for t in tasks
        },
        idle=[v for i, v in trainable.items() if not reach[i]],
        called_privately={
            t: [v for v in shared if t in called_by[id(v)]] for t in tasks
        },
        boundary=_boundary(graph, readers, shared_ids, tasks),
        graph=graph,
        readers=readers,
    )


def readers_of(
    graph: UnrolledGraph, tasks: "tuple[str, ...] | list[str]"
) -> dict[int, frozenset[str]]:
    """For each step, by id, the tasks that depend on what it gives."""
    slot_tasks: dict[int, set[str]] = defaultdict(set)
    for task in tasks:
        slot_tasks[graph.outputs[task]].add(task)
    readers: dict[int, frozenset[str]] = {}
    for step in reversed(graph.steps):
        reached = {t for slot in step.outputs for t in slot_tasks[slot]}
        readers[id(step)] = frozenset(reached)
        for slot in step.inputs.values():
            slot_tasks[slot] |= reached
    return readers


def _boundary(
    graph: UnrolledGraph,
    readers: dict[int, frozenset[str]],
    shared_ids: set[int],
    tasks: "tuple[str, ...] | list[str]",
) -> dict[str, list[int]]:
    # A slot is learned if gradients at it mean something: it depends on a
    # shared variable through a call that serves more than one task.
    learned: set[int] = set()
    crossing: set[int] = set()
    for step in graph.steps:
        if len(readers[id(step)]) < 2:
            continue
        if any(slot in learned for slot in step.inputs.values()) or any(
            id(v) in shared_ids for v in _variables(step.operation)
        ):
            learned.update(step.outputs)
            crossing.update(
                slot
                for slot in step.outputs
                if keras.backend.is_float_dtype(graph.symbols[slot].dtype)
            )
    boundary: dict[str, list[int]] = {t: [] for t in tasks}
    reads = [
        (task, slot)
        for step in graph.steps
        if len(readers[id(step)]) == 1
        for task in readers[id(step)]
        for slot in step.inputs.values()
    ] + [(task, graph.outputs[task]) for task in tasks]
    for task, slot in reads:
        if slot in crossing and slot not in boundary[task]:
            boundary[task].append(slot)
    return boundary


def _variables(operation: Any) -> list[Any]:
    return operation.variables if isinstance(operation, keras.Layer) else []
