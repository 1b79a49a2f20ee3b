"""Keeps what a forward pass writes, such as moving averages, finite."""

from typing import Any

import keras
from keras import ops


def forward_state(model: Any) -> list[tuple[Any, Any]]:
    """The variables that a forward pass may write, and what they hold now.

    Inputs that are not finite take every task out of a step, but by then
    batch normalization has averaged over them.

    Args:
        model: A compiled `MultiTaskModel`.

    Returns:
        Pairs of a variable of a layer and its value.
    """
    others = [x for x in (model.balancer, model.schedule) if x is not None]
    owned = {id(v) for other in others for v in other.variables}
    found = {
        id(v): v
        for layer in model._flatten_layers()
        # Not `non_trainable_variables`, which has all weights that are frozen.
        for v in layer._non_trainable_variables
        if id(v) not in owned and keras.backend.is_float_dtype(v.dtype)
    }
    return [(v, ops.copy(v)) for v in found.values()]


def keep_finite(state: list[tuple[Any, Any]]) -> None:
    """Puts back, value by value, what is no longer finite.

    Args:
        state: From `forward_state`, before the step.
    """
    for variable, before in state:
        now = ops.convert_to_tensor(variable)
        variable.assign(ops.where(ops.isfinite(now), now, before))
