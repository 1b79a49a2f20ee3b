"""One row per builder and way of calling it: what the conformance tests use.

A new builder adds its rows to `CASES`; nothing else here changes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import layers

from keras_mtl import Task, builders

WIDTH = 6  # of the inputs


def tasks() -> list[Task]:
    """Three tasks of different kinds."""
    return [
        Task("a", "binary"),
        Task("b", "regression"),
        Task("c", "multiclass", units=3),
    ]


def two_clicks() -> list[Task]:
    """Two tasks of which the second follows from the first."""
    return [Task("click", "binary"), Task("buy", "binary")]


def dense_blocks() -> list[Any]:
    """Blocks for vectors; all of one width, so that towers can be mixed."""
    return [
        layers.Dense(8, activation="tanh", name=name)
        for name in ("low", "middle", "high")
    ]


@dataclass(frozen=True)
class Case:
    """A builder and its arguments.

    Attributes:
        name: Its name in the registry.
        arguments: Arguments beside `inputs`, `tasks`, `blocks`.
        id: Tells the rows of one builder apart.
        tasks: Makes the tasks.
        blocks: Makes the blocks.
        shape: Shape of the input without the batch.
        shares: Whether any trainable variable serves several tasks.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    id: str = ""
    tasks: Callable[[], list[Task]] = tasks
    blocks: Callable[[], Any] = dense_blocks
    shape: tuple[int, ...] = (WIDTH,)
    shares: bool = True

    @property
    def test_id(self) -> str:
        return f"{self.name}-{self.id}" if self.id else self.name

    def build(self, **changed: Any) -> Any:
        """A model with weights that depend on nothing but this row."""
        keras.utils.set_random_seed(0)
        arguments = {
            "inputs": keras.Input(self.shape, name="x"),
            "tasks": self.tasks(),
            "blocks": self.blocks(),
            **self.arguments,
            **changed,
        }
        return builders.registry[self.name](**arguments)


CASES: tuple[Case, ...] = (
    Case("hard_sharing"),
    Case("hard_sharing", {"depth": {"a": 3, "b": 2, "c": 1}}, "tree"),
)
