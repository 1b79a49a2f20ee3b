"""Sorting over the tasks, in every column of a Jacobian at once."""

from collections.abc import Iterator
from typing import Any

from keras import ops


def sorted_rows(matrix: Any) -> list[Any]:
    """The rows of a matrix `(T, P)`, each column sorted upwards.

    A fixed network of minima and maxima of whole rows: a general sort would
    first bring each short column together in memory, and takes 3 to 17 times
    as long.
    """
    rows = list(ops.unstack(matrix, num=matrix.shape[0], axis=0))
    for low, high in _exchanges(len(rows)):
        rows[low], rows[high] = (
            ops.minimum(rows[low], rows[high]),
            ops.maximum(rows[low], rows[high]),
        )
    return rows


def _exchanges(size: int) -> Iterator[tuple[int, int]]:
    """The pairs of Batcher's merge exchange (Knuth, TAOCP 5.2.2, M)."""
    top = 1 << max(size - 1, 0).bit_length() >> 1
    stride = top
    while stride:
        reach, offset, distance = top, 0, stride
        while True:
            for i in range(size - distance):
                if i & stride == offset:
                    yield i, i + distance
            if reach == stride:
                break
            distance, reach, offset = reach - stride, reach // 2, stride
        stride //= 2
