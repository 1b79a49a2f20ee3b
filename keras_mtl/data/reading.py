"""What is drawn from a source that can only be read in order."""

from typing import Any

import tensorflow as tf

from keras_mtl.data.sources import Source


def read_on(
    source: Source, counts: Any, first: Any, ahead: int
) -> tf.data.Dataset:
    """Reads a source on and on, as many examples at a time as are drawn.

    Args:
        source: The source.
        counts: How many examples are drawn each time, `(times,)`.
        first: The row of the first of them.
        ahead: A `tf.data.Dataset` is read in chunks of so many times what is
            drawn at a time. What is drawn has to be copied where it lies
            across two chunks: the larger they are, the more seldom.

    Returns:
        A dataset with an element for each time: examples as the source has
        them, in a batch.
    """
    indexed = source.indexed
    if indexed is None:
        drawn = tf.reduce_sum(counts) // tf.size(counts, tf.int64) + 1
        chunk = ahead * drawn
        # Repeated chunk by chunk: to hand on example by example would cost.
        passes = source.dataset.batch(chunk).repeat()
        # The reading has a thread of its own, beside the cutting.
        chunks = passes.skip(first // chunk).prefetch(1)
    else:
        chunk = indexed.batch_size
        chunks = indexed.batches(first // chunk)
    # What the first chunk has before the first row is cut off by itself.
    sizes = tf.concat([[first % chunk], counts], axis=0)
    return chunks.rebatch(sizes).skip(1)
