"""What errors of the graph mean for the user's data."""

import re

import tensorflow as tf


def explain(error: Exception) -> str | None:
    """What an error of the graph means for the user's data, if known."""
    text = str(error)
    if isinstance(error, tf.errors.InvalidArgumentError) and (
        "outside the valid range" in text
    ):
        found = re.search(
            r"label value of (-?\d+).*?range of (\S+ \S+\))", text
        )
        detail = (
            f" Received: {found[1]}; expected: {found[2]}." if found else ""
        )
        return (
            f"`y` holds a class index that is out of range.{detail} Correct "
            "the labels, write -1 for a missing one, or give the output more "
            "units."
        )
    if "Collective ops is aborted by" in text:
        found = re.search(r"Collective ops is aborted by: (.*)", text)
        return (
            "The devices of a strategy could not add up what they have"
            f"{f': {found[1]}' if found else ''}. Most often there is a second "
            "MirroredStrategy in the process: whatever its devices are, its "
            "sums and those of the first are taken for the same. Make one, use "
            "its scope for all models, and start the process anew."
        )
    return None
