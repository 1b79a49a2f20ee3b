"""Figures as arrays, for TensorBoard."""

from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def figure_pixels(figure: Figure) -> Any:
    """The figure as `(height, width, 4)`, in 0..255."""
    figure.set_dpi(110)
    # `savefig` would draw it twice, and encode it for us to decode.
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())
