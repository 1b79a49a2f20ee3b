"""A file with a drawing of who shares what in a multi-task model."""

import io
import os
from pathlib import Path

from keras_mtl import _files
from keras_mtl.callbacks.sharing_drawing import draw_sharing
from keras_mtl.training import MultiTaskModel


def plot_sharing(
    model: MultiTaskModel,
    to_file: str | os.PathLike[str] = "sharing.png",
    dpi: int = 120,
) -> Path:
    """Draws which layers of a model serve which tasks.

    Each box is a layer, with its parameters; its colours are the tasks that
    depend on its variables, so that a box of all colours is shared by all. The
    legend counts the parameters of each set of tasks. Nested models are one
    box; in large models, so are connected layers that serve the same tasks.

    Args:
        model: A multi-task model; it need not be compiled.
        to_file: A file whose ending tells the format: png, svg, pdf.
        dpi: Pixels an inch.

    Returns:
        The file.

    Raises:
        ValueError: `model` is not a `MultiTaskModel`, or the ending is of no
            format.

    Example:
        >>> import keras
        >>> from keras_mtl import Task, builders
        >>> model = builders.hard_sharing(
        ...     keras.Input((4,)),
        ...     [Task("a", "binary"), Task("b", "binary")],
        ...     [keras.layers.Dense(8, name="low")],
        ... )
        >>> plot_sharing(model, "sharing.png").name
        'sharing.png'
    """
    if not isinstance(model, MultiTaskModel):
        raise ValueError(
            "`model` must be a keras_mtl.MultiTaskModel. Received: "
            f"{type(model).__name__}. MultiTaskModel.from_model makes one."
        )
    path = Path(to_file)
    figure = draw_sharing(model)
    endings = figure.canvas.get_supported_filetypes()
    if path.suffix[1:] not in endings:
        raise ValueError(
            "`to_file` must end in a format of pictures: "
            f"{', '.join(sorted(endings))}. Received: {str(path)!r}"
        )
    picture = io.BytesIO()
    figure.savefig(picture, dpi=dpi, format=path.suffix[1:])
    _files.write_bytes(path, picture.getvalue())
    return path
