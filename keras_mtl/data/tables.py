"""Tables: from the kinds of columns to a model's first layer."""

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_mtl.data.table_encoder import TableEncoder

KINDS = ("number", "log_number", "category")


class Table(NamedTuple):
    """What a model reads a table with.

    Attributes:
        inputs: A symbolic input `(batch,)` for each column.
        encoder: A layer that turns them into features `(batch, length)`: the
            first block of a builder, or `encoder(inputs)`.
    """

    inputs: dict[str, Any]
    encoder: TableEncoder

    def dataset(self, data: Any, labels: Any = None) -> tf.data.Dataset:
        """The rows of a table, not batched, as the model reads them.

        Args:
            data: Columns by name: a dict of arrays, or a data frame. Columns
                that the model does not read are left out.
            labels: What goes with the rows: arrays, or dicts of them by task.

        Returns:
            A dataset of `(x, y)`, or of `x` alone without labels.
        """
        x = {
            name: _as_read(_column(data, name), keras_input.dtype)
            for name, keras_input in self.inputs.items()
        }
        return tf.data.Dataset.from_tensor_slices(
            x if labels is None else (x, labels)
        )


def table(
    columns: Mapping[str, str],
    data: Any,
    width: int = 8,
    min_count: int = 1,
) -> Table:
    """Makes the inputs and the first layer of a model that reads a table.

    The layer is adapted from data and belongs to the model, so that the
    exported one takes raw columns.

    | kind | values | features |
    |---|---|---|
    | `"number"` | numbers | standardized; NaN counts as the mean |
    | `"log_number"` | numbers, such as sums of money | sign(x) log(1 + |x|), \
then likewise |
    | `"category"` | strings or integers | an embedding |

    A column of numbers with gaps (NaN) in `data` has a second feature, which
    tells where. A category that was not in `data`, or fewer than `min_count`
    times, counts as unknown, for which each column has an embedding. Missing
    categories are given as `""`, a category like others if it is in `data`.

    Args:
        columns: Kinds by column. Those that are left out are not read.
        data: The training data, columns by name: a dict of arrays `(n,)`, or
            a data frame. In columns of strings, None and NaN become `""`.
        width: Length of an embedding.
        min_count: From 2 on, rare categories teach the model what to make of
            unknown ones, whose embeddings are not trained otherwise.

    Raises:
        ValueError: A kind or column that does not exist, columns of unequal
            lengths, or values that are none of the kind.

    Example:
        >>> import keras
        >>> from keras_mtl import Task, builders
        >>> data = {"age": [30.0, 50.0], "city": ["Rome", "Bern"]}
        >>> people = table({"age": "number", "city": "category"}, data)
        >>> model = builders.hard_sharing(
        ...     people.inputs,
        ...     [Task("buys", "binary"), Task("spends", "regression")],
        ...     [people.encoder, keras.layers.Dense(4, name="low")],
        ... )
        >>> sorted(model.predict(people.dataset(data).batch(2), verbose=0))
        ['buys', 'spends']
    """
    _check(columns, width, min_count)
    found = {name: _column(data, name) for name in columns}
    lengths = {name: len(values) for name, values in found.items()}
    if len(set(lengths.values())) > 1 or not min(lengths.values()):
        raise ValueError(
            "`data` must have the same number of rows, one at least, in all "
            f"columns. Received: {lengths}."
        )
    numbers, categories, inputs = {}, {}, {}
    for name, kind in columns.items():
        values = found[name]
        dtype = "float32"
        if kind == "category":
            dtype = "string" if values.dtype.kind in "USO" else "int64"
            categories[name] = _known(name, values, dtype, min_count)
        else:
            numbers[name] = _statistics(name, values, kind == "log_number")
        inputs[name] = keras.Input((), dtype=dtype, name=name)
    return Table(inputs, TableEncoder(numbers, categories, width, name="table"))


def _check(columns: Any, width: Any, min_count: Any) -> None:
    if not columns:
        raise ValueError("`columns` must name a column at least.")
    for name, kind in columns.items():
        if kind not in KINDS:
            raise ValueError(
                f"`columns[{name!r}]` must be one of {', '.join(KINDS)}. "
                f"Received: {kind!r}"
            )
    for argument, value in (("width", width), ("min_count", min_count)):
        if type(value) is not int or value < 1:
            raise ValueError(
                f"`{argument}` must be a positive integer. Received: {value!r}"
            )


def _column(data: Any, name: str) -> Any:
    """A column as an array `(n,)`."""
    if name not in data:
        close = difflib.get_close_matches(name, list(data), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"`data` must have a column {name!r}. Received: {list(data)}.{hint}"
        )
    values = np.asarray(data[name])
    if values.shape[1:] not in ((), (1,)):
        raise ValueError(
            f"`data[{name!r}]` must be a column (n,). Received: shape "
            f"{values.shape}."
        )
    return values.reshape(-1)


def _as_read(values: Any, dtype: str) -> Any:
    """A column as its input takes it."""
    if dtype != "string":
        return values.astype(dtype)
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8")
    if values.dtype.kind != "O":
        return values.astype("str")
    # None, and NaN in a data frame, is no string.
    return np.array(
        [value if isinstance(value, str) else "" for value in values]
    )


def _known(name: str, values: Any, dtype: str, min_count: int) -> list[Any]:
    """The categories of a column, in order."""
    if values.dtype.kind not in "biuUSO":
        raise ValueError(
            f"`data[{name!r}]` must be strings or integers, for it is a column "
            f"of categories. Received: {values.dtype}."
        )
    categories, counts = np.unique(_as_read(values, dtype), return_counts=True)
    known: list[Any] = categories[counts >= min_count].tolist()
    if not known:
        raise ValueError(
            f"`min_count` must be reached by a category of {name!r} at least. "
            f"Received: min_count={min_count}; the most frequent one stands "
            f"there {counts.max()} times."
        )
    return known


def _statistics(name: str, values: Any, log: bool) -> dict[str, Any]:
    """What a column of numbers is standardized by."""
    if values.dtype.kind not in "iufb":
        raise ValueError(
            f"`data[{name!r}]` must be numbers. Received: {values.dtype}."
        )
    values = values.astype("float64")
    if log:
        values = np.sign(values) * np.log1p(np.abs(values))
    there = values[~np.isnan(values)]
    mean = float(there.mean()) if there.size else 0.0
    deviation = float(there.std()) if there.size else 1.0
    return {
        "mean": mean,
        "deviation": deviation or 1.0,  # a column that is always the same
        "log": log,
        "gaps": len(there) < len(values),
    }
