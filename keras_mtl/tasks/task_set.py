"""The tasks of a model, in a fixed order, by key."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from keras_mtl.tasks.task import Task


class TaskSet(Mapping[str, Task]):
    """An ordered mapping from output keys to tasks.

    Args:
        tasks: Tasks, or a mapping from names to tasks.

    Raises:
        ValueError: No task, something that is not a task, or two of one name.

    Example:
    >>> tasks = TaskSet([Task("a", "binary"), Task("b", "regression")])
    >>> list(tasks), tasks["a"].kind
    (['a', 'b'], 'binary')
    """

    def __init__(self, tasks: "Iterable[Task] | Mapping[str, Task]") -> None:
        if isinstance(tasks, Mapping):
            _check_names(tasks)
            tasks = tasks.values()
        if not isinstance(tasks, Iterable):
            raise ValueError(
                "`tasks` must be a list of keras_mtl.Task objects or a dict of "
                f"them by name. Received: {tasks!r}"
            )
        self._tasks: dict[str, Task] = {}
        for task in tasks:
            if not isinstance(task, Task):
                raise ValueError(
                    "`tasks` must hold keras_mtl.Task objects. Received: "
                    f"{task!r} of type {type(task).__name__}. Write "
                    "Task(name, kind)."
                )
            if task.name in self._tasks:
                raise ValueError(
                    f"`tasks` must have different names. Received {task.name!r}"
                    " twice."
                )
            self._tasks[task.name] = task
        if not self._tasks:
            raise ValueError(
                "`tasks` must hold at least one task: an output that is "
                "learned. Received: none."
            )

    def __getitem__(self, name: str) -> Task:
        return self._tasks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def __repr__(self) -> str:
        return f"TaskSet({list(self._tasks.values())})"


def _check_names(tasks: Mapping[str, Any]) -> None:
    for key, task in tasks.items():
        if isinstance(task, Task) and task.name != key:
            raise ValueError(
                "`tasks` must have each task under its own name. Received: "
                f"{task!r} under {key!r}. Rename one of them, or pass a list."
            )


def check_keys(
    received: Mapping[str, Any] | Any,
    expected: Iterable[str],
    *,
    argument: str,
    all_needed: bool,
    remedy: str = "",
) -> None:
    """Holds the keys of an argument against the keys that it may have.

    Keras takes some misspelt keys silently, in sorted order; nothing here
    does.

    Args:
        received: What the user passed: should be a mapping.
        expected: The keys that exist.
        argument: The argument's name, for the message.
        all_needed: Whether every expected key must be there.
        remedy: A last sentence on what to do.

    Raises:
        ValueError: Not a mapping, an unknown key or a missing one.
    """
    expected = list(expected)
    wanted = f"Expected: a dict with the keys {expected}."
    if not isinstance(received, Mapping):
        raise ValueError(
            f"`{argument}` must be a dict keyed by task. {wanted} "
            f"Received: {type(received).__name__}. {remedy}".rstrip()
        )
    keys = list(received)
    if unknown := [k for k in keys if k not in expected]:
        hint = ""
        for key in unknown:
            if close := difflib.get_close_matches(str(key), expected, n=1):
                hint += f"Did you mean {close[0]!r}? "
        raise ValueError(
            f"`{argument}` has keys that name no task: {unknown}. {wanted} "
            f"Received: {keys}. {hint}{remedy}".rstrip()
        )
    missing = [k for k in expected if k not in keys]
    if all_needed and missing:
        raise ValueError(
            f"`{argument}` lacks the keys {missing}. {wanted} "
            f"Received: {keys}. {remedy}".rstrip()
        )
