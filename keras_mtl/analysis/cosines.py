"""The angles between the tasks' gradients while a model trains."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mtl.analysis.look_ahead import Look


def cosines(grams: Any) -> Any:
    """Cosines of Gram matrices `(…, T, T)`; NaN beside a zero gradient."""
    lengths = np.sqrt(np.diagonal(grams, axis1=-2, axis2=-1))
    products = lengths[..., :, np.newaxis] * lengths[..., np.newaxis, :]
    return np.divide(
        grams,
        products,
        where=products > 0,
        out=np.full(np.shape(grams), np.nan),
    )


def cosines_over_training(looks: Sequence[Look]) -> tuple[Any, Any]:
    """The cosines of each look, over all shared variables.

    Returns:
        Steps `(S,)` and cosines `(S, T, T)`.
    """
    steps = np.array([look.step for look in looks])
    return steps, cosines(np.stack([look.gram for look in looks]))


def cosines_by_layer(
    looks: Sequence[Look], layers: Sequence[str]
) -> dict[str, Any]:
    """The cosines of each look `(S, T, T)`, layer by layer.

    Args:
        looks: From one `LookAhead`.
        layers: Its `layers`: the layer of each shared variable.
    """
    grams = np.stack([look.grams for look in looks])
    of = np.array(layers)
    return {
        layer: cosines(grams[:, of == layer].sum(axis=1))
        for layer in dict.fromkeys(layers)
    }
