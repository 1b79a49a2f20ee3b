"""One row per layer and way of using it: what the conformance tests run over.

A new layer adds its rows to `CASES`; nothing else here changes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np


@dataclass(frozen=True)
class Case:
    """A layer and what it is called on.

    Attributes:
        name: Its name in the registry.
        make: Makes the layer, unbuilt, from a `name` and a `dtype`.
        shapes: The shape of its input without the batch, or a list of shapes
            for a layer that is called on a list.
        id: Tells the rows of one layer apart.
        masked: Whether a Keras mask of the (first) input passes through.
        batched: Whether outputs have the batch as their first axis.
    """

    name: str
    make: Callable[..., Any]
    shapes: tuple[int, ...] | list[tuple[int, ...]]
    id: str = ""
    masked: bool = True
    batched: bool = True

    @property
    def test_id(self) -> str:
        return f"{self.name}-{self.id}" if self.id else self.name

    def symbols(self) -> Any:
        if isinstance(self.shapes, list):
            return [keras.Input(shape) for shape in self.shapes]
        return keras.Input(self.shapes)

    def arrays(self, batch: int = 4, seed: int = 0, dtype: Any = None) -> Any:
        draw = np.random.default_rng(seed)
        dtype = dtype or "float32"

        def one(shape: tuple[int, ...]) -> Any:
            return draw.normal(size=(batch, *shape)).astype(dtype)

        if isinstance(self.shapes, list):
            return [one(shape) for shape in self.shapes]
        return one(self.shapes)


CASES: tuple[Case, ...] = ()
