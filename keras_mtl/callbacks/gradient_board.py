"""What TensorBoard shows of the tasks' gradients."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from keras_mtl.linalg import cosines
from keras_mtl.training.backends import backend


class GradientBoard:
    """Lengths and angles of the tasks' gradients on one batch.

    Args:
        model: A compiled `MultiTaskModel`.
        x: Inputs.
        y: Labels by task.
    """

    def __init__(self, model: Any, x: Any, y: Any) -> None:
        self.model = model
        self.tasks = list(model.tasks)
        self._batch = keras.tree.map_structure(
            keras.ops.convert_to_tensor, (x, y)
        )
        self._look = backend().gradient_look(model)

    def look(self) -> tuple[dict[str, float], Figure]:
        """Scalars by tag, and a picture of all cosines."""
        grams = self._look(*self._batch, self.model.loss_weight_vector)
        gram = keras.ops.convert_to_numpy(keras.ops.sum(grams, axis=0))
        angles = np.array(cosines(keras.ops.convert_to_tensor(gram)))
        scalars = {
            f"gradient length/{task}": float(length)
            for task, length in zip(
                self.tasks, np.sqrt(np.diag(gram)), strict=True
            )
        }
        pairs = np.triu_indices(len(self.tasks), k=1)
        for i, j in zip(*pairs, strict=True):
            tag = f"gradient cosine/{self.tasks[i]} and {self.tasks[j]}"
            scalars[tag] = float(angles[i, j])
        if len(pairs[0]):
            scalars["all tasks/conflict share"] = float(
                (angles[pairs] < 0).mean()
            )
        return scalars, cosine_picture(angles, self.tasks)


def cosine_picture(angles: Any, tasks: Sequence[str]) -> Figure:
    """A coloured matrix of the cosines `(T, T)`: red apart, blue together."""
    count = len(tasks)
    size = 1.6 + 0.5 * count
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(angles, cmap="RdBu", vmin=-1, vmax=1)
    figure.colorbar(image, ax=axes)
    axes.set_xticks(range(count), tasks, rotation=30, ha="right")
    axes.set_yticks(range(count), tasks)
    if count <= 12:
        for (i, j), value in np.ndenumerate(angles):
            axes.text(
                j,
                i,
                f"{value:.2f}",
                ha="center",
                va="center",
                fontsize=9,
                color="white" if abs(value) > 0.6 else "black",
            )
    return figure
