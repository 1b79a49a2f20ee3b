"""What a model has learned about sharing, as arrays."""

from typing import Any

import keras
import numpy as np

from keras_mtl import layers
from keras_mtl.training.model import MultiTaskModel

# Layers whose output is the thing to see: it depends on the data.
_SEEN_IN_OUTPUT = (
    layers.SoftmaxGate,
    layers.DSelectKGate,
    layers.AttentionMask,
)


def inspect_sharing(
    model: MultiTaskModel, x: Any = None
) -> dict[str, np.ndarray]:
    """Coefficients, gates, branches and attention of a model, as arrays.

    | layers | array | needs `x` |
    |---|---|---|
    | cross-stitch, sluice, NDDR, mixture of layers | `coefficients()` | |
    | task embedding, FiLM of a task | its values; gamma and beta | |
    | branches and skips | probability of each choice | |
    | gates over experts | weights `(batch, experts)` | yes |
    | attention masks | masks, in the shape of the features | yes |

    Args:
        model: A multi-task model, from any builder.
        x: Inputs, in one batch. Without them, what depends on data is left
            out.

    Returns:
        Arrays by the name of the layer, in the model's order; FiLM's as
        `<name>/gamma` and `<name>/beta`. Empty for a model without such
        layers, as from `hard_sharing`.

    Raises:
        ValueError: `model` is not a `MultiTaskModel`.

    Example:
        >>> from keras_mtl import Task, builders
        >>> model = builders.cross_stitch(
        ...     keras.Input((4,)),
        ...     [Task("a", "binary"), Task("b", "binary")],
        ...     [keras.layers.Dense(8, name="low")],
        ... )
        >>> print(inspect_sharing(model)["a_low_stitch"].round(2))
        [0.9 0.1]
    """
    if not isinstance(model, MultiTaskModel):
        raise ValueError(
            "`model` must be a keras_mtl.MultiTaskModel. Received: "
            f"{type(model).__name__}. MultiTaskModel.from_model makes one."
        )
    found: dict[str, np.ndarray] = {}
    outputs: dict[str, Any] = {}
    for layer in model.layers:
        if isinstance(layer, layers.FiLM):
            if layer.kernel is None:  # the task's own
                gamma, beta = layer.coefficients()
                found[f"{layer.name}/gamma"] = gamma
                found[f"{layer.name}/beta"] = beta
        elif hasattr(layer, "coefficients"):
            found[layer.name] = layer.coefficients()
        elif hasattr(layer, "probabilities"):
            found[layer.name] = layer.probabilities()
        elif isinstance(layer, _SEEN_IN_OUTPUT) and x is not None:
            outputs[layer.name] = layer.output
    if outputs:
        # As in inference: dropout of gates and draws of branches are off.
        seen = keras.Model(model.input, outputs)(x, training=False)
        found |= {k: keras.ops.convert_to_numpy(v) for k, v in seen.items()}
    order = {layer.name: i for i, layer in enumerate(model.layers)}
    return dict(
        sorted(found.items(), key=lambda item: order[item[0].split("/")[0]])
    )
