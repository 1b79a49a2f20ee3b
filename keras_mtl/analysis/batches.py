"""Training batches in an order that depends on seed and epoch alone."""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np


class Batches(keras.utils.PyDataset):
    """Arrays in batches, shuffled anew for every epoch.

    The order of epoch e is drawn from `(seed, e)`, so that a run that is
    resumed in a new process goes on with the batches it would have seen.
    Give `fit` its `callback` and `shuffle=False`, else Keras shuffles the
    batches once more.

    Args:
        x: An array, or a dict of arrays.
        y: A dict of arrays by task.
        batch_size: Examples in a batch; the last one may be smaller.
        seed: Of the order.

    Raises:
        ValueError: The arrays differ in length.
    """

    def __init__(self, x: Any, y: Any, batch_size: int, seed: int) -> None:
        super().__init__()
        self.x, self.y = x, y
        self.batch_size, self.seed = batch_size, seed
        arrays = [*_arrays(x), *_arrays(y)]
        lengths = {len(array) for array in arrays}
        if len(lengths) != 1:
            raise ValueError(
                "`x` and `y` must hold as many examples in every array. "
                f"Received: {sorted(lengths)} examples"
            )
        self.num_examples = lengths.pop()
        self.shuffle(0)
        self.callback = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: self.shuffle(epoch)
        )

    def __len__(self) -> int:
        return math.ceil(self.num_examples / self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        start = index * self.batch_size
        rows = self._order[start : start + self.batch_size]
        return _take(self.x, rows), _take(self.y, rows)

    def shuffle(self, epoch: int) -> None:
        """Puts the examples into the order of `epoch`."""
        generator = np.random.default_rng([self.seed, epoch])
        self._order = generator.permutation(self.num_examples)


def _arrays(data: Any) -> list[Any]:
    return list(data.values()) if isinstance(data, Mapping) else [data]


def _take(data: Any, rows: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: array[rows] for key, array in data.items()}
    return data[rows]
