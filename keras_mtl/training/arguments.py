"""The arguments of `fit` and its kin, made ready for Keras."""

import inspect
from typing import Any

from keras_mtl.training.checks import complete_weights


def by_name(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The arguments of a call by name."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    named = dict(bound.arguments)
    return {**named.pop("kwargs", {}), **named}


def fill_weights(call: dict[str, Any]) -> None:
    """Completes a dict of sample weights, in place, if there is one."""
    if call.get("sample_weight") is not None:
        call["sample_weight"] = complete_weights(
            call["sample_weight"], call.get("y")
        )


def take_mixture(call: dict[str, Any]) -> list[Any]:
    """Puts a mixture's stream in the place of the mixture.

    Args:
        call: The arguments by name, changed in place.

    Returns:
        The callback that the stream needs, if there is a mixture.

    Raises:
        ValueError: An argument says again what the mixture says.
    """
    if not hasattr(call.get("x"), "for_fit"):
        return []
    for argument in (
        "y",
        "batch_size",
        "sample_weight",
        "steps_per_epoch",
        "class_weight",
    ):
        if call.get(argument) is not None:
            raise ValueError(
                f"`{argument}` must be left out, for a mixture has its own "
                f"labels, weights, batches and steps. Received: "
                f"{argument}={call[argument]!r}"
            )
    call["x"], follower = call["x"].for_fit(call.get("initial_epoch", 0))
    call["shuffle"] = False  # it has an order of its own
    return [follower]


def first_epoch(x: Any) -> Any:
    """The first epoch of a mixture, as data to evaluate on; else `x` itself."""
    return x.dataset() if hasattr(x, "for_fit") else x
