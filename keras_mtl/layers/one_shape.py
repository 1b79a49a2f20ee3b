"""The check of layers whose inputs must have one shape."""

from typing import Any


def one_shape(shapes: Any, what: str) -> list[tuple[int | None, ...]]:
    """The shapes of a list of inputs, which must be one and the same.

    Args:
        shapes: What `build` received.
        what: What the inputs are, for messages.

    Raises:
        ValueError: No list of inputs, or different shapes.
    """
    if not isinstance(shapes, (list, tuple)) or not all(
        isinstance(shape, (list, tuple)) for shape in shapes
    ):
        raise ValueError(
            f"`inputs` must be a list of {what}. Received: one tensor of "
            f"shape {shapes}."
        )
    each = [tuple(shape) for shape in shapes]
    if len(set(each)) != 1:
        raise ValueError(
            f"`inputs` must be {what} of one shape. Received: {each}. Give "
            "the blocks before the same width."
        )
    return each
