"""How long turns of tasks are."""

from collections.abc import Mapping


def turn_lengths(
    lengths: int | Mapping[str, int], argument: str
) -> int | dict[str, int]:
    """Checks lengths of turns, of steps or of epochs.

    Args:
        lengths: One number for all, or a dict by task.
        argument: The argument that they are given by.

    Raises:
        ValueError: Lengths that are no positive integers.
    """
    values = lengths.values() if isinstance(lengths, Mapping) else [lengths]
    if any(type(value) is not int or value < 1 for value in values):
        raise ValueError(
            f"`{argument}` must be a positive integer, or a dict of them by "
            f"task. Received: {lengths!r}"
        )
    return dict(lengths) if isinstance(lengths, Mapping) else lengths
