"""A layer that turns the raw columns of a table into features."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl._registry import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class TableEncoder(keras.layers.Layer):
    """Standardized numbers and embedded categories, side by side.

    `keras_mtl.data.table` makes it from data. The features are, in this order:
    a standardized value for each column of numbers; for each of these that has
    gaps in the data, 1 where its value is missing; `width` numbers for each
    column of categories.

    The categories of all columns are rows of one table of embeddings, for as
    many tables as columns take longer to train. A number that is NaN counts as
    the mean. Categories that are not known share a row, another one in each
    column.

    Args:
        numbers: By column, a dict: `mean` and `deviation` of the training
            data, `log`, whether logarithms are taken, sign(x) log(1 + |x|),
            before the mean, and `gaps`, whether values were missing.
        categories: By column, the known categories, strings or integers.
        width: Length of an embedding.
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        inputs: A dict of tensors `(batch,)` by column: numbers; strings or
            integers where there are categories.

    Example:
        >>> import numpy as np
        >>> import tensorflow as tf
        >>> encoder = TableEncoder(
        ...     {"age": dict(mean=40.0, deviation=10.0, log=False, gaps=False)},
        ...     {"city": ["Bern", "Rome"]},
        ...     width=3,
        ... )
        >>> ages, cities = np.array([30.0, 45.0]), tf.constant(["Rome", "Oslo"])
        >>> features = encoder({"age": ages, "city": cities})
        >>> tuple(features.shape), features[:, 0].numpy().tolist()
        ((2, 4), [-1.0, 0.5])
    """

    def __init__(
        self,
        numbers: Mapping[str, Mapping[str, Any]],
        categories: Mapping[str, Sequence[Any]],
        width: int = 8,
        **kwargs: Any,
    ) -> None:
        # Half precision would cut off what raw numbers differ by.
        super().__init__(autocast=False, **kwargs)
        self.numbers = {name: dict(column) for name, column in numbers.items()}
        self.categories = {
            name: list(known) for name, known in categories.items()
        }
        self.width = width
        if not self.categories:
            return
        for column, known in enumerate(self.categories.values()):
            # An attribute each: TensorFlow, which saves their tables, does not
            # look into lists of Keras.
            setattr(self, f"lookup_{column}", _lookup(known))
        # In each column first a row for what is not known.
        sizes = [len(known) + 1 for known in self.categories.values()]
        self._starts = np.cumsum([0, *sizes], dtype="int64")
        self._embeddings = keras.layers.Embedding(
            int(self._starts[-1]),
            width,
            dtype=self.dtype_policy,
            name="embeddings",
        )

    def build(self, input_shape: Any) -> None:
        """Makes the table of embeddings."""
        if self.categories:
            self._embeddings.build((None, len(self.categories)))
        self.built = True

    def call(self, inputs: Mapping[str, Any]) -> Any:
        """Features `(batch, length)`."""
        parts = []
        if self.numbers:
            parts.append(self._standardized(inputs))
        if self.categories:
            numbers = [
                getattr(self, f"lookup_{column}")(inputs[name])
                for column, name in enumerate(self.categories)
            ]
            rows = ops.stack(numbers, axis=-1) + self._starts[:-1]
            embedded = self._embeddings(rows)
            width = self.width * len(self.categories)
            parts.append(ops.reshape(embedded, (-1, width)))
        return ops.concatenate(
            [ops.cast(part, self.compute_dtype) for part in parts], axis=-1
        )

    def _standardized(self, inputs: Mapping[str, Any]) -> Any:
        columns = {
            key: np.array([column[key] for column in self.numbers.values()])
            for key in ("mean", "deviation", "log", "gaps")
        }
        values = ops.stack(
            [ops.cast(inputs[name], "float32") for name in self.numbers],
            axis=-1,
        )
        if columns["log"].any():
            logs = ops.sign(values) * ops.log1p(ops.abs(values))
            values = ops.where(columns["log"], logs, values)
        missing = ops.isnan(values)
        values = (values - columns["mean"].astype("float32")) / columns[
            "deviation"
        ].astype("float32")
        values = ops.where(missing, ops.zeros_like(values), values)
        (gaps,) = np.nonzero(columns["gaps"])
        return ops.concatenate(
            [values, ops.cast(ops.take(missing, gaps, axis=-1), "float32")],
            axis=-1,
        )

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, int]:
        """`(batch, length)`."""
        gaps = sum(column["gaps"] for column in self.numbers.values())
        length = len(self.numbers) + gaps + self.width * len(self.categories)
        return (next(iter(input_shape.values()))[0], length)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "numbers": self.numbers,
            "categories": self.categories,
            "width": self.width,
        }


def _lookup(known: Sequence[Any]) -> keras.layers.Layer:
    """Numbers of categories, from 1; 0 is what is not known."""
    if known and isinstance(known[0], int):
        return keras.layers.IntegerLookup(
            vocabulary=known,
            # Must be none of them.
            oov_token=min(known) - 1,
        )
    return keras.layers.StringLookup(vocabulary=known)
