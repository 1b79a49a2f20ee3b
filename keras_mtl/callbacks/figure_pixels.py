"""Figures as tensors, for TensorBoard."""

import io
from typing import Any

import tensorflow as tf
from matplotlib.figure import Figure


def figure_pixels(figure: Figure) -> Any:
    """The figure as `(height, width, 4)`, in 0..255."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return tf.io.decode_png(picture.getvalue(), channels=4)
