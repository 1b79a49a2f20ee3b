"""What each step draws from a source that can only be read in order."""

from typing import Any

import tensorflow as tf

from keras_mtl.data.sources import Source


def read_on(
    source: Source, counts: Any, first: Any, chunk: int
) -> tf.data.Dataset:
    """Reads a source on and on, as many examples at a time as steps draw.

    Args:
        source: The source.
        counts: How many examples each step draws, `(steps,)`.
        first: The row of the first of them.
        chunk: Examples that are read at a time, before they are cut into what
            steps draw: to handle them one by one would cost more than to
            read them.

    Returns:
        A dataset with an element for each step: examples as the source has
        them, in a batch.
    """
    if source.indexed is None:
        examples = source.dataset.repeat().skip(first)
        # Read ahead in a thread of its own, beside the cutting.
        return examples.batch(chunk).prefetch(2).rebatch(counts)
    # What its first batch has before the row makes a step of its own.
    before = first % source.indexed.batch_size
    batches = source.indexed.batches(first)
    return batches.rebatch(tf.concat([[before], counts], axis=0)).skip(1)
