"""What of a recipe's inputs a model reads."""

from collections.abc import Mapping
from typing import Any


def own_inputs(model: Any, x: Any) -> Any:
    """The inputs that a model has, of those that there are.

    A model of one task may read fewer than that of all. Keras pairs a dict
    that has more keys than the model by position, not by name.

    Args:
        model: A Functional model.
        x: Inputs: a dict by name, or anything else, which stays as it is.
    """
    expected = model.input
    if not isinstance(x, Mapping) or not isinstance(expected, Mapping):
        return x
    return {name: values for name, values in x.items() if name in expected}
