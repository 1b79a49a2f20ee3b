"""Numbers to hold heads and losses against."""

import numpy as np
import tensorflow as tf


def gradient(function, x):
    """The gradient of a scalar function by TensorFlow."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return tape.gradient(value, x).numpy()


def differences(function, x, step=1e-5):
    """The same by central finite differences."""
    result = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[place] += step
        down[place] -= step
        result[place] = (float(function(up)) - float(function(down))) / 2 / step
    return result


def upsampled(x, height, width):
    """Bilinear resizing of `(h, w, channels)` with half-pixel centres."""
    h, w, channels = x.shape
    result = np.zeros((height, width, channels))
    for row in range(height):
        for column in range(width):
            y = min(max((row + 0.5) * h / height - 0.5, 0), h - 1)
            z = min(max((column + 0.5) * w / width - 0.5, 0), w - 1)
            top, left = int(y), int(z)
            low, right = min(top + 1, h - 1), min(left + 1, w - 1)
            down, over = y - top, z - left
            result[row, column] = (1 - down) * (
                (1 - over) * x[top, left] + over * x[top, right]
            ) + down * ((1 - over) * x[low, left] + over * x[low, right])
    return result
