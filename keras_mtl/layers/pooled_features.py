"""Features of one example as one vector, as gates read them."""

from typing import Any

from keras import ops


def pooled_features(inputs: Any, mask: Any, dtype: str) -> Any:
    """The mean over all axes between batch and channels.

    Args:
        inputs: `(batch, ..., channels)`.
        mask: The Keras mask of `inputs`, or None. Masked positions are left
            out of the mean.
        dtype: In which the mean is taken.

    Returns:
        `(batch, channels)`.
    """
    axes = tuple(range(1, len(inputs.shape) - 1))
    inputs = ops.cast(inputs, dtype)
    if not axes:
        return inputs
    if mask is None:
        return ops.mean(inputs, axis=axes)
    while len(mask.shape) < len(inputs.shape):
        mask = ops.expand_dims(mask, -1)
    kept = ops.broadcast_to(ops.cast(mask, dtype), ops.shape(inputs))
    # Of an example that is masked all over nothing is left to divide.
    count = ops.maximum(ops.sum(kept, axis=axes), 1)
    return ops.sum(inputs * kept, axis=axes) / count
