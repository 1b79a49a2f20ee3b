"""Figures as arrays, for TensorBoard."""

from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_DPI = 110
_MAX_PIXELS = 2400


def figure_pixels(figure: Figure) -> Any:
    """The figure as `(height, width, 4)`, in 0..255; a large one coarser."""
    figure.set_dpi(min(_DPI, _MAX_PIXELS / max(figure.get_size_inches())))
    # `savefig` would draw it twice, and encode it for us to decode.
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())
